//! A small decoder over a parsed TOML table: it knows the place of every value, goes on after a fault, and notices the
//! keys nobody asked for.
//!
//! Every getter reports its own fault and returns `None`, so a reader falls back to a default and goes on; whoever owns
//! the [`Document`] refuses the whole file when any fault was reported.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, nearest};
use super::logic::Depth;
use super::values;

/// A way out, or `()` for none.
pub(super) trait Hint {
    fn text(self) -> Option<String>;
}

impl Hint for () {
    fn text(self) -> Option<String> {
        None
    }
}

impl Hint for &str {
    fn text(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl Hint for String {
    fn text(self) -> Option<String> {
        Some(self)
    }
}

impl Hint for Option<String> {
    fn text(self) -> Option<String> {
        self
    }
}

/// One file while it is decoded.
pub(super) struct Document {
    /// Byte offsets at which lines start, for line numbers.
    line_starts: Vec<usize>,
    /// How closely its SQL is looked at.
    pub(super) depth: Depth,
    faults: RefCell<Vec<Fault>>,
    /// Section kind to the keys it was asked for: the decoder's half of "schema and decoder know the same keys".
    asked: RefCell<BTreeMap<&'static str, BTreeSet<&'static str>>>,
}

struct Fault {
    error: ConfigError,
    /// Follows from what is missing or misplaced, so not to be trusted when the text itself is broken.
    shape: bool,
}

/// A place in the file: a key and the offset of its value.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) key: String,
    pub(super) at: usize,
}

impl Document {
    pub(super) fn new(text: &str, depth: Depth) -> Self {
        let line_starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        Self { line_starts: line_starts.collect(), depth, faults: RefCell::default(), asked: RefCell::default() }
    }

    fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    fn report(&self, shape: bool, place: &Place, message: String, hint: Option<String>) {
        // The parser puts a value it had to invent at the very start.
        let shape = shape || place.at == 0;
        let error = ConfigError { line: Some(self.line(place.at)), key: place.key.clone(), message, hint };
        self.faults.borrow_mut().push(Fault { error, shape });
    }

    /// Reports a wrong value.
    pub(super) fn wrong(&self, place: &Place, message: impl Into<String>, hint: impl Hint) {
        self.report(false, place, message.into(), hint.text());
    }

    /// Reports something missing, unknown or in the wrong place.
    pub(super) fn misplaced(&self, place: &Place, message: impl Into<String>, hint: impl Hint) {
        self.report(true, place, message.into(), hint.text());
    }

    /// Returns whether anything was reported so far.
    pub(super) fn faults(&self) -> usize {
        self.faults.borrow().len()
    }

    /// Ends the decoding: all errors, those of the syntax included.
    ///
    /// A broken line makes its neighbours look misplaced, so with syntax errors only faults that stand on their own are kept.
    pub(super) fn finish(self, syntax: &[toml::de::Error]) -> Vec<ConfigError> {
        let mut errors: Vec<ConfigError> = syntax
            .iter()
            .map(|error| ConfigError {
                line: error.span().map(|span| self.line(span.start)),
                key: String::new(),
                message: format!("not valid TOML: {}", error.message()),
                hint: None,
            })
            .collect();
        // One slip makes several errors on its line; the first says most.
        errors.sort_by_key(|error| error.line);
        errors.dedup_by_key(|error| error.line);
        let broken: BTreeSet<_> = errors.iter().filter_map(|error| error.line).collect();
        let rest = self.faults.into_inner().into_iter().filter(|fault| {
            errors.is_empty() || !(fault.shape || fault.error.line.is_some_and(|line| broken.contains(&line)))
        });
        let rest: Vec<_> = rest.map(|fault| fault.error).collect();
        errors.extend(rest);
        errors
    }

    /// Returns every key asked for, by section kind.
    #[cfg(test)]
    pub(super) fn asked(&self) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
        self.asked.borrow().clone()
    }
}

