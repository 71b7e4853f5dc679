//! The order of system calls over one file's life. A crash image does not show a missing sync of a folder, as any later sync
//! commits the shared journal; the log of system calls does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::daemon::{Daemon, PATIENCE, Waited};
use crate::feed::{Feed, Input, Kind};
use crate::measure::figures;
use crate::oracle;
use crate::site::{OnSuccess, Setting, Site};
use crate::strace::{self, Call, Trace};

/// What is looked at.
const CALLS: &[&str] = &[
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
];

#[test]
fn sync_log() {
    if !strace::is_here("sync_log") {
        return;
    }
    let site =
        Site::new(Setting { workers: 1, settle: "10ms", scan_interval: "300ms", on_success: OnSuccess::Archive });
    let mut daemon = Daemon::spawn(&site, &strace::words(&site, CALLS, Trace::Family));
    assert_eq!(daemon.wait_ready(), Waited::Done, "{}", daemon.log());
    let inputs = Feed::one_of_each();
    for input in &inputs {
        // One at a time: nothing overlaps, so the order of the calls is the order of the steps.
        assert!(site.drop_file(input.clone()));
        assert_eq!(daemon.wait_done(&site, PATIENCE), Waited::Done, "{}", daemon.log());
    }
    assert!(daemon.stop().success());
    oracle::demand(&oracle::settled(&site), "under strace");
    let mut log = Log::default();
    for call in strace::calls(&site).iter().filter(|call| call.is_done()) {
        log.take(call);
    }
    let faults: Vec<String> =
        log.faults.iter().cloned().chain(inputs.iter().filter_map(|input| log.wrong_order(input, &inputs))).collect();
    assert!(faults.is_empty(), "{}\n{:#?}", faults.join("\n"), log.turns);
    figures(
        "sync_log",
        &format!(
            "{} commits, {} files written, {} folders changed, all synced in time",
            log.commits, log.written, log.folders
        ),
    );
    assert!(log.commits >= 20 && log.written >= 5 && log.folders >= 20, "the log shows too little");
}

/// What the calls so far have come to.
#[derive(Debug, Default)]
struct Log {
    /// Folders with an entry that is not synced yet, and what was done to them.
    owed: BTreeMap<String, String>,
    /// The same for folders made in staging that hold nothing yet: if nothing comes of them, nobody misses them.
    scratch: BTreeMap<String, String>,
    /// Files in staging with bytes that are not synced yet.
    unsynced: BTreeSet<String>,
    /// The turns of files, in order.
    turns: Vec<Turn>,
    faults: Vec<String>,
    commits: usize,
    written: usize,
    folders: usize,
}

/// Something that matters for the order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Turn {
    /// The ledger is on the disk.
    Commit,
    /// Something in staging is on the disk.
    Synced,
    Claimed(String),
    Published,
    Archived(String),
    Quarantined(String),
    /// The explanation of a quarantined file has its name.
    Explained,
}

impl Log {
    fn take(&mut self, call: &Call) {
        let paths = call.paths();
        match (call.name.as_str(), paths.as_slice()) {
            ("write" | "pwrite64", [path, ..]) if path.contains("/.forebay/staging/") => {
                self.written += usize::from(self.unsynced.insert((*path).to_owned()));
                self.owed.append(&mut self.scratch);
            }
            ("fsync" | "fdatasync", [path, ..]) => self.synced(path),
            ("mkdir", [path]) => self.owe(Path::new(path).parent().unwrap().to_str().unwrap(), call),
            ("mkdirat", [folder, ..]) => self.owe(folder, call),
            ("renameat" | "renameat2", [from_folder, from, to_folder, to]) => {
                self.renamed(&format!("{from_folder}/{from}"), &format!("{to_folder}/{to}"), call);
            }
            ("rename", [from, to]) => self.renamed(from, to, call),
            _ => {}
        }
    }

    fn owe(&mut self, folder: &str, call: &Call) {
        self.folders += 1;
        let debts = if folder.ends_with("/.forebay/staging") && call.name.starts_with("mkdir") {
            &mut self.scratch
        } else {
            &mut self.owed
        };
        debts.insert(folder.to_owned(), format!("{}({}", call.name, call.rest));
    }

