//! A strict reader of both formats: it refuses what a sloppy producer writes and a patient Prometheus would forgive.

use std::collections::{BTreeMap, BTreeSet};

/// A page, family by family.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// By name, as the text format spells it: counters end in `_total`.
    pub(crate) families: BTreeMap<String, Family>,
}

/// A family.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) unit: Option<String>,
    /// By suffix and labels; bounds are spelled one way.
    pub(crate) samples: BTreeMap<(String, Labels), f64>,
    /// By the labels of the bucket.
    pub(crate) exemplars: BTreeMap<Labels, (Labels, f64)>,
}

/// A label set.
pub(crate) type Labels = BTreeMap<String, String>;

impl Exposition {
    /// Reads Prometheus text, 0.0.4.
    #[track_caller]
    pub(crate) fn text(text: &str) -> Self {
        let page = Reader { openmetrics: false, ..Reader::default() }.read(text);
        assert!(page.families.values().all(|family| family.exemplars.is_empty() && family.unit.is_none()));
        page
    }

    /// Reads OpenMetrics 1.0.
    #[track_caller]
    pub(crate) fn openmetrics(text: &str) -> Self {
        let text = text.strip_suffix("# EOF\n").expect("the page ends with # EOF");
        Reader { openmetrics: true, ..Reader::default() }.read(text)
    }
}

#[derive(Default)]
struct Reader {
    openmetrics: bool,
    page: Exposition,
    /// The family being read, as it is spelled.
    name: String,
    family: Family,
    /// Families that are over: they may not come back.
    over: BTreeSet<String>,
}

impl Reader {
    fn read(mut self, text: &str) -> Exposition {
        assert!(text.is_empty() || text.ends_with('\n'), "the last line does not end");
        assert!(!text.contains('\r') && !text.contains("\n\n"), "blank lines or carriage returns");
        for line in text.lines() {
            match line.strip_prefix("# ") {
                Some(comment) => self.comment(comment),
                None => self.sample(line),
            }
        }
        self.close();
        self.page
    }

    fn comment(&mut self, comment: &str) {
        let (word, rest) = comment.split_once(' ').expect("a comment of three words");
        let (name, rest) = rest.split_once(' ').expect("a comment of three words");
        if name != self.name {
            self.close();
            name.clone_into(&mut self.name);
        }
        assert!(self.family.samples.is_empty(), "{comment}: behind samples");
        match word {
            "HELP" if self.family.help.is_empty() => rest.clone_into(&mut self.family.help),
            "TYPE" if self.family.kind.is_empty() => {
                assert!(["counter", "gauge", "histogram"].contains(&rest), "{comment}");
                rest.clone_into(&mut self.family.kind);
            }
            "UNIT" if self.openmetrics && self.family.unit.is_none() => {
                assert!(name.ends_with(&format!("_{rest}")), "{comment}: the name does not end with the unit");
                self.family.unit = Some(rest.to_owned());
            }
            _ => panic!("{comment}: again, or no comment of this format"),
        }
    }

    fn sample(&mut self, line: &str) {
        let (line, exemplar) = match line.split_once(" # ") {
            Some((line, exemplar)) => (line, Some(exemplar)),
            None => (line, None),
        };
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (metric, mut labels) = series_of(series);
        let suffix = metric.strip_prefix(&self.name).unwrap_or_else(|| panic!("{line}: under {}", self.name));
        let allowed: &[&str] = match (self.family.kind.as_str(), self.openmetrics) {
            ("gauge", _) | ("counter", false) => &[""],
            ("counter", true) => &["_total", "_created"],
            (_, false) => &["_bucket", "_sum", "_count"],
            (_, true) => &["_bucket", "_sum", "_count", "_created"],
        };
        assert!(allowed.contains(&suffix), "{line}: not in a {}", self.family.kind);
        let value = number(value);
        if self.family.kind != "gauge" {
            assert!(value >= 0.0 && value.is_finite(), "{line}");
        }
        if suffix == "_bucket" {
            let bound = labels.get_mut("le").expect("a bucket has a bound");
            if self.openmetrics {
                assert!(bound == "+Inf" || bound.contains(['.', 'e']), "{line}: the bound is spelled as an integer");
            }
            *bound = number(bound).to_string();
        }
        if let Some(exemplar) = exemplar {
            assert!(self.openmetrics && suffix == "_bucket" && value > 0.0, "{line}: an exemplar here");
            self.exemplar(&labels, exemplar);
        }
        let suffix = if suffix == "_total" { "" } else { suffix };
        let before = self.family.samples.insert((suffix.to_owned(), labels), value);
        assert!(before.is_none(), "{series} twice");
    }

