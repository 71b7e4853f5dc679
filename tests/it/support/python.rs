//! Python, which reads files with other hands than ours.

use std::path::Path;
use std::process::Command;

/// Runs a Python script and returns what it printed; `script` is relative to `tests/it`, or absolute.
///
/// Without Python the test is left out, loudly; with `FOREBAY_REQUIRE_TOOLS` set it stops. A script that fails stops the
/// test in any case.
#[track_caller]
pub(crate) fn python(script: impl AsRef<Path>, args: &[&str]) -> Option<String> {
    let python = std::env::var_os("FOREBAY_PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(script);
    match Command::new(&python).arg(&script).args(args).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {said}", script.display());
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "{}: {error}", python.display());
            eprintln!("LEFT OUT: {} needs Python: {error}", script.display());
            None
        }
    }
}
