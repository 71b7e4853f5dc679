//! Aggregates in steps against the same at once.

use super::*;
use crate::sql::{run_aggregate, steps};

fn rows() -> DataFrame {
    let n = 0..1_000_i64;
    let every = |step: i64| n.clone().map(move |n| (n % step != 0).then_some(n)).collect::<Vec<_>>();
    let frame = polars::df![
        "g" => n.clone().map(|n| (n % 7 > 0).then(|| format!("group {}", n * n % 11))).collect::<Vec<_>>(),
        "n" => every(5),
        "small" => n.clone().map(|n| i8::try_from(n % 100).unwrap()).collect::<Vec<_>>(),
        "f" => n.clone().map(|n| (n % 13 > 0).then_some(if n == 500 { f64::NAN } else { f64::from(i32::try_from(n).unwrap()) / 3.0 })).collect::<Vec<_>>(),
        "empty" => n.clone().map(|_| None::<i64>).collect::<Vec<_>>(),
        "flag" => n.clone().map(|n| n % 3 == 0).collect::<Vec<_>>(),
    ];
    let at = (col("n") * lit(86_400_000_000_i64)).cast(DataType::Datetime(TimeUnit::Microseconds, None));
    frame.unwrap().lazy().with_column(at.alias("at")).collect().unwrap()
}

const IN_STEPS: &[&str] = &[
    "SELECT COUNT(*) AS n FROM rows",
    "SELECT g, COUNT(*) AS trips, AVG(f) AS mean FROM rows GROUP BY g ORDER BY g",
    "SELECT g, COUNT(n) AS n, SUM(n) AS s, MIN(at) AS a, MAX(at) AS b, AVG(small) AS m FROM rows GROUP BY g ORDER BY g",
    "SELECT MIN(f) AS a, MAX(f) AS b, SUM(small) AS s, AVG(empty) AS e, SUM(empty) AS z, SUM(f * 2 + n) AS x FROM rows",
    "SELECT date_trunc('month', at) AS m, flag, COUNT(*) AS n FROM rows GROUP BY date_trunc('month', at), flag ORDER BY m, flag",
    "SELECT g, ROUND(SUM(f) / COUNT(*), 2) AS r FROM rows WHERE n > 100 GROUP BY g HAVING COUNT(*) > 40 ORDER BY r DESC",
    "SELECT g, SUM(CASE WHEN flag THEN 1 ELSE 0 END) AS flags FROM rows GROUP BY g ORDER BY flags, g LIMIT 3",
    "SELECT g AS name, AVG(n) AS n FROM rows GROUP BY g ORDER BY name",
    "SELECT g FROM rows GROUP BY g ORDER BY g",
    "SELECT COUNT(*) AS n FROM rows WHERE n < 0",
    "SELECT g, COUNT(*) AS n FROM rows WHERE n < 0 GROUP BY g",
    "WITH big AS (SELECT g, SUM(n) AS s FROM rows GROUP BY g) SELECT MAX(s) AS most FROM big",
];

const AT_ONCE: &[&str] = &[
    "SELECT g, MEDIAN(n) AS m FROM rows GROUP BY g ORDER BY g",
    "SELECT COUNT(DISTINCT g) AS n FROM rows",
    "SELECT g, STDDEV(f) AS d FROM rows GROUP BY g",
    "SELECT AVG(small > 3) AS share FROM rows",
    "SELECT DISTINCT g FROM rows",
    "SELECT g, n FROM rows ORDER BY n LIMIT 5",
    "SELECT a.g FROM rows AS a JOIN rows AS b ON a.n = b.n",
];

/// Floats may differ in their last bits: the order of adding differs.
fn near(a: &DataFrame, b: &DataFrame) -> bool {
    let round = |frame: &DataFrame| {
        let floats = frame.columns().iter().filter(|column| column.dtype().is_float());
        let floats = floats.map(|column| col(column.name().clone()).round(9, RoundMode::HalfToEven));
        frame.clone().lazy().with_columns(floats.collect::<Vec<_>>()).collect().unwrap()
    };
    round(a).equals_missing(&round(b)) && a.schema() == b.schema()
}

#[test]
fn steps_over_pieces_give_what_the_whole_does() {
    let rows = rows();
    for sql in IN_STEPS {
        let steps = steps(sql, rows.schema()).unwrap_or_else(|| panic!("{sql} is not computed in steps"));
        let whole = run_aggregate(sql, rows.clone().lazy()).unwrap().collect().unwrap();
        let nothing = run_aggregate(sql, rows.clear().lazy()).unwrap().collect().unwrap();
        assert!(near(&steps.last(None).unwrap(), &nothing), "{sql} of nothing\n{nothing}");
        for piece in [1_000, 999, 137, 10] {
            let mut parts = steps.first(rows.clear()).unwrap();
            for (number, at) in (0..rows.height()).step_by(piece).enumerate() {
                parts.vstack_mut(&steps.first(rows.slice(i64::try_from(at).unwrap(), piece)).unwrap()).unwrap();
                if number % 4 == 3 {
                    parts = steps.again(parts).unwrap();
                }
            }
            let result = steps.last(Some(parts)).unwrap();
            assert!(near(&result, &whole), "{sql} in pieces of {piece}\n{result}\n{whole}");
        }
    }
}

#[test]
fn what_must_see_all_rows_at_once_is_told() {
    for sql in AT_ONCE {
        assert!(steps(sql, rows().schema()).is_none(), "{sql}");
    }
}
