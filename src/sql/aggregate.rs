//! Aggregates: one SELECT over all rows of a file.

use polars::prelude::{DataFrame, IntoLazy as _, LazyFrame, PlSmallStr, PolarsError, PolarsResult, Schema};
use sqlparser::ast::Query;

use super::compile::{context, guarded, plan_error};
use super::functions::OWN;
use super::steps::Steps;
use super::{SqlError, syntax};

/// Plans `sql` over `rows`, which it knows as the table `rows`. The text is one that [`check_aggregate`] accepted.
pub fn run_aggregate(sql: &str, rows: LazyFrame) -> PolarsResult<LazyFrame> {
    let mut query = syntax::query(sql).map_err(|error| PolarsError::SQLSyntax(error.to_string().into()))?;
    syntax::values_first(&mut query);
    run(query, rows)
}

/// Runs WITH queries one by one as tables of their own: Polars isolates them, and would not see our functions there.
fn run(mut query: Query, rows: LazyFrame) -> PolarsResult<LazyFrame> {
    let mut context = context(rows);
    if let Some(with) = query.with.take() {
        for cte in with.cte_tables {
            let table = context.execute(&cte.query.to_string())?;
            context.register(&cte.alias.name.value, table);
        }
    }
    context.execute(&query.to_string())
}

/// Returns the schema of the result of `sql` over rows of `schema`, and refuses whatever is not one SELECT over `rows`.
/// Only plans: what a plan cannot tell, [`try_aggregate`] finds.
pub fn check_aggregate(sql: &str, schema: &Schema) -> Result<Schema, SqlError> {
    let mut query = syntax::query(sql)?;
    syntax::check_query(&query)?;
    syntax::values_first(&mut query);
    let rows = DataFrame::empty_with_schema(schema).lazy();
    let result = guarded(|| {
        let mut plan = run(query, rows).map_err(|error| explain(&error, schema))?;
        plan.collect_schema().map_err(|error| explain(&error, schema))
    })?;
    Ok(Schema::clone(&result))
}

/// Runs an aggregate that [`check_aggregate`] accepted over no rows: files without rows have aggregates too.
pub fn try_aggregate(sql: &str, schema: &Schema) -> Result<(), SqlError> {
    guarded(|| {
        let rows = DataFrame::empty_with_schema(schema).lazy();
        run_aggregate(sql, rows).and_then(LazyFrame::collect).map(drop).map_err(|error| explain(&error, schema))
    })
}

/// Returns how to compute an aggregate that [`check_aggregate`] accepted in steps; `None` if it must see all rows at once.
#[must_use]
pub fn steps(sql: &str, schema: &Schema) -> Option<Steps> {
    let plan = || {
        let rows = DataFrame::empty_with_schema(schema).lazy();
        run_aggregate(sql, rows).map(|query| Steps::of(&query)).map_err(|error| explain(&error, schema))
    };
    guarded(plan).ok().flatten()
}

fn explain(error: &PolarsError, schema: &Schema) -> SqlError {
    if let PolarsError::Context { error, .. } = error {
        return explain(error, schema);
    }
    if let PolarsError::ColumnNotFound(text) = error {
        // The text quotes the name first: unable to find column "x"; valid columns: [...]
        let name = text.split('"').nth(1).unwrap_or(text).to_owned();
        let near = crate::config::nearest(&name, schema.iter_names().map(PlSmallStr::as_str)).map(str::to_owned);
        return SqlError::UnknownColumn { name, near };
    }
    let error = plan_error(error);
    let text = error.to_string();
    match OWN.iter().find(|name| text.contains("unsupported function") && text.contains(*name)) {
        Some(name) => SqlError::Function {
            message: format!("{name}() cannot stand inside a sub-select or a UNION"),
            hint: "move that query into WITH, or make it a derived column".to_owned(),
        },
        None => error,
    }
}
