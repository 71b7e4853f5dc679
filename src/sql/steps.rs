//! An aggregate in steps: over the rows of each batch, over what earlier steps gave, and once at the end. So no row is read
//! twice, and no more is held than the groups.
//!
//! Only where that gives the same answer: sums, counts, averages and extremes, grouped or not, under whatever comes after
//! them. A median, for one, needs all values at once.

#![expect(clippy::wildcard_enum_match_arm, reason = "the enums are not ours, and large")]

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
    let plan = over(plan, &source).ok_or_else(no_input)?;
    LazyFrame::from(plan).collect()
}

/// Why a plan cannot be put over other rows.
pub(super) fn no_input() -> PolarsError {
    polars_err!(ComputeError: "a step has no input")
}

/// Returns the plan with its one source replaced.
fn over(plan: &DslPlan, source: &DslPlan) -> Option<DslPlan> {
    match as_written(plan) {
        DslPlan::DataFrameScan { .. } => Some(source.clone()),
        node => onto(node, over(input(node)?, source)?),
    }
}

/// The input of a node, borrowed as the node is; `None` unless it has exactly one.
macro_rules! one_input {
    ($node:expr) => {
        match $node {
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
    };
}

pub(super) fn input(node: &DslPlan) -> Option<&DslPlan> {
    one_input!(node).map(Arc::as_ref)
}

/// Returns the node over another input.
pub(super) fn onto(node: &DslPlan, below: DslPlan) -> Option<DslPlan> {
    let mut node = node.clone();
    *one_input!(&mut node)? = Arc::new(below);
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
pub(super) fn row_local(plan: &DslPlan) -> Option<LazyFrame> {
    let mut node = as_written(plan);
    let whole = LazyFrame::from(node.clone());
    loop {
        let exprs = match node {
            DslPlan::DataFrameScan { .. } | DslPlan::Scan { .. } => return Some(whole),
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
mod tests;
