//! `ledger verify` and `ledger rebuild`, and how long a start takes with a large ledger.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{HALF_GOOD, MOSTLY_BAD, NUMBERS};
use crate::support::{Daemon, Project, files_under};

fn worked(project: &Project) -> Daemon {
    let daemon = project.start();
    for (number, (name, text)) in
        [("half.csv", HALF_GOOD), ("bad.csv", MOSTLY_BAD), ("again.csv", HALF_GOOD), ("empty.csv", "")]
            .iter()
            .enumerate()
    {
        project.drop_file("numbers", name, text);
        daemon.wait_processed("numbers", number as u64 + 1);
    }
    daemon
}

fn findings(project: &Project, code: i32) -> Vec<Value> {
    let json = project.cli().args(["ledger", "verify", "--json"]).run().expect_code(code).json();
    json["findings"].as_array().unwrap().clone()
}

#[test]
fn a_sound_ledger_verifies_while_the_daemon_works() {
    let project = Project::new(NUMBERS);
    let daemon = worked(&project);
    // Files in progress are no findings.
    for number in 0..40 {
        project.drop_file("numbers", format!("{number}.csv"), format!("id,amount\n{number},1\n"));
        if number % 8 == 0 {
            assert_eq!(findings(&project, 0), [] as [Value; 0]);
        }
    }
    daemon.wait_processed("numbers", 44);
    project.cli().args(["retry", "bad.csv"]).run().expect_code(0);
    assert_eq!(findings(&project, 0), [] as [Value; 0]);
    daemon.stop();
    let said = project.cli().args(["ledger", "verify", "--quick"]).run().expect_code(0).stderr;
    assert!(said.contains("nothing is wrong"), "{said}");
    project.cli().args(["ledger", "verify", "--all"]).run().expect_code(2);
}

#[test]
fn findings_name_kind_place_and_what_to_do() {
    let project = Project::new(NUMBERS);
    worked(&project).stop();
    let rows = project.published("numbers")[0].path.join("rows.parquet");
    fs::write(&rows, "not what was published").unwrap();
    let found = findings(&project, 1);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["kind"], "output_changed");
    assert_eq!(found[0]["path"], rows.canonicalize().unwrap().to_str().unwrap());
    let text = project.cli().args(["ledger", "verify"]).run().expect_code(1);
    for part in ["output_changed", "rows.parquet", "forebay replay"] {
        assert!(text.stdout.contains(part), "{part} in {}", text.stdout);
    }
    // What it says to do helps.
    project.cli().args(["replay", "half.csv"]).run().expect_code(0);
    let daemon = project.start();
    daemon.wait_processed("numbers", 1);
    daemon.stop();
    assert_eq!(findings(&project, 0), [] as [Value; 0]);
}

#[test]
fn a_broken_ledger_is_found_and_made_anew() {
    let project = Project::new(NUMBERS);
    let daemon = worked(&project);
    let held = project.cli().args(["ledger", "rebuild", "--force"]).run().expect_code(70);
    assert!(held.stderr.contains("another forebay"), "{}", held.stderr);
    daemon.stop();
    let sound = project.cli().args(["ledger", "rebuild"]).run().expect_code(2);
    assert!(sound.stderr.contains("--force"), "{}", sound.stderr);

    let published = files_under(&project.path("data/out"));
    fs::write(project.path("data/state/ledger.db"), "no database at all").unwrap();
    assert_eq!(findings(&project, 1)[0]["kind"], "ledger_damaged");
    project.cli().arg("files").run().expect_code(70);
    let made = project.cli().args(["ledger", "rebuild"]).run().expect_code(0);
    assert!(made.stderr.contains("1 published, 2 archived without a result, 1 in quarantine"), "{}", made.stderr);
    assert_eq!(fs::read(project.path("data/state/ledger.db.old-1")).unwrap(), b"no database at all");
    assert_eq!(findings(&project, 0), [] as [Value; 0]);

    let daemon = project.start();
    project.drop_file("numbers", "once_more.csv", HALF_GOOD);
    daemon.wait_processed("numbers", 1);
    daemon.stop();
    assert_eq!(files_under(&project.path("data/out")), published, "nothing is published twice");
    let half = project.cli().args(["explain", "half.csv"]).run().expect_code(0).stdout;
    assert!(half.contains("rebuilt") && half.contains("4 rows read = 2 written"), "{half}");
    let rejects = project.cli().args(["rejects", "half.csv", "--csv"]).run().expect_code(0);
    assert_eq!(rejects.stdout, "id,amount\n2,many\n3,-1\n");
    let files = project.cli().args(["files", "--json"]).run().expect_code(0).json();
    assert_eq!(files["files"].as_array().unwrap().len(), 5);
    assert_eq!(findings(&project, 0), [] as [Value; 0]);
}

