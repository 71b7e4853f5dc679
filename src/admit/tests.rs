use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, FileType as Type, Mode};
use rustix::io::Errno;

use super::*;
use crate::config::OnSuccess;
use crate::publish::testing::{Rig, files_below, names};
use crate::storage::failing::{FailAt, Fault};
use crate::storage::{Disk, Opened, Storage as _, open_regular};

fn found(rig: &Rig, name: &str) -> Found {
    rig.found(OsStr::new(name)).unwrap()
}

#[test]
fn a_claimed_file_lies_under_its_id_and_the_ledger_knew_first() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let arrival = rig.claimed(&publisher, "x.csv", "a,1\n");
    let place = rig.pipeline.input.join(".forebay/claimed").join(format!("{}-x.csv", arrival.id));
    assert_eq!(arrival.path, place);
    assert_eq!(std::fs::read(&place).unwrap(), b"a,1\n");
    assert!(names(&rig.pipeline.input).is_empty());
    assert_eq!(publisher.ledger().get(&arrival.id).unwrap().input_path, place);
}

#[test]
fn a_name_that_is_no_text_is_claimed_like_any_other() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let name = OsStr::from_bytes(b"caf\xe9 \n.csv");
    let arrival = rig.claimed(&publisher, name, "a,1\n");
    assert_eq!(arrival.name, name);
    assert_eq!(std::fs::read(&arrival.path).unwrap(), b"a,1\n");
}

#[test]
fn what_is_no_regular_file_is_left_where_it_is_and_never_opened() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let inbox = &rig.pipeline.input;
    let outside = rig.dir.path().join("outside.csv");
    Disk::new().write_file(&outside, b"secret").unwrap();
    std::os::unix::fs::symlink(&outside, inbox.join("symlink")).unwrap();
    std::os::unix::fs::symlink(rig.dir.path().join("nowhere"), inbox.join("symlink to nothing")).unwrap();
    Disk::new().make_dirs(&inbox.join("directory")).unwrap();
    // Opening a pipe without a writer would block for ever.
    rustix::fs::mknodat(CWD, inbox.join("fifo"), Type::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(inbox.join("socket")).unwrap();
    for (name, kind) in [
        ("symlink", "symlink"),
        ("symlink to nothing", "symlink"),
        ("directory", "directory"),
        ("fifo", "fifo"),
        ("socket", "socket"),
    ] {
        let claim = publisher.claim(&rig.pipeline, &found(&rig, name)).unwrap();
        assert_eq!(claim, Claim::NotAFile(kind), "{name}");
    }
    assert_eq!(names(inbox).len(), 5, "all left alone");
    assert!(publisher.ledger().unfinished().unwrap().is_empty());
    // A device, if this machine lets us see one.
    assert!(matches!(open_regular(Path::new("/dev"), OsStr::new("null")), Ok(Opened::NotAFile("device"))));
}

#[test]
fn a_file_that_is_not_what_had_settled_is_not_claimed() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let settled = rig.drop_file("x.csv", "a,1\n");
    rig.drop_file("x.csv", "a,1\nb,2\n");
    assert_eq!(publisher.claim(&rig.pipeline, &settled).unwrap(), Claim::Changed);
    Disk::new().remove_file(&settled.path).unwrap();
    assert_eq!(publisher.claim(&rig.pipeline, &settled).unwrap(), Claim::Vanished);
    assert!(publisher.ledger().unfinished().unwrap().is_empty(), "nothing is remembered of it");
}

#[test]
fn a_kept_file_stays_and_is_remembered() {
    let rig = Rig::new(OnSuccess::Keep);
    let publisher = rig.open_disk();
    let arrival = rig.claimed(&publisher, "x.csv", "a,1\n");
    assert_eq!(arrival.path, rig.pipeline.input.join("x.csv"));
    let kept = publisher.ledger().kept("trips").unwrap();
    assert_eq!(kept.get(OsStr::new("x.csv")), Some(&arrival.stamp));
}

