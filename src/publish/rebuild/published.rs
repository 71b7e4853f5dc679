//! Published results, from their manifests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Gatherer, MANIFEST, Manifest, PublishError, gate, real_name, split_kept_name};
use crate::config::{OnSuccess, Pipeline};
use crate::job::{FileId, FileStamp, Outcome, legal_name, places};
use crate::ledger::{Disposal, FileRow, FileState};
use crate::publish::names;
use crate::storage::EntryKind;

impl Gatherer<'_, '_> {
    pub(super) fn published(&mut self, pipeline: &Pipeline) -> Result<(), PublishError> {
        self.put_back_retired(pipeline)?;
        for dir in self.directories(pipeline)? {
            let path = dir.join(MANIFEST);
            if self.storage.stat(&path)?.is_none() {
                self.leave(&dir, "it has no manifest");
                continue;
            }
            let text = self.storage.read(&path)?;
            match Manifest::parse(&text) {
                Ok(manifest) if dir.file_name() == Some(manifest.id.as_str().as_ref()) => {
                    let hash = blake3::hash(&text).to_hex().to_string();
                    self.one_published(pipeline, &dir, &manifest, hash)?;
                }
                Ok(manifest) => self.leave(&dir, format!("its manifest is of {}", manifest.id)),
                Err(err) => self.leave(&dir, err.to_string()),
            }
        }
        Ok(())
    }

    fn one_published(
        &mut self,
        pipeline: &Pipeline,
        dir: &Path,
        manifest: &Manifest,
        hash: String,
    ) -> Result<(), PublishError> {
        if self.is_in(&manifest.id, dir) {
            return Ok(());
        }
        let content = (manifest.pipeline.clone(), manifest.input.blake3.clone());
        if let Some(first) = self.contents.get(&content) {
            let why = format!("the same content is published as {first}: the ledger can know only one of them");
            self.leave(dir, why);
            return Ok(());
        }
        self.contents.insert(content, manifest.id.clone());
        let archived = self.originals.remove(&manifest.id);
        let name = self.name_of(pipeline, manifest, archived.as_deref());
        let unknown = FileStamp { dev: 0, ino: 0, size: manifest.input.bytes, mtime_ns: 0 };
        let mut row = Self::row(pipeline, &manifest.id, name, unknown, manifest.input.arrived_at);
        row.pipeline.clone_from(&manifest.pipeline);
        row.outcome = Some(Outcome::Succeeded);
        row.blake3 = Some(manifest.input.blake3.clone());
        row.manifest_hash = Some(hash);
        row.final_dir = Some(dir.to_owned());
        row.rows = Some(manifest.rows);
        row.starts = manifest.attempt;
        row.trace_id = Some(manifest.trace_id.clone());
        row.started_at = Some(manifest.started_at);
        row.finished_at = Some(manifest.finished_at);
        match archived {
            Some(path) => self.in_archive(&mut row, path)?,
            None => self.elsewhere(pipeline, &mut row)?,
        }
        self.found.published += 1;
        self.put(&row, "its manifest")
    }

    fn in_archive(&self, row: &mut FileRow, path: PathBuf) -> Result<(), PublishError> {
        row.stamp = self.stamp(&path)?.unwrap_or(row.stamp);
        row.disposal = Some(Disposal::Move);
        row.resting = Some(path);
        Ok(())
    }

    /// The original is not in the archive: still in the work folder, still in the inbox, or deleted.
    fn elsewhere(&self, pipeline: &Pipeline, row: &mut FileRow) -> Result<(), PublishError> {
        if let Some(stamp) = self.stamp(&row.input_path)? {
            // The daemon died between publishing and archiving: its next start does the rest.
            row.stamp = stamp;
            row.state = FileState::Published;
            row.finished_at = None;
            let (disposal, resting) = names::after_success(pipeline, row);
            (row.disposal, row.resting) = (Some(disposal), resting);
            return Ok(());
        }
        row.disposal = Some(Disposal::Delete);
        if pipeline.on_success != OnSuccess::Keep {
            return Ok(());
        }
        row.disposal = Some(Disposal::Keep);
        row.in_place = true;
        row.input_path = pipeline.input.join(&row.name);
        if let Some(stamp) = self.stamp(&row.input_path)?
            && stamp.size == row.stamp.size
            && row.blake3 == Some(gate::fingerprint_of(&row.input_path)?)
        {
            row.stamp = stamp;
        }
        Ok(())
    }

    /// The manifest holds the name fit to be shown, which may be longer than a name can be; the files themselves have the
    /// real one, unless it was cut.
    fn name_of(&self, pipeline: &Pipeline, manifest: &Manifest, archived: Option<&Path>) -> OsString {
        let told = &manifest.input.name;
        let in_work = self.in_work(pipeline, &manifest.id).unwrap_or_default();
        let kept = archived.and_then(Path::file_name).and_then(split_kept_name).map(|(_, name)| name);
        match kept.or(in_work) {
            Some(kept) => real_name(&manifest.id, &kept, told),
            None => legal_name(told.as_ref()),
        }
    }

    fn directories(&self, pipeline: &Pipeline) -> Result<Vec<PathBuf>, PublishError> {
        let mut found: Vec<(FileId, PathBuf)> = Vec::new();
        let output = &pipeline.output;
        for day in self.storage.list(output)? {
            if !day.to_str().is_some_and(|day| day.starts_with(names::DAY)) {
                continue;
            }
            // Somebody's archive of a day, say.
            if self.storage.stat(&output.join(&day))?.is_none_or(|entry| entry.kind == EntryKind::File) {
                continue;
            }
            for name in self.storage.list(&output.join(&day))? {
                if let Some(id) = name.to_str().and_then(FileId::parse) {
                    found.push((id, output.join(&day).join(name)));
                }
            }
        }
        // The first of two with the same content is the one the ledger knew.
        found.sort();
        Ok(found.into_iter().map(|(_, dir)| dir).collect())
    }

    /// A replay that was under way took its old result out of sight: it is what is published, unless the new one is.
    fn put_back_retired(&mut self, pipeline: &Pipeline) -> Result<(), PublishError> {
        let root = places::retired(&pipeline.output);
        let retired = self.storage.list(&root)?;
        if retired.is_empty() {
            return Ok(());
        }
        let published = self.directories(pipeline)?;
        let replaced: Vec<FileId> = published
            .iter()
            .filter_map(|dir| Manifest::read(dir).ok())
            .filter_map(|manifest| manifest.replaces)
            .collect();
        for name in retired {
            let aside = root.join(&name);
            let Some(id) = name.to_str().and_then(FileId::parse) else { continue };
            if replaced.contains(&id) {
                self.storage.remove_tree(&aside)?;
                self.storage.remove_file(&names::replay_marker(pipeline, &id))?;
                continue;
            }
            match Manifest::read(&aside) {
                Ok(manifest) => {
                    let visible = names::published(&pipeline.output, &id, manifest.input.arrived_at);
                    self.storage.make_dirs(visible.parent().unwrap_or(&visible))?;
                    self.storage.rename_noreplace(&aside, &visible)?;
                }
                Err(err) => self.leave(&aside, err.to_string()),
            }
        }
        Ok(())
    }
}