    fn exemplar(&mut self, bucket: &Labels, text: &str) {
        let (labels, rest) = text.split_once("} ").expect("labels and a value");
        let (_, labels) = series_of(&format!("{labels}}}"));
        let length: usize = labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
        assert!(length <= 128, "{text}: too long");
        let (value, at) = rest.split_once(' ').expect("a value and a time");
        assert!(number(at) > 0.0, "{text}");
        let value = number(value);
        assert!(value <= number(&bucket["le"]), "{text}: not in the bucket {bucket:?}");
        self.family.exemplars.insert(bucket.clone(), (labels, value));
    }

    /// The family is over: it must be whole.
    fn close(&mut self) {
        let (mut name, family) = (std::mem::take(&mut self.name), std::mem::take(&mut self.family));
        if name.is_empty() {
            return;
        }
        assert!(!family.kind.is_empty() && family.help.len() > 5 && !family.samples.is_empty(), "{name}: {family:?}");
        assert!(self.over.last().is_none_or(|last| *last < name), "{name}: not sorted");
        assert!(self.over.insert(name.clone()), "{name} twice");
        if family.kind == "counter" {
            assert_eq!(name.ends_with("_total"), !self.openmetrics, "{name}: the name of a counter");
            name = format!("{}_total", name.trim_end_matches("_total"));
        }
        if family.kind == "histogram" {
            ladders(&name, &family);
        }
        if self.openmetrics && family.kind != "gauge" {
            let of = |suffix: &str| family.samples.keys().filter(|(found, _)| found == suffix).count();
            let series = if family.kind == "counter" { of("") } else { of("_count") };
            assert_eq!(of("_created"), series, "{name}: every series tells when it was created");
        }
        self.page.families.insert(name, family);
    }
}

/// Checks that every series of a histogram is whole, ascends, and ends with its count.
fn ladders(name: &str, family: &Family) {
    let counts = family.samples.iter().filter(|((suffix, _), _)| suffix == "_count");
    for ((_, labels), count) in counts {
        let mut rungs: Vec<(f64, f64)> = family
            .samples
            .iter()
            .filter(|((suffix, _), _)| suffix == "_bucket")
            .filter_map(|((_, found), value)| {
                let mut rest = found.clone();
                let bound = number(&rest.remove("le").unwrap());
                (rest == *labels).then_some((bound, *value))
            })
            .collect();
        rungs.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(rungs.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {labels:?}: {rungs:?}");
        let (last, all) = *rungs.last().unwrap_or_else(|| panic!("{name} {labels:?} has no buckets"));
        assert!(last.is_infinite() && all.to_bits() == count.to_bits(), "{name} {labels:?}: {rungs:?}, {count}");
        assert!(family.samples.contains_key(&("_sum".to_owned(), labels.clone())), "{name} {labels:?}: no sum");
    }
}

/// Splits a series into its name and labels.
fn series_of(series: &str) -> (&str, Labels) {
    let Some((metric, rest)) = series.split_once('{') else { return (series, Labels::new()) };
    let mut labels = Labels::new();
    let mut rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("{series}: no closing brace"));
    while !rest.is_empty() {
        let (name, behind) = rest.split_once("=\"").unwrap_or_else(|| panic!("{series}: no label value"));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && !name.is_empty(), "{series}");
        let end = behind.find('"').unwrap_or_else(|| panic!("{series}: no closing quote"));
        // None of our values needs an escape, and what needs one should not be a label.
        assert!(!behind[..end].contains('\\'), "{series}: an escape");
        assert!(labels.insert(name.to_owned(), behind[..end].to_owned()).is_none(), "{series}: {name} twice");
        rest = &behind[end + 1..];
        if let Some(next) = rest.strip_prefix(',') {
            assert!(!next.is_empty(), "{series}: a comma at the end");
            rest = next;
        } else {
            assert!(rest.is_empty(), "{series}: no comma");
        }
    }
    (metric, labels)
}

