//! Runs every example of `docs/SQL.md`, so that the document says what happens.

use polars::prelude::{AnyValue, DataFrame, DataType, IntoLazy as _, TimeUnit, col, lit};

use super::{check_aggregate, compile_row, functions, run_aggregate, try_aggregate, try_row};
use crate::config::{Column, ColumnType};

const DOCUMENT: &str = include_str!("../../docs/SQL.md");

/// One row of an example table: the cells of its first two columns, without their backquotes.
struct Example {
    expression: String,
    result: String,
}

/// Returns the examples of the tables whose head is `| expression | {second} ...`.
fn examples(second: &str) -> Vec<Example> {
    let mut inside = false;
    let mut examples = Vec::new();
    for line in DOCUMENT.lines() {
        if line.starts_with("| expression |") {
            inside = line.starts_with(&format!("| expression | {second}"));
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside && !line.starts_with("|---") {
            let line = line.replace(r"\|", "\u{1}");
            let cell = |index: usize| {
                let cell = line.split('|').nth(index).unwrap().trim().trim_matches('`');
                cell.replace('\u{1}', "|")
            };
            examples.push(Example { expression: cell(1), result: cell(2) });
        }
    }
    examples
}

/// The row the document shows.
fn row() -> DataFrame {
    let zoned = ColumnType::Datetime { format: None, time_zone: Some(chrono_tz::America::New_York) };
    let columns = [
        ("n", ColumnType::Int(64), "7"),
        ("neg", ColumnType::Int(64), "-3"),
        ("f", ColumnType::Float64, "2.5"),
        ("m", ColumnType::Decimal { precision: 10, scale: 2 }, "12.34"),
        ("s", ColumnType::String, "Hello, World"),
        ("code", ColumnType::String, "DE-042"),
        ("flag", ColumnType::Bool, "true"),
        ("d", ColumnType::Date { format: None }, "2015-01-22"),
        ("c", ColumnType::Time { format: None }, "08:22:49"),
        ("t", ColumnType::Datetime { format: None, time_zone: None }, "2015-01-22 08:22:49.500"),
        ("u", ColumnType::Datetime { format: None, time_zone: None }, "2015-01-24 07:00:00"),
        ("z", zoned, "2015-01-22 22:30:00"),
        ("nothing", ColumnType::Int(64), ""),
    ];
    let typed: Vec<Column> =
        columns.iter().map(|(name, kind, _)| Column { kind: kind.clone(), ..Column::plain(name) }).collect();
    let values: Vec<_> = columns.iter().map(|(name, kind, text)| value(kind, text).alias(*name)).collect();
    let row = DataFrame::empty().lazy().select(values).collect().unwrap();
    assert_eq!(**row.schema(), super::row_schema(&typed), "the example row has the types its columns would have");
    row
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others cast from text")]
fn value(kind: &ColumnType, text: &str) -> polars::prelude::Expr {
    let dtype = kind.dtype();
    match kind {
        _ if text.is_empty() => lit(polars::prelude::NULL).cast(dtype),
        ColumnType::Bool => lit(text == "true"),
        ColumnType::Datetime { .. } => {
            let naive = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").unwrap();
            let DataType::Datetime(_, zone) = dtype else { panic!("{dtype} is no datetime") };
            let naive = lit(naive).cast(DataType::Datetime(TimeUnit::Microseconds, None));
            naive.dt().replace_time_zone(zone, lit("raise"), polars::prelude::NonExistent::Raise)
        }
        ColumnType::Date { .. } => lit(chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap()).cast(dtype),
        ColumnType::Time { .. } => lit(text).str().to_time(polars::prelude::StrptimeOptions::default()),
        _ => lit(text).cast(dtype),
    }
}

/// Writes a value as the document does.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others show themselves")]
fn show(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Null => "NULL".to_owned(),
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::StringOwned(text) => text.to_string(),
        AnyValue::Datetime(at, TimeUnit::Microseconds, zone) => {
            let at = chrono::DateTime::from_timestamp_micros(*at).unwrap().format("%Y-%m-%d %H:%M:%S%.f");
            format!("{at}{}", if zone.is_some() { " UTC" } else { "" })
        }
        AnyValue::DatetimeOwned(at, unit, zone) => show(&AnyValue::Datetime(*at, *unit, zone.as_deref())),
        AnyValue::Float64(number) => format!("{number:?}"),
        other => other.to_string(),
    }
}

#[test]
fn every_row_example_gives_what_it_says() {
    let row = row();
    let examples = examples("result | note");
    assert!(examples.len() > 120, "the tables were not found");
    let mut wrong = Vec::new();
    for Example { expression, result } in &examples {
        let said = match compile_row(expression, row.schema()) {
            Err(error) => format!("refused: {error}"),
            Ok((expr, dtype)) if try_row(&expr, &dtype, row.schema()).is_err() => "does not run".to_owned(),
            Ok((expr, dtype)) => match row.clone().lazy().with_columns([expr.alias("value")]).collect() {
                Err(error) => format!("failed: {error}"),
                Ok(rows) => {
                    let value = rows.column("value").unwrap();
                    assert_eq!(value.dtype(), &dtype, "the type of {expression}");
                    show(&value.get(0).unwrap())
                }
            },
        };
        if said != *result {
            wrong.push(format!("{expression}\n  says {result}\n  is   {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The claim behind [`compile_row`]: however a file is cut into blocks, a row gives the same value.
#[test]
fn every_row_example_gives_the_same_row_by_row() {
    let row = row();
    let nulls = DataFrame::full_null(row.schema(), 1);
    let other = row.clone().lazy().with_columns([
        (col("n") * lit(-11)).alias("n"),
        (col("f") + lit(0.25)).alias("f"),
        lit("FR-1, a longer text").alias("code"),
        col("u").alias("t"),
        lit(false).alias("flag"),
    ]);
    let other = other.collect().unwrap();
    for Example { expression, .. } in examples("result | note") {
        // Texts that are no dates fail alike, whole or cut.
        let (expr, _) = compile_row(&expression, row.schema()).unwrap();
        let compute = |rows: &DataFrame| rows.clone().lazy().with_columns([expr.clone().alias("value")]).collect();
        let parts = [&row, &nulls, &other, &row];
        let whole = parts[1..].iter().fold(row.clone(), |all, part| all.vstack(part).unwrap());
        let cut: Result<Vec<_>, _> = parts.iter().map(|part| compute(part)).collect();
        match (compute(&whole), cut) {
            (Ok(whole), Ok(cut)) => {
                let cut = cut.into_iter().reduce(|all, part| all.vstack(&part).unwrap()).unwrap();
                assert!(whole.equals_missing(&cut), "{expression}\n{whole}\n{cut}");
            }
            (whole, cut) => assert_eq!(whole.is_ok(), cut.is_ok(), "{expression}"),
        }
    }
}

#[test]
fn every_refused_example_is_refused_with_its_message() {
    let examples = examples("message");
    assert!(examples.len() > 5, "the table was not found");
    for Example { expression, result } in examples {
        let error = compile_row(&expression, row().schema()).unwrap_err();
        assert_eq!(error.to_string(), result, "{expression}");
    }
}

#[test]
fn every_aggregate_example_gives_what_it_says() {
    let rows = polars::df!["v" => [Some(1_i64), Some(2), Some(3), Some(10), None]].unwrap();
    let examples = examples("result over");
    assert!(examples.len() > 10, "the table was not found");
    for Example { expression, result } in examples {
        let sql = format!("SELECT {expression} AS value FROM rows");
        let schema = check_aggregate(&sql, rows.schema()).unwrap();
        try_aggregate(&sql, rows.schema()).unwrap();
        let answer = run_aggregate(&sql, rows.clone().lazy()).unwrap().collect().unwrap();
        assert_eq!(**answer.schema(), schema, "the type of {expression}");
        assert_eq!(show(&answer.column("value").unwrap().get(0).unwrap()), result, "{expression}");
    }
}

#[test]
fn every_function_is_shown_or_named() {
    let document = DOCUMENT.to_uppercase();
    // Families whose members are named by one example.
    let told = ["ACOSD", "ASIND", "ATAND", "ATAN2D", "COSD", "COTD", "TAND"];
    let all = functions::ROW_FUNCTIONS.iter().chain(functions::AGGREGATES).chain(functions::WINDOWS);
    let missing: Vec<_> = all
        .map(|name| name.to_uppercase())
        .filter(|name| !document.contains(name.as_str()) && !told.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "docs/SQL.md does not mention {missing:?}");
}

#[test]
fn streaming_and_in_memory_give_the_same() {
    let times = polars::df!["at" => (0..50_000_i64).collect::<Vec<_>>()].unwrap();
    let at = (col("at") * lit(60_000_000_i64)).cast(DataType::Datetime(TimeUnit::Microseconds, None));
    let rows = times.lazy().select([at.alias("at")]);
    let sql = "SELECT date_trunc('day', at) AS day, COUNT(*) AS n, MAX(date_diff('hour', date_trunc('day', at), at)) AS late \
               FROM rows GROUP BY date_trunc('day', at) ORDER BY day";
    let plan = run_aggregate(sql, rows).unwrap();
    let memory = plan.clone().collect().unwrap();
    let streamed = plan.collect_with_engine(polars::prelude::Engine::Streaming).unwrap().unwrap_single();
    assert!(memory.equals(&streamed), "{memory}\n{streamed}");
    assert_eq!(memory.height(), 35);
}
