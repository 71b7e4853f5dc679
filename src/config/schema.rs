//! The JSON Schema of the configuration, for editors and other tools that complete and check TOML.
//!
//! Written by hand, section by section as the decoder reads them; a test holds both to the same keys. What a schema cannot
//! say (SQL, overlapping folders, options that fit a type) only `forebay check` knows.

use serde_json::{Map, Value, json};

use super::{logic, pipeline};

/// Returns the JSON Schema (draft 2020-12) of the configuration.
#[must_use]
pub fn json_schema() -> String {
    let root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "forebay configuration",
        "description": "One TOML file: which folders are watched, how their CSV files are read, and what becomes of the rows.",
        "$ref": "#/$defs/root",
        "$defs": definitions(),
    });
    format!("{root:#}\n")
}

fn definitions() -> Value {
    let mut all = Map::new();
    for (kind, section) in [
        ("root", root()),
        ("server", server()),
        ("paths", paths()),
        ("limits", limits()),
        ("pipeline", a_pipeline()),
        ("csv", csv()),
        ("column", column()),
        ("rule", rule()),
        ("accept", accept()),
        ("drift", drift()),
        ("rows", rows()),
        ("aggregate", aggregate()),
        ("objectives", objectives()),
        ("duration", duration()),
        ("size", size()),
        ("type", column_type()),
    ] {
        all.insert(kind.to_owned(), section);
    }
    Value::Object(all)
}

