//! What comes out: rules, drift, formats, partitions and aggregates, by `forebay once` and by the daemon.

use std::io::{Read as _, Write as _};

use polars::prelude::*;

use crate::support::{Project, Published, published_under, read_parquet, rejects};

/// Runs `once` on one file of pipeline `p` and returns what it published.
fn once(project: &Project, name: &str, bytes: impl AsRef<[u8]>) -> Published {
    std::fs::write(project.path(name), bytes).unwrap();
    project.cli().args(["once", "-p", "p", "--out", "out", name]).run().expect_code(0);
    let published = published_under(&project.path("out"));
    assert_eq!(published.len(), 1, "one input, one directory");
    published.into_iter().next().unwrap()
}

fn column(frame: &DataFrame, name: &str) -> Vec<String> {
    let column = frame.column(name).unwrap();
    (0..frame.height()).map(|row| column.get(row).unwrap().str_value().into_owned()).collect()
}

#[test]
fn every_type_is_read_as_written() {
    let project = Project::new(
        r#"
[pipelines.p.csv]
null_values = ["", "NA"]

[pipelines.p.columns]
s = "string"
b = "bool"
i8 = "int8"
u64 = "uint64"
f32 = "float32"
f64 = { type = "float64", decimal_comma = true }
dec = "decimal(10,2)"
d = { type = "date", format = "%d.%m.%Y" }
t = "time"
ts = { type = "datetime", time_zone = "Europe/Berlin" }
trimmed = { type = "int64", trim = true }
"#,
    );
    let text = "s,b,i8,u64,f32,f64,dec,d,t,ts,trimmed\n\
        \"a,\"\"b\"\"\n\",true,-128,18446744073709551615,1.5,\"3,25\",-1.50,31.12.2024,23:59:59.5,2024-07-01 12:00:00, 7 \n\
        NA,,,,,,,,,,\n\
        \"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\"\n";
    let published = once(&project, "types.csv", text);
    let rows = read_parquet(&published.path.join("rows.parquet"));
    assert_eq!(rows.height(), 3);
    assert_eq!(column(&rows, "s")[0], "a,\"b\"\n");
    assert!(rows.column("s").unwrap().get(1).unwrap().is_null(), "NA is null");
    assert_eq!(column(&rows, "s")[2], "", "a quoted nothing is the empty string");
    assert_eq!(rows.column("s").unwrap().null_count(), 1);
    for name in ["b", "i8", "u64", "f32", "f64", "dec", "d", "t", "ts", "trimmed"] {
        assert_eq!(rows.column(name).unwrap().null_count(), 2, "{name}");
    }
    let types: Vec<_> = rows.dtypes();
    assert_eq!(types[6], DataType::Decimal(10, 2));
    assert_eq!(
        types[9],
        DataType::Datetime(TimeUnit::Microseconds, TimeZone::opt_try_new(Some("Europe/Berlin")).unwrap())
    );
    let cast = |name: &str, to: DataType| rows.column(name).unwrap().cast(&to).unwrap().get(0).unwrap().into_static();
    assert_eq!(cast("b", DataType::Boolean), AnyValue::Boolean(true));
    assert_eq!(cast("i8", DataType::Int64), AnyValue::Int64(-128));
    assert_eq!(cast("u64", DataType::UInt64), AnyValue::UInt64(u64::MAX));
    assert_eq!(cast("f64", DataType::Float64), AnyValue::Float64(3.25));
    assert_eq!(cast("dec", DataType::Float64), AnyValue::Float64(-1.5));
    assert_eq!(cast("d", DataType::Int32), AnyValue::Int32(20_088));
    assert_eq!(cast("t", DataType::Int64), AnyValue::Int64(86_399_500_000_000));
    assert_eq!(cast("ts", DataType::Int64), AnyValue::Int64(1_719_828_000_000_000));
    assert_eq!(cast("trimmed", DataType::Int64), AnyValue::Int64(7));
}

