//! `replay`: a file that is done is processed anew, beside a running daemon and before the next start.

use std::fs;

use serde_json::Value;

use super::{HALF_GOOD, MOSTLY_BAD, NUMBERS};
use crate::support::{Daemon, Project};

fn explained(project: &Project, what: &str) -> Value {
    project.cli().args(["explain", what, "--json"]).run().expect_code(0).json()
}

fn pages_lead_from_one_to_the_other(daemon: &Daemon, old: &str, new: &str) {
    let replaced = format!("replaced</span> <a href=\"/files/{new}\">by a replay</a>");
    for path in ["/", "/files", &format!("/files/{old}")] {
        let page = daemon.get(path).body;
        assert_eq!(page.matches(&replaced).count(), 1, "{path}: {page}");
    }
    let (was, is) = (daemon.get(&format!("/files/{old}")).body, daemon.get(&format!("/files/{new}")).body);
    assert!(
        was.contains(&format!("replaced by that of <a href=\"/files/{new}\">")) && !was.contains("succeeded"),
        "{was}"
    );
    assert!(is.contains(&format!("It is a replay of <a href=\"/files/{old}\">")) && is.contains("succeeded"), "{is}");
    let files: Value = serde_json::from_str(&daemon.get("/api/v1/files").body).unwrap();
    let [newer, older] = [&files["files"][0], &files["files"][1]];
    assert_eq!((newer["replaces"].as_str(), older["replaced_by"].as_str()), (Some(old), Some(new)));
}

#[test]
fn a_replay_takes_the_place_of_the_old_result_with_the_config_in_force() {
    let project = Project::new(NUMBERS);
    let daemon = project.start();
    project.drop_file("numbers", "half.csv", HALF_GOOD);
    daemon.wait_processed("numbers", 1);
    let old = project.published("numbers").remove(0);
    let old_id = old.manifest["id"].as_str().unwrap().to_owned();

    // Beside the running daemon.
    project.cli().args(["replay", &old_id]).run().expect_code(0);
    daemon.wait_processed("numbers", 2);
    let published = project.published("numbers");
    assert_eq!(published.len(), 1, "one content, one result");
    assert_eq!(published[0].manifest["replaces"], old_id.as_str());
    assert_eq!(published[0].rows(), [4, 2, 2, 0]);
    assert_eq!(project.archived("numbers").len(), 1);
    assert!(project.left_in_inbox("numbers").is_empty());
    pages_lead_from_one_to_the_other(&daemon, &old_id, published[0].manifest["id"].as_str().unwrap());
    daemon.stop();

    // Without a daemon, and with another config: the next start takes it up.
    let config = fs::read_to_string(project.path("forebay.toml")).unwrap();
    project.configure(
        &config.replace("amount > 0", "amount > 3").replace("max_reject_ratio = 0.5", "max_reject_ratio = 0.8"),
    );
    project.cli().args(["replay", "half.csv"]).run().expect_code(0);
    let twice = project.cli().args(["replay", "half.csv"]).run().expect_code(0);
    assert!(twice.stderr.contains("under way"), "{}", twice.stderr);
    project.cli().args(["ledger", "verify"]).run().expect_code(0);
    let daemon = project.start();
    daemon.wait_processed("numbers", 1);
    let published = project.published("numbers");
    assert_eq!((published.len(), published[0].rows()), (1, [4, 1, 3, 0]));
    // The same bytes again are a duplicate of the replay.
    project.drop_file("numbers", "again.csv", HALF_GOOD);
    daemon.wait_processed("numbers", 2);
    assert_eq!(explained(&project, "again.csv")["duplicate_of"], published[0].manifest["id"]);
    daemon.stop();

    let first = explained(&project, &old_id);
    let table = project.cli().args(["files", "--state", "replaced"]).run().expect_code(0).stdout;
    let line = table.lines().find(|line| line.contains(&old_id)).unwrap_or_else(|| panic!("{table}"));
    let by = format!("half.csv, replaced by {}", first["replaced_by"].as_str().unwrap());
    assert!(line.contains(" replaced ") && line.ends_with(&by), "{line}");
    assert_eq!(table.lines().count(), 3, "the head and both that were replaced:\n{table}");
    let json = project.cli().args(["files", "--json"]).run().expect_code(0).json();
    let old = json["files"].as_array().unwrap().iter().find(|file| file["id"] == old_id.as_str()).unwrap();
    assert_eq!((&old["outcome"], &old["replaced_by"]), (&Value::from("succeeded"), &first["replaced_by"]));
    let text = project.cli().args(["explain", &old_id]).run().expect_code(0);
    assert!(text.stdout.contains("replaced by") && text.stdout.contains("replaced  "), "{}", text.stdout);
    let again = project.cli().args(["replay", &old_id]).run().expect_code(1);
    let newer = first["replaced_by"].as_str().unwrap();
    assert!(again.stderr.contains("replayed before") && again.stderr.contains(newer), "{}", again.stderr);
    project.cli().args(["ledger", "verify"]).run().expect_code(0);
}