/// A table with these keys and no others.
#[expect(clippy::needless_pass_by_value, reason = "reads like the document it makes")]
fn table(description: &str, required: &[&str], properties: Value) -> Value {
    let mut table = json!({
        "description": description,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if let (Some(table), false) = (table.as_object_mut(), required.is_empty()) {
        table.insert("required".to_owned(), json!(required));
    }
    table
}

/// A reference to another definition, with a description of its own.
fn of(kind: &str, description: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{kind}"), "description": description })
}

fn with_default(mut value: Value, default: Value) -> Value {
    if let Some(value) = value.as_object_mut() {
        value.insert("default".to_owned(), default);
    }
    value
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn flag(default: bool, description: &str) -> Value {
    json!({ "type": "boolean", "default": default, "description": description })
}

fn count(least: u64, description: &str) -> Value {
    json!({ "type": "integer", "minimum": least, "description": description })
}

fn choice<'a>(names: impl Iterator<Item = &'a str>, description: &str) -> Value {
    json!({ "enum": names.collect::<Vec<_>>(), "description": description })
}

fn root() -> Value {
    let names = json!({ "pattern": "^[a-z0-9_]{1,64}$" });
    table(
        "The whole file.",
        &["pipelines"],
        json!({
            "server": of("server", "The HTTP endpoint."),
            "paths": of("paths", "Folders."),
            "limits": of("limits", "What forebay may use of the machine."),
            "pipelines": {
                "description": "One table per feed; its name becomes a folder and a metric label.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": names,
                "additionalProperties": { "$ref": "#/$defs/pipeline" },
            },
        }),
    )
}

fn server() -> Value {
    table(
        "The HTTP endpoint: status page, metrics, health.",
        &[],
        json!({
            "listen": {
                "description": "Address and port to listen on, or several.",
                "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1, "uniqueItems": true }],
                "default": "127.0.0.1:17170",
            },
            "enable_lifecycle": flag(false, "Whether POST /-/reload is allowed. SIGHUP reloads in any case."),
            "web_config_file": text("TLS, basic auth, headers and a rate limit, in the format of Prometheus' exporter toolkit. Read again when it changes."),
        }),
    )
}

fn paths() -> Value {
    table(
        "Folders. Relative paths are relative to the folder of the configuration file.",
        &[],
        json!({
            "base": with_default(text("The pipelines' default folders lie below it: BASE/in/NAME, BASE/out/NAME ..."), json!("data")),
            "state": text("Folder of the ledger. Default: BASE/state."),
        }),
    )
}

fn limits() -> Value {
    table(
        "What forebay may use of the machine.",
        &[],
        json!({
            "workers": count(1, "Files processed at once. Default: the number of cores, at most 8."),
            "memory": of("size", "Memory that jobs may plan with. Default: from the cgroup or the machine."),
            "drain": with_default(of("duration", "How long a stop waits for files in progress."), json!("30s")),
            "stall_timeout": with_default(of("duration",
                "A worker that says nothing for so long is killed, and its file is tried again."), json!("10m")),
            "job_timeout": with_default(of("duration",
                "A worker that has one file for so long is killed, and the file is tried again."), json!("6h")),
        }),
    )
}

fn a_pipeline() -> Value {
    let named = |values: Value, names: &str, description: &str| {
        json!({
            "description": description,
            "type": "object",
            "propertyNames": { "pattern": names },
            "additionalProperties": values,
        })
    };
    let or = |short: Value, kind: &str| json!({ "oneOf": [short, { "$ref": format!("#/$defs/{kind}") }] });
    let sql = text("SQL over one row.");
    let files = json!({ "type": "array", "minItems": 1, "items": { "type": "string" }, "default": pipeline::FILES,
        "description": "Globs for file names; a file is taken if any matches." });
    let on_success =
        choice(pipeline::ON_SUCCESS.iter().map(|one| one.0), "What happens to a file after its publication.");
    table(
        "One feed: where its files come from, how they are read, and where results go.",
        &["columns"],
        json!({
            "input": text("The inbox. Default: BASE/in/NAME."),
            "output": text("Where results are published. Default: BASE/out/NAME."),
            "archive": text("Where originals go after publication. Default: BASE/archive/NAME."),
            "quarantine": text("Where refused files go. Default: BASE/quarantine/NAME."),
            "files": files,
            "settle": with_default(of("duration", "How long size and mtime must rest before a file counts as whole."), json!("2s")),
            "done_marker": text("Take a file only once its marker exists; {name} stands for the file's name."),
            "scan_interval": with_default(of("duration", "Time between full scans of the inbox."), json!("30s")),
            "on_success": with_default(on_success, json!("archive")),
            "max_decompressed_bytes": with_default(of("size", "Text a compressed file may hold."), json!("256GiB")),
            "max_decompression_ratio": with_default(count(1, "Bytes of text for each byte of a compressed file, past 256 MiB of text."), json!(250)),
            "csv": of("csv", "How text is cut into records and fields."),
            "columns": named(or(json!({ "$ref": "#/$defs/type" }), "column"), "^.+$", "The columns wanted, by header name."),
            "derive": named(sql.clone(), "^.+$", "New columns: SQL over one row; a later one may use an earlier one."),
            "rules": named(or(sql, "rule"), "^[A-Za-z0-9_]{1,64}$", "What must be true of a row: false fails, NULL passes."),
            "accept": of("accept", "When a file with rejects is still accepted."),
            "drift": of("drift", "What happens when a header differs from `columns`."),
            "rows": of("rows", "How the clean rows are written."),
            "aggregates": named(json!({ "$ref": "#/$defs/aggregate" }), "^(?!rows$|rejects$)[a-z0-9_]{1,64}$",
                "Results over all rows of a file, each written as NAME.parquet."),
            "objectives": of("objectives", "What is promised of this feed; exported as metrics for the alert rules."),
        }),
    )
}

fn csv() -> Value {
    let character = |default: &str, description: &str| json!({ "type": "string", "maxLength": 1, "default": default, "description": description });
    table(
        "How text is cut into records and fields.",
        &[],
        json!({
            "delimiter": character(",", "The character between fields."),
            "quote": character("\"", "The character around quoted fields; empty: no quoting."),
            "encoding": with_default(text("Encoding of the text, by its WHATWG name. A byte order mark overrides it."), json!("utf-8")),
            "null_values": { "type": "array", "items": { "type": "string" }, "default": [""],
                "description": "Unquoted fields that are null. The empty one always is." },
            "header": flag(true, "Whether the first record names the columns."),
            "comment": character("", "Lines that start with this character are no records; empty: none."),
            "skip_lines": with_default(count(0, "Lines to skip before the header."), json!(0)),
            "max_record_bytes": with_default(of("size", "The longest record that is still one."), json!("1MiB")),
        }),
    )
}

fn column() -> Value {
    table(
        "A column in full.",
        &["type"],
        json!({
            "type": of("type", "Type of its values."),
            "format": text("strftime format of a date, time or datetime. Default: ISO 8601."),
            "time_zone": text("IANA zone a datetime's text is local in, and its column carries."),
            "trim": flag(false, "Cut off blanks around the value first."),
            "decimal_comma": flag(false, "Numbers are written 1234,5: the comma is the decimal separator."),
            "nullable": flag(true, "false: a null rejects the record."),
            "optional": flag(false, "May be missing from the header: then null."),
            "aliases": { "type": "array", "items": { "type": "string", "minLength": 1 }, "uniqueItems": true,
                "description": "Other names the column may have in a header." },
        }),
    )
}

fn rule() -> Value {
    let action = choice(logic::ACTIONS.iter().map(|one| one.0), "What happens to a row for which it is false.");
    table(
        "A rule in full.",
        &["check"],
        json!({
            "check": text("SQL over one row, true for a sound one."),
            "action": with_default(action, json!("reject")),
        }),
    )
}

fn accept() -> Value {
    let ratio = json!({ "type": "number", "minimum": 0, "maximum": 1, "default": 0.05,
        "description": "Rejected rows over rows read." });
    table(
        "A file is quarantined when its rejects exceed BOTH limits, or when it has too few rows.",
        &[],
        json!({
            "max_reject_ratio": ratio,
            "max_rejects": with_default(count(0, "Rejected rows."), json!(10)),
            "min_rows": with_default(count(0, "Fewest rows a file must have."), json!(0)),
        }),
    )
}

fn drift() -> Value {
    let extra = choice(pipeline::ON_EXTRA.iter().map(|one| one.0), "Columns of the header that are not configured.");
    let missing = choice(pipeline::ON_MISSING.iter().map(|one| one.0), "Configured columns the header lacks.");
    table(
        "What happens when a header differs from `columns`.",
        &[],
        json!({
            "extra": with_default(extra, json!("ignore")),
            "missing": with_default(missing, json!("quarantine")),
        }),
    )
}

fn rows() -> Value {
    let format = choice(pipeline::FORMATS.iter().map(|one| one.0), "File format of the clean rows.");
    let compression = choice(
        pipeline::COMPRESSIONS.iter().map(|one| one.0),
        "Default: zstd for parquet and ipc, none for csv and ndjson.",
    );
    table(
        "How the clean rows are written.",
        &[],
        json!({
            "format": with_default(format, json!("parquet")),
            "compression": compression,
            "partition_by": { "type": "array", "items": { "type": "string" }, "uniqueItems": true,
                "description": "Columns whose values become NAME=VALUE folders." },
        }),
    )
}

fn aggregate() -> Value {
    table(
        "A result over all rows of a file.",
        &["sql"],
        json!({ "sql": text("A SELECT over the table `rows`: the columns and derived columns of the clean rows.") }),
    )
}

fn objectives() -> Value {
    table(
        "What is promised of this feed.",
        &[],
        json!({
            "freshness": of("duration", "A success at least this often."),
            "latency": of("duration", "From the arrival of a file to its publication."),
        }),
    )
}

fn duration() -> Value {
    json!({ "type": "string", "examples": ["500ms", "2s", "5m", "1h30m"], "description": "A duration with its unit." })
}

fn size() -> Value {
    json!({ "type": ["string", "integer"], "examples": ["1MiB", "4GiB"], "description": "A size with its unit, or bytes." })
}

fn column_type() -> Value {
    let plain = "^(string|bool|u?int(8|16|32|64)|float(32|64)|date|time|datetime|decimal ?\\( ?[0-9]{1,2} ?, ?[0-9]{1,2} ?\\))$";
    json!({ "type": "string", "pattern": plain, "examples": super::columns::TYPES, "description": "Type of a column." })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use toml::de::DeTable;

    use super::super::decode::Document;
    use super::super::logic::Depth;
    use super::*;

    /// Reaches every section the decoder has.
    const EVERY_SECTION: &str = r#"
        [pipelines.p.columns]
        a = { type = "int64" }
        [pipelines.p.rules]
        r = { check = "a > 0" }
        [pipelines.p.aggregates.x]
        sql = "SELECT COUNT(*) AS n FROM rows"
    "#;

    fn schema() -> Value {
        serde_json::from_str(&json_schema()).unwrap()
    }

    #[test]
    fn schema_and_decoder_know_the_same_keys() {
        let doc = Document::new(EVERY_SECTION, Depth::Run);
        let table = DeTable::parse(EVERY_SECTION).unwrap();
        super::super::read::read(&doc, table.get_ref(), Path::new("/etc/forebay/forebay.toml"));
        let asked: BTreeMap<String, BTreeSet<String>> = doc
            .asked()
            .into_iter()
            .map(|(kind, keys)| (kind.to_owned(), keys.into_iter().map(str::to_owned).collect()))
            .collect();
        let schema = schema();
        let known: BTreeMap<String, BTreeSet<String>> = schema["$defs"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, definition)| definition.get("properties").is_some())
            .map(|(kind, definition)| {
                (kind.clone(), definition["properties"].as_object().unwrap().keys().cloned().collect())
            })
            .collect();
        assert_eq!(asked, known);
        assert!(doc.finish(&[]).is_empty());
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_key_is_described() {
        fn walk(value: &Value, schema: &Value) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(reference)) = map.get("$ref") {
                        let kind = reference.strip_prefix("#/$defs/").unwrap();
                        assert!(schema["$defs"].get(kind).is_some(), "{reference}");
                    }
                    if let Some(Value::Object(properties)) = map.get("properties") {
                        for (key, property) in properties {
                            assert!(property["description"].is_string(), "{key} is not described");
                        }
                    }
                    map.values().for_each(|value| walk(value, schema));
                }
                Value::Array(list) => list.iter().for_each(|value| walk(value, schema)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let schema = schema();
        walk(&schema, &schema);
    }

    #[test]
    fn the_reference_names_every_key() {
        let reference = include_str!("../../docs/CONFIGURATION.md");
        let schema = schema();
        for (kind, definition) in schema["$defs"].as_object().unwrap() {
            let Some(properties) = definition["properties"].as_object() else {
                continue;
            };
            for key in properties.keys() {
                let named = reference.contains(&format!("`{key}`")) || reference.contains(&format!("## `[{key}"));
                assert!(named, "CONFIGURATION.md does not name `{key}` of {kind}");
            }
        }
    }
}
