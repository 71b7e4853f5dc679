//! What happens to a file: one test per row of the design's table, against a running daemon.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use crate::support::{Project, files_under, read_parquet, rejects, wait_for};

const HEADER: &str = "id,amount\n";

/// A small pipeline named `p`.
fn project(more: &str) -> Project {
    Project::new(&format!(
        r#"
[pipelines.p]
settle = "60ms"
scan_interval = "200ms"
{more}

[pipelines.p.columns]
id = {{ type = "int64", nullable = false }}
amount = "float64"

[pipelines.p.accept]
max_reject_ratio = 0.5
max_rejects = 1
"#
    ))
}

fn sound(rows: u32) -> String {
    let rows: String = (1..=rows).map(|id| format!("{id},{id}.5\n")).collect();
    format!("{HEADER}{rows}")
}

#[test]
fn a_sound_file_is_published_and_archived() {
    let project = project("");
    let daemon = project.start();
    project.drop_file("p", "a.csv", sound(3));
    daemon.wait_processed("p", 1);
    let published = project.published("p");
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].rows(), [3, 3, 0, 0]);
    assert_eq!(published[0].input_name(), "a.csv");
    assert_eq!(read_parquet(&published[0].path.join("rows.parquet")).height(), 3);
    assert!(!published[0].path.join("rejects.parquet").exists(), "no rejects, no file");
    let archived = project.archived("p");
    assert_eq!(archived.len(), 1);
    assert_eq!(fs::read_to_string(&archived[0]).unwrap(), sound(3), "the original, byte for byte");
    assert!(project.left_in_inbox("p").is_empty());
    assert!(files_under(&project.path("data/in/p/.forebay")).is_empty(), "nothing is left claimed");
    assert!(files_under(&project.path("data/out/p/.forebay")).is_empty(), "nothing is left in staging");
    daemon.stop();
}

#[test]
fn the_same_content_is_published_once_whatever_its_name() {
    let project = project("");
    let daemon = project.start();
    project.drop_file("p", "a.csv", sound(3));
    daemon.wait_processed("p", 1);
    project.drop_file("p", "b.csv", sound(3));
    daemon.wait_processed("p", 2);
    assert_eq!(project.published("p").len(), 1);
    assert_eq!(project.archived("p").len(), 2);
    let outcome = |name| daemon.scrape().metric("forebay_files_processed_total").label("outcome", name).value();
    assert!((outcome("succeeded") - 1.0).abs() < 0.1 && (outcome("duplicate") - 1.0).abs() < 0.1);
}

#[test]
fn the_same_content_dropped_at_once_is_published_once() {
    let project = project("");
    for number in 0..6 {
        project.drop_file("p", format!("copy-{number}.csv"), sound(2000));
    }
    let daemon = project.start();
    daemon.wait_processed("p", 6);
    assert_eq!(project.published("p").len(), 1);
    assert_eq!(project.archived("p").len(), 6);
}

#[test]
fn the_same_name_with_new_content_is_a_new_arrival() {
    let project = project("");
    let daemon = project.start();
    project.drop_file("p", "a.csv", sound(3));
    daemon.wait_processed("p", 1);
    project.drop_file("p", "a.csv", sound(4));
    daemon.wait_processed("p", 2);
    let rows: Vec<_> = project.published("p").iter().map(|published| published.rows()[0]).collect();
    assert_eq!(rows, [3, 4]);
}

#[test]
fn an_empty_file_is_archived_and_counted() {
    let project = project("");
    let daemon = project.start();
    project.drop_file("p", "empty.csv", "");
    daemon.wait_processed("p", 1);
    assert!(project.published("p").is_empty());
    assert_eq!(project.archived("p").len(), 1);
    let empty = daemon.scrape().metric("forebay_files_processed_total").label("outcome", "empty").value();
    assert!((empty - 1.0).abs() < 0.1);
}

#[test]
fn a_header_alone_is_a_success_of_no_rows() {
    let project = project("");
    let daemon = project.start();
    project.drop_file("p", "header.csv", HEADER);
    daemon.wait_processed("p", 1);
    let published = project.published("p");
    assert_eq!(published[0].rows(), [0, 0, 0, 0]);
    let rows = read_parquet(&published[0].path.join("rows.parquet"));
    assert_eq!((rows.height(), rows.width()), (0, 2), "a file of no rows has its columns");
}

#[test]
fn rejects_within_the_limits_are_kept_beside_the_rows() {
    let project = project("");
    let daemon = project.start();
    project.drop_file("p", "a.csv", format!("{HEADER}1,1.0\nx,2.0\n3,y\n,4.0\n5,5,5\n6,6.0\n7,7\n8,8\n"));
    daemon.wait_processed("p", 1);
    let published = project.published("p");
    assert_eq!(published[0].rows(), [8, 4, 4, 0]);
    let told = rejects(&published[0].path);
    let column = |name: &str| Some(name.to_owned());
    assert_eq!(
        told,
        [
            (2, 3, column("id"), "bad_type".to_owned(), None),
            (3, 4, column("amount"), "bad_type".to_owned(), None),
            (4, 5, column("id"), "null_value".to_owned(), None),
            (5, 6, None, "too_many_fields".to_owned(), None),
        ]
    );
    let scrape = daemon.scrape();
    let rejected = |reason| scrape.metric("forebay_rows_rejected_total").label("reason", reason).value();
    assert!((rejected("bad_type") - 2.0).abs() < 0.1 && (rejected("null_value") - 1.0).abs() < 0.1);
}

