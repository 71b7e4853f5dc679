//! `[pipelines.X]`: one pipeline, from its tables to validated values.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use polars::prelude::PlSmallStr;

use super::columns::Columns;
use super::decode::{Item, Section};
use super::read::Folders;
use super::values::is_plain_name;
use super::{
    Accept, Compression, CsvOptions, Drift, Inflate, OnExtra, OnMissing, OnSuccess, Pipeline, RowFormat, Rows, columns,
    csv, logic,
};

const DAY: Duration = Duration::from_hours(24);
const YEAR: Duration = Duration::from_hours(8_766);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Reads one pipeline. Faults are reported; the value is whole even so, and thrown away by the caller then.
pub(super) fn read(name: &str, item: &Item<'_>, folders: &Folders) -> Pipeline {
    if !is_plain_name(name) {
        item.misplaced(
            "a pipeline's name must be 1 to 64 of the characters a-z 0-9 _",
            "it becomes a folder and a metric label",
        );
    }
    let section = item.section("pipeline");
    let folder = |key, below: &str| match section.opt(key) {
        Some(item) => folders.given(&item).unwrap_or_default(),
        // A name that was refused would only lead to folders that clash.
        None if !is_plain_name(name) => PathBuf::new(),
        None => folders.base.join(below).join(name),
    };
    let (input, output) = (folder("input", "in"), folder("output", "out"));
    let (archive, quarantine) = (folder("archive", "archive"), folder("quarantine", "quarantine"));
    let files = files(&section);
    let duration = |key, range, default| section.opt(key).and_then(|item| item.duration(range)).unwrap_or(default);
    let csv = csv::read(section.section("csv", "csv"));
    let columns = columns::read(&section, csv.header);
    let drift = drift(section.section("drift", "drift"), &section, &csv, &columns);
    let mut row = logic::Row::new(&columns, section.doc().depth);
    let derive = logic::derive(&section, &mut row);
    let rows = rows(section.section("rows", "rows"), &row, &columns);
    let (freshness, latency) = objectives(section.section("objectives", "objectives"));
    let pipeline = Pipeline {
        name: name.to_owned(),
        input,
        output,
        archive,
        quarantine,
        done_marker: done_marker(&section, &files),
        files,
        settle: duration("settle", Duration::ZERO..=DAY, Duration::from_secs(2)),
        scan_interval: duration("scan_interval", MILLISECOND..=DAY, Duration::from_secs(30)),
        on_success: section.opt("on_success").and_then(|item| item.choice(&ON_SUCCESS)).unwrap_or(OnSuccess::Archive),
        inflate: inflate(&section),
        csv,
        columns: columns.columns,
        derive,
        rules: logic::rules(&section, &row),
        accept: accept(section.section("accept", "accept")),
        drift,
        rows,
        aggregates: logic::aggregates(&section, &row),
        freshness,
        latency,
        config_hash: config_hash(item),
    };
    section.finish();
    pipeline
}

/// `on_success`, by spelling.
pub(super) const ON_SUCCESS: [(&str, OnSuccess); 3] =
    [("archive", OnSuccess::Archive), ("delete", OnSuccess::Delete), ("keep", OnSuccess::Keep)];

/// Names a drop may have when the config does not say.
pub(super) const FILES: [&str; 3] = ["*.csv", "*.csv.gz", "*.csv.zst"];

fn inflate(section: &Section<'_>) -> Inflate {
    let default = Inflate::default();
    let bytes = section.opt("max_decompressed_bytes").and_then(|item| item.size((1 << 10)..=(1 << 50)));
    let ratio = section.opt("max_decompression_ratio").and_then(|item| item.whole(1..=1_000_000));
    Inflate { max_bytes: bytes.unwrap_or(default.max_bytes), max_ratio: ratio.unwrap_or(default.max_ratio) }
}

