use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::ManualClock;
use crate::job::{FileStamp, Outcome, QuarantineReason, RetryReason, RowCounts, Timestamp};

impl Ledger {
    /// Uses the writing connection.
    fn with<T>(&self, act: impl FnOnce(&Connection) -> T) -> T {
        self.group.alone(act)
    }
}

const HASH: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000001";

fn open(dir: &Path) -> Result<Ledger, LedgerError> {
    Ledger::open(dir, Arc::new(ManualClock::default()))
}

fn intend(ledger: &Ledger, name: &OsStr) -> FileRow {
    intend_at(ledger, name, false, 1)
}

fn intend_at(ledger: &Ledger, name: &OsStr, in_place: bool, ino: u64) -> FileRow {
    let id = ledger.new_id();
    let intent = Intent {
        id: &id,
        pipeline: "trips",
        name,
        stamp: FileStamp { dev: u64::MAX, ino, size: 7, mtime_ns: -1 },
        in_place,
        input_path: &Path::new("/in/claimed").join(name),
        arrived_at: Timestamp(5),
    };
    ledger.intend(&intent).unwrap()
}

fn staged(blake3: &str) -> StagedFacts<'_> {
    StagedFacts {
        blake3,
        manifest_hash: OTHER,
        final_dir: Path::new("/out/x"),
        rows: RowCounts { read: 3, written: 1, rejected: 1, dropped: 1 },
        disposal: Disposal::Move,
        resting: Some(Path::new("/archive/x")),
        replaces: None,
    }
}

fn succeed(ledger: &Ledger, id: &FileId, blake3: &str) -> FileRow {
    assert_eq!(ledger.stage(id, &staged(blake3)).unwrap(), Reservation::Ours);
    ledger.published(id).unwrap();
    ledger.done(id, Some(Path::new("/archive/x")), false, "archived").unwrap()
}

fn refuse(ledger: &Ledger, id: &FileId) -> FileRow {
    let decision = QuarantineDecision {
        outcome: Outcome::Quarantined,
        reason: Some(QuarantineReason::TooManyRejects),
        message: "too many",
        explanation: "{}",
        rows: RowCounts::default(),
        resting: Some(Path::new("/quarantine/x")),
        ended_by: None,
    };
    ledger.decide_quarantine(id, FileState::Claimed, &decision).unwrap();
    ledger.done(id, decision.resting, false, "there").unwrap()
}

#[test]
fn only_one_process_has_the_ledger_and_the_other_is_told_who() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let err = open(dir.path()).unwrap_err().to_string();
    let wanted = format!("another forebay (pid {}) uses this state folder", std::process::id());
    assert!(err.starts_with(&wanted), "{err}");
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn what_was_written_is_read_back_by_the_next_start_whatever_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let name = OsStr::from_bytes(b"caf\xe9 \n\x1b[31m.csv");
    let written = {
        let ledger = open(dir.path()).unwrap();
        let row = intend(&ledger, name);
        ledger.start(&row.id, "abc").unwrap()
    };
    assert_eq!(written.name, name);
    assert_eq!(written.stamp, FileStamp { dev: u64::MAX, ino: 1, size: 7, mtime_ns: -1 });
    assert_eq!((written.starts, written.attempts, written.running), (1, 0, true));
    let ledger = open(dir.path()).unwrap();
    assert_eq!(ledger.unfinished().unwrap(), std::slice::from_ref(&written));
    assert_eq!(ledger.find(name).unwrap(), std::slice::from_ref(&written));
    assert!(ledger.new_id() > written.id, "a new id is greater than every old one");
    let json = serde_json::to_value(&written).unwrap();
    assert_eq!(json["name"], "caf\\xe9 \\n\\u{1b}[31m.csv");
    assert_eq!(json["arrived_at"], "1970-01-01T00:00:00.000000005Z");
}

#[test]
fn a_ledger_that_cannot_be_read_is_never_taken_for_an_empty_one() {
    for (damage, contents) in [
        ("zero bytes", Vec::new()),
        ("not a database", b"hello, this is not a database, just a long enough text ".repeat(40)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        Disk::new().write_file(&dir.path().join(DATABASE), &contents).unwrap();
        let err = open(dir.path()).unwrap_err();
        assert!(matches!(err, LedgerError::Unreadable { .. }), "{damage}: {err}");
        let err = LedgerReader::open(dir.path()).unwrap_err();
        assert!(matches!(err, LedgerError::Unreadable { .. }), "{damage}, reading: {err}");
    }
}

#[test]
fn a_damaged_page_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    {
        let ledger = open(dir.path()).unwrap();
        for n in 0..200 {
            intend(&ledger, OsStr::new(&format!("file {n}")));
        }
        ledger.checkpoint().unwrap();
    }
    let path = dir.path().join(DATABASE);
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..half + 4096].fill(0xff);
    Disk::new().write_file(&path, &bytes).unwrap();
    let err = open(dir.path()).unwrap_err();
    assert!(matches!(err, LedgerError::Unreadable { .. }), "{err}");
    assert!(err.to_string().contains("restore it from a backup"), "{err}");
}

