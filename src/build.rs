//! Tells the program what it was built from: `FOREBAY_REVISION` and `FOREBAY_RUSTC`.
//!
//! A build outside a git checkout is fine: the revision is then `unknown`.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    let revision = output("git", &["rev-parse", "--short=12", "HEAD"]);
    if revision.is_some() {
        watch_head();
    }
    println!("cargo::rustc-env=FOREBAY_REVISION={}", revision.as_deref().unwrap_or("unknown"));

    let rustc = std::env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"]));
    let version = rustc.as_deref().and_then(|line| line.split(' ').nth(1)).unwrap_or("unknown");
    println!("cargo::rustc-env=FOREBAY_RUSTC={version}");
}

/// Asks cargo to run this again when HEAD moves: HEAD itself, the branch it points to, and the packed branches.
///
/// Only files that exist are named, because cargo runs a script again and again for one that does not.
fn watch_head() {
    let branch = output("git", &["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        if let Some(path) = output("git", &["rev-parse", "--git-path", name])
            && Path::new(&path).is_file()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// Returns the trimmed output of a command that ran and succeeded.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
