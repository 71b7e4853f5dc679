//! Exemplars: for each bucket of a histogram of files, the last file that fell into it.
//!
//! They lead from a slow bucket to one file's log lines and story. Held outside of the recorder, which knows none; told in
//! OpenMetrics only. One per bucket of a series, so their number is bounded by that of the series.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::job::{FileId, Timestamp};

/// Most characters an exemplar's label names and values may have together, by the OpenMetrics specification.
const LONGEST: usize = 128;

/// One file, as the example of a bucket.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Exemplar {
    /// The label set, in braces.
    labels: String,
    value: f64,
    at: Timestamp,
}

impl Exemplar {
    /// Returns the exemplar of a file's sample; `None` if its ids are too long to be told. A file without an attempt has no
    /// trace id.
    pub(super) fn new(trace_id: &str, id: &FileId, value: f64, at: Timestamp) -> Option<Self> {
        let pairs = [("trace_id", trace_id), ("file_id", id.as_str())];
        let told: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let length: usize = told.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
        let plain = told.iter().all(|(_, value)| value.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        if length > LONGEST || !plain || !value.is_finite() {
            return None;
        }
        let labels: Vec<String> = told.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        Some(Self { labels: format!("{{{}}}", labels.join(",")), value, at })
    }
}

impl fmt::Display for Exemplar {
    /// Writes what stands behind the `#`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.at.0.div_euclid(1_000_000);
        let (seconds, rest) = (milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
        write!(f, "{} {} {seconds}.{rest:03}", self.labels, self.value)
    }
}

/// The last exemplar of each bucket of one series.
#[derive(Debug)]
pub(super) struct Seen {
    bounds: &'static [f64],
    last: Mutex<Vec<Option<Exemplar>>>,
}

impl Seen {
    /// Returns a series nothing was seen of.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, last: Mutex::new(vec![None; bounds.len() + 1]) }
    }

    /// Keeps the exemplar in the bucket of its value.
    pub(super) fn put(&self, exemplar: Exemplar) {
        let bucket = self.bounds.partition_point(|bound| *bound < exemplar.value);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = last.get_mut(bucket) {
            *place = Some(exemplar);
        }
    }

    /// Returns what was seen last, by bucket; the last is that of `+Inf`.
    pub(super) fn last(&self) -> Vec<Option<Exemplar>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp(1_800_000_000_250_000_000);

    fn id() -> FileId {
        FileId::parse("01kah5zq8v3w").unwrap()
    }

    #[test]
    fn an_exemplar_names_the_trace_and_the_file() {
        let exemplar = Exemplar::new("0af7651916cd43dd8448eb211c80319c", &id(), 0.25, AT).unwrap();
        let written = "{trace_id=\"0af7651916cd43dd8448eb211c80319c\",file_id=\"01kah5zq8v3w\"} 0.25 1800000000.250";
        assert_eq!(exemplar.to_string(), written);
        let without = Exemplar::new("", &id(), 2.0, AT).unwrap().to_string();
        assert_eq!(without, "{file_id=\"01kah5zq8v3w\"} 2 1800000000.250");
    }

    #[test]
    fn what_the_format_cannot_hold_is_no_exemplar() {
        // trace_id and file_id have 15 characters, the id 12: 101 are left.
        assert!(Exemplar::new(&"a".repeat(101), &id(), 1.0, AT).is_some());
        assert_eq!(Exemplar::new(&"a".repeat(102), &id(), 1.0, AT), None);
        assert_eq!(Exemplar::new("a\"b", &id(), 1.0, AT), None);
        assert_eq!(Exemplar::new("a", &id(), f64::NAN, AT), None);
    }

    #[test]
    fn a_value_on_a_bound_belongs_to_that_bucket_and_the_last_one_stays() {
        let seen = Seen::new(&[1.0, 2.0]);
        for value in [1.0, 0.5, 2.5, 7.0] {
            seen.put(Exemplar::new("a", &id(), value, AT).unwrap());
        }
        let values: Vec<_> = seen.last().into_iter().map(|last| last.map(|exemplar| exemplar.value)).collect();
        assert_eq!(values, [Some(0.5), None, Some(7.0)]);
    }
}
