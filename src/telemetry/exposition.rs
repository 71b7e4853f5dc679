//! The text format: families sorted by name, series sorted, whatever order they come in.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use super::catalog::Name;

/// One family: its two comment lines and its series. A series of a histogram is several lines.
#[derive(Debug, Default, Clone)]
struct Family {
    comments: String,
    /// By the label set, so that a series is there once.
    series: BTreeMap<String, String>,
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
            let mut lines = String::new();
            for line in block.lines().filter(|line| !line.is_empty()) {
                if let Some(comment) = line.strip_prefix("# ") {
                    name = comment.split(' ').nth(1).unwrap_or_default();
                    push_line(&mut family.comments, line);
                    continue;
                }
                push_line(&mut lines, line);
                let sample = line.rsplit_once(' ').map_or(line, |(sample, _)| sample);
                let (metric, labels) = sample.split_once('{').unwrap_or((sample, ""));
                // A histogram's series ends with its count; elsewhere every line is a series.
                if metric == name || metric.strip_prefix(name) == Some("_count") {
                    family.series.insert(labels.to_owned(), std::mem::take(&mut lines));
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
            comments: format!(
                "# HELP {} {}\n# TYPE {} {}\n",
                metric.name,
                metric.help(),
                metric.name,
                metric.kind.as_str()
            ),
            series: BTreeMap::new(),
        });
        let labels: Vec<String> = metric
            .labels
            .iter()
            .zip(values)
            .map(|(label, value)| format!("{}=\"{}\"", label.name, escape(value)))
            .collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let line = format!("{}{labels} {value}\n", metric.name);
        family.series.insert(labels, line);
    }

    /// Returns the text, format 0.0.4.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for family in self.families.values() {
            text.push_str(&family.comments);
            text.extend(family.series.values().map(String::as_str));
        }
        text
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
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
mod tests {
    use super::*;

    #[test]
    fn families_and_series_come_out_sorted_and_histograms_stay_whole() {
        let text = "# HELP b_seconds B.\n# TYPE b_seconds histogram\n\
                    b_seconds_bucket{p=\"y\",le=\"1\"} 0\nb_seconds_bucket{p=\"y\",le=\"+Inf\"} 1\nb_seconds_sum{p=\"y\"} 2\nb_seconds_count{p=\"y\"} 1\n\
                    b_seconds_bucket{p=\"x\",le=\"1\"} 0\nb_seconds_bucket{p=\"x\",le=\"+Inf\"} 0\nb_seconds_sum{p=\"x\"} 0\nb_seconds_count{p=\"x\"} 0\n\n\
                    # HELP a_total A.\n# TYPE a_total counter\na_total{p=\"z\"} 3\na_total{p=\"x\"} 1\n\n";
        let mut page = Page::parse(text);
        page.add(Name::Ready, &[], 1);
        let expected = "# HELP a_total A.\n# TYPE a_total counter\na_total{p=\"x\"} 1\na_total{p=\"z\"} 3\n\
                        # HELP b_seconds B.\n# TYPE b_seconds histogram\n\
                        b_seconds_bucket{p=\"x\",le=\"1\"} 0\nb_seconds_bucket{p=\"x\",le=\"+Inf\"} 0\nb_seconds_sum{p=\"x\"} 0\nb_seconds_count{p=\"x\"} 0\n\
                        b_seconds_bucket{p=\"y\",le=\"1\"} 0\nb_seconds_bucket{p=\"y\",le=\"+Inf\"} 1\nb_seconds_sum{p=\"y\"} 2\nb_seconds_count{p=\"y\"} 1\n";
        let shown = page.text();
        assert!(shown.starts_with(expected), "{shown}");
        assert!(shown.ends_with("# TYPE forebay_ready gauge\nforebay_ready 1\n"), "{shown}");
    }

    #[test]
    fn label_values_are_escaped() {
        let mut page = Page::default();
        page.add(Name::PipelineInfo, &["a\\b\"c\nd"], 1);
        assert!(page.text().contains("{pipeline=\"a\\\\b\\\"c\\nd\"} 1\n"), "{}", page.text());
    }
}