#[test]
fn a_log_without_its_database_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    Disk::new().write_file(&dir.path().join("ledger.db-wal"), b"x").unwrap();
    assert!(matches!(open(dir.path()).unwrap_err(), LedgerError::Unreadable { .. }));
}

#[test]
fn a_first_start_that_died_half_way_is_made_good() {
    let dir = tempfile::tempdir().unwrap();
    Disk::new().write_file(&dir.path().join("ledger.db.new"), b"half").unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn a_newer_ledger_is_left_to_the_newer_program() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().with(|writer| writer.pragma_update(None, "user_version", 3)).unwrap();
    let err = open(dir.path()).unwrap_err();
    assert!(matches!(err, LedgerError::Newer { found: 3, known: 2, .. }), "{err}");
}

#[test]
fn commits_survive_power_cuts_by_their_settings() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    let setting = |name: &str| -> String {
        let value = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
        ledger.with(|writer| writer.pragma_query_value(None, name, value)).map(|value| format!("{value:?}")).unwrap()
    };
    assert_eq!(setting("journal_mode"), "Text(\"wal\")");
    assert_eq!(setting("synchronous"), "Integer(2)", "FULL");
    assert_eq!(setting("foreign_keys"), "Integer(1)");
}

#[test]
fn a_content_is_reserved_from_staged_on_and_only_in_its_pipeline() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    let (a, b) = (intend(&ledger, OsStr::new("a")), intend(&ledger, OsStr::new("b")));
    assert!(!ledger.size_seen("trips", 7).unwrap());
    assert_eq!(ledger.stage(&a.id, &staged(HASH)).unwrap(), Reservation::Ours);
    assert!(ledger.size_seen("trips", 7).unwrap());
    assert_eq!(ledger.stage(&b.id, &staged(HASH)).unwrap(), Reservation::TakenBy(a.id.clone()));
    assert_eq!(ledger.get(&b.id).unwrap().state, FileState::Claimed, "nothing was decided for it");
    assert_eq!(ledger.published_as("trips", HASH).unwrap(), Some(a.id.clone()));
    assert_eq!(ledger.published_as("other", HASH).unwrap(), None);
    assert_eq!(ledger.published_as("trips", "no hash").unwrap(), None);
    // Given back: the other may have it.
    ledger.unstage(&a.id, "damaged").unwrap();
    assert_eq!(ledger.stage(&b.id, &staged(HASH)).unwrap(), Reservation::Ours);
    // And the table itself refuses, should the code ever forget to ask.
    let sql =
        "UPDATE files SET state = 'staged', outcome = 'succeeded', blake3 = (SELECT blake3 FROM files WHERE id = ?2),
                          manifest_hash = zeroblob(32), final_dir = x'00' WHERE id = ?1";
    let forced = ledger.with(|writer| writer.execute(sql, [a.id.as_str(), b.id.as_str()]));
    assert!(forced.unwrap_err().to_string().contains("UNIQUE"));
}

#[test]
fn a_step_from_the_wrong_state_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    let row = intend(&ledger, OsStr::new("a"));
    let story = ledger.story(&row.id).unwrap().len();
    let err = ledger.published(&row.id).unwrap_err();
    assert!(matches!(err, LedgerError::State { found: FileState::Claimed, wanted: FileState::Staged, .. }), "{err}");
    assert!(!err.must_stop() && !err.is_full());
    assert_eq!(ledger.story(&row.id).unwrap().len(), story, "no line for what did not happen");
    let done = succeed(&ledger, &row.id, HASH);
    ledger.forget(&row.id).unwrap();
    assert_eq!(ledger.get(&row.id).unwrap(), done, "only a claim can be forgotten");
    assert_eq!(ledger.start(&row.id, "t").unwrap(), done, "what is done is not begun again");
    let nobody = FileId::parse("nobody").unwrap();
    assert!(matches!(ledger.get(&nobody).unwrap_err(), LedgerError::NoSuchFile { .. }));
}

