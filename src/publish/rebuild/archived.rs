//! Archived originals without a published result.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::{Gatherer, PublishError, gate, given_at, nobodys, split_kept_name};
use crate::config::Pipeline;
use crate::job::{FileId, Outcome};
use crate::ledger::Disposal;
use crate::publish::names;
use crate::storage::{Operation, StorageError};

impl Gatherer<'_, '_> {
    pub(super) fn archived(&mut self) -> Result<(), PublishError> {
        for (id, path) in std::mem::take(&mut self.originals) {
            self.one_archived(&id, &path)?;
        }
        Ok(())
    }

    fn one_archived(&mut self, id: &FileId, path: &Path) -> Result<(), PublishError> {
        let Some(stamp) = self.stamp(path)? else {
            self.leave(path, "it is no regular file");
            return Ok(());
        };
        let Some((_, name)) = path.file_name().and_then(split_kept_name) else { return Ok(()) };
        let blake3 = gate::fingerprint_of(path)?;
        let owners = self.owners(|pipeline| path.starts_with(&pipeline.archive));
        let Some(pipeline) = self.owner(&owners, &blake3) else {
            self.leave(path, nobodys(&owners));
            return Ok(());
        };
        let content = (pipeline.name.clone(), blake3.clone());
        let mut row = Self::row(pipeline, id, name, stamp, given_at(id));
        row.disposal = Some(Disposal::Move);
        row.resting = Some(path.to_owned());
        let empty = is_empty(path).map_err(|err| StorageError::new(Operation::Read, path, err))?;
        if let Some(original) = self.contents.get(&content) {
            row.outcome = Some(Outcome::Duplicate);
            row.message = format!("same content as {original}");
            row.duplicate_of = Some(original.clone());
            row.blake3 = Some(blake3);
        } else if empty {
            row.outcome = Some(Outcome::Empty);
            "it holds no text".clone_into(&mut row.message);
        } else {
            // It was published, or it would lie elsewhere: it must not be again, though its result is gone.
            row.outcome = Some(Outcome::Succeeded);
            "its result is gone".clone_into(&mut row.message);
            row.blake3 = Some(blake3);
            row.manifest_hash = Some("0".repeat(64));
            row.final_dir = Some(names::published(&pipeline.output, id, row.arrived_at));
            self.contents.insert(content, id.clone());
        }
        self.found.archived += 1;
        self.put(&row, "its archived original")
    }

    /// Returns whose archived original without a result this is: of several, the only one that has published this content.
    fn owner<'p>(&self, owners: &[&'p Pipeline], blake3: &str) -> Option<&'p Pipeline> {
        if let [only] = owners {
            return Some(only);
        }
        let known = |pipeline: &&&Pipeline| self.contents.contains_key(&(pipeline.name.clone(), blake3.to_owned()));
        let mut known = owners.iter().filter(known);
        known.next().filter(|_| known.next().is_none()).copied()
    }
}

/// Whether a file holds no byte, once inflated.
fn is_empty(path: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    let mut byte = [0];
    let read = match magic.as_slice() {
        [] => return Ok(true),
        [0x1f, 0x8b, ..] => flate2::read::MultiGzDecoder::new(File::open(path)?).read(&mut byte),
        [0x28, 0xb5, 0x2f, 0xfd] => zstd::Decoder::new(File::open(path)?)?.read(&mut byte),
        _ => return Ok(false),
    };
    // What cannot be inflated is not empty.
    Ok(read.is_ok_and(|read| read == 0))
}
