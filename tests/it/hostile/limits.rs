//! Drops that are out of all proportion: they cost what they weigh, and nobody else anything.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{SOUND, next_file_flows, project};
use crate::support::Project;

/// Columns of a very wide file.
const COLUMNS: usize = 100_000;

fn wide(rows: usize) -> String {
    let mut text = "id,amount".to_owned();
    for column in 2..COLUMNS {
        write!(text, ",c{column}").unwrap();
    }
    for row in 0..rows {
        write!(text, "\n{row},1.5").unwrap();
        text.push_str(&",1".repeat(COLUMNS - 2));
    }
    text.push('\n');
    text
}

#[test]
fn a_header_of_a_hundred_thousand_columns_is_refused() {
    // By its length first, and by its fields where that is allowed.
    super::refused("wide.csv", wide(2).as_bytes(), "header_mismatch", "csv.max_record_bytes is 65536");
    let project = Project::new(
        "[pipelines.p]\nsettle = \"60ms\"\nscan_interval = \"200ms\"\n\
         [pipelines.p.csv]\nmax_record_bytes = \"2MiB\"\n\
         [pipelines.p.columns]\nid = \"int64\"\namount = \"float64\"\n",
    );
    let daemon = project.start();
    project.drop_file("p", "wide.csv", wide(100));
    daemon.wait_processed("p", 1);
    let told = project.quarantined("p");
    let message = told[0]["message"].as_str().unwrap();
    assert!(message.contains("100000 fields") && message.contains("at most 4096"), "{message}");
    next_file_flows(&project, &daemon, 2);
}

/// Every series of a page, without its value.
fn series(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

#[test]
fn file_names_make_no_series() {
    let project = project();
    let daemon = project.start();
    project.drop_file("p", "first.csv", SOUND);
    daemon.wait_processed("p", 1);
    let before = series(&daemon.get("/metrics").body);
    let names = (0..20).map(|number| format!("x\"}} {number}\nforebay_forged_total{{a=\"{number}\"}} 1\n.csv"));
    for (number, name) in names.enumerate() {
        project.drop_file("p", name, format!("id,amount\n{},1\n", number + 10));
    }
    daemon.wait_processed("p", 21);
    let page = daemon.get("/metrics").body;
    let new: Vec<String> = series(&page).difference(&before).cloned().collect();
    assert!(new.is_empty(), "{new:?}");
    assert!(!page.contains("forged"), "a name reached /metrics");
    assert!(daemon.log().lines().all(|line| line.starts_with('{')), "a forged line reached the log:\n{}", daemon.log());
}