#[test]
fn too_many_rejects_quarantine_the_file_with_its_explanation() {
    let project = project("");
    let daemon = project.start();
    project.drop_file("p", "bad.csv", format!("{HEADER}x,1\ny,2\n3,3\n"));
    daemon.wait_processed("p", 1);
    assert!(project.published("p").is_empty());
    let told = project.quarantined("p");
    assert_eq!(told[0]["reason"], "too_many_rejects");
    let message = told[0]["message"].as_str().unwrap();
    assert!(message.contains("2 of 3 rows") && message.contains("accept.max_rejects"), "{message}");
    let kept = files_under(&project.path("data/quarantine/p"));
    assert!(kept.iter().any(|path| path.to_string_lossy().ends_with("-bad.csv")), "{kept:?}");
    assert!((daemon.scrape().metric("forebay_rows_quarantined_total").value() - 3.0).abs() < 0.1);
    // This gauge is read from the ledger now and then.
    wait_for("the quarantine to be counted", || {
        (daemon.scrape().metric("forebay_files_quarantined").value() > 0.5).then_some(())
    });
}

#[test]
fn content_that_was_only_quarantined_is_taken_again() {
    let project = project("");
    let daemon = project.start();
    let wrong_header = "id,sum\n1,2\n";
    project.drop_file("p", "a.csv", wrong_header);
    daemon.wait_processed("p", 1);
    project.drop_file("p", "a.csv", wrong_header);
    daemon.wait_processed("p", 2);
    assert_eq!(project.quarantined("p").len(), 2, "both were looked at; neither is a duplicate");
}

#[test]
fn a_quarantined_file_is_retried_once_the_config_is_mended() {
    let project = project("");
    let daemon = project.start();
    project.drop_file("p", "a.csv", "id,sum\n1,2\n");
    daemon.wait_processed("p", 1);
    daemon.stop();
    let config = fs::read_to_string(project.path("forebay.toml")).unwrap();
    project.configure(&config.replace("amount = \"float64\"", "amount = { type = \"float64\", aliases = [\"sum\"] }"));
    let daemon = project.start();
    project.cli().args(["retry", "a.csv"]).run().expect_code(0);
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p")[0].rows(), [1, 1, 0, 0]);
    assert!(files_under(&project.path("data/quarantine/p")).is_empty(), "nothing of it is left in quarantine");
    let again = project.cli().args(["retry", "a.csv"]).run().expect_code(1);
    assert!(again.stderr.contains("does not lie in quarantine"), "{}", again.stderr);
}

#[test]
fn a_growing_file_is_taken_only_once_it_is_whole() {
    let project = project("");
    let daemon = project.start();
    let path = project.inbox("p").join("slow.csv");
    let mut file = fs::File::create(&path).unwrap();
    for piece in sound(60).as_bytes().chunks(32) {
        file.write_all(piece).unwrap();
        file.flush().unwrap();
        std::thread::sleep(Duration::from_millis(8));
    }
    drop(file);
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p")[0].rows(), [60, 60, 0, 0]);
}

#[test]
fn temporary_names_are_never_taken() {
    let project = project("");
    let daemon = project.start();
    for name in [".hidden.csv", "x.csv.tmp", "x.csv.part", "x.csv~", "x.txt"] {
        fs::write(project.inbox("p").join(name), sound(1)).unwrap();
    }
    project.drop_file("p", "z.csv", sound(2));
    daemon.wait_processed("p", 1);
    assert_eq!(project.left_in_inbox("p").len(), 5);
    assert_eq!(project.published("p").len(), 1);
}

#[test]
fn a_done_marker_is_waited_for() {
    let project = project("done_marker = \"{name}.done\"");
    let daemon = project.start();
    project.drop_file("p", "a.csv", sound(1));
    project.drop_file("p", "b.csv", sound(2));
    fs::write(project.inbox("p").join("b.csv.done"), "").unwrap();
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p")[0].input_name(), "b.csv");
    assert!(project.left_in_inbox("p").contains(&"a.csv".to_owned()));
    fs::write(project.inbox("p").join("a.csv.done"), "").unwrap();
    daemon.wait_processed("p", 2);
}

#[test]
fn a_kept_file_is_taken_once_and_stays() {
    let project = project("on_success = \"keep\"");
    let daemon = project.start();
    project.drop_file("p", "a.csv", sound(1));
    daemon.wait_processed("p", 1);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(project.left_in_inbox("p"), ["a.csv"]);
    daemon.stop();
    let daemon = project.start();
    project.drop_file("p", "b.csv", sound(2));
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p").len(), 2, "a restart does not take a kept file again");
}

#[test]
fn a_deleted_input_is_gone_after_it_was_published() {
    let project = project("on_success = \"delete\"");
    let daemon = project.start();
    project.drop_file("p", "a.csv", sound(1));
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p").len(), 1);
    assert!(project.left_in_inbox("p").is_empty() && project.archived("p").is_empty());
}

#[test]
fn files_waiting_at_start_are_taken() {
    let project = project("");
    for number in 1..=20 {
        project.drop_file("p", format!("{number}.csv"), sound(number));
    }
    let daemon = project.start();
    daemon.wait_processed("p", 20);
    assert_eq!(project.published("p").len(), 20);
    let found = daemon.scrape().metric("forebay_files_discovered_total").label("source", "startup").value();
    assert!((found - 20.0).abs() < 0.1);
}