fn files(section: &Section<'_>) -> GlobSet {
    let mut globs = GlobSetBuilder::new();
    let mut add = |glob: &str| {
        globs.add(GlobBuilder::new(glob).literal_separator(true).build()?);
        Ok::<_, globset::Error>(())
    };
    let given = section.opt("files").and_then(|item| Some((item.texts()?, item)));
    let Some((texts, item)) = given else {
        // The default globs are constants, and a unit test builds them.
        for glob in FILES {
            add(glob).unwrap_or_default();
        }
        return globs.build().unwrap_or_default();
    };
    if texts.is_empty() {
        item.wrong("no file name could ever match an empty list", "leave it out for *.csv, *.csv.gz and *.csv.zst");
    }
    for (item, glob) in texts {
        if glob.contains('/') {
            item.wrong("a file glob is for names, so it has no /", "sub-folders are not watched; set `input`");
        } else if let Err(error) = add(glob) {
            item.wrong(format!("not a glob: {}", error.kind()), "for instance \"*.csv\" or \"sales_*.csv.gz\"");
        }
    }
    globs.build().unwrap_or_default()
}

fn done_marker(section: &Section<'_>, files: &GlobSet) -> Option<String> {
    let item = section.opt("done_marker")?;
    let marker = item.text()?;
    let hint = "for instance \"{name}.done\"".to_owned();
    if !marker.contains("{name}") || marker == "{name}" || marker.contains('/') {
        item.wrong("a marker is a file name made from {name}, beside the file", hint);
        return None;
    }
    let samples = ["a.csv", "a.csv.gz", "a.csv.zst", "a.txt", "a"];
    let taken = |sample: &&&str| files.is_match(sample) && files.is_match(marker.replace("{name}", sample));
    if let Some(sample) = samples.iter().find(taken) {
        let clash = marker.replace("{name}", sample);
        item.wrong(format!("the marker of {sample} would be {clash}, which `files` takes for a drop"), hint);
    }
    Some(marker.to_owned())
}

fn accept(section: Section<'_>) -> Accept {
    let count = |key, default| section.opt(key).and_then(|item| item.whole(0..=u64::MAX)).unwrap_or(default);
    let accept = Accept {
        max_reject_ratio: section.opt("max_reject_ratio").and_then(|item| item.ratio()).unwrap_or(0.05),
        max_rejects: count("max_rejects", 10),
        min_rows: count("min_rows", 0),
    };
    section.finish();
    accept
}

/// `drift.extra`, by spelling.
pub(super) const ON_EXTRA: [(&str, OnExtra); 3] =
    [("ignore", OnExtra::Ignore), ("keep", OnExtra::Keep), ("quarantine", OnExtra::Quarantine)];
/// `drift.missing`, by spelling.
pub(super) const ON_MISSING: [(&str, OnMissing); 2] =
    [("quarantine", OnMissing::Quarantine), ("null", OnMissing::Null)];

fn drift(section: Section<'_>, pipeline: &Section<'_>, csv: &CsvOptions, columns: &Columns) -> Drift {
    let drift = Drift {
        extra: section.opt("extra").and_then(|item| item.choice(&ON_EXTRA)).unwrap_or(OnExtra::Ignore),
        missing: section.opt("missing").and_then(|item| item.choice(&ON_MISSING)).unwrap_or(OnMissing::Quarantine),
    };
    if section.is_present() && !csv.header {
        pipeline.doc().misplaced(
            &section.place,
            "has no meaning with csv.header = false",
            "without a header there is nothing to compare with `columns`",
        );
    }
    if pipeline.is_present() && columns.columns.is_empty() && columns.faulty.is_empty() {
        let message = "names no column";
        let hint = if csv.header {
            "list the columns, or set drift.extra = \"keep\" to take every column as text"
        } else {
            "without a header the columns must be listed, in the order of the file"
        };
        if !csv.header || drift.extra != OnExtra::Keep {
            let mut place = pipeline.place.clone();
            place.key.push_str(".columns");
            pipeline.doc().misplaced(&place, message, hint.to_owned());
        }
    }
    section.finish();
    drift
}

