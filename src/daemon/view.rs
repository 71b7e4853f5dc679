//! What the endpoint may see of the ledger: read-only, over a connection of its own.

use std::collections::BTreeMap;
use std::sync::{OnceLock, PoisonError, RwLock};

use serde_json::{Value, json};

use super::story::Sampler;
use crate::config::Config;
use crate::http::{FileFilter, FileSummary, OutcomeCounts, ReadView, Story, ViewError};
use crate::job::FileId;
use crate::ledger::{FileRow, Filter, LedgerError, LedgerReader, StoryLine};
use crate::publish::Manifest;

/// The ledger for the endpoint. Before the ledger is open it answers that it is not.
#[derive(Debug)]
pub struct LedgerView {
    reader: OnceLock<LedgerReader>,
    sampler: Sampler,
    plan: RwLock<Plan>,
}

/// What it needs to know of the configuration in force.
#[derive(Debug, Clone)]
struct Plan {
    pipelines: Vec<String>,
    config: String,
}

impl Plan {
    fn of(config: &Config) -> Self {
        let pipelines = config.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect();
        Self { pipelines, config: config.effective.clone() }
    }
}

impl LedgerView {
    pub(super) fn new(config: &Config) -> Self {
        Self { reader: OnceLock::new(), sampler: Sampler::default(), plan: RwLock::new(Plan::of(config)) }
    }

    /// Another configuration is in force.
    pub(super) fn adopt(&self, config: &Config) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = Plan::of(config);
    }

    fn plan(&self) -> Plan {
        self.plan.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the reader. The ledger must be there.
    pub(super) fn open(&self, config: &Config) -> Result<(), LedgerError> {
        let reader = LedgerReader::open(&config.state)?;
        // A second reader would be as good as the first.
        drop(self.reader.set(reader));
        Ok(())
    }

    fn reader(&self) -> Result<&LedgerReader, ViewError> {
        self.reader.get().ok_or(ViewError::Starting)
    }
}

impl ReadView for LedgerView {
    fn outcomes(&self) -> Result<OutcomeCounts, ViewError> {
        let mut outcomes = OutcomeCounts::new();
        for ((pipeline, outcome), files) in self.reader()?.counts().map_err(|error| failed(&error))?.by_outcome {
            outcomes.entry(pipeline).or_default().insert(outcome, files);
        }
        Ok(outcomes)
    }

    fn pipelines(&self) -> Result<Vec<String>, ViewError> {
        let mut pipelines = self.plan().pipelines;
        let mut more = self.reader()?.pipelines().map_err(|error| failed(&error))?;
        more.retain(|name| !pipelines.contains(name));
        pipelines.append(&mut more);
        Ok(pipelines)
    }

    fn files(&self, wanted: &FileFilter) -> Result<Vec<FileSummary>, ViewError> {
        let mut filter = Filter { pipeline: wanted.pipeline.clone(), limit: wanted.limit, ..Filter::default() };
        if let Some(word) = &wanted.state {
            filter.state_or_outcome(word).map_err(ViewError::Refused)?;
        }
        if let Some(name) = &wanted.pipeline
            && !self.plan().pipelines.contains(name)
        {
            // One that is configured no more may still have files.
            let pipelines = self.pipelines()?;
            if !pipelines.contains(name) {
                let (name, known) = (name.escape_debug(), pipelines.join(", "));
                return Err(ViewError::Refused(format!("no pipeline is called '{name}'; there is: {known}")));
            }
        }
        let rows = self.reader()?.files(&filter).map_err(|error| failed(&error))?;
        Ok(rows.into_iter().map(summary).collect())
    }

    fn config(&self) -> String {
        self.plan().config
    }

    fn file(&self, id: &FileId) -> Result<Option<Value>, ViewError> {
        let reader = self.reader()?;
        let Some(row) = reader.get(id).map_err(|error| failed(&error))? else { return Ok(None) };
        let story = reader.story(id).map_err(|error| failed(&error))?;
        // A directory that somebody tidied away is no reason to tell nothing.
        let manifest = row.final_dir.as_deref().and_then(|dir| Manifest::read(dir).ok());
        Ok(Some(document(&row, &story, manifest.as_ref())))
    }

    fn story(&self, id: &FileId) -> Result<Option<Story>, ViewError> {
        super::story::read(self.reader()?, &self.sampler, id).map_err(|error| failed(&error))
    }
}

fn failed(error: &LedgerError) -> ViewError {
    ViewError::Failed(error.to_string())
}

pub(super) fn summary(row: FileRow) -> FileSummary {
    let manifest = row.final_dir.as_deref().and_then(|dir| Manifest::read(dir).ok());
    FileSummary {
        name: row.display_name(),
        bytes: row.stamp.size,
        state: row.state.as_str().to_owned(),
        outcome: row.outcome,
        attempts: row.starts,
        arrived_at: row.arrived_at,
        finished_at: row.finished_at,
        rows: row.rows,
        rejects: manifest.map_or_else(BTreeMap::new, |manifest| manifest.rejects),
        reason: row.reason,
        message: Some(row.message).filter(|message| !message.is_empty()),
        replaces: row.replaces,
        replaced_by: row.replaced_by,
        id: row.id,
        pipeline: row.pipeline,
    }
}

/// Returns a file's whole story as one document: the ledger's fields, for a published file the manifest's (which win), and
/// the story. The same for `/api/v1/files/{id}` and `forebay explain --json`.
#[must_use]
pub fn document(row: &FileRow, story: &[StoryLine], manifest: Option<&Manifest>) -> Value {
    let mut document = json!(row);
    if let Some(fields) = document.as_object_mut() {
        if let Some(Value::Object(manifest)) = manifest.map(|manifest| json!(manifest)) {
            fields.extend(manifest);
        }
        fields.insert("story".to_owned(), json!(story));
    }
    document
}
