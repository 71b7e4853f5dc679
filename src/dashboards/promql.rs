//! Questions to Prometheus, made of the catalogue's names: what is not in there cannot be asked for.

use crate::telemetry::catalog::{self, Kind, Metric, Name, Values};

/// A series of Prometheus' own: whether a target could be scraped.
pub(super) const UP: &str = "up";

/// Records of `alerts/forebay.rules.yml`; a test looks whether they are there.
pub(super) mod record {
    /// When Prometheus first saw the pipeline.
    pub(crate) const FIRST_SEEN: &str = "instance_pipeline:forebay_pipeline_info:first_timestamp";
    /// The objective `freshness`, over missed scrapes.
    pub(crate) const FRESHNESS: &str = "instance_pipeline:forebay_freshness_objective_seconds:last5m";
    /// The objective `latency`, over missed scrapes.
    pub(crate) const LATENCY: &str = "instance_pipeline:forebay_latency_objective_seconds:last5m";
    /// The latency that 85.6 % of the hour's files kept.
    pub(crate) const LATENCY_HOUR: &str = "instance_pipeline:forebay_file_latency_seconds:q856_rate1h";
    /// The latency that 94 % of six hours' files kept.
    pub(crate) const LATENCY_SIX_HOURS: &str = "instance_pipeline:forebay_file_latency_seconds:q94_rate6h";
    /// Rows that are neither written, rejected nor dropped.
    pub(crate) const UNACCOUNTED: &str = "instance_pipeline:forebay_rows_unaccounted:diff";
    /// Rejected of the rows read, within an hour.
    pub(crate) const REJECT_RATIO: &str = "instance_pipeline:forebay_rows_rejected:ratio_increase1h";
    /// Free of the size of a volume.
    pub(crate) const FREE_RATIO: &str = "instance_volume:forebay_filesystem_free:ratio";
    /// Memory of daemon and workers, of the budget.
    pub(crate) const RESIDENT_RATIO: &str = "instance:forebay_resident_memory:ratio";
}

/// What the numbers of a panel count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Bytes.
    Bytes,
    /// Bytes in a second.
    BytesPerSecond,
    /// Seconds.
    Seconds,
    /// Things.
    Count,
    /// Things in a second.
    PerSecond,
    /// Requests in a second.
    RequestsPerSecond,
    /// A part of one: shares, and seconds in a second.
    Share,
}

impl Unit {
    /// Returns the unit of a metric's values; of a timestamp the unit of its age.
    pub(super) fn of(name: Name) -> Self {
        match name.metric().unit {
            catalog::Unit::Bytes => Self::Bytes,
            catalog::Unit::Seconds => Self::Seconds,
            catalog::Unit::Count => Self::Count,
        }
    }

    /// Returns the unit of a counter's rate.
    pub(super) fn rate_of(name: Name) -> Self {
        match (Self::of(name), name) {
            (Self::Bytes, _) => Self::BytesPerSecond,
            (Self::Seconds, _) => Self::Share,
            (_, Name::HttpRequests) => Self::RequestsPerSecond,
            _ => Self::PerSecond,
        }
    }

    /// Returns Grafana's word for it.
    pub(super) const fn grafana(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "binBps",
            Self::Seconds => "s",
            Self::Count => "short",
            Self::PerSecond => "cps",
            Self::RequestsPerSecond => "reqps",
            Self::Share => "percentunit",
        }
    }
}

/// Returns the matchers every selector carries, and `more`.
fn matchers(pipeline: bool, more: &str) -> String {
    let pipeline = if pipeline { ", pipeline=~\"$pipeline\"" } else { "" };
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    format!("{{job=~\"$job\", instance=~\"$instance\"{pipeline}{more}}}")
}

fn has_pipeline(metric: &Metric) -> bool {
    metric.labels.iter().any(|label| matches!(label.values, Values::Pipeline))
}

