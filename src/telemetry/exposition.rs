//! The exposition: what the recorder and we ourselves know, as families of series, sorted whatever order they come in.
//!
//! One [`Exposition`] is one moment. It can be written in both formats and cut down to some families, and says the same in
//! each: see [`text`] and [`openmetrics`].

mod openmetrics;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};

use super::catalog::Name;
use super::exemplars::Exemplar;
use crate::job::Timestamp;

/// The formats `/metrics` is told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, 0.0.4.
    Text,
    /// OpenMetrics 1.0, with exemplars and creation times.
    OpenMetrics,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Self] = &[Self::Text, Self::OpenMetrics];

    /// Returns its media type, as `Content-Type` has it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Everything there is to tell, as it was at one moment.
#[derive(Debug, Default)]
pub struct Exposition {
    pub(super) page: Page,
    pub(super) exemplars: Exemplars,
    pub(super) born: Born,
}

/// The last exemplars by metric, labels and bucket.
pub(super) type Exemplars = BTreeMap<&'static str, BTreeMap<String, Vec<Option<Exemplar>>>>;

impl Exposition {
    /// Writes it down. With `names`, only families of these names: as the text format spells them, or OpenMetrics does.
    #[must_use]
    pub fn write(&self, format: Format, names: &BTreeSet<String>) -> String {
        let wanted = |name: &&String| {
            names.is_empty()
                || names.contains(*name)
                || name.strip_suffix("_total").is_some_and(|base| names.contains(base))
        };
        let families = self.page.families.iter().filter(|(name, _)| wanted(name));
        match format {
            Format::Text => text::write(families),
            Format::OpenMetrics => openmetrics::write(families, &self.exemplars, &self.born),
        }
    }
}

/// When series were created: what OpenMetrics tells as `_created`.
#[derive(Debug, Clone, Default)]
pub(super) struct Born {
    /// The telemetry itself, and with it every series that is no pipeline's.
    pub(super) daemon: Timestamp,
    /// Pipelines, whose series come with the config that names them.
    pub(super) pipelines: BTreeMap<String, Timestamp>,
    /// The process, whose CPU time counts from there; in seconds.
    pub(super) process: Option<f64>,
}

impl Born {
    /// Returns when the series of `family` with these labels began to count, in seconds since the epoch.
    fn of(&self, family: &str, labels: &str) -> f64 {
        if family.starts_with("process_")
            && let Some(start) = self.process
        {
            return start;
        }
        pipeline_of(labels).and_then(|name| self.pipelines.get(name)).unwrap_or(&self.daemon).as_seconds()
    }
}

/// Returns the pipeline a label set names. Names need no escapes, and theirs is the first label.
fn pipeline_of(labels: &str) -> Option<&str> {
    labels.strip_prefix("{pipeline=\"")?.split('"').next()
}

/// One family.
#[derive(Debug, Default, Clone)]
struct Family {
    help: String,
    /// The word of its `# TYPE` line.
    kind: String,
    /// By the label set, so that a series is there once.
    series: BTreeMap<String, Series>,
}

/// The values of one series, as text: nothing is computed with them here.
#[derive(Debug, Clone)]
enum Series {
    /// A counter or a gauge.
    Value(String),
    /// A histogram: cumulated counts by upper bound.
    Buckets { counts: Vec<(String, String)>, sum: String, count: String },
}

/// A page under construction.
#[derive(Debug, Default, Clone)]
pub(super) struct Page {
    families: BTreeMap<String, Family>,
}

