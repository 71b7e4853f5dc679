//! `forebay init` on real files: its proposal is a sound config that takes the file it was made from, whole.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Cli, Project, shared_data};

/// Real files and how many rows they have.
const FILES: &[(&str, u64)] = &[
    ("taxi/yellow_tripdata_2015-01.csv", 25_472),
    ("taxi/later/yellow_tripdata_sample_2018-01.csv", 10_000),
    ("taxi/later/yellow_tripdata_sample_2019-02.csv", 10_000),
    ("flights/flights_on_time_performance_1987_10.csv", 2_000),
    ("flights/flights_on_time_performance_2005_06.csv", 2_000),
    ("flights/flights_on_time_performance_2021_11.csv", 2_000),
    ("retail/2010-12-01.csv", 3_108),
    ("retail/2010-12-07.csv", 2_963),
    ("iot/ambient_temperature_system_failure.csv", 7_267),
    ("iot/nyc_taxi.csv", 10_320),
    ("torture/duckdb-encodings/utf16.csv", 20),
    ("torture/duckdb-encodings/utf16.csv.gz", 20),
    ("torture/duckdb-encodings/latin1.csv", 12),
    ("torture/csvlint/invalid-byte-sequence.csv", 23),
];

/// Proposes a config for a file and returns it as written and as parsed.
fn propose(file: &Path) -> (String, toml::Table) {
    let text = Cli::at(Path::new(".")).arg("init").arg(file).run().expect_code(0).stdout;
    let parsed = text.parse().unwrap_or_else(|error| panic!("{error} in\n{text}"));
    (text, parsed)
}

fn columns(config: &toml::Table) -> toml::Table {
    let pipelines = config["pipelines"].as_table().unwrap();
    pipelines.values().next().unwrap()["columns"].as_table().unwrap().clone()
}

/// Returns the type of a column in either form.
fn kind<'c>(columns: &'c toml::Table, name: &str) -> &'c str {
    let column = columns.get(name).unwrap_or_else(|| panic!("no column {name}"));
    column.as_str().or_else(|| column["type"].as_str()).unwrap()
}

#[test]
fn every_proposal_takes_its_own_file_whole() {
    for (name, rows) in FILES {
        let Some(file) = shared_data(name) else { return };
        let project = Project::with_config(&propose(&file).0);
        let ran = project.cli().args(["check", "--json"]).arg(&file).run();
        assert_eq!(ran.code, 0, "{name}:\n{}\n{}", ran.stdout, ran.stderr);
        let checked: Value = ran.json();
        assert_eq!(checked["files"][0]["rows"]["written"], *rows, "{name}: {}", checked["files"][0]);
    }
}

#[test]
fn types_are_those_of_the_whole_column() {
    let Some(taxi) = shared_data("taxi/yellow_tripdata_2015-01.csv") else { return };
    let taxi = columns(&propose(&taxi).1);
    for (column, expected) in [
        ("VendorID", "int64"),
        ("tpep_pickup_datetime", "datetime"),
        ("trip_distance", "float64"),
        ("fare_amount", "float64"),
        ("tolls_amount", "float64"),
        ("store_and_fwd_flag", "string"),
    ] {
        assert_eq!(kind(&taxi, column), expected, "{column}");
    }
    let flights = columns(&propose(&shared_data("flights/flights_on_time_performance_2005_06.csv").unwrap()).1);
    assert_eq!(flights.len(), 109, "the column without a name is left out");
    for (column, expected) in [("CRS_DEP_TIME", "string"), ("FL_DATE", "date"), ("DISTANCE", "float64")] {
        assert!(kind(&flights, column).starts_with(expected), "{column} is {}", kind(&flights, column));
    }
    let retail = columns(&propose(&shared_data("retail/2010-12-01.csv").unwrap()).1);
    for (column, expected) in [("InvoiceNo", "string"), ("Quantity", "int64"), ("CustomerID", "float64")] {
        assert_eq!(kind(&retail, column), expected, "{column}");
    }
}

#[test]
fn a_proposal_explains_itself() {
    let project = Project::with_config("");
    fs::write(project.path("orders 2026-01.csv"), "code;amount;when\n007;1,5;01/02/2026\n010;-2,25;03/04/2026\n")
        .unwrap();
    let ran = project.cli().args(["init", "orders 2026-01.csv"]).run().expect_code(0);
    for part in ["[pipelines.orders]", "leading zeros", "decimal_comma = true", "day or month first?", "%d/%m/%Y"] {
        assert!(ran.stdout.contains(part), "{part} in\n{}", ran.stdout);
    }
    project.configure(&ran.stdout);
    project.cli().args(["check", "orders 2026-01.csv"]).run().expect_code(0);
}

#[test]
fn what_is_no_csv_is_told_apart() {
    let project = Project::with_config("");
    fs::write(project.path("book.csv"), b"PK\x03\x04\0\0\0").unwrap();
    fs::write(project.path("empty.csv"), b"").unwrap();
    for (name, part) in [("book.csv", "NUL bytes"), ("empty.csv", "no record"), ("missing.csv", "cannot open")] {
        let ran = project.cli().args(["init", name]).run().expect_code(1);
        assert!(ran.stderr.contains(part), "{name}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{name}");
    }
}

#[test]
fn a_pipe_is_refused_at_once() {
    let project = Project::new("");
    let made = std::process::Command::new("mkfifo").arg(project.path("pipe.csv")).status().unwrap();
    assert!(made.success());
    let refused = project.cli().args(["init", "pipe.csv"]).run().expect_code(1);
    assert!(refused.stderr.contains("pipe.csv is no regular file"), "{}", refused.stderr);
}