    fn synced(&mut self, path: &str) {
        self.owed.remove(path);
        self.scratch.remove(path);
        if path.contains("/.forebay/staging/") {
            self.unsynced.remove(path);
            self.turns.push(Turn::Synced);
        }
        if path.ends_with("/ledger.db-wal") {
            self.commits += 1;
            self.turns.push(Turn::Commit);
            let owed = std::mem::take(&mut self.owed);
            self.faults.extend(
                owed.into_iter()
                    .map(|(folder, call)| format!("commit {}: {folder} was not synced after {call}", self.commits)),
            );
        }
    }

    fn renamed(&mut self, from: &str, to: &str, call: &Call) {
        for path in [from, to] {
            self.owe(Path::new(path).parent().unwrap().to_str().unwrap(), call);
        }
        let name = Path::new(to).file_name().unwrap().to_str().unwrap();
        let bare = || name.split_once('-').map_or(name, |(_, name)| name).to_owned();
        if to.contains("/.forebay/claimed/") {
            self.turns.push(Turn::Claimed(bare()));
        } else if to.contains("/ingest_date=") {
            self.turns.push(Turn::Published);
            // Of a file that was refused nobody minds what else was staged.
            let unsynced: Vec<&String> = self.unsynced.iter().filter(|path| path.starts_with(from)).collect();
            if !unsynced.is_empty() {
                self.faults.push(format!("{to} is visible and not synced: {unsynced:?}"));
            }
            self.unsynced.clear();
        } else if to.contains("/archive/p/") {
            self.turns.push(Turn::Archived(bare()));
        } else if name.ends_with(".error.json") {
            self.turns.push(Turn::Explained);
        } else if to.contains("/quarantine/p/") && !name.ends_with(".rejects.parquet") {
            self.turns.push(Turn::Quarantined(bare()));
        }
    }

    /// Returns what is wrong with the order of the turns of one input, which ran alone.
    fn wrong_order(&self, input: &Input, all: &[Input]) -> Option<String> {
        let begin = self.turns.iter().position(|turn| *turn == Turn::Claimed(input.name.clone()));
        let Some(begin) = begin else { return Some(format!("{} was not claimed by a rename", input.name)) };
        if self.turns[..begin].last() != Some(&Turn::Commit) {
            return Some(format!("{} was claimed before the ledger knew", input.name));
        }
        let end = self.turns[begin + 1..].iter().position(|turn| matches!(turn, Turn::Claimed(_)));
        let turns = &self.turns[begin + 1..end.map_or(self.turns.len(), |end| begin + 1 + end)];
        // Many commits or syncs in a row are one word.
        let mut words: Vec<&Turn> = turns.iter().collect();
        words.dedup();
        let name = input.name.clone();
        let again = all.iter().find(|other| other.content.hash == input.content.hash).unwrap().name != input.name;
        let wanted: Vec<Turn> = match input.content.kind {
            Kind::Good | Kind::Dirty if !again => {
                vec![Turn::Synced, Turn::Commit, Turn::Published, Turn::Commit, Turn::Archived(name)]
            }
            Kind::Good | Kind::Dirty | Kind::Empty => vec![Turn::Commit, Turn::Archived(name)],
            Kind::Broken => vec![Turn::Commit, Turn::Explained, Turn::Quarantined(name)],
            // Its rejected rows are on the disk before anybody hears that it is refused.
            Kind::Refused => {
                vec![Turn::Synced, Turn::Commit, Turn::Synced, Turn::Explained, Turn::Quarantined(name)]
            }
        };
        let begins = |at: &usize| {
            words[*at..].iter().zip(&wanted).filter(|(found, wanted)| *found == wanted).count() == wanted.len()
        };
        let from = (0..words.len()).find(begins);
        let sound = from.is_some_and(|from| words.get(from + wanted.len()) == Some(&&Turn::Commit));
        (!sound).then(|| format!("{}: {words:?} instead of .. {wanted:?} and a commit", input.name))
    }
}