#[test]
fn a_claim_that_failed_half_way_is_taken_up_under_its_first_id() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let settled = rig.drop_file("x.csv", "a,1\n");
    let id = publisher.ledger().new_id();
    let input_path = claimed_path(&rig.pipeline, &id, OsStr::new("x.csv"));
    let intent = crate::ledger::Intent {
        id: &id,
        pipeline: "trips",
        name: &settled.name,
        stamp: settled.stamp,
        in_place: false,
        input_path: &input_path,
        arrived_at: settled.first_seen,
    };
    publisher.ledger().intend(&intent).unwrap();
    let claim = publisher.claim(&rig.pipeline, &settled).unwrap();
    assert!(matches!(&claim, Claim::Claimed(arrival) if arrival.id == id), "{claim:?}");
    assert_eq!(publisher.ledger().unfinished().unwrap().len(), 1);
}

#[test]
fn a_file_that_cannot_be_looked_at_once_it_is_taken_is_claimed_all_the_same() {
    let rig = Rig::new(OnSuccess::Archive);
    let storage = Arc::new(FailAt::never());
    let publisher = rig.open(Arc::<FailAt>::clone(&storage));
    let settled = rig.drop_file("x.csv", "a,1\n");
    // The first look is the one after the rename: before it there is no intent to look for.
    storage.fail_a_look_at("/claimed/");
    let claim = publisher.claim(&rig.pipeline, &settled).unwrap();
    let Claim::Claimed(arrival) = claim else { panic!("nobody has it now: {claim:?}") };
    assert_eq!(std::fs::read(&arrival.path).unwrap(), b"a,1\n");
    rig.attempt(&publisher, &arrival).unwrap();
    assert!(publisher.ledger().unfinished().unwrap().is_empty());
}

#[test]
fn a_full_disk_leaves_the_file_in_the_inbox_and_nothing_in_the_ledger() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open(Arc::new(FailAt::new(1, Fault::ErrorsFrom(Errno::NOSPC))));
    let settled = rig.drop_file("x.csv", "a,1\n");
    let err = publisher.claim(&rig.pipeline, &settled).unwrap_err();
    assert!(err.is_full() && !err.is_unfinished(), "{err}");
    assert_eq!(names(&rig.pipeline.input), ["x.csv"]);
    assert!(publisher.ledger().unfinished().unwrap().is_empty());
}

#[test]
fn a_file_put_back_never_covers_a_newer_one_of_its_name() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let first = rig.claimed(&publisher, "x.csv", "a,1\n");
    let job = rig.begun(&publisher, &first);
    rig.drop_file("x.csv", "newer\n");
    // The producer went on writing through its open descriptor.
    Disk::new().write_file(&first.path, b"a,1\nb,2\n").unwrap();
    let back = publisher.put_back(&rig.pipeline, &job).unwrap();
    let PutBack::Held(held) = back else { panic!("{back:?}") };
    assert_eq!((held.id.clone(), held.stamp.size), (first.id, 8), "known as it is now");
    assert_eq!(std::fs::read(rig.pipeline.input.join("x.csv")).unwrap(), b"newer\n");

    Disk::new().remove_file(&rig.pipeline.input.join("x.csv")).unwrap();
    let job = rig.begun(&publisher, &held);
    assert_eq!(publisher.put_back(&rig.pipeline, &job).unwrap(), PutBack::InInbox);
    assert_eq!(std::fs::read(rig.pipeline.input.join("x.csv")).unwrap(), b"a,1\nb,2\n");
    assert!(publisher.ledger().unfinished().unwrap().is_empty());
    assert!(files_below(&rig.pipeline.output).is_empty());
}

#[test]
fn the_fingerprint_is_blake3_of_all_bytes() {
    let bytes = vec![7; (1 << 18) * 2 + 5];
    assert_eq!(fingerprint(&bytes[..]).unwrap(), blake3::hash(&bytes));
    assert_eq!(fingerprint(&b""[..]).unwrap(), blake3::hash(b""));
}