#[test]
fn attempts_count_only_when_they_should() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    let id = intend(&ledger, OsStr::new("a")).id;
    let end = |reason, counted| {
        ledger.start(&id, "t").unwrap();
        let end = AttemptEnd { reason, message: "why", counted, next_attempt_at: Some(Timestamp(9)) };
        let row = ledger.give_up(&id, &end).unwrap();
        (row.starts, row.attempts, row.crashes, row.running)
    };
    assert_eq!(end(Some(RetryReason::Io), true), (1, 1, 0, false));
    assert_eq!(end(Some(RetryReason::Crash), true), (2, 2, 1, false));
    assert_eq!(end(Some(RetryReason::DiskFull), false), (3, 2, 1, false));
    assert_eq!(end(None, false), (4, 2, 1, false));
    let row = ledger.start(&id, "t").unwrap();
    assert_eq!(row.next_attempt_at, None);
    ledger.interrupted(&id).unwrap();
    ledger.interrupted(&id).unwrap();
    let row = ledger.get(&id).unwrap();
    assert_eq!((row.starts, row.attempts, row.crashes, row.running), (5, 2, 1, false));
    let story = ledger.story(&id).unwrap();
    let what: Vec<_> = story.iter().map(|line| line.what.as_str()).collect();
    let wanted = "claimed started retried started retried started retried started interrupted started interrupted";
    assert_eq!(what.join(" "), wanted);
    assert_eq!(story[4].message, "crash: why");
}

#[test]
fn counts_and_times_follow_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp(100)));
    let ledger = Ledger::open(dir.path(), Arc::<ManualClock>::clone(&clock)).unwrap();
    assert_eq!(ledger.times("trips").unwrap(), PipelineTimes::default());
    assert_eq!(ledger.counts().unwrap().by_state.values().sum::<u64>(), 0);
    let a = intend(&ledger, OsStr::new("a"));
    succeed(&ledger, &a.id, HASH);
    clock.advance(Duration::from_nanos(50));
    let b = intend(&ledger, OsStr::new("b"));
    refuse(&ledger, &b.id);
    intend(&ledger, OsStr::new("c"));
    let counts = ledger.counts().unwrap();
    assert_eq!(counts.by_state[&FileState::Done], 2);
    assert_eq!(counts.by_state[&FileState::Claimed], 1);
    assert_eq!(counts.by_state.len(), FileState::ALL.len());
    assert_eq!(counts.by_outcome[&("trips".to_owned(), Outcome::Succeeded)], 1);
    assert_eq!(counts.in_quarantine["trips"], 1);
    let times = ledger.times("trips").unwrap();
    assert_eq!(times.last_success, Some(Timestamp(100)));
    assert_eq!(times.last_failure, Some(Timestamp(150)));
    assert_eq!(times.last_completion, Some(Timestamp(150)));
    assert_eq!(times.last_arrival, Some(Timestamp(5)));
    ledger.left_quarantine(&b.id, "mended").unwrap();
    assert_eq!(ledger.counts().unwrap().in_quarantine.get("trips"), None, "counted anew after a change");
    assert!(ledger.size_bytes() > 4096);
}

#[test]
fn files_are_found_by_what_people_have_at_hand() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    let old = intend(&ledger, OsStr::new("x.csv"));
    refuse(&ledger, &old.id);
    let new = intend(&ledger, OsStr::new("x.csv"));
    let ids = |rows: Vec<FileRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    let both = vec![new.id.clone(), old.id.clone()];
    let find = |what: &str| ids(ledger.find(OsStr::new(what)).unwrap());
    assert_eq!(find("x.csv"), both, "newest first");
    assert_eq!(find(old.id.as_str()), vec![old.id.clone()]);
    assert_eq!(find(&old.id.as_str().to_ascii_uppercase()), vec![old.id.clone()]);
    assert_eq!(find(old.id.as_str().split_at(10).0), both, "both of the same millisecond");
    assert!(find("01").is_empty(), "too little to mean anything");
    assert!(find("x%").is_empty() && find("").is_empty() && find("x'; --").is_empty());

    let list = |word: &str| {
        let mut filter = Filter::default();
        filter.state_or_outcome(word).unwrap();
        ids(ledger.files(&filter).unwrap())
    };
    assert_eq!(list("claimed"), vec![new.id.clone()]);
    assert_eq!(list("done"), vec![old.id.clone()]);
    assert_eq!(list("quarantined"), vec![old.id.clone()]);
    let filter = Filter { limit: 1, pipeline: Some("trips".to_owned()), ..Filter::default() };
    assert_eq!(ids(ledger.files(&filter).unwrap()), vec![new.id.clone()]);
    let err = Filter::default().state_or_outcome("lost").unwrap_err();
    assert!(err.contains("claimed") && err.contains("duplicate"), "{err}");
}

