//! `_manifest.json`: the audit trail of one published file. The ledger can be rebuilt from these.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::MANIFEST;
use crate::config::Pipeline;
use crate::job::{
    DriftKind, FileId, InputFacts, Job, JobReport, OutputFile, RejectReason, RowCounts, Stage, StageCost, Timestamp,
};

/// Everything known of a published file. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The file's id.
    pub id: FileId,
    /// Its pipeline.
    pub pipeline: String,
    /// The forebay that wrote it.
    pub version: String,
    /// Hash of the pipeline's config.
    pub config_hash: String,
    /// The file whose result this one takes the place of, if it is a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<FileId>,
    /// The input.
    pub input: ManifestInput,
    /// The counts: `read = written + rejected + dropped`.
    pub rows: RowCounts,
    /// Lines without any byte; no records.
    pub blank_lines: u64,
    /// Rejects by reason.
    pub rejects: BTreeMap<RejectReason, u64>,
    /// Rejects whose deciding rule it was, by rule.
    pub rejects_by_rule: BTreeMap<String, u64>,
    /// Rows that failed each rule, whatever its action.
    pub rule_violations: BTreeMap<String, u64>,
    /// How the header differed from the configured columns.
    pub drift: BTreeMap<DriftKind, u64>,
    /// The files beside this one.
    pub outputs: BTreeMap<String, OutputFile>,
    /// Cost per stage.
    pub stages: BTreeMap<Stage, StageCost>,
    /// Highest resident memory during the job, in bytes.
    pub peak_rss_bytes: u64,
    /// Bytes of text parsed, after decompression.
    pub text_bytes: u64,
    /// Trace id, 32 hex digits.
    pub trace_id: String,
    /// Which attempt it was, 1 for the first.
    pub attempt: u32,
    /// When that attempt began.
    #[serde(with = "moment")]
    pub started_at: Timestamp,
    /// When its outputs were whole.
    #[serde(with = "moment")]
    pub finished_at: Timestamp,
}

/// The input as it arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestInput {
    /// Name in the inbox, escaped.
    pub name: String,
    /// Size in bytes as it arrived.
    pub bytes: u64,
    /// BLAKE3 of those bytes, lower-case hex.
    pub blake3: String,
    /// Text encoding it was read as.
    pub encoding: String,
    /// `none`, `gzip` or `zstd`.
    pub compression: String,
    /// When it was first seen.
    #[serde(with = "moment")]
    pub arrived_at: Timestamp,
}

impl Manifest {
    /// Returns the manifest of what a job staged.
    #[must_use]
    pub fn of(
        pipeline: &Pipeline,
        job: &Job,
        report: &JobReport,
        started_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let input = &report.input;
        Self {
            id: job.id.clone(),
            pipeline: pipeline.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: pipeline.config_hash.clone(),
            replaces: None,
            input: ManifestInput {
                name: input.name.clone(),
                bytes: input.bytes,
                blake3: input.blake3.clone(),
                encoding: input.encoding.clone(),
                compression: input.compression.clone(),
                arrived_at: job.arrived_at,
            },
            rows: report.rows,
            blank_lines: report.blank_lines,
            rejects: report.rejects.clone(),
            rejects_by_rule: report.rejects_by_rule.clone(),
            rule_violations: report.rule_violations.clone(),
            drift: report.drift.clone(),
            outputs: report.outputs.clone(),
            stages: report.stages.clone(),
            peak_rss_bytes: report.peak_rss_bytes,
            text_bytes: report.text_bytes,
            trace_id: job.trace_id.clone(),
            attempt: job.attempt,
            started_at: started_at.unwrap_or(job.arrived_at),
            finished_at: now,
        }
    }

    /// Returns what the job reported when it wrote this.
    #[must_use]
    pub fn into_report(self) -> JobReport {
        let ManifestInput { name, bytes, blake3, encoding, compression, arrived_at } = self.input;
        JobReport {
            input: InputFacts { name, bytes, blake3, encoding, compression, arrived_at },
            rows: self.rows,
            blank_lines: self.blank_lines,
            rejects: self.rejects,
            rejects_by_rule: self.rejects_by_rule,
            rule_violations: self.rule_violations,
            drift: self.drift,
            outputs: self.outputs,
            stages: self.stages,
            peak_rss_bytes: self.peak_rss_bytes,
            text_bytes: self.text_bytes,
        }
    }

    /// Reads the manifest of a published directory.
    pub fn read(dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join(MANIFEST);
        let text = std::fs::read(&path).map_err(|err| ManifestError(format!("{}: {err}", path.display())))?;
        Self::parse(&text).map_err(|err| ManifestError(format!("{}: {err}", path.display())))
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        serde_json::from_slice(text).map_err(|err| ManifestError(err.to_string()))
    }

    /// Returns the text of the manifest, for people and programs.
    pub(super) fn text(&self) -> Result<Vec<u8>, ManifestError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|err| ManifestError(err.to_string()))?;
        text.push(b'\n');
        Ok(text)
    }
}

/// A manifest cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("manifest {0}")]
pub struct ManifestError(String);

/// Times as RFC 3339 text.
mod moment {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::clock::{parse_rfc3339, rfc3339};
    use crate::job::Timestamp;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*at))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rfc3339(&text).map_err(de::Error::custom)
    }
}
