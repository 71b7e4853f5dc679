//! Configuration: one TOML file, from raw text to validated values.
//!
//! [`load`] reads a file and returns either a [`Config`] whose every value is sound, or every error of the file at once,
//! each with its key, line and a hint. A daemon has a child do that and knows the outline alone ([`parse_outline`]). Nothing
//! outside this module sees raw TOML. Only [`check_folders`] looks at data folders, and nothing here changes one.

mod columns;
mod csv;
mod decode;
mod effective;
mod error;
mod folders;
mod format;
mod logic;
mod pipeline;
mod read;
mod schema;
pub mod values;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use polars::prelude::{DataType, TimeUnit, TimeZone};

pub use error::{ConfigError, ConfigErrors, nearest};
pub use folders::check_folders;
pub use read::{load, parse, parse_outline, parse_planned, read_text};
pub use schema::json_schema;

/// A whole configuration, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from, absolute.
    pub file: PathBuf,
    /// Its text: another process that reads it comes to the same configuration.
    pub text: Arc<str>,
    /// Addresses of the HTTP endpoint; at least one.
    pub listen: Vec<std::net::SocketAddr>,
    /// TLS, users and headers of the endpoint, absolute.
    pub web_config_file: Option<PathBuf>,
    /// Whether `POST /-/reload` is allowed.
    pub enable_lifecycle: bool,
    /// The whole of it as TOML, with every default filled in.
    pub effective: String,
    /// Directory of `ledger.db` and the lock.
    pub state: PathBuf,
    /// Files processed at once.
    pub workers: usize,
    /// Bytes of memory jobs may plan with; `None`: from the cgroup or the machine.
    pub memory: Option<u64>,
    /// How long a stop waits for files in progress.
    pub drain: Duration,
    /// A worker that says nothing for so long is taken for hung.
    pub stall_timeout: Duration,
    /// A worker that has one file for so long is taken for hung, whatever it says.
    pub job_timeout: Duration,
    /// Pipelines in the order of the file. Cheap to clone and hand to a job.
    pub pipelines: Vec<Arc<Pipeline>>,
}

/// One pipeline: where files come from, how they are read, and where results go.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name: `[a-z0-9_]+`, at most 64 characters. A metric label, so bounded.
    pub name: String,
    /// The inbox, absolute.
    pub input: PathBuf,
    /// Where results are published, absolute.
    pub output: PathBuf,
    /// Where originals go after publication, absolute.
    pub archive: PathBuf,
    /// Where refused files go, absolute.
    pub quarantine: PathBuf,
    /// Globs for file names; a file is taken if any matches.
    pub files: globset::GlobSet,
    /// Size and mtime unchanged this long before a file counts as whole.
    pub settle: Duration,
    /// `{name}` stands for the file's name; the file is taken only once the marker exists.
    pub done_marker: Option<String>,
    /// Time between full scans.
    pub scan_interval: Duration,
    /// What happens to an input after success.
    pub on_success: OnSuccess,
    /// `max_decompressed_bytes` and `max_decompression_ratio`.
    pub inflate: Inflate,
    /// How text is cut into records and fields.
    pub csv: CsvOptions,
    /// The columns wanted, in config order.
    pub columns: Vec<Column>,
    /// Derived columns in config order; a later one may use an earlier one.
    pub derive: Vec<Derive>,
    /// Rules in config order.
    pub rules: Vec<Rule>,
    /// When a file with rejects is still accepted.
    pub accept: Accept,
    /// What to do when the header differs from `columns`.
    pub drift: Drift,
    /// How clean rows are written.
    pub rows: Rows,
    /// Aggregates in config order.
    pub aggregates: Vec<Aggregate>,
    /// `objectives.freshness`: a success at least this often.
    pub freshness: Option<Duration>,
    /// `objectives.latency`: arrival to published.
    pub latency: Option<Duration>,
    /// BLAKE3 (lower-case hex, 16 digits) of the pipeline's part of the file: changes when its meaning may have.
    pub config_hash: String,
}