/// One table, or the absence of an optional one: then every key is absent.
pub(super) struct Section<'a> {
    doc: &'a Document,
    kind: &'static str,
    pub(super) place: Place,
    table: Option<&'a DeTable<'a>>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn root(doc: &'a Document, table: &'a DeTable<'a>) -> Self {
        let place = Place { key: String::new(), at: 0 };
        Self { doc, kind: "root", place, table: Some(table), asked: RefCell::default() }
    }

    pub(super) fn doc(&self) -> &'a Document {
        self.doc
    }

    pub(super) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    fn path_of(&self, key: &str) -> String {
        let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        if self.place.key.is_empty() { key } else { format!("{}.{key}", self.place.key) }
    }

    /// Returns the value of `key`, if it is there.
    pub(super) fn opt(&self, key: &'static str) -> Option<Item<'a>> {
        self.asked.borrow_mut().insert(key);
        self.doc.asked.borrow_mut().entry(self.kind).or_default().insert(key);
        let (name, value) = self.table?.get_key_value(key)?;
        Some(self.item(name.get_ref(), name.span().start, value))
    }

    /// Returns the value of `key`, and reports its absence.
    pub(super) fn req(&self, key: &'static str, hint: &str) -> Option<Item<'a>> {
        let item = self.opt(key);
        if item.is_none() && self.is_present() {
            let place = Place { key: self.path_of(key), at: self.place.at };
            self.doc.misplaced(&place, "required, but missing", hint);
        }
        item
    }

    /// Returns the section under `key`; an absent one answers every question with "absent".
    pub(super) fn section(&self, key: &'static str, kind: &'static str) -> Section<'a> {
        let item = self.opt(key);
        let table = item.as_ref().and_then(Item::table);
        let place = item.map_or_else(|| Place { key: self.path_of(key), at: self.place.at }, |item| item.place);
        Section { doc: self.doc, kind, place, table, asked: RefCell::default() }
    }

    /// Returns the entries of the table under `key`, whose keys are the user's own names.
    pub(super) fn named(&self, key: &'static str) -> Vec<(String, Item<'a>)> {
        let section = self.section(key, "named");
        let Some(table) = section.table else {
            return Vec::new();
        };
        let entry = |(name, value): (&'a toml::Spanned<_>, _)| {
            let text: &std::borrow::Cow<'a, str> = name.get_ref();
            (text.clone().into_owned(), section.item(text, name.span().start, value))
        };
        table.iter().map(entry).collect()
    }

    fn item(&self, key: &str, key_at: usize, value: &'a toml::Spanned<DeValue<'a>>) -> Item<'a> {
        // Scalars and arrays may stand below their key; a table's own span may be that of an inner header.
        let at = if value.get_ref().is_table() { key_at } else { value.span().start };
        Item { doc: self.doc, place: Place { key: self.path_of(key), at }, value: value.get_ref() }
    }

    /// Ends the section: reports every key nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (name, value) in self.table.into_iter().flatten() {
            let name_text: &str = name.get_ref();
            if asked.contains(name_text) {
                continue;
            }
            let hint = match nearest(name_text, asked.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("valid keys here: {}", asked.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            let mut place = self.item(name_text, name.span().start, value).place;
            place.at = name.span().start;
            self.doc.misplaced(&place, "unknown key", hint);
        }
    }
}

/// One value with its place.
pub(super) struct Item<'a> {
    doc: &'a Document,
    pub(super) place: Place,
    value: &'a DeValue<'a>,
}

impl<'a> Item<'a> {
    /// Reports this value as wrong.
    pub(super) fn wrong(&self, message: impl Into<String>, hint: impl Hint) {
        self.doc.wrong(&self.place, message, hint);
    }

    /// Reports this key as having no business here.
    pub(super) fn misplaced(&self, message: impl Into<String>, hint: impl Hint) {
        self.doc.misplaced(&self.place, message, hint);
    }

    fn expected(&self, what: &str, hint: impl Hint) {
        self.wrong(format!("expected {what}, found {}", self.describe()), hint);
    }

    fn describe(&self) -> String {
        match self.value {
            DeValue::String(text) => format!("the string {text:?}"),
            DeValue::Integer(number) => format!("the integer {number}"),
            DeValue::Float(number) => format!("the number {number}"),
            DeValue::Boolean(flag) => format!("{flag}"),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    fn table(&self) -> Option<&'a DeTable<'a>> {
        let table = self.value.as_table();
        if table.is_none() {
            self.expected("a table", ());
        }
        table
    }

    /// Reads this value as a section.
    pub(super) fn section(&self, kind: &'static str) -> Section<'a> {
        Section { doc: self.doc, kind, place: self.place.clone(), table: self.table(), asked: RefCell::default() }
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            let hint = self.value.as_integer().map(|number| format!("put it in quotes: \"{number}\""));
            self.expected("a string", hint);
        }
        text
    }

    pub(super) fn flag(&self) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.expected("true or false", ());
        }
        flag
    }

