//! An aggregate in steps: over the rows of each batch, over what earlier steps gave, and once at the end. So no row is read
//! twice, and no more is held than the groups.
//!
//! Only where that gives the same answer: sums, counts, averages and extremes, grouped or not, under whatever comes after
//! them. A median, for one, needs all values at once.

use polars::prelude::*;

use super::compile::{as_written, check_row_local};

/// An aggregate that can be computed in steps.
#[derive(Debug, Clone)]
pub struct Steps {
    first: DslPlan,
    again: DslPlan,
    last: DslPlan,
}

impl Steps {
    /// Takes a planned SELECT over rows of no number apart; `None` if it cannot be computed in steps.
    pub(super) fn of(query: &LazyFrame) -> Option<Self> {
        let steps = apart(&query.logical_plan)?;
        // Whatever was overlooked here shows in the types.
        let schema = |plan: &DslPlan| LazyFrame::from(plan.clone()).collect_schema().ok();
        (schema(&steps.last)? == schema(&query.logical_plan)?).then_some(steps)
    }

    /// Returns what these rows come to.
    pub fn first(&self, rows: DataFrame) -> PolarsResult<DataFrame> {
        collect(&self.first, rows)
    }

    /// Returns what the parts come to together; `parts` are rows of earlier steps, in the order of the file.
    pub fn again(&self, parts: DataFrame) -> PolarsResult<DataFrame> {
        collect(&self.again, parts)
    }

    /// Returns the result, of no rows where there are no parts.
    pub fn last(&self, parts: Option<DataFrame>) -> PolarsResult<DataFrame> {
        match parts {
            Some(parts) => collect(&self.last, parts),
            None => LazyFrame::from(self.last.clone()).collect(),
        }
    }
}

fn collect(plan: &DslPlan, rows: DataFrame) -> PolarsResult<DataFrame> {
    let schema = Arc::clone(rows.schema());
    let source = DslPlan::DataFrameScan { df: Arc::new(rows), schema };
    let plan = over(plan, &source).ok_or_else(|| polars_err!(ComputeError: "a step has no input"))?;
    LazyFrame::from(plan).collect()
}

/// Returns the plan with its one source replaced.
fn over(plan: &DslPlan, source: &DslPlan) -> Option<DslPlan> {
    match as_written(plan) {
        DslPlan::DataFrameScan { .. } => Some(source.clone()),
        node => onto(node, over(input(node)?, source)?),
    }
}

/// Returns the input of a node that has exactly one.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and large")]
fn input(node: &DslPlan) -> Option<&DslPlan> {
    match node {
        DslPlan::Filter { input, .. }
        | DslPlan::Select { input, .. }
        | DslPlan::HStack { input, .. }
        | DslPlan::GroupBy { input, .. }
        | DslPlan::Distinct { input, .. }
        | DslPlan::Sort { input, .. }
        | DslPlan::Slice { input, .. }
        | DslPlan::MapFunction { input, .. } => Some(input),
        _ => None,
    }
}

/// Returns the node over another input.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and large")]
fn onto(node: &DslPlan, below: DslPlan) -> Option<DslPlan> {
    let mut node = node.clone();
    match &mut node {
        DslPlan::Filter { input, .. }
        | DslPlan::Select { input, .. }
        | DslPlan::HStack { input, .. }
        | DslPlan::GroupBy { input, .. }
        | DslPlan::Distinct { input, .. }
        | DslPlan::Sort { input, .. }
        | DslPlan::Slice { input, .. }
        | DslPlan::MapFunction { input, .. } => *input = Arc::new(below),
        _ => return None,
    }
    Some(node)
}

/// Finds the node that aggregates the rows and puts what comes after it onto its last step.
fn apart(plan: &DslPlan) -> Option<Steps> {
    let node = as_written(plan);
    if let Some(Steps { first, again, last }) = apart(input(node)?) {
        return Some(Steps { first, again, last: onto(node, last)? });
    }
    match node {
        DslPlan::GroupBy { input, keys, predicates, aggs, maintain_order: false, apply: None, .. } => {
            Groups { rows: row_local(input)?, keys, having: predicates, results: aggs }.steps()
        }
        DslPlan::Select { input, expr, .. } if expr.iter().any(aggregates) => {
            Groups { rows: row_local(input)?, keys: &[], having: &[], results: expr }.steps()
        }
        _ => None,
    }
}

fn aggregates(expr: &Expr) -> bool {
    expr.into_iter().any(|part| matches!(part, Expr::Agg(_) | Expr::Len))
}

/// Returns a plan that looks at one row at a time as it is; `None` for any other.
fn row_local(plan: &DslPlan) -> Option<LazyFrame> {
    let mut node = as_written(plan);
    let whole = LazyFrame::from(node.clone());
    loop {
        let exprs = match node {
            DslPlan::DataFrameScan { .. } => return Some(whole),
            DslPlan::Filter { predicate, .. } => std::slice::from_ref(predicate),
            DslPlan::Select { expr, .. } => expr,
            DslPlan::HStack { exprs, .. } => exprs,
            _ => return None,
        };
        let below = input(node)?;
        let schema = LazyFrame::from(below.clone()).collect_schema().ok()?;
        exprs.iter().try_for_each(|expr| check_row_local(expr, &schema)).ok()?;
        node = as_written(below);
    }
}

/// A GROUP BY, or without keys a SELECT of aggregates.
struct Groups<'q> {
    rows: LazyFrame,
    keys: &'q [Expr],
    having: &'q [Expr],
    results: &'q [Expr],
}

