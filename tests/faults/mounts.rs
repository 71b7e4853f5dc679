//! Filesystems of our own: small ones to be filled, and images to be cut off from power.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long somebody may still use what is to be unmounted.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs a command; on failure returns what it said.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Something mounted; unmounted when it is dropped.
#[derive(Debug)]
pub(crate) struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts with the given options. The folder is made.
    pub(crate) fn new(kind: &str, options: &str, what: &Path, at: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(at).unwrap();
        let (what, path) = (what.display().to_string(), at.display().to_string());
        run("mount", &["-t", kind, "-o", options, &what, &path])?;
        Ok(Self { at: at.to_owned() })
    }

    /// Unmounts it once nobody uses it any more.
    pub(crate) fn unmount(self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            match run("umount", &[&self.at.display().to_string()]) {
                // Unmounting it once more, at the drop, does nothing.
                Ok(_) => return Ok(()),
                // A worker outlives its daemon by a moment.
                Err(_) if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
                Err(why) => return Err(why),
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What is used is unmounted when its last user ends.
        Command::new("umount").args(["-l", "-q"]).arg(&self.at).status().ok();
    }
}
