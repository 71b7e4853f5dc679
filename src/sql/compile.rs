//! One row expression: from text to a Polars expression that provably looks at one row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use polars::prelude::{DataFrame, DataType, DslPlan, Expr, IntoLazy as _, LazyFrame, PolarsError, Schema};
use polars::sql::SQLContext;
use polars_plan::plans::{AExpr, ExprToIRContext, IRAggExpr, is_elementwise, to_expr_ir};
use polars_plan::prelude::Arena;

use super::functions::Registry;
use super::{SqlError, TABLE, syntax};

/// The name our own SELECT gives the expression.
const VALUE: &str = "forebay value";

/// Compiles one expression over one row, and returns it with its type. The expression carries no name: alias it, and use
/// it where a single value is repeated for all rows (`with_columns`).
///
/// Refuses unknown columns, expressions that name no column, and whatever looks at more than one row. Only plans: what a
/// plan cannot tell, [`try_row`] finds.
pub fn compile_row(sql: &str, schema: &Schema) -> Result<(Expr, DataType), SqlError> {
    let mut tree = syntax::expression(sql)?;
    syntax::check_row(&tree, schema)?;
    syntax::values_first(&mut tree);
    let (expr, dtype) = guarded(|| plan_row(&tree.to_string(), schema))?;
    check_row_local(&expr, schema)?;
    Ok((expr, dtype))
}

/// Returns a context whose table `rows` is `rows`, with our functions registered.
pub(super) fn context(rows: LazyFrame) -> SQLContext {
    silence_polars();
    let context = SQLContext::new().with_function_registry(Arc::new(Registry));
    context.register(TABLE, rows);
    context
}

fn plan_row(sql: &str, schema: &Schema) -> Result<(Expr, DataType), SqlError> {
    let mut context = context(DataFrame::empty_with_schema(schema).lazy());
    let query = format!("SELECT ({sql}) AS \"{VALUE}\" FROM {TABLE}");
    let mut frame = context.execute(&query).map_err(|error| plan_error(&error))?;
    let dtype = frame.collect_schema().map_err(|error| plan_error(&error))?.get(VALUE).cloned();
    let (Some(dtype), Some(expr)) = (dtype, selected(&frame.logical_plan)) else {
        return Err(SqlError::unsupported("cannot be computed from one row alone"));
    };
    Ok((expr, dtype))
}

/// Runs a compiled expression over no rows: planning lets types pass that cannot be computed with (`text > 5`).
pub fn try_row(expr: &Expr, dtype: &DataType, schema: &Schema) -> Result<(), SqlError> {
    guarded(|| {
        let rows = DataFrame::empty_with_schema(schema).lazy();
        let rows = rows.with_columns([expr.clone().alias(VALUE)]).collect().map_err(|error| plan_error(&error))?;
        let found = rows.column(VALUE).map_err(|error| plan_error(&error))?.dtype();
        if found != dtype {
            let (said, found) = (super::type_name(dtype), super::type_name(found));
            return Err(SqlError::unsupported(format!("planned as {said}, but gives {found}")));
        }
        Ok(())
    })
}

/// Polars prints warnings about its own use of itself to stderr, where only our log belongs.
fn silence_polars() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| polars_error::set_warning_function(|_, _| {}));
}

/// Takes the one expression out of `SELECT ... FROM rows`; any other plan means that rows are combined.
fn selected(plan: &DslPlan) -> Option<Expr> {
    let DslPlan::Select { expr, input, .. } = as_written(plan) else {
        return None;
    };
    if !matches!(as_written(input), DslPlan::DataFrameScan { .. }) {
        return None;
    }
    match expr.as_slice() {
        [Expr::Alias(inner, name)] if name.as_str() == VALUE => Some(inner.as_ref().clone()),
        _ => None,
    }
}

/// Asking a plan for its schema wraps it.
pub(super) fn as_written(mut plan: &DslPlan) -> &DslPlan {
    while let DslPlan::IR { dsl, .. } = plan {
        plan = dsl;
    }
    plan
}

/// Lowers the expression and asks Polars, node by node, whether it keeps rows apart.
pub(super) fn check_row_local(expr: &Expr, schema: &Schema) -> Result<(), SqlError> {
    let mut arena = Arena::new();
    let mut context = ExprToIRContext::new(&mut arena, schema);
    let root = to_expr_ir(expr.clone(), &mut context).map_err(|error| plan_error(&error))?.node();
    let mut stack = polars::polars_utils::unitvec![root];
    while let Some(node) = stack.pop() {
        let node = arena.get(node);
        // `x IN (1, 2)` carries its list as an imploded literal: the same for every row.
        let is_list = |input: &_| matches!(arena.get(*input), AExpr::Literal(_));
        if matches!(node, AExpr::Agg(IRAggExpr::Implode { input, .. }) if is_list(input)) {
            continue;
        }
        if !is_elementwise(&mut stack, node, &arena) {
            return Err(SqlError::NotRowLocal { what: "this expression".to_owned() });
        }
    }
    Ok(())
}

/// Polars has a few panics on odd input; a configuration must not end the program.
pub(super) fn guarded<T>(plan: impl FnOnce() -> Result<T, SqlError>) -> Result<T, SqlError> {
    catch_unwind(AssertUnwindSafe(plan)).unwrap_or_else(|_| Err(SqlError::unsupported("cannot be planned by Polars")))
}

/// The one place where a Polars error becomes ours.
pub(super) fn plan_error(error: &PolarsError) -> SqlError {
    SqlError::unsupported(short(&error.to_string()))
}

/// Returns the first line, at most 200 characters.
pub(super) fn short(message: &str) -> String {
    let line = message.trim().lines().next().unwrap_or_default().trim_end_matches([':', ' ']);
    match line.char_indices().nth(200) {
        Some((at, _)) => line.get(..at).map(|head| format!("{head}...")).unwrap_or_default(),
        None => line.to_owned(),
    }
}
