//! Reads expressions as text: they are written by one hand, in one way.

/// A series an expression asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selector<'e> {
    /// Metric, record or series of Prometheus' own.
    pub(super) name: &'e str,
    /// Label, operator, value.
    pub(super) matchers: Vec<(&'e str, &'e str, &'e str)>,
    /// What stands in brackets behind it, and the function it is in.
    pub(super) range: Option<(&'e str, &'e str)>,
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Returns everything in braces, with the name before it and the range behind it.
pub(super) fn selectors(expr: &str) -> Vec<Selector<'_>> {
    let mut found = Vec::new();
    let mut rest = expr;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, behind) = after.split_once('}').expect("a brace is closed");
        let name = before.rsplit(|c| !is_name(c)).next().unwrap();
        let function = before.strip_suffix(name).and_then(|before| before.strip_suffix('('));
        let function = function.and_then(|before| before.rsplit(|c| !is_name(c)).next()).unwrap_or_default();
        let range = behind.strip_prefix('[').and_then(|behind| behind.split_once(']'));
        found.push(Selector {
            name,
            matchers: inside.split(", ").filter(|matcher| !matcher.is_empty()).map(matcher).collect(),
            range: range.map(|(range, _)| (function, range)),
        });
        rest = behind;
    }
    found
}

fn matcher(text: &str) -> (&str, &str, &str) {
    let (head, value) = text.split_once('"').expect("a value is quoted");
    let label = head.trim_end_matches(['=', '!', '~']);
    (label, head.strip_prefix(label).unwrap(), value.trim_end_matches('"'))
}

/// Returns the series an expression names without braces: no job could be chosen for them.
pub(super) fn bare(expr: &str) -> Vec<String> {
    let mut outside = String::new();
    let mut rest = expr;
    while let Some((before, after)) = rest.split_once('{') {
        outside.push_str(before);
        outside.push_str("{}");
        rest = after.split_once('}').expect("a brace is closed").1;
    }
    outside.push_str(rest);
    let series = |word: &str| {
        word.starts_with("forebay_")
            || word.starts_with("process_")
            || word.contains(':')
            || ["up", "ALERTS"].contains(&word)
    };
    let mut found = Vec::new();
    let mut rest = outside.as_str();
    while let Some(start) = rest.find(is_name) {
        let word = rest[start..].split(|c| !is_name(c)).next().unwrap();
        rest = &rest[start + word.len()..];
        if series(word) && !rest.starts_with('{') {
            found.push(word.to_owned());
        }
    }
    found
}

#[test]
fn selectors_are_read_with_their_surroundings() {
    let expr = "sum by (p) (rate(a_total{job=~\"$job\", x!=\"y|\"}[5m])) / b:c:d{} - up";
    let first = Selector {
        name: "a_total",
        matchers: vec![("job", "=~", "$job"), ("x", "!=", "y|")],
        range: Some(("rate", "5m")),
    };
    let second = Selector { name: "b:c:d", matchers: Vec::new(), range: None };
    assert_eq!(selectors(expr), [first, second]);
    assert_eq!(bare(expr), ["up"]);
    assert_eq!(bare("forebay_x_total[5m] + a:b:c"), ["forebay_x_total", "a:b:c"]);
}
