//! An aggregate in shares: of all rows, those of some of the groups at a time. So whatever a GROUP BY computes of a group as a
//! whole (a median, distinct values, text put together), the values of a few groups are held and not those of all.

use polars::prelude::*;

use super::compile::{as_written, check_row_local};
use super::functions::elementwise;
use super::steps::{input, no_input, onto, row_local};

/// A query whose groups can be computed in shares.
#[derive(Debug)]
pub struct Shares<'q> {
    rows: DslPlan,
    keys: &'q [Expr],
    groups: &'q DslPlan,
    /// What comes after the groups, last things first.
    rest: Vec<&'q DslPlan>,
}

impl<'q> Shares<'q> {
    /// Takes a planned SELECT; `None` if it has no GROUP BY over plain rows.
    #[must_use]
    pub fn of(query: &'q LazyFrame) -> Option<Self> {
        let (mut node, mut rest) = (as_written(&query.logical_plan), Vec::new());
        loop {
            if let DslPlan::GroupBy { input, keys, apply: None, maintain_order: false, .. } = node
                && let Some(mut rows) = row_local(input)
            {
                let schema = rows.collect_schema().ok()?;
                let apart = keys.iter().all(|key| check_row_local(key, &schema).is_ok());
                return (apart && !keys.is_empty()).then_some(Self {
                    rows: rows.logical_plan,
                    keys,
                    groups: node,
                    rest,
                });
            }
            rest.push(node);
            node = as_written(input(node)?);
        }
    }

    /// Computes the query, and reads the rows once for each of so many shares.
    pub fn collect(&self, shares: u64) -> PolarsResult<DataFrame> {
        let mut groups = self.share(0, shares)?;
        for number in 1..shares {
            groups.vstack_mut_owned(self.share(number, shares)?)?;
        }
        let over = |below, node: &&DslPlan| onto(node, below);
        let whole = self.rest.iter().rev().try_fold(groups.lazy().logical_plan, over);
        LazyFrame::from(whole.ok_or_else(no_input)?).collect()
    }

    fn share(&self, number: u64, shares: u64) -> PolarsResult<DataFrame> {
        let rows = LazyFrame::from(self.rows.clone()).filter(belongs(self.keys, number, shares));
        let groups = onto(self.groups, rows.logical_plan).ok_or_else(no_input)?;
        Ok(LazyFrame::from(groups).collect_with_engine(Engine::Streaming)?.unwrap_single())
    }
}

/// Whether the keys of a row belong to a share: those of a group always to the same one, and to each about as many groups.
fn belongs(keys: &[Expr], number: u64, shares: u64) -> Expr {
    let call = move |keys: &mut [Column]| {
        let rows = keys.iter().map(Column::len).max().unwrap_or(0);
        let mut hashes = vec![0; rows];
        // A key that is the same for all rows may come as a single value.
        for key in keys.iter().filter(|key| key.len() == rows) {
            key.vec_hash_combine(PlSeedableRandomStateQuality::fixed(), &mut hashes)?;
        }
        let belong = hashes.iter().map(|hash| hash % shares == number);
        Ok(BooleanChunked::from_iter_values(PlSmallStr::EMPTY, belong).into_column())
    };
    let field = |_: &Schema, _: &[Field]| Ok(Field::new(PlSmallStr::EMPTY, DataType::Boolean));
    elementwise("share", call, field).call(keys.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::run_aggregate;

    fn rows() -> DataFrame {
        let n = 0..2_000_i32;
        polars::df![
            "g" => n.clone().map(|n| (n % 7 > 0).then(|| format!("group {}", n * n % 31))).collect::<Vec<_>>(),
            "f" => n.clone().map(|n| [0.0, -0.0, f64::NAN, f64::from(n)][usize::try_from(n % 4).unwrap()]).collect::<Vec<_>>(),
            "n" => n.clone().map(|n| (n % 5 > 0).then_some(i64::from(n * 7 % 1_000))).collect::<Vec<_>>(),
            "flag" => n.clone().map(|n| n % 3 == 0).collect::<Vec<_>>(),
        ]
        .unwrap()
    }

    const IN_SHARES: &[&str] = &[
        "SELECT g, MEDIAN(n) AS m, COUNT(*) AS c FROM rows GROUP BY g ORDER BY g",
        "SELECT f, COUNT(*) AS c, MEDIAN(n) AS m FROM rows WHERE flag GROUP BY f ORDER BY f",
        "SELECT g AS name, flag, QUANTILE_CONT(n, 0.9) AS q, STDDEV(n) AS s FROM rows GROUP BY g, flag ORDER BY name, flag",
        "SELECT n % 10 AS digit, COUNT(DISTINCT g) AS g FROM rows GROUP BY n % 10 HAVING COUNT(*) > 1 ORDER BY g DESC, digit LIMIT 4",
        "SELECT g, MIN(STRPOS(g, '2')) AS a FROM rows WHERE n < 0 GROUP BY g",
        "WITH m AS (SELECT g, MEDIAN(n) AS m FROM rows GROUP BY g) SELECT MAX(m) AS most, COUNT(*) AS groups FROM m",
    ];

    const NOT_IN_SHARES: &[&str] = &[
        "SELECT MEDIAN(n) AS m FROM rows",
        "SELECT DISTINCT g FROM rows",
        "SELECT a.g, COUNT(*) AS c FROM rows AS a JOIN rows AS b ON a.n = b.n GROUP BY a.g",
        "WITH r AS (SELECT g, ROW_NUMBER() OVER (ORDER BY n) AS r FROM rows) SELECT g, MEDIAN(r) AS m FROM r GROUP BY g",
    ];

    #[test]
    fn shares_give_what_the_whole_does() {
        let (rows, dir) = (rows(), tempfile::tempdir().unwrap());
        let path = dir.path().join("rows.parquet");
        ParquetWriter::new(std::fs::File::create(&path).unwrap()).finish(&mut rows.clone()).unwrap();
        let file =
            LazyFrame::scan_parquet(PlRefPath::try_from_path(&path).unwrap(), ScanArgsParquet::default()).unwrap();
        for sql in IN_SHARES {
            let whole = run_aggregate(sql, rows.clone().lazy()).unwrap().collect().unwrap();
            for source in [rows.clone().lazy(), file.clone()] {
                let query = run_aggregate(sql, source).unwrap();
                let shares = Shares::of(&query).unwrap_or_else(|| panic!("{sql} is not computed in shares"));
                for count in [1, 2, 3, 50] {
                    let result = shares.collect(count).unwrap();
                    assert!(result.equals_missing(&whole), "{sql} in {count} shares\n{result}\n{whole}");
                }
            }
        }
    }

    #[test]
    fn a_group_belongs_to_one_share_and_each_share_has_groups() {
        let rows = rows().lazy();
        let groups = |number| {
            let groups = rows.clone().filter(belongs(&[col("g"), col("flag"), lit(1)], number, 3));
            groups.group_by([col("g"), col("flag")]).agg([len()]).collect().unwrap().height()
        };
        let all = rows.clone().group_by([col("g"), col("flag")]).agg([len()]).collect().unwrap().height();
        let each = [groups(0), groups(1), groups(2)];
        assert_eq!(each.iter().sum::<usize>(), all, "{each:?}");
        assert!(each.iter().all(|groups| groups * 6 > all), "{each:?} of {all}");
    }

    #[test]
    fn what_has_no_groups_of_plain_rows_is_told() {
        for sql in NOT_IN_SHARES {
            assert!(Shares::of(&run_aggregate(sql, rows().lazy()).unwrap()).is_none(), "{sql}");
        }
    }
}