#[test]
fn what_cannot_be_replayed_says_why_and_what_to_do() {
    let project = Project::new(&NUMBERS.replace("settle", "on_success = \"delete\"\nsettle"));
    let daemon = project.start();
    project.drop_file("numbers", "half.csv", HALF_GOOD);
    daemon.wait_processed("numbers", 1);
    project.drop_file("numbers", "bad.csv", MOSTLY_BAD);
    daemon.wait_processed("numbers", 2);
    let deleted = project.cli().args(["replay", "half.csv"]).run().expect_code(1);
    assert!(deleted.stderr.contains("on_success") && deleted.stderr.contains("forebay once"), "{}", deleted.stderr);
    let refused = project.cli().args(["replay", "bad.csv"]).run().expect_code(1);
    assert!(refused.stderr.contains("forebay retry"), "{}", refused.stderr);
    project.cli().args(["replay", "nobody.csv"]).run().expect_code(1);
    assert_eq!(project.published("numbers").len(), 1);
}

#[test]
fn a_refused_replay_says_so_and_names_the_verb_that_goes_on_with_it() {
    let project = Project::new(NUMBERS);
    let daemon = project.start();
    project.drop_file("numbers", "half.csv", HALF_GOOD);
    daemon.wait_processed("numbers", 1);
    daemon.stop();
    let mild = fs::read_to_string(project.path("forebay.toml")).unwrap();
    project.configure(&mild.replace("amount > 0", "amount > 30"));
    let old = explained(&project, "half.csv")["id"].as_str().unwrap().to_owned();
    project.cli().args(["replay", &old]).run().expect_code(0);
    let daemon = project.start();
    daemon.wait_processed("numbers", 1);
    let refused = explained(&project, "half.csv");
    assert_eq!(refused["outcome"], "quarantined");
    let refused = refused["id"].as_str().unwrap();
    let again = project.cli().args(["replay", &old]).run().expect_code(1);
    for part in ["quarantined", "old result stays", &format!("forebay retry {refused}")] {
        assert!(again.stderr.contains(part), "{part} in {}", again.stderr);
    }
    assert_eq!(project.published("numbers")[0].manifest["id"], old.as_str());
    daemon.stop();

    project.configure(&mild);
    project.cli().args(["retry", refused]).run().expect_code(0);
    let daemon = project.start();
    daemon.wait_processed("numbers", 1);
    let published = project.published("numbers");
    assert_eq!((published.len(), &published[0].manifest["replaces"]), (1, &Value::from(old)));
}

#[test]
fn a_replay_that_is_the_last_one_of_its_file_says_so() {
    let project = Project::new(NUMBERS);
    let daemon = project.start();
    project.drop_file("numbers", "half.csv", HALF_GOOD);
    daemon.wait_processed("numbers", 1);
    daemon.stop();
    let config = fs::read_to_string(project.path("forebay.toml")).unwrap();
    project.configure(&config.replace("settle", "on_success = \"delete\"\nsettle"));
    let asked = project.cli().args(["replay", "half.csv"]).run().expect_code(0);
    assert!(asked.stderr.contains("on_success is \"delete\" now"), "{}", asked.stderr);
    let daemon = project.start();
    daemon.wait_processed("numbers", 1);
    assert_eq!((project.published("numbers").len(), project.archived("numbers").len()), (1, 0));
    let again = project.cli().args(["replay", "half.csv"]).run().expect_code(1);
    assert!(again.stderr.contains("original was deleted") && again.stderr.contains("on_success"), "{}", again.stderr);
}
