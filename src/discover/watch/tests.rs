use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use notify::event::Flag;

use super::super::scan::identify;
use super::*;

fn names(marker: Option<&str>) -> Names {
    let mut set = globset::GlobSetBuilder::new();
    set.add(globset::Glob::new("*.csv").unwrap());
    Names::new(set.build().unwrap(), marker)
}

fn inbox(pipeline: &str, path: &Path, marker: Option<&str>) -> Inbox {
    Inbox { pipeline: pipeline.into(), path: path.to_owned(), names: names(marker) }
}

fn watcher(inboxes: Vec<Inbox>) -> (Watcher, Receiver<Note>) {
    let (tell, notes) = channel();
    (Watcher::new(inboxes, move |note| tell.send(note).unwrap_or_default()), notes)
}

/// Waits for a note that `wanted` accepts.
fn wait_for(notes: &Receiver<Note>, wanted: impl Fn(&Note) -> bool) {
    loop {
        match notes.recv_timeout(Duration::from_secs(10)) {
            Ok(note) if wanted(&note) => return,
            Ok(_) => {}
            Err(error) => panic!("the note never came: {error}"),
        }
    }
}

fn hint(pipeline: &str, name: &str) -> Note {
    Note::Hint { pipeline: pipeline.into(), name: OsStr::new(name).into() }
}

#[test]
fn a_file_renamed_in_or_written_is_hinted_to_its_own_pipeline() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    std::fs::create_dir(&one).unwrap();
    std::fs::create_dir(&two).unwrap();
    let (mut watcher, notes) = watcher(vec![inbox("one", &one, None), inbox("two", &two, None)]);
    watcher.set("one", identify(&one).ok()).unwrap();
    watcher.set("two", identify(&two).ok()).unwrap();
    assert!(watcher.is_up("one"));
    std::fs::File::create(one.join("a.csv")).unwrap();
    wait_for(&notes, |note| *note == hint("one", "a.csv"));
    wait_for(&notes, |note| *note == Note::Seen("close_write"));
    std::fs::File::create(dir.path().join("b.csv.tmp")).unwrap();
    rustix::fs::rename(dir.path().join("b.csv.tmp"), two.join("b.csv")).unwrap();
    wait_for(&notes, |note| *note == Note::Seen("moved_to"));
    wait_for(&notes, |note| *note == hint("two", "b.csv"));
}

#[test]
fn a_marker_hints_at_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut watcher, notes) = watcher(vec![inbox("p", dir.path(), Some("{name}.done"))]);
    watcher.set("p", identify(dir.path()).ok()).unwrap();
    std::fs::File::create(dir.path().join("a.csv.done")).unwrap();
    wait_for(&notes, |note| *note == hint("p", "a.csv"));
}

#[test]
fn a_removed_inbox_is_lost_and_can_be_watched_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in");
    std::fs::create_dir(&path).unwrap();
    let (mut watcher, notes) = watcher(vec![inbox("p", &path, None)]);
    watcher.set("p", identify(&path).ok()).unwrap();
    let before = identify(&path).unwrap();
    rustix::fs::rename(&path, dir.path().join("aside")).unwrap();
    wait_for(&notes, |note| *note == Note::Lost { pipeline: "p".into() });
    watcher.forget("p");
    assert!(matches!(watcher.set("p", identify(&path).ok()), Err(WatchError::Missing(_))));
    assert!(!watcher.is_up("p"));
    std::fs::create_dir(&path).unwrap();
    watcher.set("p", identify(&path).ok()).unwrap();
    assert!(watcher.is_stale("p", before));
    assert!(!watcher.is_stale("p", identify(&path).unwrap()));
    std::fs::File::create(path.join("a.csv")).unwrap();
    wait_for(&notes, |note| *note == hint("p", "a.csv"));
}

#[test]
fn an_overflow_and_an_error_ask_for_a_scan_of_every_inbox() {
    let inboxes: BTreeMap<_, _> = ["/a", "/b"].map(|path| (path.into(), inbox(path, Path::new(path), None))).into();
    let rescans = [Note::Rescan { pipeline: "/a".into() }, Note::Rescan { pipeline: "/b".into() }];
    let told = |result| {
        let (tell, notes) = channel();
        handle(&inboxes, &|note| tell.send(note).unwrap(), result);
        drop(tell);
        notes.into_iter().collect::<Vec<_>>()
    };
    let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
    assert_eq!(told(Ok(overflow)), [&[Note::Overflow], rescans.as_slice()].concat());
    assert_eq!(told(Err(notify::Error::generic("lost"))), rescans);
}

#[test]
fn each_limit_has_its_own_message() {
    let watches = WatchError::from(notify::Error::new(ErrorKind::MaxFilesWatch));
    assert!(watches.to_string().contains("max_user_watches"), "{watches}");
    let io = std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
    let instances = WatchError::from(notify::Error::io(io));
    assert!(instances.to_string().contains("max_user_instances"), "{instances}");
}

#[test]
fn reading_makes_no_hint() {
    let inboxes: BTreeMap<_, _> = [("/a".into(), inbox("a", Path::new("/a"), None))].into();
    let open = Event::new(EventKind::Access(AccessKind::Open(AccessMode::Any))).add_path("/a/x.csv".into());
    let gone = Event::new(EventKind::Modify(ModifyKind::Name(RenameMode::From))).add_path("/a/x.csv".into());
    for event in [open, gone] {
        handle(&inboxes, &|note| assert!(matches!(note, Note::Seen("remove")), "{note:?}"), Ok(event));
    }
}
