//! The recorder behind the catalogue, and handles that refuse what would spoil a series.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, Label, Metadata, Recorder as _};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::catalog::{Kind, Name, Scope, Values};
use super::exemplars::{Exemplar, Seen};
use super::exposition::{Exemplars, labels};
use crate::job::{FileId, Timestamp};

const METADATA: Metadata<'static> = Metadata::new("forebay", metrics::Level::INFO, None);

/// One recorder. Handles stay bound to it on every thread, so each test has its own.
pub(super) struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// What the traced histograms have seen, by labels.
    traced: Mutex<BTreeMap<(Name, String), Arc<Seen>>>,
}

impl Registry {
    /// Builds a recorder that knows the buckets and help texts of the catalogue.
    #[expect(clippy::expect_used, reason = "buckets are refused only when empty, and a test keeps the ladders filled")]
    pub(super) fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for metric in Name::ALL.iter().map(|name| name.metric()) {
            if let Kind::Histogram(ladder) = metric.kind {
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), ladder.bounds())
                    .expect("ladders are not empty");
            }
        }
        let recorder = builder.build_recorder();
        for metric in Name::ALL.iter().map(|name| name.metric()).filter(|metric| metric.scope == Scope::Daemon) {
            match metric.kind {
                Kind::Counter => {
                    recorder.describe_counter(metric.name.into(), None, metric.help().into());
                }
                Kind::Gauge => {
                    recorder.describe_gauge(metric.name.into(), None, metric.help().into());
                }
                Kind::Histogram(_) => {
                    recorder.describe_histogram(metric.name.into(), None, metric.help().into());
                }
            }
        }
        let handle = recorder.handle();
        Self { recorder, handle, traced: Mutex::default() }
    }

    /// Returns the text of all series, in the recorder's order.
    pub(super) fn render(&self) -> String {
        self.handle.render()
    }

    /// Sorts collected samples into their buckets, so that they do not pile up between scrapes.
    pub(super) fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Returns the counter of `name` with these label values, made at 0 if it is new.
    pub(super) fn counter(&self, name: Name, values: &[&str]) -> Counter {
        self.recorder.register_counter(&key(name, values), &METADATA)
    }

    /// Returns the gauge of `name` with these label values, made at 0 if it is new.
    pub(super) fn gauge(&self, name: Name, values: &[&str]) -> Level {
        Level(self.recorder.register_gauge(&key(name, values), &METADATA))
    }

    /// Returns the histogram of `name` with these label values, made empty if it is new.
    pub(super) fn histogram(&self, name: Name, values: &[&str]) -> Samples {
        Samples(self.recorder.register_histogram(&key(name, values), &METADATA))
    }

    /// Returns the histogram of `name` with these label values, with its exemplars; both are made empty if they are new.
    pub(super) fn traced(&self, name: Name, values: &[&str]) -> Traced {
        let bounds = match name.metric().kind {
            Kind::Histogram(ladder) => ladder.bounds(),
            Kind::Counter | Kind::Gauge => &[],
        };
        let mut traced = self.traced.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = traced.entry((name, labels(name, values))).or_insert_with(|| Arc::new(Seen::new(bounds)));
        Traced { samples: self.histogram(name, values), seen: Arc::clone(seen) }
    }

    /// Returns the last exemplars of every traced histogram.
    pub(super) fn exemplars(&self) -> Exemplars {
        let mut exemplars = Exemplars::new();
        for ((name, labels), seen) in self.traced.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            exemplars.entry(name.metric().name).or_default().insert(labels.clone(), seen.last());
        }
        exemplars
    }

    /// Makes one handle per word of the last label of `name`; `before` are the values of the labels before it.
    pub(super) fn per_word<H>(
        &self,
        name: Name,
        before: &[&str],
        make: impl Fn(&Self, Name, &[&str]) -> H,
    ) -> PerWord<H> {
        let words = match name.metric().labels.last().map(|label| label.values) {
            Some(Values::Set(words)) => words(),
            Some(Values::PerWord(sets)) => {
                let first = before.last().copied().unwrap_or_default();
                sets.iter().filter(|(word, _)| *word == first).flat_map(|(_, words)| words.iter().copied()).collect()
            }
            Some(Values::Pipeline | Values::Rule | Values::Build | Values::Worker) | None => Vec::new(),
        };
        let handle = |word: &'static str| {
            let values: Vec<&str> = before.iter().copied().chain([word]).collect();
            (word, make(self, name, &values))
        };
        let unknown = self.counter(Name::Errors, &["telemetry", "unknown_word"]);
        PerWord { handles: words.into_iter().map(handle).collect(), unknown }
    }
}

