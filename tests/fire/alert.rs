//! What tells one alert from another.

use std::fmt;

use serde_json::Value;

/// An alert as it is expected, or as it was heard of. A label that it does not have is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) severity: String,
    pub(crate) job: String,
    pub(crate) instance: String,
    pub(crate) pipeline: String,
}

impl Alert {
    /// Returns an alert that pages somebody.
    pub(crate) fn critical(name: &str, instance: &str) -> Self {
        Self::new(name, "critical", instance)
    }

    /// Returns an alert that can wait until the morning.
    pub(crate) fn warning(name: &str, instance: &str) -> Self {
        Self::new(name, "warning", instance)
    }

    fn new(name: &str, severity: &str, instance: &str) -> Self {
        let (name, severity) = (name.to_owned(), severity.to_owned());
        Self { name, severity, job: "forebay".to_owned(), instance: instance.to_owned(), pipeline: String::new() }
    }

    /// Returns the same alert of a pipeline.
    pub(crate) fn of(self, pipeline: &str) -> Self {
        Self { pipeline: pipeline.to_owned(), ..self }
    }

    /// Returns the same alert of another job.
    pub(crate) fn of_job(self, job: &str) -> Self {
        Self { job: job.to_owned(), ..self }
    }

    /// Reads the labels of a message.
    pub(crate) fn read(labels: &Value) -> Self {
        let label = |name: &str| labels[name].as_str().unwrap_or_default().to_owned();
        Self {
            name: label("alertname"),
            severity: label("severity"),
            job: label("job"),
            instance: label("instance"),
            pipeline: label("pipeline"),
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) of {} {}", self.name, self.severity, self.job, self.instance)?;
        if self.pipeline.is_empty() { Ok(()) } else { write!(f, ", pipeline {}", self.pipeline) }
    }
}
