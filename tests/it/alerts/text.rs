//! Reads rules and runbooks as text: their layout is kept simple, so that they can be rendered and mutated as text.

/// An alerting or recording rule.
pub(super) struct Rule {
    /// `alert` or `record`.
    pub(super) kind: &'static str,
    /// Its name.
    pub(super) name: String,
    text: String,
}

/// A metric of an expression, with the matchers in its braces.
pub(super) struct Selector<'t> {
    /// The metric, or the record.
    pub(super) name: &'t str,
    /// Label and value; alternatives are still joined by `|`.
    pub(super) matchers: Vec<(&'t str, &'t str)>,
}

/// Returns the rules of a rule file, in order.
pub(super) fn rules(text: &str) -> Vec<Rule> {
    let mut found: Vec<Rule> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let begins = |kind: &str| line.strip_prefix("      - ")?.strip_prefix(kind)?.strip_prefix(": ");
        let head = ["alert", "record"].into_iter().find_map(|kind| Some((kind, begins(kind)?)));
        if let Some((kind, name)) = head {
            found.push(Rule { kind, name: name.to_owned(), text: String::new() });
        } else if let (Some(rule), true) = (found.last_mut(), line.starts_with("        ")) {
            rule.text.push_str(line);
            rule.text.push('\n');
        }
    }
    found
}

impl Rule {
    /// Returns the value of a key that stands on one line.
    pub(super) fn field(&self, key: &str) -> Option<&str> {
        let mut lines = self.text.lines().map(str::trim_start);
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
    }

    /// Returns the expression.
    pub(super) fn expr(&self) -> String {
        match self.field("expr") {
            Some("|") => {
                let lines = self.text.lines().skip_while(|line| !line.starts_with("        expr:")).skip(1);
                lines.take_while(|line| line.starts_with("          ")).map(|line| format!("{line}\n")).collect()
            }
            Some(line) => line.to_owned(),
            None => panic!("{} has no expression", self.name),
        }
    }
}

/// Returns whether a character may stand in the name of a metric or a record.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Returns everything in braces, with the name before it.
pub(super) fn selectors(expr: &str) -> Vec<Selector<'_>> {
    let mut found = Vec::new();
    let mut rest = expr;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, behind) = after.split_once('}').expect("a brace is closed");
        let name = before.rsplit(|c| !is_name(c)).next().unwrap();
        let matchers = inside.split(", ").map(|matcher| {
            let (label, value) = matcher.split_once('"').expect("a value is quoted");
            (label.trim_end_matches(['=', '!', '~']), value.trim_end_matches('"'))
        });
        found.push(Selector { name, matchers: matchers.collect() });
        rest = behind;
    }
    found
}

/// Returns the names of forebay's metrics in a text, and those of its process.
pub(super) fn metrics(text: &str) -> impl Iterator<Item = &str> {
    let ours = |word: &&str| (word.starts_with("forebay_") || word.starts_with("process_")) && !word.contains(':');
    text.split(|c| !is_name(c)).filter(ours)
}

/// Returns the lines of all code of a Markdown text (or of an annotation), fenced and inline.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).flat_map(str::lines)
}

/// Returns the commands of forebay in a text: the words behind `forebay`, without a comment.
pub(super) fn commands(text: &str) -> impl Iterator<Item = Vec<&str>> {
    code(text).filter_map(|line| {
        let bare = line.split('#').next().unwrap_or_default().trim();
        Some(bare.strip_prefix("forebay ")?.split_whitespace().collect())
    })
}

/// Returns the queries of a runbook. One that goes on in the next line is indented there.
pub(super) fn queries(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for block in text.split("```promql\n").skip(1) {
        for line in block.split("```").next().unwrap_or_default().lines() {
            let query = line.split(" #").next().unwrap_or_default().trim_end();
            match found.last_mut() {
                Some(last) if query.starts_with(' ') => last.push_str(query),
                _ => found.push(query.to_owned()),
            }
        }
    }
    found
}
