//! The system calls of one file's life: what must be synced is synced before the ledger goes on. A crash image
//! does not show a missing directory sync, as any later sync commits the shared journal; the log of system calls does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The test whose system calls are looked at: one file, from drop to done, on the real disk.
const SUBJECT: &str = "publish::tests::once::a_sound_file_is_published_once_and_archived";

/// Runs the subject under strace; `None`, loudly, where that is not possible.
fn syscalls() -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let ran = Command::new("strace")
        .args(["-f", "-qq", "-y", "-s", "4096", "-e", "trace=mkdir,mkdirat,renameat,renameat2,fsync,fdatasync", "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", SUBJECT])
        .output();
    match ran {
        Ok(output) if output.status.success() => Some(std::fs::read_to_string(log).unwrap()),
        Ok(output) => {
            eprintln!("LEFT OUT: strace does not work here: {}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(err) => {
            eprintln!("LEFT OUT: strace is not installed: {err}");
            None
        }
    }
}

/// The texts between `<` and `>`, or between quotes: the paths of one call.
fn paths(call: &str) -> Vec<&str> {
    call.split(['<', '>', '"']).skip(1).step_by(2).collect()
}

#[test]
fn everything_made_or_moved_is_synced_before_the_ledger_goes_on() {
    let Some(log) = syscalls() else { return };
    let (mut owed, mut synced) = (BTreeSet::new(), BTreeSet::new());
    let (mut commits, mut publications) = (0, 0);
    for call in log.lines().filter(|call| call.ends_with("= 0")) {
        let paths = paths(call);
        let folder = |path: &str| Path::new(path).parent().unwrap().to_str().unwrap().to_owned();
        if call.contains("mkdir(") || call.contains("mkdirat(") {
            let made = *paths.last().unwrap();
            // The test itself makes the inbox.
            let below = Path::new(made).parent() != Some(&std::env::temp_dir());
            if made.contains("/.forebay") || !made.contains("/in") && below {
                owed.insert(folder(made));
            }
        } else if call.contains("renameat") {
            let [from, _, to, name] = paths[..] else { panic!("{call}") };
            owed.extend([from.to_owned(), to.to_owned()]);
            if to.contains("ingest_date=") {
                publications += 1;
                let below = |path: &&String| path.contains("/.forebay/staging/") && path.contains(name);
                let staged: Vec<&String> = synced.iter().filter(below).collect();
                assert_eq!(staged.len(), 4, "two outputs, the manifest and their directory: {staged:?}");
            }
        } else if let Some(path) = paths.first() {
            synced.insert((*path).to_owned());
            owed.remove(*path);
            if path.ends_with("ledger.db-wal") {
                commits += 1;
                assert!(owed.is_empty(), "commit {commits}: not synced before it: {owed:?}");
            }
        }
    }
    assert_eq!(publications, 1, "{log}");
    assert!(commits >= 5, "claim, attempt, stage, publish, done: {log}");
}
