//! Decides which names in an inbox are candidates. Pure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use crate::config::Pipeline;

/// Endings that say "not finished": never taken, whatever the globs say.
const UNFINISHED: &[&[u8]] = &[b".tmp", b".part", b"~"];

/// The naming rules of one inbox.
#[derive(Debug, Clone)]
pub struct Names {
    files: globset::GlobSet,
    marker: Option<Marker>,
}

/// `done_marker`, cut at `{name}`.
#[derive(Debug, Clone)]
enum Marker {
    /// One marker per file.
    Around { before: Vec<u8>, after: Vec<u8> },
    /// One marker for the whole inbox.
    Fixed(Vec<u8>),
}

/// What a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// To be taken once it is whole.
    Candidate,
    /// The done marker of this candidate.
    MarkerOf(OsString),
    /// The done marker of the whole inbox.
    MarkerOfAll,
    /// None of our business.
    Ignored,
}

impl Names {
    /// Builds the rules of a pipeline.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        Self::new(pipeline.files.clone(), pipeline.done_marker.as_deref())
    }

    /// Builds the rules from globs and a marker template.
    #[must_use]
    pub fn new(files: globset::GlobSet, done_marker: Option<&str>) -> Self {
        let marker = done_marker.map(|template| match template.split_once("{name}") {
            Some((before, after)) => Marker::Around { before: before.into(), after: after.into() },
            None => Marker::Fixed(template.into()),
        });
        Self { files, marker }
    }

    /// Returns whether files wait for a marker.
    #[must_use]
    pub const fn needs_marker(&self) -> bool {
        self.marker.is_some()
    }

    /// Returns the name of the marker of `name`, if files wait for one.
    #[must_use]
    pub fn marker_for(&self, name: &OsStr) -> Option<OsString> {
        let bytes = match self.marker.as_ref()? {
            Marker::Around { before, after } => [before.as_slice(), name.as_bytes(), after].concat(),
            Marker::Fixed(whole) => whole.clone(),
        };
        Some(OsString::from_vec(bytes))
    }

    /// Returns what `name` is.
    #[must_use]
    pub fn kind(&self, name: &OsStr) -> Kind {
        match &self.marker {
            Some(Marker::Fixed(whole)) if whole == name.as_bytes() => return Kind::MarkerOfAll,
            Some(Marker::Around { before, after }) => {
                let inner = name.as_bytes().strip_prefix(before.as_slice());
                let inner = inner.and_then(|rest| rest.strip_suffix(after.as_slice())).map(OsStr::from_bytes);
                // With `files = ["*"]` a marker is a candidate by its form: it is a marker first.
                if let Some(inner) = inner.filter(|inner| *inner != name && self.is_candidate(inner)) {
                    return Kind::MarkerOf(inner.to_owned());
                }
            }
            Some(Marker::Fixed(_)) | None => {}
        }
        if self.is_candidate(name) { Kind::Candidate } else { Kind::Ignored }
    }

    fn is_candidate(&self, name: &OsStr) -> bool {
        let bytes = name.as_bytes();
        !bytes.is_empty()
            && !bytes.starts_with(b".")
            && !UNFINISHED.iter().any(|ending| bytes.ends_with(ending))
            && self.files.is_match(Path::new(name))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::discover) fn names(globs: &[&str], marker: Option<&str>) -> Names {
        let mut set = globset::GlobSetBuilder::new();
        for glob in globs {
            set.add(globset::Glob::new(glob).unwrap());
        }
        Names::new(set.build().unwrap(), marker)
    }

    fn kind(names: &Names, name: &str) -> Kind {
        names.kind(OsStr::new(name))
    }

    #[test]
    fn hidden_and_unfinished_names_are_never_taken() {
        let all = names(&["*"], None);
        for name in [".x.csv", "x.csv.tmp", "x.csv.part", "x.csv~", ".", ".."] {
            assert_eq!(kind(&all, name), Kind::Ignored, "{name}");
        }
        for name in ["x.csv", "x y.csv", "x\n.csv", "part", "a.tmp.csv", "-rf"] {
            assert_eq!(kind(&all, name), Kind::Candidate, "{name:?}");
        }
    }

    #[test]
    fn one_matching_glob_is_enough() {
        let names = names(&["*.csv", "*.csv.gz"], None);
        assert_eq!(kind(&names, "a.csv"), Kind::Candidate);
        assert_eq!(kind(&names, "a.csv.gz"), Kind::Candidate);
        assert_eq!(kind(&names, "a.txt"), Kind::Ignored);
        assert_eq!(kind(&names, "a[1].csv"), Kind::Candidate);
        assert_eq!(names.kind(OsStr::from_bytes(b"caf\xe9.csv")), Kind::Candidate);
    }

    #[test]
    fn markers_are_told_from_files() {
        let after = names(&["*"], Some("{name}.done"));
        assert_eq!(kind(&after, "a.csv.done"), Kind::MarkerOf("a.csv".into()));
        assert_eq!(kind(&after, "a.csv"), Kind::Candidate);
        assert_eq!(kind(&after, ".done"), Kind::Ignored);
        assert_eq!(after.marker_for(OsStr::new("a.csv")), Some("a.csv.done".into()));
        let before = names(&["*.csv"], Some(".ok-{name}"));
        assert_eq!(kind(&before, ".ok-a.csv"), Kind::MarkerOf("a.csv".into()));
        assert_eq!(kind(&before, ".ok-a.txt"), Kind::Ignored);
        let fixed = names(&["*.csv"], Some("_SUCCESS"));
        assert_eq!(kind(&fixed, "_SUCCESS"), Kind::MarkerOfAll);
        assert!(fixed.needs_marker());
    }
}
