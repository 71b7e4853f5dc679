//! `files`, `explain`, `rejects`: asked while the daemon runs and after it has stopped.

use serde_json::Value;

use super::{HALF_GOOD, MOSTLY_BAD, NUMBERS};
use crate::support::{Daemon, Project};

/// A project whose daemon took three files and has stopped.
fn worked() -> Project {
    let project = Project::new(NUMBERS);
    working(&project).stop();
    project
}

/// A daemon that took three files.
fn working(project: &Project) -> Daemon {
    let daemon = project.start();
    project.drop_file("numbers", "half.csv", HALF_GOOD);
    daemon.wait_processed("numbers", 1);
    project.drop_file("numbers", "bad.csv", MOSTLY_BAD);
    project.drop_file("numbers", "again.csv", HALF_GOOD);
    daemon.wait_processed("numbers", 3);
    daemon
}

fn files(project: &Project, args: &[&str]) -> Vec<Value> {
    let json = project.cli().args(["files", "--json"]).args(args).run().expect_code(0).json();
    json["files"].as_array().unwrap().clone()
}

fn names(files: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_ledger_can_be_asked_while_the_daemon_holds_it_and_after() {
    let project = Project::new(NUMBERS);
    let daemon = working(&project);
    ask(&project);
    daemon.stop();
    ask(&project);
}

fn ask(project: &Project) {
    assert_eq!(names(&files(project, &["--state", "quarantined"])), ["bad.csv"]);
    assert_eq!(names(&files(project, &["--state", "done"])), ["again.csv", "bad.csv", "half.csv"]);
    assert_eq!(names(&files(project, &["--state", "duplicate", "--pipeline", "numbers"])), ["again.csv"]);
    assert_eq!(names(&files(project, &["-p", "numbers", "-s", "succeeded"])), ["half.csv"]);
    assert_eq!(files(project, &["-p", "numbers", "-s", "staged"]).len(), 0);
    let unknown = project.cli().args(["files", "-p", "number"]).run().expect_code(2);
    assert!(unknown.stderr.contains("did you mean 'numbers'?"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("the config has: numbers"), "{}", unknown.stderr);
    assert_eq!(files(project, &["-n", "1"]).len(), 1);
    project.cli().args(["files", "--state", "asleep"]).run().expect_code(2);

    let table = project.cli().arg("files").run().expect_code(0);
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", table.stdout);
    assert!(lines[0].starts_with("ARRIVED") && table.stdout.contains("quarantined"), "{}", table.stdout);
}

#[test]
fn a_story_is_told_by_name_id_and_beginning_of_the_id() {
    let project = worked();
    let half = project.cli().args(["explain", "half.csv", "--json"]).run().expect_code(0).json();
    let published = project.published("numbers");
    for (name, value) in published[0].manifest.as_object().unwrap() {
        assert_eq!(&half[name], value, "{name} is the manifest's");
    }
    assert_eq!((&half["outcome"], &half["state"]), (&Value::from("succeeded"), &Value::from("done")));
    let story: Vec<&str> =
        half["story"].as_array().unwrap().iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert!(story.contains(&"claimed") && story.contains(&"published"), "{story:?}");

    let id = half["id"].as_str().unwrap();
    for what in [id, &id[..20]] {
        let text = project.cli().args(["explain", what]).run().expect_code(0).stdout;
        for part in [id, "half.csv", "succeeded", "4 rows read = 2 written + 2 rejected + 0 dropped", "rows.parquet"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
    let bad = project.cli().args(["explain", "bad.csv"]).run().expect_code(0).stdout;
    for part in ["too_many_rejects", "quarantine", "4 rows read, 3 rejected, nothing published"] {
        assert!(bad.contains(part), "{part} in\n{bad}");
    }
    let hint = project.quarantined("numbers")[0]["hint"].as_str().unwrap().to_owned();
    assert!(!hint.is_empty() && bad.contains(&hint), "{hint} in\n{bad}");
    for part in ["arrived", "begun", "finished"] {
        assert!(bad.lines().any(|line| line.starts_with(part) && line.ends_with('Z')), "{part} in\n{bad}");
    }
    let again = project.cli().args(["explain", "again.csv"]).run().expect_code(0).stdout;
    assert!(again.contains(id), "a duplicate names its original:\n{again}");
    let missing = project.cli().args(["explain", "nobody.csv"]).run().expect_code(1);
    assert!(missing.stderr.contains("nobody.csv") && missing.stderr.contains("hint:"), "{}", missing.stderr);
}

#[test]
fn rejected_rows_are_shown_and_exported_ready_to_mend() {
    let project = worked();
    let shown = project.cli().args(["rejects", "half.csv"]).run().expect_code(0).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(lines[1].contains("bad_type") && lines[1].contains("amount"), "{shown}");
    assert!(lines[2].contains("rule") && lines[2].contains("positive"), "{shown}");

    let export = project.cli().args(["rejects", "half.csv", "--csv"]).run().expect_code(0);
    assert_eq!(export.stdout, "id,amount\n2,many\n3,-1\n");
    // Refused files keep their rejects too.
    let refused = project.cli().args(["rejects", "bad.csv", "--csv"]).run().expect_code(0);
    assert_eq!(refused.stdout, "id,amount\nx,1\n2,many\n3,-1\n");

    let none = project.cli().args(["rejects", "again.csv"]).run().expect_code(1);
    assert!(none.stderr.contains("duplicate"), "{}", none.stderr);

    let daemon = project.start();
    let mended = export.stdout.replace("many", "7").replace("-1", "1");
    project.drop_file("numbers", "mended.csv", mended);
    daemon.wait_processed("numbers", 1);
    assert_eq!(project.published("numbers").last().unwrap().rows(), [2, 2, 0, 0]);
}

#[test]
fn of_several_arrivals_of_a_name_the_newest_is_meant_and_the_others_are_told() {
    let project = Project::new(NUMBERS);
    let daemon = project.start();
    for (count, bad) in [(1, MOSTLY_BAD.to_owned()), (2, MOSTLY_BAD.replace("2.5", "3.5"))] {
        project.drop_file("numbers", "x.csv", bad);
        daemon.wait_processed("numbers", count);
    }
    daemon.stop();
    let ids: Vec<String> = files(&project, &[]).iter().map(|file| file["id"].as_str().unwrap().to_owned()).collect();
    let told = format!("{} is the newest of 2 arrivals of this name; earlier: {}", ids[0], ids[1]);
    for verb in ["explain", "rejects", "retry"] {
        let ran = project.cli().args([verb, "x.csv"]).run().expect_code(0);
        assert!(ran.stderr.contains(&told), "{verb}: {}", ran.stderr);
    }
    let by_id = project.cli().args(["explain", &ids[1]]).run().expect_code(0);
    assert!(!by_id.stderr.contains("newest"), "{}", by_id.stderr);
    // The newer one lies in the inbox now: the older one has to wait.
    let taken = project.cli().args(["retry", &ids[1]]).run().expect_code(1);
    for part in ["another file lies in its place: ", "in/numbers/x.csv", "hint: say it again once"] {
        assert!(taken.stderr.contains(part), "{part} in {}", taken.stderr);
    }
}

#[test]
fn exports_keep_encoding_and_line_ends() {
    let project = Project::new(
        "[pipelines.p]\nsettle = \"100ms\"\nscan_interval = \"1s\"\n[pipelines.p.csv]\nencoding = \"windows-1252\"\ndelimiter = \";\"\n[pipelines.p.columns]\nplace = \"string\"\nn = \"int64\"\n",
    );
    let daemon = project.start();
    project.drop_file("p", "x.csv", b"place;n\r\nZ\xfcrich;1\r\nGen\xe8ve;two\r\n");
    daemon.wait_processed("p", 1);
    let export = project.cli().args(["rejects", "x.csv", "--csv"]).run().expect_code(0);
    assert_eq!(export.stdout_bytes, b"place;n\r\nGen\xe8ve;two\r\n");
}

#[test]
fn without_a_ledger_there_is_nothing_to_ask() {
    let project = Project::new(NUMBERS);
    for args in [&["files"][..], &["explain", "x"], &["rejects", "x"]] {
        let ran = project.cli().args(args).run().expect_code(1);
        assert!(ran.stderr.contains("no ledger"), "{args:?}: {}", ran.stderr);
    }
    assert!(!project.path("data").exists(), "asking makes no folders");
}
