//! Bad input: each case has a clear message, and nothing is lost or stuck.

mod folders;
mod limits;
mod scarce;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use crate::support::{Daemon, Project, files_under, wait_for};

const SOUND: &str = "id,amount\n1,1.5\n2,2.5\n";

fn project() -> Project {
    Project::new(
        r#"
[pipelines.p]
settle = "60ms"
scan_interval = "200ms"
files = ["*.csv", "*.csv.gz", "*.csv.zst"]

[pipelines.p.csv]
max_record_bytes = "64KiB"

[pipelines.p.columns]
id = "int64"
amount = "float64"

[pipelines.p.accept]
max_reject_ratio = 0.05
max_rejects = 2
"#,
    )
}

/// Drops `bytes`, expects a quarantine for `reason` whose message says `says`, and a sound file behind it to flow.
fn refused(name: &str, bytes: &[u8], reason: &str, says: &str) {
    let project = project();
    let daemon = project.start();
    project.drop_file("p", name, bytes);
    daemon.wait_processed("p", 1);
    let told = project.quarantined("p");
    assert_eq!(told.len(), 1, "{name} was not quarantined:\n{}", daemon.log());
    assert_eq!(told[0]["reason"], reason, "{}", told[0]);
    let message = told[0]["message"].as_str().unwrap();
    assert!(message.contains(says), "{message:?} does not say {says:?}");
    assert!(!told[0]["hint"].as_str().unwrap().is_empty(), "no hint: {}", told[0]);
    let kept = files_under(&project.path("data/quarantine/p"));
    assert!(kept.iter().any(|path| fs::read(path).unwrap() == bytes), "the original is not in quarantine: {kept:?}");
    next_file_flows(&project, &daemon, 2);
}

/// Nothing is stuck: a sound file still gets through.
fn next_file_flows(project: &Project, daemon: &Daemon, processed: u64) {
    project.drop_file("p", "next.csv", SOUND);
    daemon.wait_processed("p", processed);
    assert!(project.published("p").iter().any(|published| published.input_name() == "next.csv"));
}

#[test]
fn a_wrong_delimiter_is_named() {
    refused("semicolon.csv", b"id;amount\n1;2\n", "header_mismatch", "id");
}

#[test]
fn a_missing_column_is_named() {
    refused("missing.csv", b"id,total\n1,2\n", "header_mismatch", "\"amount\"");
}

#[test]
fn a_refused_header_counts_as_drift() {
    let project = project();
    let daemon = project.start();
    project.drop_file("p", "drift.csv", "total,id\n1,2\n");
    daemon.wait_processed("p", 1);
    let scrape = daemon.scrape();
    let drift = |kind| scrape.metric("forebay_schema_drift_total").label("kind", kind).value().to_string();
    assert_eq!([drift("missing"), drift("extra"), drift("renamed")], ["1", "1", "0"]);
}

#[test]
fn a_header_that_names_a_column_twice_is_refused() {
    refused("twice.csv", b"id,amount,id\n1,2,3\n", "duplicate_header", "fields 1 and 3");
}

#[test]
fn blank_header_names_are_nobodys_column() {
    let project = project();
    let daemon = project.start();
    project.drop_file("p", "blank.csv", "id,,amount,\n1,x,1.5,\n");
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p")[0].rows(), [1, 1, 0, 0]);
}

#[test]
fn a_header_in_another_encoding_is_refused() {
    refused("latin.csv", b"id,amount,caf\xe9\n1,2,3\n", "wrong_encoding", "field 3");
}

#[test]
fn rows_in_another_encoding_are_rejected_and_then_too_many() {
    let rows: Vec<u8> = (0..10).flat_map(|_| b"1,caf\xe9\n".to_vec()).collect();
    refused("rows.csv", &[b"id,amount\n".to_vec(), rows].concat(), "too_many_rejects", "invalid_encoding (10)");
}