impl Page {
    /// Reads what the recorder rendered: families separated by blank lines, in hash order.
    pub(super) fn parse(text: &str) -> Self {
        let mut page = Self::default();
        for block in text.split("\n\n") {
            let mut family = Family::default();
            let mut name = "";
            let mut histogram = Buckets::default();
            for line in block.lines().filter(|line| !line.is_empty()) {
                if let Some(help) = line.strip_prefix("# HELP ") {
                    let (named, help) = help.split_once(' ').unwrap_or((help, ""));
                    (name, family.help) = (named, help.to_owned());
                } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                    let (named, kind) = kind.split_once(' ').unwrap_or((kind, ""));
                    (name, family.kind) = (named, kind.to_owned());
                } else if let Some((labels, series)) = histogram.take(name, line) {
                    family.series.insert(labels, series);
                }
            }
            if !name.is_empty() {
                page.families.insert(name.to_owned(), family);
            }
        }
        page
    }

    /// Adds one sample of a metric of the catalogue, described if it is the first.
    pub(super) fn add(&mut self, name: Name, values: &[&str], value: impl Display) {
        let metric = name.metric();
        let family = self.families.entry(metric.name.to_owned()).or_insert_with(|| Family {
            help: metric.help().to_owned(),
            kind: metric.kind.as_str().to_owned(),
            series: BTreeMap::new(),
        });
        family.series.insert(labels(name, values), Series::Value(value.to_string()));
    }

    /// Keeps, of the series with a pipeline, those `keep` says yes to: told the pipeline and, if there is one, the rule.
    pub(super) fn keep_pipelines(&mut self, keep: impl Fn(&str, Option<&str>) -> bool) {
        for family in self.families.values_mut() {
            family.series.retain(|labels, _| {
                let rule = labels.split_once(",rule=\"").and_then(|(_, rest)| rest.split('"').next());
                pipeline_of(labels).is_none_or(|pipeline| keep(pipeline, rule))
            });
        }
        self.families.retain(|_, family| !family.series.is_empty());
    }

    /// Returns the text, format 0.0.4.
    pub(super) fn text(&self) -> String {
        text::write(self.families.iter())
    }
}

/// The lines of one series on their way; a histogram's ends with its count.
#[derive(Debug, Default)]
struct Buckets {
    counts: Vec<(String, String)>,
    sum: String,
}

impl Buckets {
    /// Takes a line of the family `name`. Returns its series once that is whole, by its labels.
    fn take(&mut self, name: &str, line: &str) -> Option<(String, Series)> {
        let (sample, value) = line.rsplit_once(' ')?;
        let (metric, labels) = match sample.find('{') {
            Some(at) => sample.split_at(at),
            None => (sample, ""),
        };
        match metric.strip_prefix(name)? {
            "_bucket" => {
                let bound = labels.rsplit_once("le=\"")?.1.trim_end_matches("\"}");
                self.counts.push((bound.to_owned(), value.to_owned()));
                None
            }
            "_sum" => {
                value.clone_into(&mut self.sum);
                None
            }
            "_count" => {
                let Self { counts, sum } = std::mem::take(self);
                Some((labels.to_owned(), Series::Buckets { counts, sum, count: value.to_owned() }))
            }
            _ => Some((labels.to_owned(), Series::Value(value.to_owned()))),
        }
    }
}

/// Returns the label set of a series, in braces; empty without labels.
pub(super) fn labels(name: Name, values: &[&str]) -> String {
    let pairs = name.metric().labels.iter().zip(values);
    let labels: Vec<String> = pairs.map(|(label, value)| format!("{}=\"{}\"", label.name, escape(value))).collect();
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
}

/// Returns the label set with one more label at its end.
fn with_label(labels: &str, name: &str, value: &str) -> String {
    match labels.strip_suffix('}') {
        Some(open) => format!("{open},{name}=\"{value}\"}}"),
        None => format!("{{{name}=\"{value}\"}}"),
    }
}

/// Writes one line. Writing to a string cannot fail.
fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(line);
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
    text.push('\n');
}

/// Escapes a label value. Ours need none; this makes it true for the next one too.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => {
                // A control character cannot be spelled in the format; its code point can.
                let written = write!(escaped, "u{:04x}", u32::from(c));
                debug_assert!(written.is_ok(), "writing to a string cannot fail");
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
