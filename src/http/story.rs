//! One file's whole story, as the page about it needs it.

use std::collections::BTreeMap;

use super::view::FileSummary;
use crate::job::{DriftKind, FileId, OutputFile, Stage, StageCost, Timestamp};

/// Everything there is to tell of a file.
#[derive(Debug, Clone)]
pub struct Story {
    /// What a list says of it. Its rejects are there for refused files too.
    pub file: FileSummary,
    /// What to do about a refusal, in words.
    pub hint: String,
    /// What to do about a refusal, step by step; commands stand between backticks.
    pub what_next: Vec<String>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// The file published before with the same content.
    pub duplicate_of: Option<FileId>,
    /// When the last attempt began.
    pub started_at: Option<Timestamp>,
    /// When the next attempt may begin.
    pub next_attempt_at: Option<Timestamp>,
    /// What happened, oldest first.
    pub turns: Vec<Turn>,
    /// What its manifest tells, if it was published and the manifest can be read.
    pub published: Option<PublishedAs>,
    /// Why the manifest of a published file cannot be read.
    pub unreadable: Option<String>,
    /// Its first rejected rows.
    pub sample: Vec<RejectedRow>,
    /// More names and values, fit to be shown.
    pub facts: Vec<(&'static str, String)>,
}

/// One turn of the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// When.
    pub at: Timestamp,
    /// What, in one word.
    pub what: String,
    /// The rest, for a person.
    pub message: String,
}

/// What lies in the output.
#[derive(Debug, Clone)]
pub struct PublishedAs {
    /// The directory.
    pub directory: String,
    /// Files by name.
    pub outputs: BTreeMap<String, OutputFile>,
    /// Cost per stage.
    pub stages: BTreeMap<Stage, StageCost>,
    /// Rejects by the rule that decided.
    pub rejects_by_rule: BTreeMap<String, u64>,
    /// Rows that broke each rule, whatever the rule does to them.
    pub rule_violations: BTreeMap<String, u64>,
    /// How the header differed from the configured columns, in columns.
    pub drift: BTreeMap<DriftKind, u64>,
}

/// One rejected row, fit to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RejectedRow {
    /// Physical line, from 1.
    pub line: u64,
    /// The column at fault; may be empty.
    pub column: String,
    /// Why, in one word.
    pub reason: String,
    /// The rule that decided; may be empty.
    pub rule: String,
    /// Why, for a person.
    pub detail: String,
    /// The beginning of the record as it came, escaped.
    pub raw: String,
}