const RULES: &str = r#"
[pipelines.p.columns]
id = "int64"
amount = "float64"
at = "datetime"

[pipelines.p.derive]
day = "date_trunc('day', at)"
twice = "amount * 2"
four_times = "twice * 2"

[pipelines.p.rules]
positive = "amount > 0"
not_tiny = { check = "four_times >= 4", action = "drop" }
round = { check = "amount = FLOOR(amount)", action = "warn" }

[pipelines.p.accept]
max_reject_ratio = 1.0
"#;

const RULED: &str = "id,amount,at\n1,-1,2024-01-01 10:00:00\n2,0.5,2024-01-01 11:00:00\n3,,2024-01-02 00:00:00\n4,2.5,2024-01-02 23:59:59\n5,3,2024-01-03 01:00:00\n";

#[test]
fn rules_reject_drop_and_warn_in_their_order() {
    let project = Project::new(RULES);
    let published = once(&project, "r.csv", RULED);
    assert_eq!(published.rows(), [5, 3, 1, 1]);
    let rows = read_parquet(&published.path.join("rows.parquet"));
    assert_eq!(column(&rows, "id"), ["3", "4", "5"], "a null passes, as in SQL's CHECK");
    assert_eq!(rows.get_column_names(), ["id", "amount", "at", "day", "twice", "four_times"]);
    assert_eq!(rejects(&published.path), [(1, 2, None, "rule".to_owned(), Some("positive".to_owned()))]);
    assert_eq!(published.manifest["rejects_by_rule"]["positive"], 1, "{}", published.manifest);
    assert_eq!(published.manifest["rejects"]["rule"], 1);
}

#[test]
fn a_quarantine_rule_refuses_the_whole_file() {
    let project = Project::new(&RULES.replace("action = \"warn\"", "action = \"quarantine\""));
    std::fs::write(project.path("r.csv"), RULED).unwrap();
    let ran = project.cli().args(["once", "-p", "p", "--out", "out", "r.csv"]).run().expect_code(1);
    assert!(ran.stderr.contains("line 3") && ran.stderr.contains("round"), "{}", ran.stderr);
    assert!(published_under(&project.path("out")).is_empty());
}

#[test]
fn an_aggregate_is_sql_over_the_clean_rows_in_every_format() {
    let aggregate = "\n[pipelines.p.aggregates.daily]\nsql = \"SELECT day, COUNT(*) AS n, SUM(amount) AS total FROM rows GROUP BY day ORDER BY day\"\n";
    let mut seen = Vec::new();
    for (format, file) in [
        ("format = \"parquet\"", Some("rows.parquet")),
        ("format = \"ipc\"", Some("rows.arrow")),
        ("format = \"csv\"\ncompression = \"gzip\"", Some("rows.csv.gz")),
        ("format = \"csv\"", Some("rows.csv")),
        ("format = \"ndjson\"\ncompression = \"zstd\"", Some("rows.ndjson.zst")),
        ("format = \"ndjson\"", Some("rows.ndjson")),
        ("format = \"none\"", None),
        ("partition_by = [\"id\"]", None),
    ] {
        let project = Project::new(&format!("{RULES}{aggregate}\n[pipelines.p.rows]\n{format}\n"));
        let published = once(&project, "r.csv", RULED);
        let daily = read_parquet(&published.path.join("daily.parquet"));
        assert_eq!(column(&daily, "n"), ["2", "1"], "{format}");
        let outputs: Vec<_> = published.manifest["outputs"].as_object().unwrap().keys().cloned().collect();
        if let Some(file) = file {
            assert!(outputs.contains(&file.to_owned()), "{format}: {outputs:?}");
            assert_eq!(published.manifest["outputs"][file]["rows"], 3);
            seen.push(rows_of(&published.path.join(file)));
        }
        let dot_files = std::fs::read_dir(&published.path)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
        assert_eq!(dot_files.count(), 0, "{format}: the spool was published");
    }
    for rows in &seen {
        assert_eq!(rows, &seen[0], "every format holds the same rows");
    }
}

