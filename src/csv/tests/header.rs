//! What the contract says of headers, spelled out.

use std::collections::BTreeMap;

use super::case::Case;
use crate::config::{Column, OnExtra, OnMissing};
use crate::job::{DriftKind, QuarantineReason};

/// Which field feeds which column.
pub(super) struct Fit {
    pub(super) width: usize,
    pub(super) columns: Vec<(Column, Option<usize>)>,
    pub(super) drift: BTreeMap<DriftKind, u64>,
}

/// Without a header: by position.
pub(super) fn positional(columns: &[Column]) -> Fit {
    let columns: Vec<_> = columns.iter().cloned().enumerate().map(|(field, column)| (column, Some(field))).collect();
    Fit { width: columns.len(), columns, drift: BTreeMap::new() }
}

/// By name; or why the file is refused.
pub(super) fn fit(names: &[String], case: &Case) -> Result<Fit, QuarantineReason> {
    if names.len() > 4096 {
        return Err(QuarantineReason::HeaderMismatch);
    }
    let count = |name: &str| names.iter().filter(|other| *other == name && !name.is_empty()).count();
    if names.iter().any(|name| count(name) > 1) {
        return Err(QuarantineReason::DuplicateHeader);
    }
    let find = |name: &String| names.iter().position(|other| other == name).filter(|_| !name.is_empty());
    let (mut columns, mut renamed, mut missing, mut fatal) = (Vec::new(), 0, 0, false);
    for column in &case.columns {
        let field = find(&column.name).or_else(|| {
            let field = column.aliases.iter().find_map(find);
            renamed += u64::from(field.is_some());
            field
        });
        if field.is_none() && !(column.optional && column.nullable) {
            missing += 1;
            fatal |= case.drift.missing == OnMissing::Quarantine || !column.nullable;
        }
        columns.push((column.clone(), field));
    }
    let in_order: Vec<_> = columns.iter().filter_map(|(_, field)| *field).collect();
    let extras: Vec<_> = (0..names.len()).filter(|field| !in_order.contains(field)).collect();
    if fatal || (case.drift.extra == OnExtra::Quarantine && !extras.is_empty()) {
        return Err(QuarantineReason::HeaderMismatch);
    }
    if case.drift.extra == OnExtra::Keep {
        for field in &extras {
            let blank = names[*field].is_empty();
            let name = if blank { format!("column_{}", field + 1) } else { names[*field].clone() };
            let taken = case.columns.iter().any(|column| column.name == name) || count(&name) > usize::from(!blank);
            if taken {
                return Err(QuarantineReason::HeaderMismatch);
            }
            columns.push((Column { optional: true, ..Column::plain(&name) }, Some(*field)));
        }
    }
    let reordered = u64::from(in_order.windows(2).any(|pair| pair[0] > pair[1]));
    let drift = [
        (DriftKind::Renamed, renamed),
        (DriftKind::Missing, missing),
        (DriftKind::Reordered, reordered),
        (DriftKind::Extra, extras.len() as u64),
    ];
    Ok(Fit { width: names.len(), columns, drift: drift.into_iter().filter(|(_, count)| *count > 0).collect() })
}
