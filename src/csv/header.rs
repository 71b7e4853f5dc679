//! The header against the config: which field feeds which column, and how they differ.
//!
//! Columns are matched by name, never by position (without a header, by position, for want of names).

use std::collections::{BTreeMap, HashMap};

use crate::config::{Column, ColumnType, OnExtra, OnMissing, Pipeline};
use crate::job::{DriftKind, QuarantineReason};

/// Most fields a header may have.
pub const MAX_FIELDS: usize = 4096;

/// A header as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Names in file order, blanks around them cut off.
    pub names: Vec<String>,
}

/// One output column and the field it comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The column; for a kept extra field a plain string column.
    pub column: Column,
    /// Field number from 0; `None`: missing, so null.
    pub field: Option<usize>,
}

/// How the fields of this file feed the columns.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Fields every record must have.
    pub width: usize,
    /// Output columns in config order, kept extras behind them.
    pub sources: Vec<Source>,
    /// How the header differs from the config, with counts of columns.
    pub drift: BTreeMap<DriftKind, u64>,
}

/// Why a header does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HeaderError {
    /// The bounded reason.
    pub reason: QuarantineReason,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// How the header differs from the config, with counts of columns.
    pub drift: BTreeMap<DriftKind, u64>,
}

impl HeaderError {
    fn mismatch(message: String, hint: impl Into<String>) -> Self {
        Self { reason: QuarantineReason::HeaderMismatch, message, hint: hint.into(), drift: BTreeMap::new() }
    }
}

impl Header {
    /// Reads the header record `text`, whose fields end at `ends`.
    pub fn parse(text: &[u8], ends: &[u32], quote: Option<u8>) -> Result<Self, HeaderError> {
        if ends.len() > MAX_FIELDS {
            let message = format!("the header has {} fields, at most {MAX_FIELDS} are allowed", ends.len());
            return Err(HeaderError::mismatch(message, "check csv.delimiter"));
        }
        let mut names = Vec::with_capacity(ends.len());
        let mut start = 0;
        for end in ends {
            let end = *end as usize;
            let field = text.get(start..end).unwrap_or_default();
            let name = std::str::from_utf8(field).map_err(|_| HeaderError {
                reason: QuarantineReason::WrongEncoding,
                message: format!("header field {} is not valid in the file's encoding", names.len() + 1),
                hint: "set csv.encoding to the encoding the sender uses, or ask for UTF-8".to_owned(),
                drift: BTreeMap::new(),
            })?;
            names.push(unquote(name, quote));
            start = end + 1;
        }
        Ok(Self { names })
    }

    /// Returns how the fields feed the columns of `pipeline`, or why they cannot.
    pub fn layout(&self, pipeline: &Pipeline) -> Result<Layout, HeaderError> {
        let positions = self.positions()?;
        let mut taken = vec![false; self.names.len()];
        let mut drift = BTreeMap::new();
        let mut missing = Vec::new();
        let mut sources = Vec::with_capacity(pipeline.columns.len());
        for column in &pipeline.columns {
            let by_name = positions.get(column.name.as_str()).copied();
            let by_alias = || column.aliases.iter().find_map(|alias| positions.get(alias.as_str()).copied());
            let field = by_name.or_else(by_alias);
            match field {
                Some(field) => {
                    if let Some(seen) = taken.get_mut(field) {
                        *seen = true;
                    }
                    if by_name.is_none() {
                        *drift.entry(DriftKind::Renamed).or_insert(0) += 1;
                    }
                }
                None if column.optional && column.nullable => {}
                None => missing.push(column),
            }
            sources.push(Source { column: column.clone(), field });
        }
        if !missing.is_empty() {
            drift.insert(DriftKind::Missing, missing.len() as u64);
        }
        let fields: Vec<_> = sources.iter().filter_map(|source| source.field).collect();
        if !fields.is_sorted() {
            drift.insert(DriftKind::Reordered, 1);
        }
        let extra: Vec<_> = (0..self.names.len()).filter(|field| taken.get(*field) == Some(&false)).collect();
        if !extra.is_empty() {
            drift.insert(DriftKind::Extra, extra.len() as u64);
        }
        // Every difference is counted before one of them refuses the file.
        let allowed = self.allow_missing(&missing, pipeline).and_then(|()| self.extra_columns(&extra, pipeline));
        match allowed {
            Ok(extra) => sources.extend(extra),
            Err(error) => return Err(HeaderError { drift, ..error }),
        }
        Ok(Layout { width: self.names.len(), sources, drift })
    }