/// Reads ids and doubled amounts back, whatever the format.
fn rows_of(path: &std::path::Path) -> Vec<(String, String)> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let mut parts = name.split('.').skip(1);
    let (format, packing) = (parts.next().unwrap(), parts.next());
    let mut text = std::fs::read(path).unwrap();
    if packing == Some("gz") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(text.as_slice()).read_to_end(&mut plain).unwrap();
        text = plain;
    } else if packing == Some("zst") {
        text = zstd::decode_all(text.as_slice()).unwrap();
    }
    let reader = std::io::Cursor::new(text);
    let frame = match format {
        "parquet" => ParquetReader::new(reader).finish(),
        "arrow" => IpcReader::new(reader).finish(),
        "ndjson" => JsonReader::new(reader).with_json_format(JsonFormat::JsonLines).finish(),
        _ => CsvReader::new(reader).finish(),
    }
    .unwrap();
    let twice = frame.column("twice").unwrap().cast(&DataType::Float64).unwrap();
    column(&frame, "id").into_iter().enumerate().map(|(row, id)| (id, twice.get(row).unwrap().to_string())).collect()
}

#[test]
fn partitions_are_hive_directories() {
    let project = Project::new(&format!("{RULES}\n[pipelines.p.rows]\npartition_by = [\"id\"]\n"));
    let published = once(&project, "r.csv", RULED);
    let part = read_parquet(&published.path.join("id=4/rows.parquet"));
    assert_eq!(part.height(), 1);
    assert!(part.column("id").is_err(), "the partition column is in the path");
    assert_eq!(published.manifest["outputs"]["id=5/rows.parquet"]["rows"], 1);
}

const DRIFTING: &str = r#"
[pipelines.p.columns]
id = "int64"
RateCodeID = { type = "int64", aliases = ["RatecodeID"] }
surcharge = { type = "float64", optional = true }
note = "string"
"#;

#[test]
fn the_header_is_matched_by_name() {
    let project = Project::new(&format!("{DRIFTING}\n[pipelines.p.drift]\nextra = \"keep\"\n"));
    let published = once(&project, "d.csv", "note,extra,RatecodeID,id\nhello,x,7,1\n");
    let rows = read_parquet(&published.path.join("rows.parquet"));
    assert_eq!(rows.get_column_names(), ["id", "RateCodeID", "surcharge", "note", "extra"]);
    assert_eq!((column(&rows, "RateCodeID"), column(&rows, "extra")), (vec!["7".to_owned()], vec!["x".to_owned()]));
    assert_eq!(rows.column("surcharge").unwrap().null_count(), 1);
}

#[test]
fn a_missing_column_is_null_only_where_the_config_says_so() {
    let project = Project::new(&format!("{DRIFTING}\n[pipelines.p.drift]\nmissing = \"null\"\n"));
    let published = once(&project, "d.csv", "id,RateCodeID\n1,2\n");
    assert_eq!(read_parquet(&published.path.join("rows.parquet")).column("note").unwrap().null_count(), 1);
    let project = Project::new(DRIFTING);
    std::fs::write(project.path("d.csv"), "id,RateCodeID\n1,2\n").unwrap();
    let ran = project.cli().args(["once", "-p", "p", "--out", "out", "d.csv"]).run().expect_code(1);
    assert!(ran.stderr.contains("\"note\""), "{}", ran.stderr);
}