    pub(super) fn whole(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let Some(number) = self.value.as_integer() else {
            self.expected("a whole number", ());
            return None;
        };
        let value = i128::from_str_radix(number.as_str(), number.radix()).ok().and_then(|n| u64::try_from(n).ok());
        let value = value.filter(|n| range.contains(n));
        if value.is_none() {
            let (low, high) = range.into_inner();
            let bound = if high == u64::MAX { format!("at least {low}") } else { format!("from {low} to {high}") };
            self.expected(&format!("a whole number {bound}"), ());
        }
        value
    }

    pub(super) fn ratio(&self) -> Option<f64> {
        let whole = self.value.as_integer().map(ToString::to_string);
        let text = whole.or_else(|| self.value.as_float().map(|number| number.as_str().to_owned()));
        let value = text.unwrap_or_default().parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        if value.is_none() {
            self.expected("a number from 0 to 1", "0.05 means five in a hundred");
        }
        value
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let hint = match self.value.as_integer() {
            Some(number) => format!("write the unit: \"{number}s\""),
            None => "for instance \"500ms\", \"2s\", \"5m\", \"1h30m\"".to_owned(),
        };
        let Some(text) = self.value.as_str() else {
            self.expected("a duration", hint);
            return None;
        };
        let Some(value) = values::duration(text) else {
            self.expected("a duration", hint);
            return None;
        };
        if range.contains(&value) {
            return Some(value);
        }
        let (low, high) = range.into_inner();
        let (low, high) = (humantime::format_duration(low), humantime::format_duration(high));
        self.expected(&format!("a duration from {low} to {high}"), ());
        None
    }

    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let whole = self.value.as_integer().map(ToString::to_string);
        let text = whole.as_deref().or(self.value.as_str());
        let value = text.and_then(values::size);
        let Some(value) = value else {
            self.expected("a size", "for instance \"1MiB\", \"4GiB\", or a number of bytes");
            return None;
        };
        if range.contains(&value) {
            return Some(value);
        }
        let (low, high) = range.into_inner();
        self.expected(&format!("a size from {} to {}", values::show_size(low), values::show_size(high)), ());
        None
    }

    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let text = self.text()?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let all = names().collect::<Vec<_>>().join(", ");
            let hint = nearest(text, names()).map(|near| format!("did you mean \"{near}\"?"));
            self.wrong(format!("\"{text}\" is none of: {all}"), hint);
        }
        found
    }

    /// Returns the elements of a list, each with its own place.
    pub(super) fn list(&self) -> Option<Vec<Item<'a>>> {
        let Some(array) = self.value.as_array() else {
            self.expected("a list", self.value.as_str().map(|text| format!("write [{text:?}]")));
            return None;
        };
        let element = |(index, value): (usize, &'a toml::Spanned<DeValue<'a>>)| Item {
            doc: self.doc,
            place: Place { key: format!("{}[{index}]", self.place.key), at: value.span().start },
            value: value.get_ref(),
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    /// Returns the elements of a list of strings.
    pub(super) fn texts(&self) -> Option<Vec<(Item<'a>, &'a str)>> {
        let list = self.list()?;
        Some(list.into_iter().filter_map(|item| item.text().map(|text| (item, text))).collect())
    }

    /// Feeds `hash` with this value, whatever its spelling in the file: comments and layout do not count, order does.
    pub(super) fn fingerprint(&self, hash: &mut blake3::Hasher) {
        fingerprint(self.value, hash);
    }
}

fn fingerprint(value: &DeValue<'_>, hash: &mut blake3::Hasher) {
    // Kind, length, content: no two different trees give the same bytes.
    let mut atom = |kind: &[u8], content: &str| {
        hash.update(kind).update(&(content.len() as u64).to_le_bytes()).update(content.as_bytes());
    };
    match value {
        DeValue::String(text) => atom(b"s", text),
        DeValue::Integer(number) => atom(b"i", &number.to_string()),
        DeValue::Float(number) => atom(b"f", number.as_str()),
        DeValue::Boolean(flag) => atom(b"b", if *flag { "1" } else { "0" }),
        DeValue::Datetime(date) => atom(b"d", &date.to_string()),
        DeValue::Array(array) => {
            hash.update(b"a").update(&(array.len() as u64).to_le_bytes());
            array.iter().for_each(|element| fingerprint(element.get_ref(), hash));
        }
        DeValue::Table(table) => {
            hash.update(b"t").update(&(table.len() as u64).to_le_bytes());
            for (key, value) in table {
                let key: &str = key.get_ref();
                hash.update(&(key.len() as u64).to_le_bytes()).update(key.as_bytes());
                fingerprint(value.get_ref(), hash);
            }
        }
    }
}