#[test]
fn binary_junk_is_refused() {
    let junk: Vec<u8> = (0..50_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    let project = project();
    let daemon = project.start();
    project.drop_file("p", "junk.csv", &junk);
    daemon.wait_processed("p", 1);
    assert_eq!(project.quarantined("p").len(), 1);
    next_file_flows(&project, &daemon, 2);
}

#[test]
fn a_truncated_gzip_is_refused() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let rows: String = (0..5000).map(|id| format!("{id},{}\n", id * 7 % 13)).collect();
    encoder.write_all(format!("id,amount\n{rows}").as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    refused("cut.csv.gz", &whole[..whole.len() / 2], "bad_compression", "ends early");
}

#[test]
fn a_gzip_that_was_filled_up_with_zeros_is_whole() {
    let project = project();
    let daemon = project.start();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(SOUND.as_bytes()).unwrap();
    let padded = [encoder.finish().unwrap(), vec![0; 300_000]].concat();
    project.drop_file("p", "padded.csv.gz", &padded);
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p")[0].rows(), [2, 2, 0, 0], "{}", daemon.log());
    refused("junk.csv.gz", &[padded, b"junk".to_vec()].concat(), "bad_compression", "behind the zeros");
}

#[test]
fn a_truncated_zstd_is_refused() {
    let rows: String = (0..5000).map(|id| format!("{id},{}\n", id * 7 % 13)).collect();
    let whole = zstd::encode_all(format!("id,amount\n{rows}").as_bytes(), 3).unwrap();
    refused("cut.csv.zst", &whole[..whole.len() / 2], "bad_compression", "ends early");
}

#[test]
fn a_decompression_bomb_is_refused_without_inflating_it() {
    let mut bomb = zstd::Encoder::new(Vec::new(), 1).unwrap();
    bomb.write_all(b"id,amount\n").unwrap();
    let row = format!("1,{}\n", "0".repeat(60_000));
    for _ in 0..5000 {
        bomb.write_all(row.as_bytes()).unwrap();
    }
    refused("bomb.csv.zst", &bomb.finish().unwrap(), "decompression_bomb", "times its size");
}

#[test]
fn one_endless_line_is_refused() {
    let line = b"x".repeat(5 << 20);
    refused("endless.csv", &[b"id,amount\n1,2\n".to_vec(), line].concat(), "record_too_large", "no line end");
}

#[test]
fn an_overlong_record_costs_one_record() {
    let project = project();
    let daemon = project.start();
    let long = "9".repeat(200 << 10);
    project.drop_file("p", "long.csv", format!("id,amount\n1,1\n2,{long}\n3,3\n"));
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p")[0].rows(), [3, 2, 1, 0]);
}

#[test]
fn what_is_no_regular_file_is_left_alone_and_told_once() {
    let project = project();
    let inbox = project.inbox("p");
    fs::create_dir(inbox.join("folder.csv")).unwrap();
    let elsewhere = project.path("elsewhere.csv");
    fs::write(&elsewhere, SOUND).unwrap();
    std::os::unix::fs::symlink(&elsewhere, inbox.join("link.csv")).unwrap();
    std::os::unix::fs::symlink(project.path("nowhere"), inbox.join("dangling.csv")).unwrap();
    let made = Command::new("mkfifo").arg(inbox.join("fifo.csv")).status().unwrap();
    assert!(made.success());
    let daemon = project.start();
    next_file_flows(&project, &daemon, 1);
    // Several scans later each was told of once, and none was touched.
    std::thread::sleep(std::time::Duration::from_millis(900));
    assert_eq!(project.left_in_inbox("p"), ["dangling.csv", "fifo.csv", "folder.csv", "link.csv"]);
    let errors = daemon.scrape().metric("forebay_errors_total").label("component", "discover").sum();
    assert!((errors - 4.0).abs() < 0.1, "{errors} of 4 told");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), SOUND);
}

#[test]
fn names_that_are_not_utf8_or_forge_log_lines_are_handled() {
    let project = project();
    let daemon = project.start();
    project.drop_file("p", OsStr::from_bytes(b"caf\xe9.csv"), SOUND);
    project.drop_file("p", "two\nlines\x1b[31m.csv", "id,amount\n3,3\n");
    project.drop_file("p", "-rf ..csv", "id,amount\n4,4\n");
    daemon.wait_processed("p", 3);
    let mut names: Vec<_> = project.published("p").iter().map(|published| published.input_name().to_owned()).collect();
    names.sort_unstable();
    assert_eq!(names, ["-rf ..csv", "caf\\xe9.csv", "two\\nlines\\u{1b}[31m.csv"]);
    assert_eq!(project.archived("p").len(), 3);
    let log = daemon.log();
    assert!(!log.contains('\x1b'), "an escape reached the log");
    assert!(log.lines().all(|line| line.starts_with('{')), "a forged line reached the log:\n{log}");
}

#[test]
fn a_name_as_long_as_the_file_system_allows_is_handled() {
    let project = project();
    let daemon = project.start();
    let name = format!("{}.csv", "n".repeat(251));
    project.drop_file("p", &name, SOUND);
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p").len(), 1);
    assert_eq!(project.archived("p").len(), 1);
}