/// `on_success`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSuccess {
    /// Move the input to the archive.
    Archive,
    /// Delete the input, after the ledger says it is published.
    Delete,
    /// Leave the input where it is; it is not claimed by rename, and not taken again unless it changes.
    Keep,
}

/// How far compressed files may inflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inflate {
    /// Bytes of text.
    pub max_bytes: u64,
    /// Bytes of text for each byte of the file, once there are more than a few.
    pub max_ratio: u64,
}

impl Default for Inflate {
    fn default() -> Self {
        Self { max_bytes: 256 << 30, max_ratio: 250 }
    }
}

/// `[pipelines.X.csv]`.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    /// One byte between fields.
    pub delimiter: u8,
    /// One byte around quoted fields; `None`: no quoting.
    pub quote: Option<u8>,
    /// Encoding of the text; a BOM overrides it.
    pub encoding: &'static encoding_rs::Encoding,
    /// Unquoted fields that are null, besides the empty one.
    pub null_values: Vec<Vec<u8>>,
    /// Whether the first record names the columns.
    pub header: bool,
    /// Lines starting with this byte are no records.
    pub comment: Option<u8>,
    /// Physical lines skipped before the header.
    pub skip_lines: u64,
    /// Longest record in bytes, without its line end.
    pub max_record_bytes: usize,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            encoding: encoding_rs::UTF_8,
            null_values: Vec::new(),
            header: true,
            comment: None,
            skip_lines: 0,
            max_record_bytes: 1 << 20,
        }
    }
}

/// One entry of `[pipelines.X.columns]`.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the configuration")]
pub struct Column {
    /// Name in the output.
    pub name: String,
    /// Other names it may have in a header.
    pub aliases: Vec<String>,
    /// Type of its values.
    pub kind: ColumnType,
    /// `false`: a null rejects the record.
    pub nullable: bool,
    /// May be missing from the header: then null.
    pub optional: bool,
    /// Blanks around the value are cut off first.
    pub trim: bool,
    /// `1.234,5` style numbers: the comma is the decimal separator; no thousands separators either way.
    pub decimal_comma: bool,
}

impl Column {
    /// Returns a text column that may be null, must be present, and is read as it stands.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            aliases: Vec::new(),
            kind: ColumnType::String,
            nullable: true,
            optional: false,
            trim: false,
            decimal_comma: false,
        }
    }
}

/// A column's type, with what is needed to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text.
    String,
    /// true/false.
    Bool,
    /// Signed integers of 8, 16, 32, 64 bits.
    Int(u8),
    /// Unsigned integers of 8, 16, 32, 64 bits.
    UInt(u8),
    /// 32-bit float.
    Float32,
    /// 64-bit float.
    Float64,
    /// Exact decimal.
    Decimal {
        /// Digits in all, at most 38.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// Day.
    Date {
        /// strftime format; `None`: ISO 8601.
        format: Option<String>,
    },
    /// Time of day, nanoseconds.
    Time {
        /// strftime format; `None`: ISO 8601.
        format: Option<String>,
    },
    /// Instant or local time, microseconds.
    Datetime {
        /// strftime format; `None`: ISO 8601 with a blank or `T`.
        format: Option<String>,
        /// Zone the text is local in and the column carries.
        time_zone: Option<chrono_tz::Tz>,
    },
}

impl fmt::Display for ColumnType {
    /// Writes the type as a configuration names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.pad("string"),
            Self::Bool => f.pad("bool"),
            Self::Int(bits) => write!(f, "int{bits}"),
            Self::UInt(bits) => write!(f, "uint{bits}"),
            Self::Float32 => f.pad("float32"),
            Self::Float64 => f.pad("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Date { .. } => f.pad("date"),
            Self::Time { .. } => f.pad("time"),
            Self::Datetime { .. } => f.pad("datetime"),
        }
    }
}

