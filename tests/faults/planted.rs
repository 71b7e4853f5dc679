//! The proof of the proof: bugs planted in the program, each of which a suite must catch.

use std::process::Command;

use crate::daemon::program;
use crate::measure::{figures, is_full, left_out};

/// Each bug, and the suites that may catch it, the surest first.
const BUGS: &[(&str, &[&str])] = &[
    ("no-file-fsync", &["sync_log::sync_log", "power_loss::power_loss_on_ext4"]),
    ("no-dir-fsync", &["sync_log::sync_log", "power_loss::power_loss_on_ext4"]),
    ("publish-before-staged", &["sync_log::sync_log", "random_kill::random_kill"]),
    ("archive-before-published", &["sync_log::sync_log", "random_kill::random_kill"]),
    ("identity-is-name", &["random_kill::random_kill"]),
    ("random-final-name", &["random_kill::random_kill"]),
    ("forget-attempts", &["attempts::attempts"]),
    ("no-rescan", &["watcher::watcher"]),
    ("replay-beside-old", &["random_kill::random_kill"]),
];

/// Without a bug every suite that is to catch one passes with the very same program.
#[test]
fn planted_bugs_are_caught() {
    let Some(program) = std::env::var_os("FOREBAY_PLANTED_BIN") else {
        assert!(!is_full(), "FOREBAY_PLANTED_BIN names no program with planted bugs");
        return left_out("planted", "FOREBAY_PLANTED_BIN names no program with planted bugs, see docs/RELIABILITY.md");
    };
    let run = |suite: &str, bug: Option<&str>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", suite, "--nocapture"]).env("FOREBAY_BIN", &program).env("RUST_BACKTRACE", "0");
        command.env_remove("FOREBAY_FAULTS").env_remove("FOREBAY_PLANTED_BUG");
        command.env("FOREBAY_FAULTS_BURST", "300");
        if let Some(bug) = bug {
            command.env("FOREBAY_PLANTED_BUG", bug);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // A suite that does not exist passes, too: with no test.
        let ran = String::from_utf8_lossy(&output.stdout).contains("running 1 test");
        assert!(ran, "{suite} is no suite");
        (output.status.success(), said)
    };
    let mut suites: Vec<&str> = BUGS.iter().flat_map(|(_, suites)| suites[..1].to_vec()).collect();
    suites.sort_unstable();
    suites.dedup();
    for suite in &suites {
        let (passed, said) = run(suite, None);
        assert!(passed, "{suite} fails without a bug:\n{said}");
    }
    for (bug, suites) in BUGS {
        // Every one of them at full length: it is good to know which are blind.
        let catching: Vec<&str> = suites
            .iter()
            .copied()
            .filter(|suite| !run(suite, Some(bug)).0)
            .take(if is_full() { 9 } else { 1 })
            .collect();
        assert!(!catching.is_empty(), "{bug} is caught by none of {suites:?}");
        figures("planted", &format!("{bug}: caught by {}", catching.join(", ")));
    }
    figures(
        "planted",
        &format!("{} of {} bugs caught; {} suites pass without them", BUGS.len(), BUGS.len(), suites.len()),
    );
}

#[test]
fn there_is_no_planted_bug_in_the_program() {
    if std::env::var_os("FOREBAY_BIN").is_some() {
        return left_out("planted", "FOREBAY_BIN names another program than the one that is built");
    }
    let bytes = std::fs::read(program()).unwrap();
    let hook = b"FOREBAY_PLANTED_BUG";
    assert!(!bytes.windows(hook.len()).any(|window| window == hook), "built with the feature planted-bugs");
}
