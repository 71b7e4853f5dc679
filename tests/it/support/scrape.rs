//! Reading an exposition: `scrape.metric("forebay_x_total").label("pipeline", "p").value()`.

use std::collections::BTreeMap;

/// One scrape, sample by sample.
#[derive(Debug, Clone)]
pub(crate) struct Scrape {
    samples: Vec<Sample>,
    text: String,
}

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Some samples of one name.
#[derive(Debug)]
pub(crate) struct Metric<'a> {
    name: String,
    found: Vec<&'a Sample>,
    scrape: &'a Scrape,
}

impl Scrape {
    /// Parses the text format 0.0.4.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect();
        Self { samples, text: text.to_owned() }
    }

    /// Returns the samples of one name; there may be none.
    pub(crate) fn metric(&self, name: &str) -> Metric<'_> {
        let found = self.samples.iter().filter(|sample| sample.name == name).collect();
        Metric { name: name.to_owned(), found, scrape: self }
    }

    /// Returns the text as it came.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl Metric<'_> {
    /// Keeps the samples whose label has this value.
    pub(crate) fn label(mut self, name: &str, value: &str) -> Self {
        self.found.retain(|sample| sample.labels.get(name).is_some_and(|found| found == value));
        self
    }

    /// Returns the value of the one sample that is left.
    #[track_caller]
    pub(crate) fn value(&self) -> f64 {
        assert_eq!(self.found.len(), 1, "samples of {}: {:?} in\n{}", self.name, self.found, self.scrape.text);
        self.found[0].value
    }

    /// Returns the sum of all samples that are left, of which there must be one.
    #[track_caller]
    pub(crate) fn sum(&self) -> f64 {
        assert!(!self.found.is_empty(), "no sample of {} in\n{}", self.name, self.scrape.text);
        self.found.iter().map(|sample| sample.value).sum()
    }

    /// Returns whether no sample is left.
    pub(crate) fn is_absent(&self) -> bool {
        self.found.is_empty()
    }
}

#[track_caller]
fn sample(line: &str) -> Sample {
    let fault = |what: &str| -> ! { panic!("{what} in sample {line:?}") };
    let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| fault("no value"));
    let value = value.parse().unwrap_or_else(|_| fault("no number"));
    let Some((name, labels)) = head.split_once('{') else {
        return Sample { name: head.to_owned(), labels: BTreeMap::new(), value };
    };
    let mut rest = labels.strip_suffix('}').unwrap_or_else(|| fault("no closing brace"));
    let mut found = BTreeMap::new();
    while !rest.is_empty() {
        let (label, behind) = rest.split_once("=\"").unwrap_or_else(|| fault("no label value"));
        let mut text = String::new();
        let mut chars = behind.char_indices();
        let end = loop {
            match chars.next() {
                Some((at, '"')) => break at + 1,
                Some((_, '\\')) => text.push(match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, escaped)) => escaped,
                    None => fault("a backslash at the end"),
                }),
                Some((_, c)) => text.push(c),
                None => fault("no closing quote"),
            }
        };
        found.insert(label.to_owned(), text);
        rest = behind[end..].strip_prefix(',').unwrap_or(&behind[end..]);
    }
    Sample { name: name.to_owned(), labels: found, value }
}

#[test]
fn samples_are_read_with_escapes() {
    let scrape = Scrape::parse("# HELP x\na_total{p=\"x\\\"y\\n\",q=\"1,2\"} 3\nb 0.5\nc{le=\"+Inf\"} +Inf\n");
    assert_eq!(scrape.metric("a_total").label("q", "1,2").label("p", "x\"y\n").value().to_bits(), 3f64.to_bits());
    assert!(scrape.metric("c").value().is_infinite());
    assert!(scrape.metric("b").label("p", "x").is_absent());
}