impl Groups<'_> {
    fn steps(mut self) -> Option<Steps> {
        let schema = self.rows.collect_schema().ok()?;
        let mut parts = Parts { schema: &schema, first: Vec::new(), again: Vec::new() };
        let results = self.results.iter().map(|result| {
            let name = result.to_field(&schema).ok()?.name;
            Some(parts.split(result)?.alias(name))
        });
        let results = results.collect::<Option<Vec<_>>>()?;
        let having = self.having.iter().map(|having| parts.split(having)).collect::<Option<Vec<_>>>()?;
        self.keys.iter().try_for_each(|key| check_row_local(key, &schema)).ok()?;
        let names = self.keys.iter().map(|key| Some(key.to_field(&schema).ok()?.name)).collect::<Option<Vec<_>>>()?;
        let key = |at: usize| PlSmallStr::from_string(format!("key {at}"));

        let keys = self.keys.iter().enumerate().map(|(at, expr)| expr.clone().alias(key(at))).collect();
        let mut first = group(self.rows, keys, &parts.first);
        let empty = DataFrame::empty_with_schema(&*first.collect_schema().ok()?).lazy();
        let mut again = group(empty, (0..names.len()).map(|at| col(key(at))).collect(), &parts.again);
        // One row per group now, so that whatever is left of the expressions must look at one row.
        let merged = again.collect_schema().ok()?;
        having.iter().chain(&results).try_for_each(|expr| check_row_local(expr, &merged)).ok()?;
        let mut last = having.into_iter().fold(again.clone(), LazyFrame::filter);
        let keys = names.into_iter().enumerate().map(|(at, name)| col(key(at)).alias(name));
        last = last.select(keys.chain(results).collect::<Vec<_>>());
        Some(Steps { first: first.logical_plan, again: again.logical_plan, last: last.logical_plan })
    }
}

fn group(rows: LazyFrame, keys: Vec<Expr>, results: &[Expr]) -> LazyFrame {
    // In the order they come: the same file gives the same result.
    if keys.is_empty() { rows.select(results) } else { rows.group_by_stable(keys).agg(results) }
}

/// What is computed of each group, step by step, and has a column of its own.
struct Parts<'s> {
    schema: &'s Schema,
    first: Vec<Expr>,
    again: Vec<Expr>,
}

impl Parts<'_> {
    /// Returns the expression over the columns of the parts instead of the rows.
    fn split(&mut self, expr: &Expr) -> Option<Expr> {
        let split = |part: Expr| match &part {
            Expr::Agg(_) | Expr::Len | Expr::Function { function: FunctionExpr::NullCount, .. } => {
                self.part(&part).ok_or_else(|| polars_err!(ComputeError: "not in steps"))
            }
            _ => Ok(part),
        };
        expr.clone().try_map_expr(split).ok()
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and large")]
    fn part(&mut self, aggregate: &Expr) -> Option<Expr> {
        let input = match aggregate {
            Expr::Len => return Some(self.add(len(), Expr::sum)),
            // SUM asks for it: without any value it is null.
            Expr::Function { function: FunctionExpr::NullCount, input } => input.first()?,
            Expr::Agg(
                AggExpr::Min { input, .. }
                | AggExpr::Max { input, .. }
                | AggExpr::Sum(input)
                | AggExpr::Mean(input)
                | AggExpr::Count { input, .. },
            ) => input,
            _ => return None,
        };
        check_row_local(input, self.schema).ok()?;
        let first = aggregate.clone();
        Some(match aggregate {
            Expr::Agg(AggExpr::Min { propagate_nans: false, .. }) => self.add(first, Expr::min),
            Expr::Agg(AggExpr::Max { propagate_nans: false, .. }) => self.add(first, Expr::max),
            Expr::Agg(AggExpr::Mean(input)) => self.mean(input)?,
            Expr::Agg(AggExpr::Min { .. } | AggExpr::Max { .. }) => return None,
            _ => self.add(first, Expr::sum),
        })
    }

    /// An average is a sum and a count; of no values it is null.
    fn mean(&mut self, input: &Expr) -> Option<Expr> {
        let dtype = input.to_field(self.schema).ok()?.dtype;
        if !(dtype.is_integer() || dtype == DataType::Float64) {
            return None;
        }
        let floats = input.clone().cast(DataType::Float64);
        let sum = self.add(floats.sum(), Expr::sum);
        let count = self.add(input.clone().count(), Expr::sum);
        Some(when(count.clone().gt(lit(0))).then(sum / count).otherwise(lit(NULL)))
    }

    fn add(&mut self, first: Expr, again: impl FnOnce(Expr) -> Expr) -> Expr {
        let known = self.first.iter().position(|known| matches!(known, Expr::Alias(known, _) if **known == first));
        let at = known.unwrap_or(self.first.len());
        let part = col(format!("part {at}"));
        if known.is_none() {
            self.first.push(first.alias(format!("part {at}")));
            self.again.push(again(part.clone()));
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{run_aggregate, steps};

    fn rows() -> DataFrame {
        let n = 0..1_000_i64;
        let every = |step: i64| n.clone().map(move |n| (n % step != 0).then_some(n)).collect::<Vec<_>>();
        let frame = polars::df![
            "g" => n.clone().map(|n| (n % 7 > 0).then(|| format!("group {}", n * n % 11))).collect::<Vec<_>>(),
            "n" => every(5),
            "small" => n.clone().map(|n| (n % 100) as i8).collect::<Vec<_>>(),
            "f" => n.clone().map(|n| (n % 13 > 0).then_some(if n == 500 { f64::NAN } else { n as f64 / 3.0 })).collect::<Vec<_>>(),
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
}
