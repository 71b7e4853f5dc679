//! SQL over rows: expressions that look at one row, compiled once to Polars, and aggregates over all rows of a file.
//!
//! Pure. Texts are checked as syntax first, so that messages name what the user wrote, and as a plan second, so that nothing
//! passes that Polars would not compute row by row. `docs/SQL.md` lists what may be used.

mod aggregate;
mod civil;
mod compile;
#[cfg(test)]
mod examples;
mod functions;
mod shares;
mod steps;
mod syntax;

use polars::prelude::{DataType, Field, Schema};

pub use aggregate::{check_aggregate, run_aggregate, steps, try_aggregate};
pub use compile::{compile_row, try_row};
pub use shares::Shares;
pub use steps::Steps;

use crate::config::Column;

/// Why an SQL text of the configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// It does not parse.
    #[error("not valid SQL: {message}")]
    Syntax {
        /// What the parser met.
        message: String,
    },
    /// It names a column the rows do not have.
    #[error("no column '{name}'")]
    UnknownColumn {
        /// The name.
        name: String,
        /// The column it may have meant.
        near: Option<String>,
    },
    /// It names no column, so it is the same for every row.
    #[error("names no column, so it is the same for every row")]
    NoColumn,
    /// It looks at more than one row.
    #[error("{what} looks at more than one row")]
    NotRowLocal {
        /// What does.
        what: String,
    },
    /// A function that does not exist, or is called in a way that cannot work.
    #[error("{message}")]
    Function {
        /// What is wrong.
        message: String,
        /// What to write instead.
        hint: String,
    },
    /// Valid, but not something that can be computed here.
    #[error("{message}")]
    Unsupported {
        /// What cannot be computed.
        message: String,
    },
}

impl SqlError {
    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownColumn { near: Some(near), .. } => Some(format!("did you mean '{near}'?")),
            Self::UnknownColumn { near: None, .. } => {
                Some("texts stand in single quotes, columns in double quotes or none".to_owned())
            }
            Self::NotRowLocal { .. } => Some("only aggregates may look at more than one row".to_owned()),
            Self::Function { hint, .. } => Some(hint.clone()),
            Self::Syntax { .. } | Self::NoColumn | Self::Unsupported { .. } => None,
        }
    }

    fn unsupported(message: impl Into<String>) -> Self {
        Self::Unsupported { message: message.into() }
    }
}

/// Returns the schema of the typed rows, in config order.
#[must_use]
pub fn row_schema(columns: &[Column]) -> Schema {
    columns.iter().map(|column| Field::new(column.name.as_str().into(), column.kind.dtype())).collect()
}

/// Returns the name of a type as a configuration would give it, or as Polars does where it could not.
#[must_use]
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and large")]
pub fn type_name(dtype: &DataType) -> String {
    match dtype {
        DataType::String => "string".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Float32 => "float32".to_owned(),
        DataType::Float64 => "float64".to_owned(),
        DataType::Datetime(..) => "datetime".to_owned(),
        DataType::Null => "NULL".to_owned(),
        DataType::Duration(_) => "duration".to_owned(),
        DataType::List(_) => "list".to_owned(),
        // Polars says i64 and u8 for the others.
        other => match other.to_string() {
            short if is_integer(other) => integer_name(&short),
            name => name,
        },
    }
}

fn integer_name(short: &str) -> String {
    match short.strip_prefix('u') {
        Some(bits) => format!("uint{bits}"),
        None => format!("int{}", short.trim_start_matches('i')),
    }
}

/// Returns whether a derived column may have this type: one that every output format can hold.
#[must_use]
pub fn is_storable(dtype: &DataType) -> bool {
    is_integer(dtype)
        || matches!(dtype, DataType::String | DataType::Boolean | DataType::Float32 | DataType::Float64)
        || matches!(dtype, DataType::Decimal(..) | DataType::Date | DataType::Time | DataType::Datetime(..))
}

/// Returns whether values of this type may become folder names.
#[must_use]
pub fn is_partition_key(dtype: &DataType) -> bool {
    is_integer(dtype) || matches!(dtype, DataType::String | DataType::Boolean | DataType::Date)
}

fn is_integer(dtype: &DataType) -> bool {
    matches!(dtype, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
        || matches!(dtype, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64)
}

/// The table every SQL text reads.
const TABLE: &str = "rows";
