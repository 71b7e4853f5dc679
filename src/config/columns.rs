//! `[pipelines.X.columns]`: names, types, and the options that fit each type.

use std::collections::BTreeMap;

use super::decode::{Item, Section};
use super::error::nearest;
use super::format::{self, Wants};
use super::{Column, ColumnType};

/// Every type name, `decimal(p,s)` aside.
pub(super) const TYPES: [&str; 17] = [
    "string",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "date",
    "time",
    "datetime",
    "decimal",
    "decimal(p,s)",
];

/// The columns of a pipeline, and the names of those whose entry was faulty.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) columns: Vec<Column>,
    pub(super) faulty: Vec<String>,
}

/// Reads the `columns` table of a pipeline.
pub(super) fn read(pipeline: &Section<'_>, header: bool) -> Columns {
    let mut read = Columns::default();
    let mut taken = BTreeMap::new();
    for (name, item) in pipeline.named("columns") {
        claim_name(&mut taken, &name, &name, &item);
        if header && name.trim() != name {
            item.misplaced("could never match: blanks around a header's names do not count", "leave them out");
        }
        if let Some(column) = column(&name, &item, header) {
            for alias in &column.aliases {
                claim_name(&mut taken, alias, &name, &item);
            }
            read.columns.push(column);
        } else {
            read.faulty.push(name);
        }
    }
    read
}

/// A header name must lead to one column, so names and aliases share one space.
fn claim_name(taken: &mut BTreeMap<String, String>, name: &str, column: &str, item: &Item<'_>) {
    if name.is_empty() {
        item.misplaced("a column needs a name", ());
    } else if let Some(owner) = taken.insert(name.to_owned(), column.to_owned()) {
        item.misplaced(
            format!("'{name}' already names column '{owner}'"),
            "names and aliases must differ from each other",
        );
    }
}

fn column(name: &str, item: &Item<'_>, header: bool) -> Option<Column> {
    if item.is_text() {
        let kind = column_type(item, item.text()?)?;
        return Some(Column { kind, ..Column::plain(name) });
    }
    if !item.is_table() {
        item.wrong("expected a type or a table", "write \"int64\", or { type = \"int64\", nullable = false }");
        return None;
    }
    let section = item.section("column");
    let faults = section.doc().faults();
    let kind_item = section.req("type", "add type = \"string\"");
    let kind = kind_item.as_ref().and_then(|item| column_type(item, item.text()?));
    let flag = |key, default| section.opt(key).and_then(|item| item.flag()).unwrap_or(default);
    let mut column = Column {
        nullable: flag("nullable", true),
        optional: flag("optional", false),
        trim: flag("trim", false),
        decimal_comma: flag("decimal_comma", false),
        aliases: aliases(&section, name),
        ..Column::plain(name)
    };
    check_fit(&section, kind.as_ref(), header);
    column.kind = with_format(&section, kind.unwrap_or(ColumnType::String));
    let doc = section.doc();
    section.finish();
    (doc.faults() == faults).then_some(column)
}

fn aliases(section: &Section<'_>, name: &str) -> Vec<String> {
    let Some(texts) = section.opt("aliases").and_then(|item| item.texts()) else {
        return Vec::new();
    };
    let mut aliases: Vec<String> = Vec::new();
    for (item, text) in texts {
        if text.is_empty() {
            item.wrong("an alias needs a name", ());
        } else if text == name || aliases.iter().any(|alias| alias == text) {
            item.wrong(format!("'{text}' is given twice"), ());
        } else {
            aliases.push(text.to_owned());
        }
    }
    aliases
}

/// Takes `format` and `time_zone` into a type that has them.
fn with_format(section: &Section<'_>, kind: ColumnType) -> ColumnType {
    let format = section.opt("format");
    let text = format.as_ref().and_then(Item::text).map(str::to_owned);
    let zone_item = section.opt("time_zone");
    let zone = zone_item.as_ref().and_then(zone);
    let (kind, wants) = match kind {
        ColumnType::Date { .. } => (ColumnType::Date { format: text.clone() }, Wants::Date),
        ColumnType::Time { .. } => (ColumnType::Time { format: text.clone() }, Wants::Time),
        ColumnType::Datetime { .. } => {
            let wants = Wants::Datetime { zoned: zone_item.is_some(), utc: zone.is_some_and(is_utc) };
            (ColumnType::Datetime { format: text.clone(), time_zone: zone }, wants)
        }
        other @ (ColumnType::String
        | ColumnType::Bool
        | ColumnType::Int(_)
        | ColumnType::UInt(_)
        | ColumnType::Float32
        | ColumnType::Float64
        | ColumnType::Decimal { .. }) => return other,
    };
    if let (Some(item), Some(text)) = (format, text)
        && let Err((message, hint)) = format::check(&text, wants)
    {
        item.wrong(message, hint);
    }
    kind
}

