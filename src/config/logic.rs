//! Derived columns, rules and aggregates: SQL, compiled while the configuration is read.

use std::collections::BTreeSet;

use polars::prelude::{DataType, Expr, Schema};

use super::columns::Columns;
use super::decode::{Item, Section};
use super::values::{is_label_name, is_plain_name};
use super::{Aggregate, Derive, Rule, RuleAction};
use crate::sql::{self, SqlError, Steps};

/// Actions of a rule, by their spelling.
pub(super) const ACTIONS: [(&str, RuleAction); 4] = [
    ("reject", RuleAction::Reject),
    ("drop", RuleAction::Drop),
    ("warn", RuleAction::Warn),
    ("quarantine", RuleAction::Quarantine),
];

/// How closely SQL is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Not at all: its text is kept.
    Outline,
    /// It is compiled, as a plan.
    Plan,
    /// And run over no rows.
    Run,
}

/// The row as SQL sees it while a pipeline is read.
pub(super) struct Row {
    pub(super) schema: Schema,
    /// Columns with faults of their own: expressions over them are not judged, as the first fault explains the second.
    faulty: BTreeSet<String>,
    /// Every name that is taken.
    names: BTreeSet<String>,
    depth: Depth,
}

impl Row {
    pub(super) fn new(columns: &Columns, depth: Depth) -> Self {
        let names = columns.columns.iter().map(|column| column.name.clone());
        Self {
            schema: sql::row_schema(&columns.columns),
            faulty: columns.faulty.iter().cloned().collect(),
            names: names.chain(columns.faulty.iter().cloned()).collect(),
            depth,
        }
    }

    /// Reports `error` at `item`, unless a column's own fault explains it.
    fn report(&self, item: &Item<'_>, error: &SqlError) {
        let explained = match error {
            SqlError::UnknownColumn { name, .. } => self.faulty.contains(name),
            SqlError::Syntax { .. }
            | SqlError::NoColumn
            | SqlError::NotRowLocal { .. }
            | SqlError::Function { .. }
            | SqlError::Unsupported { .. } => false,
        };
        if !explained {
            item.misplaced(error.to_string(), error.hint());
        }
    }

    /// Compiles one expression; in an outline it is none, and its type one that fits.
    fn compile(&self, item: &Item<'_>, text: &str, fitting: DataType) -> Option<(Option<Expr>, DataType)> {
        if self.depth == Depth::Outline {
            return Some((None, fitting));
        }
        let compiled = sql::compile_row(text, &self.schema).and_then(|(expr, dtype)| {
            if self.depth == Depth::Run {
                sql::try_row(&expr, &dtype, &self.schema)?;
            }
            Ok((Some(expr), dtype))
        });
        compiled.map_err(|error| self.report(item, &error)).ok()
    }

    fn aggregate(&self, sql: &str) -> Result<Option<Steps>, SqlError> {
        if self.depth == Depth::Outline {
            return Ok(None);
        }
        sql::check_aggregate(sql, &self.schema)?;
        if self.depth == Depth::Run {
            sql::try_aggregate(sql, &self.schema)?;
        }
        Ok(sql::steps(sql, &self.schema))
    }
}

/// Reads the `derive` table, and adds its columns to the row.
pub(super) fn derive(pipeline: &Section<'_>, row: &mut Row) -> Vec<Derive> {
    let mut derived = Vec::new();
    for (name, item) in pipeline.named("derive") {
        if name.is_empty() {
            item.misplaced("a derived column needs a name", ());
        } else if !row.names.insert(name.clone()) {
            item.misplaced(format!("'{name}' is already a column"), "give the derived column another name");
            continue;
        }
        match derive_one(&name, &item, row) {
            Some((one, dtype)) => {
                row.schema.insert(name.as_str().into(), dtype);
                derived.push(one);
            }
            None => {
                row.faulty.insert(name);
            }
        }
    }
    derived
}

fn derive_one(name: &str, item: &Item<'_>, row: &Row) -> Option<(Derive, DataType)> {
    let sql = item.text()?;
    let (expr, dtype) = row.compile(item, sql, DataType::String)?;
    if !sql::is_storable(&dtype) {
        let hint = if matches!(dtype, DataType::Duration(_)) {
            "use date_diff('second', a, b) for a number"
        } else {
            "make it a string, bool, number, date, time or datetime"
        };
        item.misplaced(
            format!("gives a value of type {}, which a column cannot hold", sql::type_name(&dtype)),
            hint.to_owned(),
        );
        return None;
    }
    Some((Derive { name: name.to_owned(), sql: sql.to_owned(), expr }, dtype))
}

/// Reads the `rules` table.
pub(super) fn rules(pipeline: &Section<'_>, row: &Row) -> Vec<Rule> {
    let rules = pipeline.named("rules");
    rules.iter().filter_map(|(name, item)| rule(name, item, row)).collect()
}

fn rule(name: &str, item: &Item<'_>, row: &Row) -> Option<Rule> {
    if !is_label_name(name) {
        item.misplaced("a rule's name must be 1 to 64 of the characters A-Z a-z 0-9 _", "it becomes a metric label");
    }
    if item.is_text() {
        return compiled_rule(name, item, RuleAction::Reject, row);
    }
    if !item.is_table() {
        item.wrong("expected SQL or a table", "write \"a > 0\", or { check = \"a > 0\", action = \"warn\" }");
        return None;
    }
    let section = item.section("rule");
    let check = section.req("check", "add check = \"...\": SQL that is true for a sound row");
    let action = section.opt("action").map(|item| item.choice(&ACTIONS));
    section.finish();
    compiled_rule(name, &check?, action.unwrap_or(Some(RuleAction::Reject))?, row)
}

fn compiled_rule(name: &str, item: &Item<'_>, action: RuleAction, row: &Row) -> Option<Rule> {
    let sql = item.text()?;
    let (expr, dtype) = row.compile(item, sql, DataType::Boolean)?;
    if dtype != DataType::Boolean {
        item.misplaced(
            format!("gives a value of type {}, not true or false", sql::type_name(&dtype)),
            "compare it with something: a > 0",
        );
        return None;
    }
    Some(Rule { name: name.to_owned(), sql: sql.to_owned(), expr, action })
}

/// Reads the `aggregates` table.
pub(super) fn aggregates(pipeline: &Section<'_>, row: &Row) -> Vec<Aggregate> {
    let aggregates = pipeline.named("aggregates");
    aggregates.iter().filter_map(|(name, item)| aggregate(name, item, row)).collect()
}

fn aggregate(name: &str, item: &Item<'_>, row: &Row) -> Option<Aggregate> {
    if !is_plain_name(name) {
        item.misplaced(
            "an aggregate's name must be 1 to 64 of the characters a-z 0-9 _",
            format!("it becomes the file {}.parquet", "<name>"),
        );
    } else if matches!(name, "rows" | "rejects") {
        item.misplaced(format!("{name}.parquet is taken by forebay itself"), "choose another name");
    }
    let section = item.section("aggregate");
    let sql = section.req("sql", "add sql = \"SELECT ... FROM rows\"");
    section.finish();
    let item = sql?;
    let sql = item.text()?;
    let steps = row.aggregate(sql).map_err(|error| row.report(&item, &error)).ok()?;
    Some(Aggregate { name: name.to_owned(), sql: sql.to_owned(), steps })
}