#[test]
fn a_lost_ledger_is_not_taken_for_a_new_one() {
    let project = Project::new(NUMBERS);
    worked(&project).stop();
    let published = files_under(&project.path("data/out"));
    fs::rename(project.path("data/state"), project.path("unmounted")).unwrap();
    for _ in 0..2 {
        let refused = project.cli().arg("run").run().expect_code(70);
        for says in ["there is no ledger in", "was published under one", "forebay ledger rebuild"] {
            assert!(refused.stderr.contains(says), "{says} in {}", refused.stderr);
        }
        assert!(!project.path("data/state/ledger.db").exists(), "the next start must not find an empty one");
    }
    project.cli().args(["ledger", "rebuild"]).run().expect_code(0);
    let daemon = project.start();
    project.drop_file("numbers", "once_more.csv", HALF_GOOD);
    daemon.wait_processed("numbers", 1);
    daemon.stop();
    assert_eq!(files_under(&project.path("data/out")), published, "nothing is published twice");
}

#[test]
fn a_first_start_beside_results_of_once_is_one() {
    let project = Project::new(NUMBERS);
    fs::write(project.path("a.csv"), HALF_GOOD).unwrap();
    project.cli().args(["once", "-p", "numbers", "a.csv"]).run().expect_code(0);
    assert_eq!(project.published("numbers").len(), 1);
    project.start().stop();
}

#[test]
fn a_daemon_whose_ledger_was_taken_away_ends_and_says_so() {
    let project = Project::new(NUMBERS);
    let mut daemon = worked(&project);
    let ledger = project.path("data/state/ledger.db");
    fs::rename(&ledger, project.path("aside.db")).unwrap();
    fs::copy(project.path("aside.db"), &ledger).unwrap();
    assert_eq!(daemon.wait_exit().code(), Some(70));
    assert!(daemon.log().contains("was removed or replaced while forebay ran"), "{}", daemon.log());
}

/// Rows of the large ledger. `FOREBAY_LEDGER_ROWS=1000000` measures the promise.
fn rows() -> u32 {
    std::env::var("FOREBAY_LEDGER_ROWS").map_or(50_000, |rows| rows.parse().unwrap())
}

/// As many files as asked for, like one that is done, each with the lines of its story.
fn enlarge(project: &Project, rows: u32) {
    let ledger = rusqlite::Connection::open(project.path("data/state/ledger.db")).unwrap();
    let columns: Vec<String> = ledger
        .prepare("SELECT name FROM pragma_table_info('files')")
        .unwrap()
        .query_map((), |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let value = |column: &String| match column.as_str() {
        "id" => "printf('00%024d', i)".to_owned(),
        "name" => "CAST(printf('%d.csv', i) AS BLOB)".to_owned(),
        "blake3" => "CAST(printf('%032d', i) AS BLOB)".to_owned(),
        "arrived_at" | "finished_at" => format!("{column} - i"),
        other => other.to_owned(),
    };
    let values: Vec<String> = columns.iter().map(value).collect();
    let sql = format!(
        "BEGIN; WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO files ({}) SELECT {} FROM n, (SELECT * FROM files WHERE name = CAST('half.csv' AS BLOB));
         INSERT INTO events (file, at, what, message)
         SELECT f.id, e.at, e.what, e.message FROM files f, events e
         WHERE f.id LIKE '00%' AND e.file = (SELECT id FROM files WHERE name = CAST('half.csv' AS BLOB)); COMMIT;",
        columns.join(", "),
        values.join(", ")
    );
    ledger.execute_batch(&sql).unwrap();
}

#[test]
fn a_large_ledger_does_not_make_a_start_late() {
    let project = Project::new(NUMBERS);
    worked(&project).stop();
    enlarge(&project, rows());
    let began = Instant::now();
    let daemon = project.start();
    let ready = began.elapsed();
    let size = fs::metadata(project.path("data/state/ledger.db")).unwrap().len() / (1 << 20);
    println!("ready after {} ms with {} files in the ledger, {size} MiB", ready.as_millis(), rows());
    assert!(ready < Duration::from_secs(2), "{ready:?}");
    project.drop_file("numbers", "after.csv", "id,amount\n9,9\n");
    let dropped = Instant::now();
    daemon.wait_processed("numbers", 1);
    assert!(dropped.elapsed() < Duration::from_secs(3), "{:?}", dropped.elapsed());
    let done = daemon.scrape().metric("forebay_ledger_files").label("state", "done").value();
    println!("first file after {} ms, {done} files counted", dropped.elapsed().as_millis());
    daemon.stop();
}
