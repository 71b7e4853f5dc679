//! What a panel's numbers count, worked out from the expression and the catalogue.

use std::collections::BTreeMap;

use forebay::telemetry::catalog::{Kind, Ladder, Metric};

use super::grafana::Query;
use super::promql::{Selector, selectors};
use crate::alerts::behind;

/// Makes a rate what grew in a step.
const PER_STEP: &str = " * ($__interval_ms / 1000)";

/// What is counted, in a second or at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Bytes,
    Seconds,
    /// A point in time: only its age can be shown.
    Moment,
    Things,
    Share,
}

/// Returns what is wrong with the unit of an answer, if something is.
pub(super) fn fault(catalogue: &BTreeMap<&str, &Metric>, query: &Query) -> Option<String> {
    let told = |expected: &[&str]| {
        let right = expected.contains(&query.unit.as_str());
        (!right).then(|| format!("{}: {} is not {expected:?}: {}", query.place, query.unit, query.expr))
    };
    match (shown(catalogue, query), per_second(query)) {
        (Err(fault), _) => Some(format!("{}: {fault}", query.place)),
        (Ok(Counted::Bytes), false) => told(&["bytes"]),
        (Ok(Counted::Bytes), true) => told(&["binBps"]),
        (Ok(Counted::Seconds), false) => told(&["s"]),
        (Ok(Counted::Things), false) => told(&["short"]),
        (Ok(Counted::Things), true) => told(&["cps", "reqps"]),
        (Ok(Counted::Share), _) | (Ok(Counted::Seconds), true) => told(&["percentunit"]),
        (Ok(Counted::Moment), _) => Some(format!("{}: a moment, not its age: {}", query.place, query.expr)),
    }
}

fn shown(catalogue: &BTreeMap<&str, &Metric>, query: &Query) -> Result<Counted, String> {
    let expr = query.expr.replace(PER_STEP, "");
    // How many, whatever they are.
    if expr.starts_with("count(") || expr.contains("> bool on ") {
        return Ok(Counted::Things);
    }
    let sides: Vec<Counted> = expr
        .split(" / ")
        .map(|side| {
            let selector = selectors(side).into_iter().next().ok_or_else(|| format!("asks for nothing: {side}"))?;
            let counted =
                counted(catalogue, &selector, query.kind == "heatmap" || side.contains("histogram_quantile("))?;
            Ok(if counted == Counted::Moment && side.contains("time() - ") { Counted::Seconds } else { counted })
        })
        .collect::<Result<_, String>>()?;
    match sides.as_slice() {
        [one] => Ok(*one),
        [above, below] if above == below => Ok(Counted::Share),
        [above, Counted::Things] => Ok(*above),
        _ => Err(format!("{sides:?} in {expr}")),
    }
}

/// Rates are per second, unless a rate is divided by a rate.
fn per_second(query: &Query) -> bool {
    let expr = &query.expr;
    !expr.contains(PER_STEP) && !expr.contains(" / ") && !expr.contains("histogram_quantile(") && expr.contains("rate(")
}

fn counted(catalogue: &BTreeMap<&str, &Metric>, selector: &Selector<'_>, in_buckets: bool) -> Result<Counted, String> {
    let name = selector.name;
    if name.contains(':') {
        let (_, rest) = name.split_once(':').unwrap();
        let (metric, operation) = rest.split_once(':').unwrap();
        return Ok(match () {
            () if operation.starts_with("ratio") => Counted::Share,
            () if operation.ends_with("timestamp") => Counted::Moment,
            () if metric.ends_with("_seconds") => Counted::Seconds,
            () => Counted::Things,
        });
    }
    if name == "ALERTS" {
        return Ok(Counted::Things);
    }
    let metric = behind(catalogue, name).ok_or_else(|| format!("there is no {name}"))?;
    let whole = match metric.kind {
        Kind::Histogram(_) if name.ends_with("_count") || (name.ends_with("_bucket") && !in_buckets) => Counted::Things,
        Kind::Histogram(Ladder::Seconds | Ladder::Parts) => Counted::Seconds,
        Kind::Histogram(Ladder::Bytes) => Counted::Bytes,
        Kind::Histogram(Ladder::Rows) => Counted::Things,
        Kind::Counter | Kind::Gauge => {
            let name = name.trim_end_matches("_total");
            let ends = |end: &str| name.ends_with(end);
            match () {
                () if ends("_timestamp_seconds") || ends("_start_time_seconds") => Counted::Moment,
                () if ends("_seconds") => Counted::Seconds,
                () if ends("_bytes") => Counted::Bytes,
                () => Counted::Things,
            }
        }
    };
    Ok(whole)
}