fn key(name: Name, values: &[&str]) -> Key {
    let metric = name.metric();
    debug_assert_eq!(metric.labels.len(), values.len(), "{name:?} takes one value per label");
    let labels: Vec<Label> =
        metric.labels.iter().zip(values).map(|(label, value)| Label::new(label.name, (*value).to_owned())).collect();
    Key::from_parts(metric.name, labels)
}

/// The single gate for samples: one NaN would spoil a sum for the life of the process.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// A gauge that takes finite values only.
pub(super) struct Level(Gauge);

impl Level {
    pub(super) fn set(&self, value: f64) {
        if let Some(value) = finite(value) {
            self.0.set(value);
        }
    }

    pub(super) fn set_count(&self, count: u64) {
        self.set(number(count));
    }

    pub(super) fn raise(&self, by: u64) {
        self.0.increment(number(by));
    }

    pub(super) fn lower(&self, by: u64) {
        self.0.decrement(number(by));
    }
}

/// A histogram that takes finite values only.
pub(super) struct Samples(Histogram);

impl Samples {
    pub(super) fn add(&self, value: f64) {
        if let Some(value) = finite(value) {
            self.0.record(value);
        }
    }

    pub(super) fn add_count(&self, count: u64) {
        self.add(number(count));
    }
}

/// A histogram that remembers the last file of each bucket.
pub(super) struct Traced {
    samples: Samples,
    seen: Arc<Seen>,
}

impl Traced {
    /// Takes the sample of one file.
    pub(super) fn add(&self, value: f64, of: &Whose<'_>) {
        self.samples.add(value);
        if let Some(exemplar) = Exemplar::new(of.trace_id, of.id, value, of.at) {
            self.seen.put(exemplar);
        }
    }
}

/// Whose sample it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) trace_id: &'a str,
    pub(super) id: &'a FileId,
    pub(super) at: Timestamp,
}

/// A gauge that does not exist before its value is known.
pub(super) struct Late {
    registry: Arc<Registry>,
    name: Name,
    values: Vec<String>,
    gauge: OnceLock<Level>,
}

impl Late {
    pub(super) fn new(registry: &Arc<Registry>, name: Name, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Self { registry: Arc::clone(registry), name, values, gauge: OnceLock::new() }
    }

    pub(super) fn set(&self, value: f64) {
        let Some(value) = finite(value) else { return };
        let make = || {
            let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
            self.registry.gauge(self.name, &values)
        };
        self.gauge.get_or_init(make).set(value);
    }

    pub(super) fn set_count(&self, count: u64) {
        self.set(number(count));
    }
}

/// One handle per word of a closed set. A word that is not in the set is our own mistake, and is counted as one.
pub(super) struct PerWord<H> {
    handles: Vec<(&'static str, H)>,
    unknown: Counter,
}

impl<H> PerWord<H> {
    /// Returns the handle of `word`.
    pub(super) fn get(&self, word: &str) -> Option<&H> {
        let found = self.find(word);
        if found.is_none() {
            self.unknown.increment(1);
        }
        found
    }

    /// Returns the handle of `word`; a miss is the caller's to handle.
    pub(super) fn find(&self, word: &str) -> Option<&H> {
        self.handles.iter().find(|(known, _)| *known == word).map(|(_, handle)| handle)
    }

    /// Returns every word with its handle.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(&'static str, H)> {
        self.handles.iter()
    }
}

/// Counts as Prometheus has them: exact to 2^53.
#[expect(clippy::cast_precision_loss, reason = "Prometheus numbers are f64")]
pub(super) const fn number(count: u64) -> f64 {
    count as f64
}