    /// Maps each name to its field. A blank name is nobody's; a name that comes twice would make one of them a guess.
    fn positions(&self) -> Result<HashMap<&str, usize>, HeaderError> {
        let mut positions = HashMap::new();
        for (field, name) in self.names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if let Some(first) = positions.insert(name.as_str(), field) {
                return Err(HeaderError {
                    reason: QuarantineReason::DuplicateHeader,
                    message: format!("the header names {name:?} twice, in fields {} and {}", first + 1, field + 1),
                    hint: "ask the sender for unique column names".to_owned(),
                    drift: BTreeMap::new(),
                });
            }
        }
        Ok(positions)
    }

    fn allow_missing(&self, missing: &[&Column], pipeline: &Pipeline) -> Result<(), HeaderError> {
        let fatal: Vec<_> = match pipeline.drift.missing {
            OnMissing::Quarantine => missing.to_vec(),
            OnMissing::Null => missing.iter().copied().filter(|column| !column.nullable).collect(),
        };
        if fatal.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = fatal.iter().take(8).map(|column| format!("{:?}", column.name)).collect();
        let more = fatal.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!("the header has no column {}{more}; it reads: {}", names.join(", "), self.shown());
        Err(HeaderError::mismatch(message, self.hint(&fatal, pipeline)))
    }

    /// Guesses what went wrong: another delimiter, or another spelling.
    fn hint(&self, missing: &[&Column], pipeline: &Pipeline) -> String {
        if let [only] = self.names.as_slice() {
            let others =
                [';', '\t', '|', ','].into_iter().filter(|c| u32::from(*c) != u32::from(pipeline.csv.delimiter));
            if let Some(delimiter) = others.into_iter().find(|delimiter| only.contains(*delimiter)) {
                return format!("the delimiter looks like {delimiter:?}: set csv.delimiter, or ask the sender");
            }
            if only.contains('\0') {
                return "this looks like binary data or UTF-16 without a byte order mark: set csv.encoding".to_owned();
            }
        }
        let nearest = missing.iter().find_map(|column| {
            let near = |name: &&String| strsim::jaro_winkler(&name.to_lowercase(), &column.name.to_lowercase()) > 0.9;
            self.names.iter().find(near).map(|name| (column, name))
        });
        match nearest {
            Some((column, name)) => {
                format!("if {name:?} is meant, add aliases = [{name:?}] to columns.{}", column.name)
            }
            None => "add an alias, make the column optional, or set drift.missing = \"null\"".to_owned(),
        }
    }

    fn extra_columns(&self, extra: &[usize], pipeline: &Pipeline) -> Result<Vec<Source>, HeaderError> {
        if extra.is_empty() {
            return Ok(Vec::new());
        }
        let name = |field: usize| match self.names.get(field) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("column_{}", field + 1),
        };
        match pipeline.drift.extra {
            OnExtra::Ignore => Ok(Vec::new()),
            OnExtra::Quarantine => {
                let names: Vec<_> = extra.iter().take(8).map(|field| format!("{:?}", name(*field))).collect();
                let message =
                    format!("the header has {} column(s) the config does not name: {}", extra.len(), names.join(", "));
                Err(HeaderError::mismatch(message, "add them to columns, or set drift.extra to \"ignore\" or \"keep\""))
            }
            OnExtra::Keep => extra.iter().map(|field| self.kept(name(*field), *field, pipeline)).collect(),
        }
    }

    fn kept(&self, name: String, field: usize, pipeline: &Pipeline) -> Result<Source, HeaderError> {
        let clash = pipeline.columns.iter().any(|column| column.name == name)
            || pipeline.derive.iter().any(|derive| derive.name == name)
            || self.names.iter().enumerate().any(|(other, taken)| other != field && *taken == name);
        if clash {
            let message = format!("the header's extra column {name:?} has the name of another column");
            return Err(HeaderError::mismatch(
                message,
                "rename the column or derived column, or set drift.extra = \"ignore\"",
            ));
        }
        let column = Column {
            name,
            aliases: Vec::new(),
            kind: ColumnType::String,
            nullable: true,
            optional: true,
            trim: false,
            decimal_comma: false,
        };
        Ok(Source { column, field: Some(field) })
    }

    fn shown(&self) -> String {
        let all = self.names.join(",");
        let head: String = all.chars().take(200).flat_map(char::escape_debug).collect();
        if head.len() < all.len() { format!("{head}…") } else { head }
    }
}

impl Layout {
    /// Returns the layout of a file without header: the columns in config order.
    #[must_use]
    pub fn positional(columns: &[Column]) -> Self {
        let source = |(field, column): (usize, &Column)| Source { column: column.clone(), field: Some(field) };
        Self { width: columns.len(), sources: columns.iter().enumerate().map(source).collect(), drift: BTreeMap::new() }
    }
}

fn unquote(name: &str, quote: Option<u8>) -> String {
    let inner = quote.map(char::from).and_then(|quote| {
        let inner = name.strip_prefix(quote)?.strip_suffix(quote)?;
        Some(inner.replace(&format!("{quote}{quote}"), &quote.to_string()))
    });
    inner.unwrap_or_else(|| name.to_owned()).trim().to_owned()
}