fn number(text: &str) -> f64 {
    if text == "+Inf" || text == "inf" {
        return f64::INFINITY;
    }
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte));
    assert!(plain, "{text:?} is no number");
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

#[test]
fn the_reader_takes_what_is_sound() {
    let text = "# HELP a_total Things.\n# TYPE a_total counter\na_total{p=\"x\"} 1\n\
                # HELP b_seconds Time of it.\n# TYPE b_seconds histogram\nb_seconds_bucket{le=\"1\"} 0\n\
                b_seconds_bucket{le=\"+Inf\"} 2\nb_seconds_sum 9.5\nb_seconds_count 2\n";
    let openmetrics = "# TYPE a counter\n# HELP a Things.\na_total{p=\"x\"} 1\na_created{p=\"x\"} 5.5\n\
                       # TYPE b_seconds histogram\n# UNIT b_seconds seconds\n# HELP b_seconds Time of it.\n\
                       b_seconds_bucket{le=\"1.0\"} 0\nb_seconds_bucket{le=\"+Inf\"} 2 # {id=\"x\"} 7 8.125\n\
                       b_seconds_sum 9.5\nb_seconds_count 2\nb_seconds_created 5.5\n# EOF\n";
    let (text, openmetrics) = (Exposition::text(text), Exposition::openmetrics(openmetrics));
    assert!(text.families.keys().eq(openmetrics.families.keys()));
    assert_eq!(openmetrics.families["b_seconds"].exemplars.len(), 1);
}

#[test]
fn the_reader_refuses_what_is_not() {
    let refused = |text: &str, openmetrics: bool| {
        let read = || if openmetrics { Exposition::openmetrics(text) } else { Exposition::text(text) };
        assert!(std::panic::catch_unwind(read).is_err(), "taken: {text}");
    };
    let a = "# HELP a_total Things.\n# TYPE a_total counter\n";
    for text in [
        format!("{a}a_total 1\n\n"),
        format!("{a}a_total 1\na_total 1\n"),
        format!("{a}a_total NaN\n"),
        format!("{a}a_total -1\n"),
        format!("{a}b_total 1\n"),
        format!("{a}a_total{{p=\"x\"q=\"y\"}} 1\n"),
        format!("{a}a_total 1\n{a}a_total{{p=\"x\"}} 2\n"),
        format!("{a}a_total 1 # {{id=\"x\"}} 1 1\n"),
        "# HELP b Things.\n# TYPE b counter\nb 1\n".to_owned(),
        "# HELP b Things.\n# TYPE b summary\nb{quantile=\"0.5\"} 1\n".to_owned(),
        "# HELP b Things.\n# TYPE b histogram\nb_bucket{le=\"1\"} 2\nb_bucket{le=\"+Inf\"} 1\nb_sum 1\nb_count 1\n"
            .to_owned(),
        "# HELP b Things.\n# TYPE b histogram\nb_bucket{le=\"1\"} 1\nb_sum 1\nb_count 1\n".to_owned(),
        format!("# HELP b Things.\n# TYPE b gauge\nb 1\n{a}a_total 1\n"),
    ] {
        refused(&text, false);
    }
    let b = "# TYPE b_seconds histogram\n# HELP b_seconds Time of it.\n";
    let rest = "b_seconds_sum 1\nb_seconds_count 1\nb_seconds_created 1\n# EOF\n";
    for text in [
        "# TYPE a counter\n# HELP a Things.\na_total 1\na_created 1\n".to_owned(),
        "# TYPE a_total counter\n# HELP a_total Things.\na_total 1\na_created 1\n# EOF\n".to_owned(),
        "# TYPE a counter\n# HELP a Things.\na_total 1\n# EOF\n".to_owned(),
        "# TYPE a gauge\n# UNIT a seconds\n# HELP a Things.\na 1\n# EOF\n".to_owned(),
        format!("{b}b_seconds_bucket{{le=\"1\"}} 1\nb_seconds_bucket{{le=\"+Inf\"}} 1\n{rest}"),
        format!("{b}b_seconds_bucket{{le=\"1.0\"}} 1 # {{id=\"x\"}} 2 1\nb_seconds_bucket{{le=\"+Inf\"}} 1\n{rest}"),
        format!("{b}b_seconds_bucket{{le=\"+Inf\"}} 1 # {{id=\"{}\"}} 2 1\n{rest}", "x".repeat(127)),
    ] {
        refused(&text, true);
    }
}
