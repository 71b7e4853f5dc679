//! The functions SQL texts may use: those of Polars by name, and our own, which Polars lacks.

use std::sync::LazyLock;

use polars::lazy::dsl::{BaseColumnUdf, UserDefinedFunction};
use polars::prelude::arity::broadcast_binary_elementwise;
use polars::prelude::{
    ChunkApply as _, Column, DataType, Field, Int64Chunked, IntoColumn as _, IntoSeries as _, PolarsResult, Schema,
    TimeUnit, TimeZone, polars_bail,
};
use polars::sql::{FunctionOptions, FunctionRegistry};

use super::civil::{self, Unit};

/// Units of our functions, shortest first.
pub(crate) const UNITS: [&str; 10] =
    ["microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"];

/// Our own functions.
pub(super) const OWN: [&str; 4] = ["date_diff", "date_sub", "date_trunc", "epoch"];

/// Functions of one row. Special forms (CAST, EXTRACT, CASE, TRIM, SUBSTRING, POSITION, CEIL, FLOOR) are syntax, not names.
#[rustfmt::skip]
pub(super) const ROW_FUNCTIONS: &[&str] = &[
    "abs", "acos", "acosd", "array_contains", "array_get", "array_length", "array_to_string",
    "asin", "asind", "atan", "atan2", "atan2d", "atand", "bit_and", "bit_count", "bit_length",
    "bit_not", "bit_or", "bit_xor", "cbrt", "ceil", "ceiling", "char_length", "character_length", "coalesce", "concat",
    "concat_ws", "cos", "cosd", "cot", "cotd", "date", "date_diff", "date_part", "date_sub", "date_trunc", "datetime",
    "degrees", "div", "ends_with", "epoch", "exp", "floor", "greatest", "if", "ifnull", "least", "left", "length", "ln",
    "log", "log10", "log1p", "log2", "lower", "lpad", "ltrim", "mod", "normalize", "nullif", "octet_length", "pi", "pow",
    "power", "radians", "regexp_like", "replace", "reverse", "right", "round", "rpad", "rtrim", "sign", "sin", "sind",
    "split_part", "sqrt", "starts_with", "strftime", "string_to_array", "strpos", "strptime", "substr", "tan", "tand", "time", "timestamp",
    "trunc", "truncate", "upper", "xor",
];

/// Functions over many rows.
#[rustfmt::skip]
pub(super) const AGGREGATES: &[&str] = &[
    "array_agg", "avg", "corr", "count", "covar", "covar_pop", "covar_samp", "first", "group_concat", "last", "listagg",
    "max", "median", "min", "quantile_cont", "quantile_disc", "stddev", "stddev_samp", "stdev", "stdev_samp", "string_agg",
    "sum", "total", "unnest", "var", "var_samp", "variance",
];

/// Functions that need OVER.
#[rustfmt::skip]
pub(super) const WINDOWS: &[&str] = &["dense_rank", "first_value", "lag", "last_value", "lead", "rank", "row_number"];

/// Made once: to Polars two calls are the same only if their function is the same object, and GROUP BY depends on that.
static FUNCTIONS: LazyLock<[UserDefinedFunction; 4]> = LazyLock::new(|| {
    [
        elementwise("date_trunc", date_trunc, date_trunc_field),
        elementwise("date_diff", |args| between(args, Unit::boundaries), between_field),
        elementwise("date_sub", |args| between(args, Unit::elapsed), between_field),
        elementwise("epoch", epoch, epoch_field),
    ]
});

/// Hands our functions to Polars SQL. Their arguments come values first, as [`super::syntax::values_first`] leaves them.
pub(super) struct Registry;

impl FunctionRegistry for Registry {
    fn register(&mut self, name: &str, _: UserDefinedFunction) -> PolarsResult<()> {
        polars_bail!(InvalidOperation: "{name} cannot be added: the functions are fixed")
    }

    fn get_udf(&self, name: &str) -> PolarsResult<Option<UserDefinedFunction>> {
        Ok(FUNCTIONS.iter().find(|function| function.name == name).cloned())
    }

    fn contains(&self, name: &str) -> bool {
        OWN.contains(&name)
    }
}

/// Polars keeps such a function row by row, also in its streaming engine.
pub(super) fn elementwise(
    name: &'static str,
    call: impl Fn(&mut [Column]) -> PolarsResult<Column> + Send + Sync + 'static,
    field: impl Fn(&Schema, &[Field]) -> PolarsResult<Field> + Send + Sync + 'static,
) -> UserDefinedFunction {
    let mut function = UserDefinedFunction::new(name.into(), BaseColumnUdf::new(call, field));
    function.options = FunctionOptions::elementwise();
    function
}

fn is_temporal(dtype: &DataType) -> bool {
    matches!(dtype, DataType::Date | DataType::Datetime(..))
}

fn zone_of(dtype: &DataType) -> Option<&TimeZone> {
    if let DataType::Datetime(_, zone) = dtype { zone.as_ref() } else { None }
}

