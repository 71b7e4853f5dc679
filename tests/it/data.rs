//! Real data: row counts against an independent scan, values against other tools.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::NaiveDateTime;

use crate::support::{Project, Published, Scrape, published_under, read_parquet, shared_data};

const TAXI: &str = include_str!("data/taxi.toml");
const LATER: &str = include_str!("data/later.toml");
const RETAIL: &str = include_str!("data/retail.toml");

/// Runs `once` over a real file where it lies.
fn once(config: &str, file: &Path) -> (Project, Published) {
    let project = Project::new(config);
    project.cli().args(["once", "-p", "p", "--out", "out"]).arg(file).run().expect_code(0);
    let published = published_under(&project.path("out")).into_iter().next().unwrap();
    (project, published)
}

/// Compares every cell with a plain read of the CSV, in `DuckDB`, Polars for Python and pyarrow, where they are installed.
fn check_cells(csv: &Path, published: &Path) {
    let python = std::env::var_os("FOREBAY_PYTHON").unwrap_or_else(|| "python3".into());
    let has_tools = Command::new(&python).args(["-c", "import duckdb, polars, pyarrow"]).output();
    if !has_tools.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(),
            "duckdb, polars and pyarrow for Python are required here"
        );
        eprintln!("LEFT OUT: comparing cells in DuckDB, Polars and pyarrow for Python: not installed");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/check_cells.py");
    let output = Command::new(&python).arg(script).arg(csv).arg(published).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    eprintln!("{said}");
}

/// What the taxi config should make of the file, by another reader and another hand.
#[derive(Default)]
struct TaxiScan {
    rows: [u64; 4],
    by_rule: BTreeMap<&'static str, u64>,
    long_trips: u64,
    trips_by_hour: BTreeMap<String, u64>,
}

fn scan_taxi(file: &Path) -> TaxiScan {
    let mut scan = TaxiScan::default();
    for record in csv::Reader::from_path(file).unwrap().records() {
        let record = record.unwrap();
        let number = |field: usize| record[field].parse::<f64>().unwrap();
        let time = |field: usize| NaiveDateTime::parse_from_str(&record[field], "%Y-%m-%d %H:%M:%S").unwrap();
        let (pickup, dropoff) = (time(1), time(2));
        scan.rows[0] += 1;
        if dropoff - pickup >= chrono::TimeDelta::hours(12) {
            scan.long_trips += 1;
        }
        let failed = if number(12) <= 0.0 {
            Some("positive_fare")
        } else if dropoff <= pickup {
            Some("ends_after_start")
        } else if !(-74.3..=-73.7).contains(&number(5)) {
            Some("in_new_york")
        } else {
            None
        };
        if let Some(rule) = failed {
            scan.rows[2] += 1;
            *scan.by_rule.entry(rule).or_default() += 1;
        } else if number(4) <= 0.0 || number(4) >= 23.0 {
            scan.rows[3] += 1;
        } else {
            scan.rows[1] += 1;
            *scan.trips_by_hour.entry(pickup.format("%Y-%m-%d %H").to_string()).or_default() += 1;
        }
    }
    scan
}

#[test]
fn a_taxi_month_gives_the_counts_of_an_independent_scan() {
    let Some(file) = shared_data("taxi/yellow_tripdata_2015-01.csv") else { return };
    let (_project, published) = once(TAXI, &file);
    let scan = scan_taxi(&file);
    assert_eq!(published.rows(), scan.rows);
    for rule in ["positive_fare", "ends_after_start", "in_new_york"] {
        let expected = scan.by_rule.get(rule).copied().unwrap_or(0);
        assert_eq!(published.manifest["rejects_by_rule"][rule], expected, "{rule}");
    }
    let hourly = read_parquet(&published.path.join("hourly.parquet"));
    assert_eq!(hourly.height(), scan.trips_by_hour.len());
    let trips: u64 = hourly.column("trips").unwrap().u32().unwrap().iter().flatten().map(u64::from).sum();
    assert_eq!(trips, scan.rows[1]);
    let per_hour = hourly.column("trips").unwrap().u32().unwrap().iter().flatten().map(u64::from);
    assert!(per_hour.eq(scan.trips_by_hour.values().copied()), "the hours are in order and hold the same trips");
    assert!(scan.long_trips > 0, "the warn rule has something to warn of");
    check_cells(&file, &published.path);
}