#[test]
fn kept_files_are_known_by_their_last_look() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    intend_at(&ledger, OsStr::new("a"), true, 1);
    let newer = intend_at(&ledger, OsStr::new("a"), true, 2);
    intend(&ledger, OsStr::new("renamed"));
    let kept = ledger.kept("trips").unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept.get(&OsString::from("a")), Some(&newer.stamp));
}

#[test]
fn a_reader_sees_every_commit_while_the_writer_writes() {
    let dir = tempfile::tempdir().unwrap();
    let err = LedgerReader::open(dir.path()).unwrap_err();
    assert!(matches!(err, LedgerError::Missing { .. }), "{err}");
    let ledger = open(dir.path()).unwrap();
    let reader = LedgerReader::open(dir.path()).unwrap();
    let row = intend(&ledger, OsStr::new("a"));
    assert_eq!(reader.get(&row.id).unwrap(), Some(row.clone()));
    succeed(&ledger, &row.id, HASH);
    assert_eq!(reader.files(&Filter::default()).unwrap()[0].outcome, Some(Outcome::Succeeded));
    assert_eq!(reader.story(&row.id).unwrap(), ledger.story(&row.id).unwrap());
    assert_eq!(reader.counts().unwrap(), ledger.counts().unwrap());
    assert_eq!(reader.times("trips").unwrap(), ledger.times("trips").unwrap());
    ledger.checkpoint().unwrap();
    drop(ledger);
    assert_eq!(reader.find(OsStr::new("a")).unwrap().len(), 1, "also after the daemon ended");
    let again = LedgerReader::open(dir.path()).unwrap();
    assert_eq!(again.files(&Filter::default()).unwrap().len(), 1);
}

#[test]
fn a_full_disk_is_told_apart_from_a_broken_one() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    let failures = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&failures);
    ledger.observe(Box::new(move |op, _, failed| {
        if failed && op == "claim" {
            seen.fetch_add(1, Ordering::SeqCst);
        }
    }));
    let pages: i64 = ledger.with(|writer| writer.pragma_query_value(None, "page_count", |row| row.get(0))).unwrap();
    let most = |pages: i64| {
        ledger.with(|writer| writer.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))).unwrap();
    };
    most(pages);
    let id = ledger.new_id();
    let name = OsString::from("x".repeat(5000));
    let intent = Intent {
        id: &id,
        pipeline: "trips",
        name: &name,
        stamp: FileStamp { dev: 1, ino: 1, size: 1, mtime_ns: 1 },
        in_place: false,
        input_path: Path::new("/in"),
        arrived_at: Timestamp(1),
    };
    let err = ledger.intend(&intent).unwrap_err();
    assert!(err.is_full() && !err.must_stop(), "{err}");
    assert!(err.to_string().starts_with("ledger claim: "), "{err}");
    assert_eq!(failures.load(Ordering::SeqCst), 1, "and the observer was told");
    most(100_000);
    ledger.intend(&intent).unwrap();
}

#[test]
fn questions_asked_often_use_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    for sql in [
        query::UNFINISHED,
        "SELECT state, count(*) FROM files WHERE state <> 'done' GROUP BY state",
        query::PUBLISHED_AS,
        query::KEPT,
        query::PIPELINES,
        "SELECT 1 FROM files WHERE pipeline = ? AND size = ? AND outcome = 'succeeded' LIMIT 1",
        "SELECT * FROM files WHERE pipeline = ? AND name = ? AND state <> 'done' AND state = 'claimed'",
        "SELECT max(finished_at) FROM files WHERE pipeline = ? AND outcome = ?",
        "SELECT max(arrived_at) FROM files WHERE pipeline = ?",
        "SELECT * FROM files WHERE name = ? ORDER BY id DESC",
    ] {
        let plan: Vec<String> = ledger.with(|writer| {
            let mut statement = writer.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values = vec![""; statement.parameter_count()];
            let lines = statement.query_map(rusqlite::params_from_iter(values), |row| row.get("detail"));
            lines.unwrap().map(Result::unwrap).collect()
        });
        assert!(plan.iter().any(|line| line.contains("USING") && line.contains("INDEX files_")), "{sql}: {plan:?}");
    }
}

