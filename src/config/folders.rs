//! Folders that must not be one another: a drop would be read twice, or a result taken for a drop.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigErrors};
use super::{Config, OnSuccess, Pipeline};

/// What to do about folders that overlap.
pub(super) const HINT: &str = "give each its own folder; none may lie within another";

/// One folder, and whose it is.
struct Folder<'a> {
    /// Index of the pipeline; `None`: the ledger's.
    owner: Option<usize>,
    role: &'static str,
    name: String,
    path: &'a Path,
}

fn roles(pipeline: &Pipeline) -> [(&'static str, &Path); 4] {
    [
        ("input", &pipeline.input),
        ("output", &pipeline.output),
        ("archive", &pipeline.archive),
        ("quarantine", &pipeline.quarantine),
    ]
}

fn folders(config: &Config) -> Vec<Folder<'_>> {
    let mut all = vec![Folder { owner: None, role: "state", name: "paths.state".into(), path: &config.state }];
    for (index, pipeline) in config.pipelines.iter().enumerate() {
        all.extend(roles(pipeline).map(|(role, path)| Folder {
            owner: Some(index),
            role,
            name: format!("pipelines.{}.{role}", pipeline.name),
            path,
        }));
    }
    all
}

/// Two folders that overlap.
pub(super) struct Overlap {
    /// Index of a pipeline that has one of them.
    pub(super) pipeline: Option<usize>,
    /// Key path of one folder.
    pub(super) key: String,
    /// What it has to do with the other.
    pub(super) message: String,
}

/// Returns every pair of folders that are equal or nested once `resolve` has made their paths comparable.
pub(super) fn overlaps(config: &Config, resolve: impl Fn(&Path) -> PathBuf) -> Vec<Overlap> {
    let folders = folders(config);
    let resolved: Vec<PathBuf> = folders.iter().map(|folder| resolve(folder.path)).collect();
    let mut overlaps = Vec::new();
    for (at, (a, a_path)) in folders.iter().zip(&resolved).enumerate() {
        for (b, b_path) in folders.iter().zip(&resolved).skip(at + 1) {
            // Names there begin with the file's id, so pipelines may share them.
            let shared = a.role == b.role && a.owner != b.owner && matches!(a.role, "archive" | "quarantine");
            let (inner, says, outer, path) = if a_path == b_path {
                (b, "is the same folder as", a, b_path)
            } else if b_path.starts_with(a_path) {
                (b, "lies within", a, b_path)
            } else if a_path.starts_with(b_path) {
                (a, "lies within", b, a_path)
            } else {
                continue;
            };
            // A path that was itself refused is empty.
            let known = !a_path.as_os_str().is_empty() && !b_path.as_os_str().is_empty();
            if known && !(shared && a_path == b_path) {
                overlaps.push(Overlap {
                    pipeline: inner.owner.or(outer.owner),
                    key: inner.name.clone(),
                    message: format!("{says} {}: {}", outer.name, path.display()),
                });
            }
        }
    }
    overlaps
}

/// Checks what only the disk can tell: folders that overlap through symlinks, files where folders should be, and folders
/// on another filesystem where a file must be moved by one rename.
pub fn check_folders(config: &Config) -> Result<(), ConfigErrors> {
    let mut errors = Vec::new();
    let mut refuse = |key: String, message: String, hint: &str| {
        errors.push(ConfigError { line: None, key, message, hint: Some(hint.to_owned()) });
    };
    for folder in folders(config) {
        if let Some((existing, metadata)) = nearest_existing(folder.path)
            && !metadata.is_dir()
        {
            refuse(
                folder.name,
                format!("{} is not a folder", existing.display()),
                "move it away, or name another folder",
            );
        }
    }
    for overlap in overlaps(config, resolve) {
        refuse(overlap.key, overlap.message, HINT);
    }
    for pipeline in &config.pipelines {
        // With `keep` nothing is moved.
        let renames = if pipeline.on_success == OnSuccess::Keep { &[][..] } else { &["archive", "quarantine"][..] };
        let input = device(&pipeline.input);
        for (role, path) in roles(pipeline).into_iter().filter(|(role, _)| renames.contains(role)) {
            if let (Some(input), Some(other)) = (input, device(path))
                && input != other
            {
                refuse(
                    format!("pipelines.{}.{role}", pipeline.name),
                    format!("{} is on another filesystem than the input {}", path.display(), pipeline.input.display()),
                    "files are moved by one rename, which works only within a filesystem",
                );
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ConfigErrors::new(&config.file, errors)) }
}

/// Returns the filesystem a path is or would be on.
fn device(path: &Path) -> Option<u64> {
    nearest_existing(path).map(|(_, metadata)| metadata.dev())
}

fn nearest_existing(path: &Path) -> Option<(&Path, std::fs::Metadata)> {
    path.ancestors().find_map(|ancestor| Some((ancestor, std::fs::metadata(ancestor).ok()?)))
}

/// Resolves symlinks as far as the path exists; what does not exist yet stays as written.
fn resolve(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (std::fs::canonicalize(ancestor), path.strip_prefix(ancestor)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path, text: &str) -> Config {
        let text = format!("{text}\ncolumns.a = \"int64\"");
        super::super::parse(&text, &folder.join("forebay.toml")).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn folders_that_do_not_exist_yet_are_fine() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(check_folders(&config(folder.path(), "[pipelines.p]")), Ok(()));
    }

    #[test]
    fn a_symlink_does_not_hide_an_overlap() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("drops")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("drops"), folder.path().join("elsewhere")).unwrap();
        let config = config(folder.path(), "[pipelines.p]\ninput = \"drops\"\noutput = \"elsewhere/out\"");
        let errors = check_folders(&config).unwrap_err();
        let error = errors.errors.first().unwrap();
        assert_eq!(error.key, "pipelines.p.output");
        assert!(error.message.starts_with("lies within pipelines.p.input"), "{errors}");
    }

    #[test]
    fn a_file_where_a_folder_should_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        let name = file.path().file_name().unwrap().to_str().unwrap();
        let errors =
            check_folders(&config(folder.path(), &format!("[pipelines.p]\ninput = \"{name}/in\""))).unwrap_err();
        assert_eq!(errors.errors.first().unwrap().key, "pipelines.p.input");
        assert!(errors.to_string().contains("is not a folder"), "{errors}");
    }

    #[test]
    fn a_rename_across_filesystems_is_refused_unless_nothing_is_moved() {
        let folder = tempfile::tempdir().unwrap();
        // A second filesystem every Linux has; nothing is written there.
        let other = Path::new("/proc");
        assert_ne!(device(folder.path()), device(other));
        let text = "[pipelines.p]\narchive = \"/proc/archive\"\nquarantine = \"/proc/quarantine\"";
        let errors = check_folders(&config(folder.path(), text)).unwrap_err();
        let keys: Vec<_> = errors.errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, ["pipelines.p.archive", "pipelines.p.quarantine"]);
        assert_eq!(check_folders(&config(folder.path(), &format!("{text}\non_success = \"keep\""))), Ok(()));
    }
}
