//! What an entry of the catalogue may be: types, units, ladders of buckets, and where label values come from.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// A state, now.
    Gauge,
    /// Samples sorted into a ladder of buckets.
    Histogram(Ladder),
}

impl Kind {
    /// Returns the word of the `# TYPE` line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What the numbers of a metric count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things: files, rows, events; and yes or no.
    Count,
    /// Seconds, of a timestamp those since 1970.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// Returns its word, which is the last of a metric's name; things have none.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Count => None,
            Self::Seconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
        }
    }
}

/// The upper bounds of a histogram's buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ladder {
    /// 5 ms to an hour: how long a file takes for those who wait for it. Fine enough for an objective.
    Seconds,
    /// The same span in coarser steps: parts of a file's time, of which there are many series.
    Parts,
    /// 1 KiB to 64 GiB.
    Bytes,
    /// 1 to 1e9.
    Rows,
}

impl Ladder {
    /// Every ladder.
    pub const ALL: &'static [Self] = &[Self::Seconds, Self::Parts, Self::Bytes, Self::Rows];

    /// Returns the bounds, ascending, without `+Inf`.
    #[must_use]
    pub const fn bounds(self) -> &'static [f64] {
        match self {
            Self::Seconds => &[
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
                3600.0,
            ],
            Self::Parts => &[0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0],
            Self::Bytes => &[
                1024.0,
                4096.0,
                16_384.0,
                65_536.0,
                262_144.0,
                1_048_576.0,
                4_194_304.0,
                16_777_216.0,
                67_108_864.0,
                268_435_456.0,
                1_073_741_824.0,
                4_294_967_296.0,
                17_179_869_184.0,
                68_719_476_736.0,
            ],
            Self::Rows => &[1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9],
        }
    }
}

/// A label: its name and where its values come from.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// Where the values of a label come from.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// The pipelines of the config.
    Pipeline,
    /// The rules of the pipeline.
    Rule,
    /// A closed set.
    Set(fn() -> Vec<&'static str>),
    /// A closed set for each value of the label before it.
    PerWord(&'static [(&'static str, &'static [&'static str])]),
    /// One value each: facts of this build.
    Build,
    /// Numbers of the workers, from 0.
    Worker,
}

/// When a series of a metric exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Born {
    /// From the first scrape, at 0 (info metrics at 1).
    Zero,
    /// Once the value is known: a 0 would be a lie. What alerts compare is not known before ledger and inbox were looked at.
    Known,
}

/// Who exports a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The daemon, through the recorder.
    Daemon,
    /// The daemon, appended to the recorder's text: fractional counters, and series that may vanish.
    Appended,
    /// `forebay once`, by `--textfile` or `--push`.
    OneShot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ladders_ascend() {
        for ladder in Ladder::ALL {
            assert!(ladder.bounds().is_sorted_by(|a, b| a < b), "{ladder:?}");
            assert!(ladder.bounds().iter().all(|bound| bound.is_finite() && *bound > 0.0), "{ladder:?}");
        }
    }
}
