//! The catalogue as a document: `docs/METRICS.md` and `forebay print metrics`.

use std::fmt::Write as _;

use super::catalog::{Born, ERROR_KINDS, HANDLER_CODES, Ladder, Metric, Name, Scope, Values};

const HEAD: &str = "# Metrics

<!-- Written by `forebay print metrics` from src/telemetry/catalog.rs. Do not edit: a test compares. -->

Every metric forebay exports, and nothing else. `/metrics` speaks the Prometheus text format 0.0.4 and, to those who ask for
it, OpenMetrics 1.0: there counters and histograms also tell when they were created, and the buckets of
`forebay_file_latency_seconds`, `forebay_file_wait_seconds` and `forebay_file_duration_seconds` carry the last file that fell
into them as an exemplar with `trace_id` and `file_id`. Scrape every 15 to 60 seconds.

Counters and histograms exist at 0 for every label value from the first scrape, so `increase()` sees the first event.
Metrics marked *once known* are absent until there is a true value: guard joins with `pipeline_info`.
No file name, path, id or error text is ever a label: every value comes from a closed set, or is the name of a pipeline or a
rule of the configuration. What is in no set makes no series; it counts as `other` where there is one, and in
`forebay_errors_total{component=\"telemetry\",kind=\"unknown_word\"}`.

Per pipeline, `rows_read = rows_written + rows_rejected + rows_dropped` whenever nothing is in flight: the counters of one
file move together, and no scrape sees half of them.
";

/// Returns the document, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    section(&mut text, "The daemon", |metric| metric.scope != Scope::OneShot && metric.name.starts_with("forebay_"));
    section(&mut text, "The process", |metric| metric.name.starts_with("process_"));
    text.push_str("\nA value the system does not tell is left out.\n");
    section(&mut text, "One-shot runs", |metric| metric.scope == Scope::OneShot);
    text.push_str(
        "\nWritten by `forebay once --textfile` and `--push`. They describe the last run, so they are all gauges.\n",
    );
    text.push_str("\n## Buckets\n\n| histograms of | upper bounds |\n|---|---|\n");
    for ladder in Ladder::ALL {
        let bounds: Vec<String> = ladder.bounds().iter().map(f64::to_string).collect();
        row(&mut text, &[&format!("{ladder:?}").to_lowercase(), &bounds.join(" ")]);
    }
    pairs(&mut text, "Errors", "component", "kind", ERROR_KINDS);
    pairs(&mut text, "HTTP requests", "handler", "code", HANDLER_CODES);
    text
}

fn section(text: &mut String, title: &str, wanted: impl Fn(&Metric) -> bool) {
    let line = format!(
        "\n## {title}\n\n| name | type | unit | labels | exists | since | meaning |\n|---|---|---|---|---|---|---|\n"
    );
    text.push_str(&line);
    for metric in Name::ALL.iter().map(|name| name.metric()).filter(|metric| wanted(metric)) {
        let labels: Vec<String> = metric.labels.iter().map(|label| words(label.name, label.values)).collect();
        let exists = match metric.born {
            Born::Known => "once known",
            Born::Zero => "always",
        };
        let name = format!("`{}`", metric.name);
        let unit = metric.unit.as_str().unwrap_or_default();
        let cells = [&name, metric.kind.as_str(), unit, &labels.join(", "), exists, metric.since, metric.help()];
        row(text, &cells);
    }
}

fn words(label: &str, values: Values) -> String {
    match values {
        Values::Pipeline | Values::Rule | Values::Build | Values::Worker => format!("`{label}`"),
        Values::Set(_) if label == "component" || label == "handler" => format!("`{label}`"),
        Values::PerWord(_) => format!("`{label}` (below)"),
        Values::Set(set) => format!("`{label}`: {}", set().join(" ")),
    }
}

fn pairs(text: &mut String, title: &str, first: &str, second: &str, sets: &[(&str, &[&str])]) {
    let line = format!("\n## {title}\n\n| `{first}` | `{second}` |\n|---|---|\n");
    text.push_str(&line);
    for (word, others) in sets {
        row(text, &[word, &others.join(" ")]);
    }
}

fn row(text: &mut String, cells: &[&str]) {
    let written = writeln!(text, "| {} |", cells.join(" | "));
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_the_catalogue() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md");
        if std::env::var_os("FOREBAY_UPDATE").is_some() {
            use std::io::Write as _;
            std::fs::File::create(path).unwrap().write_all(markdown().as_bytes()).unwrap();
        }
        let document = std::fs::read_to_string(path).unwrap();
        assert!(document == markdown(), "docs/METRICS.md is stale: run the tests once with FOREBAY_UPDATE=1");
        for name in Name::ALL {
            let cell = format!("| `{}` |", name.metric().name);
            assert_eq!(document.matches(&cell).count(), 1, "{cell}");
        }
    }
}
