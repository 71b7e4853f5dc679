//! The program. Everything is in the library; see [`forebay::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    forebay::cli::main()
}