/// `rows.format`, by spelling, with the compressions each knows: the first is its default.
pub(super) const FORMATS: [(&str, RowFormat, &[Compression]); 5] = {
    use Compression::{Gzip, Lz4, None, Snappy, Zstd};
    [
        ("parquet", RowFormat::Parquet, &[Zstd, None, Snappy, Lz4, Gzip]),
        ("ipc", RowFormat::Ipc, &[Zstd, None, Lz4]),
        ("csv", RowFormat::Csv, &[None, Gzip, Zstd]),
        ("ndjson", RowFormat::Ndjson, &[None, Gzip, Zstd]),
        ("none", RowFormat::None, &[None]),
    ]
};

/// `rows.compression`, by spelling.
pub(super) const COMPRESSIONS: [(&str, Compression); 5] = [
    ("none", Compression::None),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("gzip", Compression::Gzip),
    ("zstd", Compression::Zstd),
];

fn rows(section: Section<'_>, row: &logic::Row, columns: &Columns) -> Rows {
    let names = FORMATS.map(|(name, format, _)| (name, format));
    let format = section.opt("format").and_then(|item| item.choice(&names)).unwrap_or(RowFormat::Parquet);
    let known = FORMATS.iter().find(|(_, one, _)| *one == format).map_or(&[][..], |(_, _, known)| *known);
    let default = known.first().copied().unwrap_or(Compression::None);
    let item = section.opt("compression");
    let compression = item.as_ref().and_then(|item| item.choice(&COMPRESSIONS)).unwrap_or(default);
    if let Some(item) = item.filter(|_| !known.contains(&compression)) {
        let spelled =
            |one: &Compression| COMPRESSIONS.iter().find(|(_, other)| other == one).map_or("", |(name, _)| *name);
        let all = known.iter().map(spelled).collect::<Vec<_>>().join(", ");
        item.wrong(format!("{} does not go with this format", spelled(&compression)), format!("it knows: {all}"));
    }
    let partition_by = partition_by(&section, format, row, columns);
    section.finish();
    Rows { format, compression, partition_by }
}

fn partition_by(section: &Section<'_>, format: RowFormat, row: &logic::Row, columns: &Columns) -> Vec<String> {
    let Some(item) = section.opt("partition_by") else {
        return Vec::new();
    };
    let mut seen = BTreeSet::new();
    for (item, name) in item.texts().unwrap_or_default() {
        let Some(dtype) = row.schema.get(name) else {
            let near = super::nearest(name, row.schema.iter_names().map(PlSmallStr::as_str));
            let hint = near.map(|near| format!("did you mean '{near}'?"));
            if !columns.faulty.iter().any(|faulty| faulty == name) {
                item.misplaced(format!("no column '{name}'"), hint);
            }
            continue;
        };
        if name == "ingest_date" {
            item.misplaced("'ingest_date' is the folder level above", "derive the column under another name");
        } else if !crate::sql::is_partition_key(dtype) {
            item.misplaced(
                format!("a value of type {} makes no folder name", crate::sql::type_name(dtype)),
                "use a string, bool, integer or date column",
            );
        } else if !seen.insert(name.to_owned()) {
            item.misplaced(format!("'{name}' is given twice"), ());
        }
    }
    let names: Vec<String> = item.texts().unwrap_or_default().iter().map(|(_, name)| (*name).to_owned()).collect();
    if format == RowFormat::None && !names.is_empty() {
        item.misplaced("has no meaning with format = \"none\"", "no rows are written");
    } else if !names.is_empty() && seen.len() >= row.schema.len() {
        item.misplaced("leaves no column to write", "keep at least one column out of it");
    }
    names
}

fn objectives(section: Section<'_>) -> (Option<Duration>, Option<Duration>) {
    let duration = |key| section.opt(key).and_then(|item| item.duration(MILLISECOND..=YEAR));
    let pair = (duration("freshness"), duration("latency"));
    section.finish();
    pair
}

/// The pipeline's own tree as decoded: comments, layout and the rest of the file do not count.
fn config_hash(item: &Item<'_>) -> String {
    let mut hash = blake3::Hasher::new();
    item.fingerprint(&mut hash);
    hash.finalize().to_hex().chars().take(16).collect()
}
