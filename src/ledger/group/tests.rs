use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;
use crate::job::FileId;

/// A group over a table of its own, and a look at what is committed.
struct Rig {
    dir: tempfile::TempDir,
    group: Group,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let connection = open(dir.path());
        connection
            .execute_batch(
                "PRAGMA journal_mode = wal; PRAGMA foreign_keys = on;
                 CREATE TABLE parent (n INTEGER PRIMARY KEY);
                 CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT, parent INTEGER REFERENCES parent (n));",
            )
            .unwrap();
        Self { dir, group: Group::new(connection) }
    }

    /// What somebody else sees in the table.
    fn committed(&self) -> Vec<i64> {
        let connection = open(self.dir.path());
        let mut all = connection.prepare("SELECT n FROM t ORDER BY n").unwrap();
        all.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn coming(&self) -> usize {
        self.group.coming.load(Ordering::SeqCst)
    }

    /// Two changes that are sure to meet in one transaction: the second comes while the first is being made.
    fn both(&self, first: impl Act, second: impl Act) -> [thread::Result<Result<(), LedgerError>>; 2] {
        let began = AtomicBool::new(false);
        thread::scope(|scope| {
            let one = scope.spawn(|| {
                self.group.write("one", |connection| {
                    began.store(true, Ordering::SeqCst);
                    wait_until(|| self.coming() == 1);
                    first(connection)
                })
            });
            wait_until(|| began.load(Ordering::SeqCst));
            let two = scope.spawn(|| self.group.write("two", second));
            [one.join(), two.join()]
        })
    }
}

trait Act: FnOnce(&Connection) -> Result<(), LedgerError> + Send {}
impl<F: FnOnce(&Connection) -> Result<(), LedgerError> + Send> Act for F {}

fn open(dir: &Path) -> Connection {
    Connection::open(dir.join("x.db")).unwrap()
}

fn wait_until(holds: impl Fn() -> bool) {
    while !holds() {
        thread::yield_now();
    }
}

fn insert(n: i64) -> impl Act {
    move |connection| Ok(connection.execute("INSERT INTO t (n) VALUES (?)", [n]).map(drop)?)
}

fn refuse(connection: &Connection) -> Result<(), LedgerError> {
    insert(9)(connection)?;
    Err(LedgerError::NoSuchFile { id: FileId::parse("nobody").unwrap() })
}

#[test]
fn who_is_alone_commits_at_once() {
    let rig = Rig::new();
    rig.group.write("one", insert(1)).unwrap();
    assert_eq!((rig.committed(), rig.group.commits()), (vec![1], 1));
    rig.group.write("two", insert(2)).unwrap();
    assert_eq!((rig.committed(), rig.group.commits()), (vec![1, 2], 2));
}

#[test]
fn those_who_meet_share_a_commit_and_none_is_answered_before_it() {
    let rig = Rig::new();
    let (began, answered) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let first = |connection: &Connection| {
                began.store(true, Ordering::SeqCst);
                wait_until(|| rig.coming() == 1);
                insert(1)(connection)
            };
            rig.group.write("one", first).unwrap();
            answered.store(true, Ordering::SeqCst);
        });
        wait_until(|| began.load(Ordering::SeqCst));
        let second = |connection: &Connection| {
            assert_eq!(rig.committed(), [0; 0], "the first change is made, and nobody may know yet");
            assert!(!answered.load(Ordering::SeqCst), "the first caller was told before his change was on the disk");
            insert(2)(connection)
        };
        rig.group.write("two", second).unwrap();
        assert_eq!(rig.committed(), [1, 2]);
    });
    assert_eq!(rig.group.commits(), 1);
}

#[test]
fn a_change_that_is_refused_or_panics_leaves_the_others_alone() {
    let rig = Rig::new();
    let [one, two] = rig.both(insert(1), refuse);
    one.unwrap().unwrap();
    assert!(matches!(two.unwrap().unwrap_err(), LedgerError::NoSuchFile { .. }));
    assert_eq!(rig.committed(), [1]);

    let [one, two] = rig.both(refuse, insert(2));
    assert!(matches!(one.unwrap().unwrap_err(), LedgerError::NoSuchFile { .. }));
    two.unwrap().unwrap();
    assert_eq!(rig.committed(), [1, 2]);

    let [one, two] = rig.both(insert(3), |connection| {
        insert(9)(connection)?;
        panic!("on purpose");
    });
    one.unwrap().unwrap();
    two.unwrap_err();
    assert_eq!(rig.committed(), [1, 2, 3]);
    rig.group.write("later", insert(4)).unwrap();
}

#[test]
fn a_commit_that_fails_is_told_to_everyone_in_it_and_leaves_nothing() {
    let rig = Rig::new();
    // A promise that is only looked at when the transaction ends.
    let [one, two] = rig.both(insert(1), |connection| {
        let sql = "PRAGMA defer_foreign_keys = on; INSERT INTO t (n, parent) VALUES (2, 77)";
        Ok(connection.execute_batch(sql)?)
    });
    for (told, op) in [(one, "one"), (two, "two")] {
        let err = told.unwrap().unwrap_err();
        assert!(err.is_sql() && err.to_string().contains("FOREIGN KEY"), "{err}");
        assert!(err.to_string().starts_with(&format!("ledger {op}: ")), "{err}");
    }
    assert_eq!(rig.committed(), [0; 0]);
    rig.group.write("later", insert(3)).unwrap();
    assert_eq!(rig.committed(), [3]);
}

#[test]
fn on_a_full_disk_everyone_is_told_the_truth() {
    let rig = Rig::new();
    let pages: i64 = rig.group.alone(|writer| writer.pragma_query_value(None, "page_count", |row| row.get(0))).unwrap();
    rig.group.alone(|writer| writer.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))).unwrap();
    let [one, two] = rig.both(insert(1), |connection| {
        let text = "x".repeat(100_000);
        Ok(connection.execute("INSERT INTO t (n, text) VALUES (2, ?)", [text]).map(drop)?)
    });
    assert!(two.unwrap().unwrap_err().is_full());
    let one = one.unwrap();
    assert_eq!(rig.committed(), if one.is_ok() { vec![1] } else { vec![] });
    assert!(one.as_ref().err().is_none_or(LedgerError::is_full), "{one:?}");
}

#[test]
fn a_hundred_who_wait_need_two_commits() {
    let rig = Rig::new();
    let began = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let first = |connection: &Connection| {
                began.store(true, Ordering::SeqCst);
                wait_until(|| rig.coming() == 100);
                insert(0)(connection)
            };
            rig.group.write("first", first).unwrap();
        });
        for n in 1..=100 {
            let (rig, began) = (&rig, &began);
            scope.spawn(move || {
                wait_until(|| began.load(Ordering::SeqCst));
                rig.group.write("more", insert(n)).unwrap();
            });
        }
    });
    assert_eq!(rig.committed(), (0..=100).collect::<Vec<_>>());
    assert_eq!(rig.group.commits(), 2, "one for the most there may be in it, one for the rest");
}
