//! What a file is called wherever forebay keeps it: its id and its name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use super::FileId;

/// Longest file name of Linux filesystems, in bytes.
const NAME_MAX: usize = 255;

/// Bytes that something may add to a [`kept_name`] and still have a legal file name.
pub const SUFFIX_MAX: usize = 16;

/// Returns `<id>-<name>`, cut so that it stays a legal file name with another [`SUFFIX_MAX`] bytes.
#[must_use]
pub fn kept_name(id: &FileId, name: &OsStr) -> OsString {
    let mut kept = OsString::from(format!("{id}-"));
    kept.push(cut(name, NAME_MAX - SUFFIX_MAX - kept.len()));
    kept
}

/// Returns whether this can be a file's name.
#[must_use]
pub fn is_legal_name(name: &OsStr) -> bool {
    name.len() <= NAME_MAX && Path::new(name).file_name() == Some(name)
}

/// Returns what a file of this name can be called: the name itself, unless it is too long or no name at all.
#[must_use]
pub fn legal_name(name: &OsStr) -> OsString {
    let cut = cut(name, NAME_MAX);
    if is_legal_name(&cut) { cut } else { OsString::from("unknown") }
}

/// Cuts a name to so many bytes: its stem, not its extension.
fn cut(name: &OsStr, room: usize) -> OsString {
    let bytes = name.as_bytes();
    if bytes.len() <= room {
        return name.to_owned();
    }
    let extension = Path::new(name).extension().map_or(&[][..], OsStr::as_bytes);
    let extension = if extension.len() < 16 { extension } else { &[] };
    let end = room - extension.len() - usize::from(!extension.is_empty());
    // Not through the middle of a character.
    let end = match name.to_str() {
        Some(text) => text.floor_char_boundary(end),
        None => end,
    };
    let mut kept = bytes.get(..end).unwrap_or_default().to_vec();
    if !extension.is_empty() {
        kept.push(b'.');
        kept.extend_from_slice(extension);
    }
    OsString::from_vec(kept)
}

/// Returns whose name this is and the name the file came under, unless that was cut: the reverse of [`kept_name`].
#[must_use]
pub fn split_kept_name(kept: &OsStr) -> Option<(FileId, OsString)> {
    let bytes = kept.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'-')?;
    let id = FileId::parse(std::str::from_utf8(bytes.get(..at)?).ok()?)?;
    Some((id, OsString::from_vec(bytes.get(at + 1..)?.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> FileId {
        FileId::parse("01kah5zq8v3w01kah5zq8v3w01").unwrap()
    }

    #[test]
    fn long_names_keep_their_id_and_extension() {
        let name = OsString::from("ü".repeat(120) + ".csv");
        let kept = kept_name(&id(), &name);
        let text = kept.to_str().expect("cut between characters");
        assert!(text.starts_with("01kah5zq8v3w01kah5zq8v3w01-üüü") && text.ends_with("ü.csv"), "{text}");
        assert_eq!(kept_name(&id(), OsStr::new("a b.csv")), "01kah5zq8v3w01kah5zq8v3w01-a b.csv");
        assert_eq!(legal_name(&name).len(), 244);
        assert_eq!(legal_name(OsStr::new("../../x.csv")), "unknown");
    }

    proptest::proptest! {
        #[test]
        fn every_name_stays_legal(name in proptest::collection::vec(1_u8..=255, 1..=255)) {
            let name: Vec<u8> = name.into_iter().map(|byte| if byte == b'/' { b'.' } else { byte }).collect();
            let kept = kept_name(&id(), OsStr::from_bytes(&name));
            proptest::prop_assert!(kept.len() + SUFFIX_MAX <= NAME_MAX);
            let (owner, rest) = split_kept_name(&kept).unwrap();
            proptest::prop_assert_eq!(owner, id());
            proptest::prop_assert!(kept.len() + SUFFIX_MAX == NAME_MAX || rest == OsStr::from_bytes(&name) || name.len() > rest.len());
            proptest::prop_assert_eq!(Path::new(&kept).file_name(), Some(kept.as_os_str()));
        }
    }
}
