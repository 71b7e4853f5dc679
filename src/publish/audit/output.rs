//! A published directory against its manifest, and the manifest against the ledger.

use std::path::Path;

use super::{Audit, Finding, FindingKind};
use crate::ledger::FileRow;
use crate::publish::{MANIFEST, Manifest, gate};

impl Audit<'_> {
    pub(super) fn output(&self, row: &FileRow, found: &mut Vec<Finding>) {
        if let Some(rows) = row.rows.filter(|rows| !rows.conserved()) {
            let message = format!(
                "the ledger says {} rows read, but {} written + {} rejected + {} dropped",
                rows.read, rows.written, rows.rejected, rows.dropped
            );
            found.push(Finding::of(row, FindingKind::RowsUnaccounted, Path::new("ledger.db"), message));
        }
        let Some(dir) = row.final_dir.as_deref() else { return };
        let path = dir.join(MANIFEST);
        let text = match self.storage.stat(&path).and_then(|entry| entry.map(|_| self.storage.read(&path)).transpose())
        {
            Ok(Some(text)) => text,
            Ok(None) => {
                let what = if self.is_there(dir) { "its manifest" } else { "its published directory" };
                return found.push(Finding::of(row, FindingKind::OutputMissing, dir, format!("{what} is gone")));
            }
            Err(err) => return found.push(Finding::of(row, FindingKind::Unreadable, &path, err.to_string())),
        };
        if row.manifest_hash.as_deref() != Some(blake3::hash(&text).to_hex().as_str()) {
            let message = "the manifest is not the one that was published".to_owned();
            found.push(Finding::of(row, FindingKind::ManifestDiffers, &path, message));
        }
        match Manifest::parse(&text) {
            Ok(manifest) => {
                found.extend(
                    disagreement(row, &manifest)
                        .map(|message| Finding::of(row, FindingKind::ManifestDiffers, &path, message)),
                );
                self.outputs_of(row, dir, &manifest, found);
                if let Some(message) = gate::unaccounted(&manifest.into_report()) {
                    found.push(Finding::of(row, FindingKind::RowsUnaccounted, &path, message));
                }
            }
            Err(err) => found.push(Finding::of(row, FindingKind::ManifestDiffers, &path, err.to_string())),
        }
    }

    /// Every file the manifest names is there as it was, and nothing else.
    fn outputs_of(&self, row: &FileRow, dir: &Path, manifest: &Manifest, found: &mut Vec<Finding>) {
        let mut files = match gate::tree(self.storage, dir) {
            Ok(tree) => tree.files,
            Err(err) => return found.push(Finding::of(row, FindingKind::Unreadable, dir, err.to_string())),
        };
        files.remove(MANIFEST);
        for (name, facts) in &manifest.outputs {
            let path = dir.join(name);
            let mut wrong = |kind, message: String| found.push(Finding::of(row, kind, &path, message));
            match files.remove(name) {
                None => wrong(FindingKind::OutputMissing, "it is gone".to_owned()),
                Some(bytes) if bytes != facts.bytes => {
                    wrong(FindingKind::OutputChanged, format!("it has {bytes} bytes instead of {}", facts.bytes));
                }
                Some(_) if !self.contents => {}
                Some(_) => match gate::fingerprint_of(&path) {
                    Ok(hash) if hash == facts.blake3 => {}
                    Ok(_) => wrong(FindingKind::OutputChanged, "its content is not what was published".to_owned()),
                    Err(err) => wrong(FindingKind::Unreadable, err.to_string()),
                },
            }
        }
        for name in files.keys() {
            let message = "it is not in the manifest".to_owned();
            found.push(Finding::of(row, FindingKind::OutputChanged, &dir.join(name), message));
        }
    }
}

/// Returns where manifest and ledger disagree.
fn disagreement(row: &FileRow, manifest: &Manifest) -> Option<String> {
    let differ = |what: &str, ledger: String, manifest: String| {
        (ledger != manifest).then(|| format!("{what}: the ledger says {ledger}, the manifest {manifest}"))
    };
    let rows = row.rows.unwrap_or_default();
    let counts = |rows: crate::job::RowCounts| {
        format!("{} read, {} written, {} rejected, {} dropped", rows.read, rows.written, rows.rejected, rows.dropped)
    };
    [
        differ("id", row.id.to_string(), manifest.id.to_string()),
        differ("pipeline", row.pipeline.clone(), manifest.pipeline.clone()),
        differ("blake3", row.blake3.clone().unwrap_or_default(), manifest.input.blake3.clone()),
        differ("rows", counts(rows), counts(manifest.rows)),
    ]
    .into_iter()
    .flatten()
    .next()
}