fn is_utc(zone: chrono_tz::Tz) -> bool {
    matches!(zone.name(), "UTC" | "Etc/UTC" | "Etc/UCT" | "UCT" | "Zulu" | "Etc/Zulu" | "Universal" | "Etc/Universal")
}

fn zone(item: &Item<'_>) -> Option<chrono_tz::Tz> {
    let text = item.text()?;
    let zone = text.parse().ok();
    if zone.is_none() {
        let near = nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        let hint = near.map_or_else(
            || "use a name of the IANA list, for instance \"UTC\" or \"America/New_York\"".to_owned(),
            |near| format!("did you mean \"{near}\"?"),
        );
        item.wrong(format!("\"{text}\" is no known time zone"), hint);
    }
    zone
}

/// Refuses options that have no meaning for the column's type, rather than ignoring them.
fn check_fit(section: &Section<'_>, kind: Option<&ColumnType>, header: bool) {
    for key in ["aliases", "optional"] {
        if let Some(item) = section.opt(key).filter(|_| !header) {
            item.misplaced("has no meaning without a header", "columns are matched by position");
        }
    }
    let Some(kind) = kind else { return };
    let temporal = matches!(kind, ColumnType::Date { .. } | ColumnType::Time { .. } | ColumnType::Datetime { .. });
    let fractional = matches!(kind, ColumnType::Float32 | ColumnType::Float64 | ColumnType::Decimal { .. });
    let zoned = matches!(kind, ColumnType::Datetime { .. });
    for (key, fits, only) in [
        ("format", temporal, "date, time and datetime have a format"),
        ("time_zone", zoned, "only datetime has a time zone"),
        ("decimal_comma", fractional, "only float32, float64 and decimal have decimals"),
    ] {
        if let Some(item) = section.opt(key).filter(|_| !fits) {
            item.misplaced(format!("does not fit type {kind}"), only.to_owned());
        }
    }
}

fn column_type(item: &Item<'_>, text: &str) -> Option<ColumnType> {
    if text.starts_with("decimal") {
        return decimal(item, text);
    }
    let kind = match text {
        "string" => ColumnType::String,
        "bool" => ColumnType::Bool,
        "int8" => ColumnType::Int(8),
        "int16" => ColumnType::Int(16),
        "int32" => ColumnType::Int(32),
        "int64" => ColumnType::Int(64),
        "uint8" => ColumnType::UInt(8),
        "uint16" => ColumnType::UInt(16),
        "uint32" => ColumnType::UInt(32),
        "uint64" => ColumnType::UInt(64),
        "float32" => ColumnType::Float32,
        "float64" => ColumnType::Float64,
        "date" => ColumnType::Date { format: None },
        "time" => ColumnType::Time { format: None },
        "datetime" => ColumnType::Datetime { format: None, time_zone: None },
        _ => {
            let hint = match usual_name(text).or_else(|| nearest(text, TYPES)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("types: {}", TYPES.join(" ")),
            };
            item.wrong(format!("\"{text}\" is no type"), hint);
            return None;
        }
    };
    Some(kind)
}

/// What other tools call our types.
fn usual_name(text: &str) -> Option<&'static str> {
    let name = match text.to_ascii_lowercase().as_str() {
        "int" | "integer" | "bigint" | "long" | "i64" => "int64",
        "smallint" | "i16" => "int16",
        "i32" => "int32",
        "text" | "str" | "varchar" | "utf8" | "char" => "string",
        "double" | "float" | "real" | "f64" => "float64",
        "f32" => "float32",
        "boolean" => "bool",
        "timestamp" | "timestamptz" => "datetime",
        "number" | "numeric" | "money" => "decimal(p,s)",
        _ => return None,
    };
    Some(name)
}

fn decimal(item: &Item<'_>, text: &str) -> Option<ColumnType> {
    let inner = text.strip_prefix("decimal").and_then(|rest| rest.trim().strip_prefix('(')?.strip_suffix(')'));
    let numbers = inner.and_then(|inner| {
        let (precision, scale) = inner.split_once(',')?;
        Some((precision.trim().parse::<u8>().ok()?, scale.trim().parse::<u8>().ok()?))
    });
    let Some((precision, scale)) = numbers else {
        item.wrong(
            format!("\"{text}\" lacks its digits"),
            "write \"decimal(10,2)\": digits in all, and behind the point",
        );
        return None;
    };
    if !(1..=38).contains(&precision) || scale > precision {
        item.wrong(format!("\"{text}\" cannot be"), "1 to 38 digits in all, and no more of them behind the point");
        return None;
    }
    Some(ColumnType::Decimal { precision, scale })
}