#[test]
fn a_later_taxi_month_with_other_names_keeps_every_cell() {
    for (name, rejected) in [("2018-01", 2), ("2019-02", 15)] {
        let Some(file) = shared_data(&format!("taxi/later/yellow_tripdata_sample_{name}.csv")) else { return };
        let (_project, published) = once(LATER, &file);
        assert_eq!(published.rows(), [10_000, 10_000 - rejected, rejected, 0]);
        check_cells(&file, &published.path);
    }
}

#[test]
fn a_flights_month_of_110_columns_keeps_every_cell_under_the_config_of_init() {
    let Some(file) = shared_data("flights/flights_on_time_performance_2005_06.csv") else { return };
    let project = Project::new("");
    let config = project.cli().arg("init").arg(&file).run().expect_code(0).stdout;
    project.configure(&config);
    let check = project.cli().arg("check").run().expect_code(0);
    let pipeline = config.lines().find_map(|line| line.strip_prefix("[pipelines.")?.strip_suffix(']'));
    let pipeline = pipeline.unwrap_or_else(|| panic!("no pipeline in:\n{config}\n{}", check.stderr)).to_owned();
    project.cli().args(["once", "-p", &pipeline, "--out", "out"]).arg(&file).run().expect_code(0);
    let published = published_under(&project.path("out")).into_iter().next().unwrap();
    assert_eq!(published.rows(), [2000, 2000, 0, 0]);
    let rows = read_parquet(&published.path.join("rows.parquet"));
    assert!(rows.width() >= 109, "{} columns", rows.width());
    check_cells(&file, &published.path);
}

/// The scan of the data's own description: rows, and rows with a quantity and a price above zero.
fn scan_retail(file: &Path) -> [u64; 4] {
    let mut rows = [0; 4];
    for record in csv::Reader::from_path(file).unwrap().records() {
        let record = record.unwrap();
        let sold = record[3].parse::<i64>().unwrap() > 0 && record[5].parse::<f64>().unwrap() > 0.0;
        rows[0] += 1;
        rows[if sold { 1 } else { 3 }] += 1;
    }
    rows
}

#[test]
fn retail_days_dropped_one_after_another_flow_through_a_running_daemon() {
    let days = ["2010-12-01", "2010-12-02", "2010-12-03", "2010-12-05", "2010-12-06", "2010-12-07"];
    let files: Vec<PathBuf> = days.iter().map_while(|day| shared_data(&format!("retail/{day}.csv"))).collect();
    if files.len() < days.len() {
        return;
    }
    let project = Project::new(RETAIL);
    let daemon = project.start();
    for (number, file) in files.iter().enumerate() {
        project.drop_file("p", file.file_name().unwrap(), std::fs::read(file).unwrap());
        daemon.wait_processed("p", number as u64 + 1);
    }
    let published = project.published("p");
    assert_eq!(published.len(), 6);
    let mut total = [0; 4];
    for (published, file) in published.iter().zip(&files) {
        assert_eq!(published.input_name(), file.file_name().unwrap().to_string_lossy());
        assert_eq!(published.rows(), scan_retail(file));
        total = std::array::from_fn(|n| total[n] + published.rows()[n]);
        check_cells(file, &published.path);
    }
    assert_eq!(total[0], 16_985);
    let scrape: Scrape = daemon.scrape();
    let rows = |name: &str| scrape.metric(&format!("forebay_rows_{name}_total")).sum().to_string();
    assert_eq!([rows("read"), rows("written"), rows("dropped")], [total[0], total[1], total[3]].map(|n| n.to_string()));
    daemon.stop();
}