fn date_trunc_field(_: &Schema, fields: &[Field]) -> PolarsResult<Field> {
    let [value, _] = fields else {
        polars_bail!(SQLSyntax: "date_trunc takes a unit and a date or datetime: date_trunc('hour', a)")
    };
    Ok(Field::new(value.name().clone(), truncated(value.dtype())?))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and large")]
fn truncated(dtype: &DataType) -> PolarsResult<DataType> {
    match dtype {
        DataType::Date => Ok(DataType::Date),
        DataType::Datetime(_, zone) => Ok(DataType::Datetime(TimeUnit::Microseconds, zone.clone())),
        other => polars_bail!(SQLSyntax: "date_trunc takes a date or a datetime, not {}", super::type_name(other)),
    }
}

fn date_trunc(args: &mut [Column]) -> PolarsResult<Column> {
    let [value, unit] = args else { polars_bail!(SQLSyntax: "date_trunc takes 2 arguments") };
    let dtype = truncated(value.dtype())?;
    let Some(unit) = unit_of(unit)? else {
        return Ok(Column::full_null(value.name().clone(), value.len(), &dtype));
    };
    let zone = parse_zone(zone_of(&dtype))?;
    let micros = micros(value)?;
    let floored = match zone {
        None => micros.apply_values(|at| unit.floor(at)),
        Some(zone) => micros.apply_values(|at| civil::from_local(unit.floor(civil::to_local(at, zone)), at, zone)),
    };
    let floored = floored.into_datetime(TimeUnit::Microseconds, zone_of(&dtype).cloned());
    Ok(floored.into_series().cast(&dtype)?.into_column())
}

fn between_field(_: &Schema, fields: &[Field]) -> PolarsResult<Field> {
    let [a, b, _] = fields else {
        polars_bail!(SQLSyntax: "takes a unit and two dates or datetimes: date_diff('hour', a, b)")
    };
    for field in [a, b] {
        if !is_temporal(field.dtype()) {
            polars_bail!(SQLSyntax: "date_diff and date_sub take dates or datetimes, not {}; a literal is DATE '2026-01-31'", super::type_name(field.dtype()));
        }
    }
    let (zone_a, zone_b) = (zone_of(a.dtype()), zone_of(b.dtype()));
    if zone_a.is_some() != zone_b.is_some() {
        polars_bail!(SQLSyntax: "date_diff and date_sub cannot compare a datetime with a time zone to one without");
    }
    Ok(Field::new(a.name().clone(), DataType::Int64))
}

fn between(args: &mut [Column], count: impl Fn(Unit, i64, i64) -> i64) -> PolarsResult<Column> {
    let [a, b, unit] = args else { polars_bail!(SQLSyntax: "takes 3 arguments") };
    let Some(unit) = unit_of(unit)? else {
        return Ok(Column::full_null(a.name().clone(), a.len().max(b.len()), &DataType::Int64));
    };
    // Up to the hour instants are compared; days and longer are days of the calendar in the zone of `a`.
    let zone = if matches!(unit, Unit::Fixed(_)) { None } else { parse_zone(zone_of(a.dtype()))? };
    let local = |at: i64| zone.map_or(at, |zone| civil::to_local(at, zone));
    let (name, a, b) = (a.name().clone(), micros(a)?, micros(b)?);
    let counted: Int64Chunked =
        broadcast_binary_elementwise(&a, &b, |a: Option<i64>, b: Option<i64>| Some(count(unit, local(a?), local(b?))));
    Ok(counted.with_name(name).into_column())
}

fn epoch_field(_: &Schema, fields: &[Field]) -> PolarsResult<Field> {
    match fields {
        [value] if is_temporal(value.dtype()) => Ok(Field::new(value.name().clone(), DataType::Int64)),
        _ => polars_bail!(SQLSyntax: "epoch takes one date or datetime: epoch(a)"),
    }
}

fn epoch(args: &mut [Column]) -> PolarsResult<Column> {
    let [value] = args else { polars_bail!(SQLSyntax: "epoch takes 1 argument") };
    Ok(micros(value)?.apply_values(|at| at.div_euclid(1_000_000)).into_column())
}

/// The unit is a literal, checked when the text was; a frame without rows may carry none.
fn unit_of(column: &Column) -> PolarsResult<Option<Unit>> {
    let Some(text) = column.str()?.get(0) else {
        return Ok(None);
    };
    match Unit::parse(text) {
        Some(unit) => Ok(Some(unit)),
        None => polars_bail!(SQLSyntax: "'{text}' is no unit: {}", UNITS.join(" ")),
    }
}

fn parse_zone(zone: Option<&TimeZone>) -> PolarsResult<Option<chrono_tz::Tz>> {
    let Some(zone) = zone else { return Ok(None) };
    match zone.as_str().parse() {
        Ok(chrono_tz::Tz::UTC) => Ok(None),
        Ok(zone) => Ok(Some(zone)),
        Err(_) => polars_bail!(SQLSyntax: "unknown time zone '{zone}'"),
    }
}

/// Returns the values as microseconds since 1970 (UTC for those with a zone).
fn micros(column: &Column) -> PolarsResult<Int64Chunked> {
    let zone = zone_of(column.dtype()).cloned();
    let series = column.cast(&DataType::Datetime(TimeUnit::Microseconds, zone))?;
    let series = series.as_materialized_series().to_physical_repr().into_owned();
    Ok(series.i64()?.clone())
}