#[test]
fn the_same_text_is_read_the_same_however_it_is_packed() {
    let text = "id,name\r\n1,caf\u{e9}\r\n2,\"multi\r\nline\"\r\n3,x\r\n";
    let config = "[pipelines.p.columns]\nid = \"int64\"\nname = \"string\"\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&text.as_bytes()[..20]).unwrap();
    let mut members = gzip.finish().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&text.as_bytes()[20..]).unwrap();
    members.extend(gzip.finish().unwrap());
    let utf16: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("plain.csv", text.as_bytes().to_vec(), ""),
        ("bom.csv", [b"\xef\xbb\xbf", text.as_bytes()].concat(), ""),
        ("two-members.csv.gz", members, ""),
        ("z.csv.zst", zstd::encode_all(text.as_bytes(), 1).unwrap(), ""),
        ("utf16.csv", utf16, ""),
        (
            "latin.csv",
            encoding_rs::WINDOWS_1252.encode(text).0.into_owned(),
            "\n[pipelines.p.csv]\nencoding = \"windows-1252\"\n",
        ),
    ];
    for (name, bytes, more) in cases {
        let project = Project::new(&format!("{config}{more}"));
        let published = once(&project, name, &bytes);
        let rows = read_parquet(&published.path.join("rows.parquet"));
        assert_eq!(column(&rows, "name"), ["caf\u{e9}", "multi\r\nline", "x"], "{name}");
        assert_eq!(published.manifest["input"]["blake3"], blake3::hash(&bytes).to_hex().to_string(), "{name}");
    }
}

#[test]
fn offsets_are_those_of_the_file_and_missing_when_they_would_lie() {
    let config = "[pipelines.p.columns]\nid = \"int64\"\n[pipelines.p.accept]\nmax_reject_ratio = 1.0\n";
    let offset = |name: &str, bytes: &[u8]| {
        let project = Project::new(config);
        let published = once(&project, name, bytes);
        let frame = read_parquet(&published.path.join("rejects.parquet"));
        frame.column("byte_offset").unwrap().u64().unwrap().get(0)
    };
    assert_eq!(offset("a.csv", b"id\n1\nx\n"), Some(5));
    assert_eq!(offset("bom.csv", b"\xef\xbb\xbfid\n1\nx\n"), Some(8));
    let utf16: Vec<u8> = "\u{feff}id\n1\nx\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(offset("utf16.csv", &utf16), None);
}

#[test]
fn two_pipelines_share_a_daemon_and_their_rows_are_conserved() {
    let project = Project::new(
        r#"
[pipelines.a]
settle = "60ms"
scan_interval = "200ms"
[pipelines.a.columns]
id = "int64"
[pipelines.a.accept]
max_reject_ratio = 1.0

[pipelines.b]
settle = "60ms"
scan_interval = "200ms"
[pipelines.b.columns]
id = "int64"
[pipelines.b.rules]
odd = { check = "id % 2 = 1", action = "drop" }
"#,
    );
    let daemon = project.start();
    for number in 0..10 {
        project.drop_file("a", format!("{number}.csv"), format!("id\n{number}\nx\n3\n"));
        project.drop_file("b", format!("{number}.csv"), format!("id\n{number}\n2\n3\n"));
    }
    daemon.wait_processed("a", 10);
    daemon.wait_processed("b", 10);
    let scrape = daemon.scrape();
    for pipeline in ["a", "b"] {
        let sum = |name: &str| scrape.metric(name).label("pipeline", pipeline).sum();
        let read = sum("forebay_rows_read_total");
        let accounted =
            sum("forebay_rows_written_total") + sum("forebay_rows_rejected_total") + sum("forebay_rows_dropped_total");
        assert!(
            (read - 30.0).abs() < 0.1 && (read - accounted).abs() < 0.1,
            "{pipeline}: {read} read, {accounted} accounted"
        );
        let published: u64 = project.published(pipeline).iter().map(|published| published.rows()[1]).sum();
        #[expect(clippy::cast_precision_loss, reason = "tests count few rows")]
        let published = published as f64;
        assert!(
            (sum("forebay_rows_written_total") - published).abs() < 0.1,
            "the metric equals what lies in the output"
        );
    }
    daemon.stop();
}