#[test]
fn a_file_that_vanishes_before_its_claim_is_forgotten() {
    let project = project();
    let daemon = project.start();
    for number in 0..20 {
        let path = project.drop_file("p", format!("gone-{number}.csv"), format!("id,amount\n{number},1\n"));
        std::thread::sleep(std::time::Duration::from_millis(5));
        fs::remove_file(path).ok();
    }
    next_file_flows(&project, &daemon, 1);
    wait_for("nothing to be pending", || (daemon.scrape().metric("forebay_files_pending").value() < 0.5).then_some(()));
}

#[test]
fn an_inbox_that_is_away_for_a_while_loses_nothing() {
    let project = project();
    let daemon = project.start();
    let rows: String = (0..600_000).map(|id| format!("{id},{id}.25\n")).collect();
    project.drop_file("p", "big.csv", format!("id,amount\n{rows}"));
    let inbox = project.path("data/in/p");
    wait_for("the file to be in progress", || {
        (daemon.scrape().metric("forebay_files_in_flight").value() > 0.5).then_some(())
    });
    fs::rename(&inbox, project.path("data/in/away")).unwrap();
    wait_for("the daemon to notice", || daemon.log().contains("is its volume mounted?").then_some(()));
    // The daemon may have made an empty inbox anew meanwhile.
    fs::remove_dir(&inbox).ok();
    fs::rename(project.path("data/in/away"), &inbox).unwrap();
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p")[0].rows(), [600_000, 600_000, 0, 0]);
    assert!(project.quarantined("p").is_empty());
}

#[test]
fn a_stray_file_among_the_claimed_does_not_stop_the_start() {
    let project = project();
    let claimed = project.inbox("p").join(".forebay/claimed");
    fs::create_dir_all(&claimed).unwrap();
    fs::write(claimed.join("stray.csv"), SOUND).unwrap();
    let daemon = project.start();
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p")[0].input_name(), "stray.csv", "it is put back into its inbox and taken");
}

#[test]
fn a_full_output_disk_waits_and_heals_without_an_attempt() {
    let project = project();
    let output = project.path("data/out/p");
    fs::create_dir_all(&output).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "forebay-test"]).arg(&output).status();
    if !mounted.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "mounting a tmpfs is required here");
        eprintln!("LEFT OUT: a full disk needs the right to mount a tmpfs");
        return;
    }
    let unmount = Unmount(output.clone());
    let ballast = output.join("ballast");
    fs::write(&ballast, vec![0; 200 << 10]).unwrap();
    let daemon = project.start();
    let mut random = 1_u64;
    let rows: String = (0..20_000)
        .map(|id| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{id},{}\n", random >> 40)
        })
        .collect();
    project.drop_file("p", "big.csv", format!("id,amount\n{rows}"));
    wait_for("back-pressure", || (daemon.scrape().metric("forebay_backpressure_active").sum() > 0.5).then_some(()));
    assert!(project.quarantined("p").is_empty());
    fs::remove_file(&ballast).unwrap();
    daemon.wait_processed("p", 1);
    let published = project.published("p");
    assert_eq!(published[0].rows(), [20_000, 20_000, 0, 0]);
    wait_for("the back-pressure to end", || {
        (daemon.scrape().metric("forebay_backpressure_active").sum() < 0.5).then_some(())
    });
    daemon.stop();
    drop(unmount);
}

/// Unmounts when the test ends, however it ends.
struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn an_unreadable_file_is_told_of_and_kept() {
    let project = project();
    // Root may read anything, so the daemon runs as nobody.
    let may_drop = Command::new("setpriv").args(["--reuid=65534", "--clear-groups", "true"]).status();
    if !may_drop.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "setpriv as root is required here");
        eprintln!("LEFT OUT: an unreadable file needs setpriv and root");
        return;
    }
    let path = project.drop_file("p", "secret.csv", SOUND);
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    project.drop_file("p", "next.csv", SOUND);
    let all = Command::new("chmod").args(["-R", "a+rwX"]).arg(project.path("")).status().unwrap();
    assert!(all.success());
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let daemon = Daemon::start_as_nobody(&project);
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p")[0].input_name(), "next.csv");
    assert!(project.left_in_inbox("p").contains(&"secret.csv".to_owned()), "it stays where it is");
    let told = |line: &str| line.contains("secret.csv") && line.contains("may not be read: left where it is");
    assert!(daemon.log().lines().any(told), "nobody was told:\n{}", daemon.log());
}