#[test]
fn a_ledger_of_the_first_version_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    let row = intend(&ledger, OsStr::new("x.csv"));
    succeed(&ledger, &row.id, HASH);
    let back = "DROP INDEX files_published_once;
        ALTER TABLE files DROP COLUMN replaces; ALTER TABLE files DROP COLUMN replaced_by;
        CREATE UNIQUE INDEX files_published_once ON files (pipeline, blake3) WHERE outcome = 'succeeded';
        PRAGMA user_version = 1;";
    ledger.with(|writer| writer.execute_batch(back)).unwrap();
    drop(ledger);
    let err = LedgerReader::open(dir.path()).unwrap_err();
    assert!(matches!(err, LedgerError::Older { found: 1, .. }), "{err}");

    let ledger = open(dir.path()).unwrap();
    assert_eq!(ledger.get(&row.id).unwrap().outcome, Some(Outcome::Succeeded));
    let replay = intend(&ledger, OsStr::new("x.csv"));
    let facts = StagedFacts { replaces: Some(&row.id), ..staged(HASH) };
    assert_eq!(ledger.stage(&replay.id, &facts).unwrap(), Reservation::Ours);
    assert_eq!(ledger.published_as("trips", HASH).unwrap(), Some(replay.id));
    drop(ledger);
    open(dir.path()).unwrap();
    LedgerReader::open(dir.path()).unwrap();
}

#[test]
fn a_replay_replaces_only_what_it_names_and_gives_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    let [old, first, second] = ["a", "b", "c"].map(|name| intend(&ledger, OsStr::new(name)).id);
    succeed(&ledger, &old, HASH);
    let facts = StagedFacts { replaces: Some(&old), ..staged(HASH) };
    assert_eq!(ledger.stage(&first, &facts).unwrap(), Reservation::Ours);
    // Two files may answer one request: the second finds the first there.
    assert_eq!(ledger.stage(&second, &facts).unwrap(), Reservation::TakenBy(first.clone()));
    ledger.unstage(&first, "lost").unwrap();
    assert_eq!(ledger.published_as("trips", HASH).unwrap(), Some(old.clone()));
    assert_eq!((ledger.get(&first).unwrap().replaces, ledger.get(&old).unwrap().replaced_by), (None, None));
}

#[test]
fn a_replaced_file_is_told_and_listed_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    let [old, new] = ["a", "b"].map(|name| intend(&ledger, OsStr::new(name)).id);
    succeed(&ledger, &old, HASH);
    let list = |word: &str| {
        let mut filter = Filter::default();
        filter.state_or_outcome(word).unwrap();
        ledger.files(&filter).unwrap().into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!((ledger.get(&old).unwrap().standing(), list("replaced")), ("succeeded", Vec::new()));
    let facts = StagedFacts { replaces: Some(&old), ..staged(HASH) };
    assert_eq!(ledger.stage(&new, &facts).unwrap(), Reservation::Ours);
    assert_eq!(ledger.get(&old).unwrap().standing(), "replaced");
    assert_eq!(list("replaced"), std::slice::from_ref(&old));
    assert_eq!(list("succeeded"), [new, old], "it did succeed");
}

#[test]
fn the_attempt_that_ends_all_attempts_counts_too() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path()).unwrap();
    for (reason, crashes) in [(RetryReason::Io, 0), (RetryReason::Crash, 3)] {
        let row = intend(&ledger, OsStr::new("x.csv"));
        for _ in 0..2 {
            ledger.start(&row.id, "t").unwrap();
            let end = AttemptEnd { reason: Some(reason), message: "no", counted: true, next_attempt_at: None };
            ledger.give_up(&row.id, &end).unwrap();
        }
        ledger.start(&row.id, "t").unwrap();
        let decision = QuarantineDecision {
            outcome: Outcome::Failed,
            reason: Some(QuarantineReason::AttemptsExhausted),
            message: "given up after 3 attempts",
            explanation: "{}",
            rows: RowCounts::default(),
            resting: None,
            ended_by: Some(reason),
        };
        let row = ledger.decide_quarantine(&row.id, FileState::Claimed, &decision).unwrap();
        assert_eq!((row.starts, row.attempts, row.crashes), (3, 3, crashes));
    }
}

#[test]
fn damage_found_late_ends_the_daemon_at_its_next_write() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    let row = intend(&ledger, OsStr::new("x.csv"));
    ledger.soundness = soundness::Soundness::damaged("a page is broken");
    let err = ledger.start(&row.id, "t").unwrap_err();
    assert!(err.must_stop() && err.to_string().contains("a page is broken"), "{err}");
}