impl ColumnType {
    /// Returns the Polars type that holds a column's values.
    #[must_use]
    pub fn dtype(&self) -> DataType {
        match self {
            Self::String => DataType::String,
            Self::Bool => DataType::Boolean,
            Self::Int(8) => DataType::Int8,
            Self::Int(16) => DataType::Int16,
            Self::Int(32) => DataType::Int32,
            Self::Int(_) => DataType::Int64,
            Self::UInt(8) => DataType::UInt8,
            Self::UInt(16) => DataType::UInt16,
            Self::UInt(32) => DataType::UInt32,
            Self::UInt(_) => DataType::UInt64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal(usize::from(*precision), usize::from(*scale)),
            Self::Date { .. } => DataType::Date,
            Self::Time { .. } => DataType::Time,
            Self::Datetime { time_zone, .. } => {
                let zone = time_zone.and_then(|zone| TimeZone::opt_try_new(Some(zone.name())).ok().flatten());
                DataType::Datetime(TimeUnit::Microseconds, zone)
            }
        }
    }
}

/// One entry of `[pipelines.X.derive]`.
#[derive(Debug, Clone)]
pub struct Derive {
    /// Name of the new column.
    pub name: String,
    /// Its SQL text.
    pub sql: String,
    /// The compiled expression; `None` in an outline ([`parse_outline`]).
    pub expr: Option<polars::prelude::Expr>,
}

/// One entry of `[pipelines.X.rules]`.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name: a metric label, so `[A-Za-z0-9_]+`, at most 64 characters.
    pub name: String,
    /// Its SQL text.
    pub sql: String,
    /// The compiled expression: boolean, row-local; `None` in an outline.
    pub expr: Option<polars::prelude::Expr>,
    /// What happens to a row for which it is false.
    pub action: RuleAction,
}

/// What happens to a row that fails a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// The row goes to `rejects.parquet`.
    Reject,
    /// The row is left out and counted.
    Drop,
    /// The row stays and is counted.
    Warn,
    /// The whole file is refused.
    Quarantine,
}

/// `[pipelines.X.accept]`: a file is refused when its rejects exceed both limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accept {
    /// Rejected over read, 0 to 1.
    pub max_reject_ratio: f64,
    /// Rejected rows.
    pub max_rejects: u64,
    /// Fewest rows read.
    pub min_rows: u64,
}

/// `[pipelines.X.drift]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// Header names no column has.
    pub extra: OnExtra,
    /// Columns the header lacks.
    pub missing: OnMissing,
}

/// `drift.extra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExtra {
    /// Not read.
    Ignore,
    /// Written as string columns after the configured ones.
    Keep,
    /// The file is refused.
    Quarantine,
}

/// `drift.missing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    /// The file is refused.
    Quarantine,
    /// The column is all null (a column with `nullable = false` still refuses the file).
    Null,
}

/// `[pipelines.X.rows]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// File format.
    pub format: RowFormat,
    /// Compression, one that `format` knows.
    pub compression: Compression,
    /// Columns whose values become `name=value` directories.
    pub partition_by: Vec<String>,
}

/// `rows.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// `rows.parquet`
    Parquet,
    /// `rows.arrow`, the Arrow IPC file format.
    Ipc,
    /// `rows.csv`
    Csv,
    /// `rows.ndjson`
    Ndjson,
    /// No rows, only aggregates and rejects.
    None,
}

/// `rows.compression`. parquet: none snappy lz4 gzip zstd; ipc: none lz4 zstd; csv and ndjson: none gzip zstd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As is.
    None,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// One entry of `[pipelines.X.aggregates]`: written as `<name>.parquet`.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// Its name: becomes a file name, so `[a-z0-9_]+`, not `rows` or `rejects`.
    pub name: String,
    /// SQL over the table `rows`.
    pub sql: String,
    /// How to compute it batch by batch; `None` if it must see all rows at once, and in an outline.
    pub steps: Option<crate::sql::Steps>,
}
