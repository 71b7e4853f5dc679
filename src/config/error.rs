//! What is wrong with a configuration: every fault at once, each with its place and a way out.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One fault of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigError {
    /// Line in the file, 1-based; `None` when the fault has no place in the text.
    pub line: Option<usize>,
    /// Full key path (`pipelines.yellow_taxi.rules.positive_fare`); empty for syntax errors.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Every fault of one configuration file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// The file.
    pub file: PathBuf,
    /// Its faults; never empty.
    pub errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// Returns the errors of `file` in the order of its lines.
    pub(crate) fn new(file: &Path, mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
        Self { file: file.to_owned(), errors }
    }

    /// Returns one error about the file as a whole.
    pub(crate) fn whole(file: &Path, message: impl Into<String>, hint: &str) -> Self {
        let error =
            ConfigError { line: None, key: String::new(), message: message.into(), hint: Some(hint.to_owned()) };
        Self::new(file, vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match error.line {
                Some(line) => write!(f, "{file}:{line}: {error}")?,
                None => write!(f, "{file}: {error}")?,
            }
        }
        Ok(())
    }
}

/// Returns the candidate that `name` was most likely meant to be, if one is close.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(name);
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&folded, &fold(candidate)), candidate))
        .filter(|(closeness, _)| *closeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Case and separators are the usual slips, so they do not count.
fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_forgives_case_separators_and_slips() {
        let columns = ["fare_amount", "tip_amount", "VendorID"];
        assert_eq!(nearest("fareAmount", columns), Some("fare_amount"));
        assert_eq!(nearest("vendor_id", columns), Some("VendorID"));
        assert_eq!(nearest("tip_amuont", columns), Some("tip_amount"));
        assert_eq!(nearest("zzz", columns), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn errors_read_file_line_key_message_hint() {
        let error = |line, key: &str, hint: Option<&str>| ConfigError {
            line,
            key: key.into(),
            message: "unknown key".into(),
            hint: hint.map(str::to_owned),
        };
        let errors = ConfigErrors::new(
            Path::new("f.toml"),
            vec![error(None, "", None), error(Some(9), "a.b", Some("did you mean 'a.c'?")), error(Some(2), "x", None)],
        );
        assert_eq!(
            errors.to_string(),
            "f.toml:2: x: unknown key\nf.toml:9: a.b: unknown key (did you mean 'a.c'?)\nf.toml: unknown key"
        );
    }
}
