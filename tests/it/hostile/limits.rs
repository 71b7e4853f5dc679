//! Drops that are out of all proportion: they cost what they weigh, and nobody else anything.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;

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

#[test]
fn a_compressed_file_is_held_to_the_limits_of_its_pipeline() {
    let project = Project::new(
        "[pipelines.p]\nsettle = \"60ms\"\nscan_interval = \"200ms\"\nmax_decompressed_bytes = \"1MiB\"\n\
         [pipelines.p.columns]\nid = \"int64\"\namount = \"float64\"\n\
         [pipelines.q]\nsettle = \"60ms\"\nscan_interval = \"200ms\"\n\
         [pipelines.q.columns]\nid = \"int64\"\namount = \"float64\"\n",
    );
    let daemon = project.start();
    let mut large = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    large.write_all(b"id,amount\n").unwrap();
    for id in 0..100_000 {
        writeln!(large, "{id},{id}.25").unwrap();
    }
    project.drop_file("p", "large.csv.gz", large.finish().unwrap());
    daemon.wait_processed("p", 1);
    // The same for the ratio, which only a bomb passes: 270 MB of one line.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    bomb.write_all(b"id,amount\n").unwrap();
    let row = format!("1,{}\n", "0".repeat(60_000));
    for _ in 0..5_000 {
        bomb.write_all(row.as_bytes()).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1_100_000, "{} bytes are no bomb", bomb.len());
    project.drop_file("q", "bomb.csv.gz", bomb);
    daemon.wait_processed("q", 1);
    for (pipeline, says) in [
        ("p", "more than 1048576 bytes (max_decompressed_bytes)"),
        ("q", "250 times its size (max_decompression_ratio)"),
    ] {
        let told = project.quarantined(pipeline);
        assert_eq!(told[0]["reason"], "decompression_bomb", "{}", told[0]);
        assert!(told[0]["message"].as_str().unwrap().contains(says), "{}", told[0]);
    }
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