fn select(name: Name, suffix: &str, more: &str) -> String {
    let metric = name.metric();
    debug_assert_eq!(matches!(metric.kind, Kind::Histogram(_)), !suffix.is_empty(), "{}", metric.name);
    format!("{}{suffix}{}", metric.name, matchers(has_pipeline(metric), more))
}

/// Keeps what is asked of forebay's own processes: every process has such metrics, Prometheus itself too, and all jobs are all
/// that Prometheus has.
fn ours(name: Name, expr: String) -> String {
    if !name.metric().name.starts_with("process_") {
        return expr;
    }
    format!("({expr} and on (job, instance) {})", select(Name::BuildInfo, "", ""))
}

/// Returns the selector of a metric: its series of the chosen jobs, instances and pipelines.
pub(super) fn of(name: Name) -> String {
    ours(name, select(name, "", ""))
}

/// Returns the selector of a metric's series that `more` fits, too.
pub(super) fn of_those(name: Name, more: &str) -> String {
    ours(name, select(name, "", more))
}

/// Returns the selector of a record, or of a series of Prometheus' own.
pub(super) fn series(name: &str) -> String {
    format!("{name}{}", matchers(name.starts_with("instance_pipeline:"), ""))
}

/// Returns the selector of the alerts in these states that concern what is chosen; of those that belong to no instance or no
/// pipeline, too: that no forebay is scraped at all is told of a job alone. By their names: all jobs are all that Prometheus
/// has, not only those that are forebay.
pub(super) fn alerts(states: &str) -> String {
    let (whose, ours) =
        ("job=~\"$job\", instance=~\"$instance|\", pipeline=~\"$pipeline|\"", "alertname=~\"Forebay.+\"");
    format!("ALERTS{{{whose}, {ours}, alertstate=~\"{states}\"}}")
}

/// Returns how fast a counter grows.
pub(super) fn rate(name: Name) -> String {
    ours(name, format!("rate({}[$__rate_interval])", select(name, "", "")))
}

/// Returns by how much a counter grew in each step. `increase` would count over a longer time than a step, so that bars side
/// by side told of more than there was.
pub(super) fn increase(name: Name) -> String {
    ours(name, in_a_step(&select(name, "", "")))
}

fn in_a_step(counter: &str) -> String {
    format!("rate({counter}[$__rate_interval]) * ($__interval_ms / 1000)")
}

/// Returns by how much a counter grew over all that is shown.
pub(super) fn over_range(name: Name, more: &str) -> String {
    format!("increase({}[$__range])", select(name, "", more))
}

/// Returns by how much the buckets of a histogram grew in each step, of everything shown together.
pub(super) fn buckets(name: Name) -> String {
    sum("le", &in_a_step(&select(name, "_bucket", "")))
}

/// Returns a quantile of a histogram for each value of a label.
pub(super) fn quantile(part: f64, by: &str, name: Name) -> String {
    let buckets = select(name, "_bucket", "");
    format!("histogram_quantile({part}, sum by ({by}, le) (rate({buckets}[$__rate_interval])))")
}

/// Returns how fast the sum of a histogram grows.
pub(super) fn sum_rate(name: Name) -> String {
    format!("rate({}[$__rate_interval])", select(name, "_sum", ""))
}

/// Returns how fast the count of a histogram grows.
pub(super) fn count_rate(name: Name) -> String {
    format!("rate({}[$__rate_interval])", select(name, "_count", ""))
}

/// Returns the sum for each value of the labels.
pub(super) fn sum(by: &str, expr: &str) -> String {
    format!("sum by ({by}) ({expr})")
}

/// Returns the largest for each value of the labels.
pub(super) fn max(by: &str, expr: &str) -> String {
    format!("max by ({by}) ({expr})")
}

/// Returns how long ago a time was that is there once known.
pub(super) fn age(name: Name) -> String {
    format!("clamp_min(time() - {}, 0)", of(name))
}

/// Returns how long ago a time was that is 0 for "none", as 0 then.
pub(super) fn age_or_zero(name: Name) -> String {
    let time = of(name);
    format!("clamp_min(time() - {time}, 0) * ({time} > bool 0)")
}
