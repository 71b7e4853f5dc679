//! What the tests of the durable path share: a pipeline in a temporary folder, a stand-in for the work, the engine's loop in
//! miniature, and the oracle that says whether everything is where it belongs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use polars::prelude::{Column, DataFrame, ParquetWriter};

use super::{
    Begun, Finished, Manifest, PublishError, Publisher, Recovered, Refusal, Replay, original_to_replay, replay,
};
use crate::admit::{Arrival, Claim, Found};
use crate::clock::{Clock as _, ManualClock};
use crate::config::{Accept, Compression, CsvOptions, Drift, OnExtra, OnMissing, OnSuccess, Pipeline, RowFormat, Rows};
use crate::job::{InputFacts, Job, JobReport, Outcome, OutputFile, QuarantineReason, RejectReason, RowCounts};
use crate::ledger::{AttemptEnd, FileRow, FileState, Filter, Ledger, LedgerReader};
use crate::storage::{Disk, EntryKind, Storage, entry_of};

/// A pipeline in a folder of its own.
pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) clock: Arc<ManualClock>,
    /// Outputs the pipeline had before.
    former: Vec<PathBuf>,
    /// Another filesystem, with the output.
    apart: Option<tempfile::TempDir>,
}

/// What an operator does when a pipeline gets another output.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Move {
    /// The folder gets another name, with everything in it.
    Whole,
    /// The results go to a new folder, and what begins with a dot stays.
    Results,
    /// Nothing is moved: only the configuration names another folder.
    Nothing,
}

impl Move {
    pub(crate) const ALL: [Self; 3] = [Self::Whole, Self::Results, Self::Nothing];
}

impl Rig {
    pub(crate) fn new(on_success: OnSuccess) -> Self {
        Self::within(tempfile::tempdir().unwrap(), on_success)
    }

    /// In memory, for tests with thousands of syncs: what they crash is the process, not the machine.
    pub(crate) fn in_memory(on_success: OnSuccess) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::within(dir.unwrap(), on_success)
    }

    fn within(dir: tempfile::TempDir, on_success: OnSuccess) -> Self {
        let pipeline = Arc::new(pipeline(dir.path(), on_success));
        fs::create_dir_all(&pipeline.input).unwrap();
        Self { dir, pipeline, clock: Arc::new(ManualClock::default()), former: Vec::new(), apart: None }
    }

    /// Changes the configuration, as a restart takes it up.
    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Pipeline)) {
        change(Arc::make_mut(&mut self.pipeline));
    }

    /// Puts the output on another filesystem than all else, as a configuration may; of a rig in memory.
    pub(crate) fn put_output_apart(&mut self) {
        let apart = tempfile::tempdir().unwrap();
        let device = |dir: &tempfile::TempDir| Disk::new().stat(dir.path()).unwrap().unwrap().stamp.dev;
        assert_ne!(device(&apart), device(&self.dir), "this needs /dev/shm on a filesystem of its own");
        let output = apart.path().join("trips");
        self.configure(|pipeline| pipeline.output = output);
        self.apart = Some(apart);
    }

    /// Gives the pipeline another output.
    pub(crate) fn move_output(&mut self, how: Move) {
        let old = self.pipeline.output.clone();
        let new = self.dir.path().join(format!("elsewhere-{}/trips", self.former.len()));
        Disk::new().make_dirs(new.parent().unwrap()).unwrap();
        match how {
            // Nothing was made yet.
            _ if !old.try_exists().unwrap() => {}
            Move::Whole => Disk::new().rename_noreplace(&old, &new).unwrap(),
            Move::Results => {
                Disk::new().make_dirs(&new).unwrap();
                for day in names(&old) {
                    Disk::new().rename_noreplace(&old.join(&day), &new.join(&day)).unwrap();
                }
            }
            Move::Nothing => {}
        }
        self.former.push(old);
        self.configure(|pipeline| pipeline.output = new);
    }

    /// The published directories that readers see, in every output there was.
    pub(crate) fn seen(&self) -> Vec<PathBuf> {
        let outputs = self.former.iter().chain([&self.pipeline.output]);
        let manifests = outputs.flat_map(|output| files_below(output)).filter(|path| path.ends_with("_manifest.json"));
        let seen = manifests.filter(|path| !path.iter().any(|part| part == ".forebay"));
        seen.filter_map(|path| path.parent().map(ToOwned::to_owned)).collect()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Opens the ledger anew, as a start does.
    pub(crate) fn open(&self, storage: Arc<dyn Storage>) -> Publisher {
        let ledger = Ledger::open(&self.state(), Arc::<ManualClock>::clone(&self.clock)).unwrap();
        Publisher::new(storage, Arc::new(ledger), Arc::<ManualClock>::clone(&self.clock))
    }

    pub(crate) fn open_disk(&self) -> Publisher {
        self.open(Arc::new(Disk::new()))
    }

    pub(crate) fn drop_file(&self, name: impl AsRef<OsStr>, text: &str) -> Found {
        let path = self.pipeline.input.join(name.as_ref());
        Disk::new().write_file(&path, text.as_bytes()).unwrap();
        self.found(name.as_ref()).unwrap()
    }

    pub(crate) fn found(&self, name: &OsStr) -> Option<Found> {
        let path = self.pipeline.input.join(name);
        let stamp = Disk::new().stat(&path).unwrap()?.stamp;
        Some(Found { name: name.to_owned(), path, stamp, first_seen: self.clock.now() })
    }

    pub(crate) fn claimed(&self, publisher: &Publisher, name: impl AsRef<OsStr>, text: &str) -> Arrival {
        let found = self.drop_file(name, text);
        let claim = publisher.claim(&self.pipeline, &found).unwrap();
        let Claim::Claimed(arrival) = claim else { panic!("not claimed: {claim:?}") };
        arrival
    }

    pub(crate) fn begun(&self, publisher: &Publisher, arrival: &Arrival) -> Job {
        match publisher.begin(&self.pipeline, arrival).unwrap() {
            Begun::Job(job) => job,
            Begun::Finished(finished) => panic!("nothing to begin: {finished:?}"),
        }
    }

    /// One attempt, as a worker would do it: the content says what becomes of it.
    pub(crate) fn attempt(&self, publisher: &Publisher, arrival: &Arrival) -> Result<Finished, PublishError> {
        let job = match publisher.begin(&self.pipeline, arrival)? {
            Begun::Job(job) => job,
            Begun::Finished(finished) => return Ok(*finished),
        };
        let done = self.work(publisher, &job);
        if let Err(err) = &done
            && !err.is_unfinished()
        {
            let end = AttemptEnd {
                reason: Some(err.retry_reason()),
                message: &err.to_string(),
                counted: !err.is_full(),
                next_attempt_at: None,
            };
            publisher.give_up_attempt(&job, &end)?;
        }
        done
    }

    fn work(&self, publisher: &Publisher, job: &Job) -> Result<Finished, PublishError> {
        if let Some(known) = publisher.known_content(&self.pipeline, job, &|| false)? {
            return publisher.archive_duplicate(&self.pipeline, job, &known);
        }
        let text = fs::read_to_string(&job.input).unwrap();
        if text.is_empty() {
            return publisher.archive_empty(&self.pipeline, job);
        }
        let report = stage(job, &text);
        if text.contains("bad") {
            let refusal = refusal(&report.rejects, report.rows);
            return publisher.quarantine(&self.pipeline, job, &refusal);
        }
        publisher.publish(&self.pipeline, job, &report)
    }

    /// The engine's loop in miniature: recover, then claim and try until nothing is left.
    pub(crate) fn run(&self, publisher: &Publisher) -> Vec<Recovered> {
        // An error of the disk ends a start; whoever supervises it starts it again.
        let start = || publisher.recover(&[Arc::clone(&self.pipeline)]);
        let told = start().or_else(|_| start()).unwrap();
        let mut queue: Vec<Arrival> = told
            .iter()
            .filter_map(|recovered| {
                let (Recovered::Queued(arrival) | Recovered::Stuck { arrival, .. }) = recovered else { return None };
                Some(arrival.clone())
            })
            .collect();
        for _ in 0..20 {
            let mut failed = false;
            let kept = publisher.ledger().kept(&self.pipeline.name).unwrap();
            for name in names(&self.pipeline.input) {
                let Some(found) = self.found(&name) else { continue };
                if kept.get(&name) == Some(&found.stamp) {
                    continue;
                }
                match publisher.claim(&self.pipeline, &found) {
                    Ok(Claim::Claimed(arrival)) => queue.push(arrival),
                    Ok(_) => {}
                    Err(_) => failed = true,
                }
            }
            if queue.is_empty() && !failed {
                return told;
            }
            self.clock.advance(Duration::from_secs(1));
            queue.retain(|arrival| self.attempt(publisher, arrival).is_err());
        }
        panic!("twenty rounds were not enough: {queue:?}");
    }

    /// Asks for the replay of the only file of this name, as the verb does.
    pub(crate) fn replay(&self, name: &str) -> FileRow {
        let ledger = LedgerReader::open(&self.state()).unwrap();
        let row = ledger.find(OsStr::new(name)).unwrap().remove(0);
        let original = original_to_replay(&row).unwrap();
        let asked = replay(&Disk::new(), &self.pipeline, &row, original, false).unwrap();
        assert_eq!(asked, Replay::InInbox(self.pipeline.input.join(name)));
        row
    }

    /// Says what is wrong with the world after everything has come to rest; nothing, if the promise was kept.
    pub(crate) fn verdict(&self, text: &str, expected: Outcome, publisher: &Publisher) -> Result<(), String> {
        let p = &self.pipeline;
        let ledger = publisher.ledger();
        let unfinished = ledger.unfinished().unwrap();
        ensure(unfinished.is_empty(), || format!("unfinished: {unfinished:?}"))?;
        let mut rows = ledger.files(&Filter { outcome: Some(expected), ..Filter::default() }).unwrap();
        rows.retain(|row| row.replaced_by.is_none());
        ensure(rows.len() == 1, || format!("{} rows are {expected}, not one", rows.len()))?;

        let places: Vec<PathBuf> = [&p.input, &p.archive, &p.quarantine]
            .into_iter()
            .flat_map(|root| files_below(root))
            .filter(|path| fs::read(path).unwrap() == text.as_bytes())
            .collect();
        let root = match (expected, p.on_success) {
            (Outcome::Quarantined | Outcome::Failed, _) => Some(&p.quarantine),
            (_, OnSuccess::Keep) => Some(&p.input),
            (Outcome::Succeeded, OnSuccess::Delete) => None,
            _ => Some(&p.archive),
        };
        // A duplicate has an original, which lies beside it.
        let copies = if expected == Outcome::Duplicate { 2 } else { 1 };
        match root {
            Some(root) => ensure(places.len() == copies && places.iter().all(|path| path.starts_with(root)), || {
                format!("the input is not once below {}: {places:?}", root.display())
            })?,
            None => ensure(places.is_empty(), || format!("the input is not deleted: {places:?}"))?,
        }
        if expected == Outcome::Quarantined {
            let around = files_below(&p.quarantine);
            ensure(around.len() == 3, || format!("original, error and rejects, not {around:?}"))?;
        }

        let seen = self.seen();
        let wanted = usize::from(matches!(expected, Outcome::Succeeded | Outcome::Duplicate));
        ensure(seen.len() == wanted, || format!("{wanted} results, not {seen:?}"))?;
        for dir in seen {
            verify(&dir, text)?;
        }
        let staging = files_below(&p.output.join(".forebay/staging"));
        ensure(staging.is_empty(), || format!("left in staging: {staging:?}"))?;
        for output in self.former.iter().chain([&p.output]) {
            let retired = names(&output.join(".forebay/retired"));
            ensure(retired.is_empty(), || format!("left in retired: {retired:?}"))?;
        }
        let claimed = files_below(&p.input.join(".forebay"));
        ensure(claimed.is_empty(), || format!("left in the work folder: {claimed:?}"))
    }

    /// Everything on the disk with its content, to see whether anything changed.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let p = &self.pipeline;
        [&p.input, &p.output, &p.archive, &p.quarantine]
            .into_iter()
            .chain(&self.former)
            .flat_map(|root| files_below(root))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }
}

pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn verify(dir: &Path, text: &str) -> Result<(), String> {
    let manifest = Manifest::read(dir).map_err(|err| err.to_string())?;
    let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
    ensure(manifest.input.blake3 == hash, || "the manifest is of another input".to_owned())?;
    ensure(manifest.rows.conserved(), || "rows are lost".to_owned())?;
    for (name, facts) in &manifest.outputs {
        let bytes = fs::read(dir.join(name)).map_err(|err| format!("{name}: {err}"))?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        ensure(hash == facts.blake3, || format!("{name} has other content"))?;
    }
    Ok(())
}

/// Writes what a job would: a row per line in `rows.parquet`, every line with `bad` in `rejects.parquet`.
pub(crate) fn stage(job: &Job, text: &str) -> JobReport {
    let read = text.lines().count();
    let rejected = text.lines().filter(|line| line.contains("bad")).count();
    let outputs = [("rows.parquet", read - rejected), ("rejects.parquet", rejected)]
        .into_iter()
        .map(|(name, rows)| (name.to_owned(), write_parquet(&job.staging.join(name), rows)))
        .collect();
    let rows =
        RowCounts { read: read as u64, written: (read - rejected) as u64, rejected: rejected as u64, dropped: 0 };
    JobReport {
        input: InputFacts {
            name: job.name.clone(),
            bytes: text.len() as u64,
            blake3: blake3::hash(text.as_bytes()).to_hex().to_string(),
            encoding: "utf-8".to_owned(),
            compression: "none".to_owned(),
            arrived_at: job.arrived_at,
        },
        rows,
        blank_lines: 0,
        rejects: RejectReason::ALL
            .iter()
            .map(|reason| (*reason, if *reason == RejectReason::BadType { rows.rejected } else { 0 }))
            .collect(),
        rejects_by_rule: BTreeMap::new(),
        rule_violations: BTreeMap::new(),
        drift: BTreeMap::new(),
        outputs,
        stages: BTreeMap::new(),
        peak_rss_bytes: 0,
        text_bytes: text.len() as u64,
    }
}

pub(crate) fn refusal(rejects: &BTreeMap<RejectReason, u64>, rows: RowCounts) -> Refusal<'_> {
    Refusal {
        outcome: Outcome::Quarantined,
        reason: QuarantineReason::TooManyRejects,
        message: "1 of 2 rows rejected (50.0 %)",
        hint: "raise accept.max_reject_ratio, or mend the file",
        rows,
        rejects,
        ended_by: None,
    }
}

fn write_parquet(path: &Path, rows: usize) -> OutputFile {
    let column = Column::new("n".into(), (0..rows as u64).collect::<Vec<_>>());
    let mut frame = DataFrame::new_infer_height(vec![column]).unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
    #[expect(clippy::disallowed_methods, reason = "stands in for the job, which does not sync either")]
    fs::write(path, &bytes).unwrap();
    OutputFile { bytes: bytes.len() as u64, rows: rows as u64, blake3: blake3::hash(&bytes).to_hex().to_string() }
}

/// The names in a folder that are not ours, sorted.
pub(crate) fn names(dir: &Path) -> Vec<std::ffi::OsString> {
    let names = Disk::new().list(dir).unwrap();
    names.into_iter().filter(|name| !name.as_encoded_bytes().starts_with(b".")).collect()
}

pub(crate) fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for name in Disk::new().list(&dir).unwrap() {
            let path = dir.join(name);
            let below = if entry_of(&fs::symlink_metadata(&path).unwrap()).kind == EntryKind::Directory {
                &mut open
            } else {
                &mut files
            };
            below.push(path);
        }
    }
    files.sort();
    files
}

pub(crate) fn pipeline(base: &Path, on_success: OnSuccess) -> Pipeline {
    Pipeline {
        inflate: crate::config::Inflate::default(),
        name: "trips".to_owned(),
        input: base.join("in/trips"),
        output: base.join("out/trips"),
        archive: base.join("archive/trips"),
        quarantine: base.join("quarantine/trips"),
        files: globset::GlobSet::empty(),
        settle: Duration::from_secs(2),
        done_marker: None,
        scan_interval: Duration::from_secs(30),
        on_success,
        csv: CsvOptions::default(),
        columns: Vec::new(),
        derive: Vec::new(),
        rules: Vec::new(),
        accept: Accept { max_reject_ratio: 0.05, max_rejects: 10, min_rows: 0 },
        drift: Drift { extra: OnExtra::Ignore, missing: OnMissing::Quarantine },
        rows: Rows { format: RowFormat::Parquet, compression: Compression::Zstd, partition_by: Vec::new() },
        aggregates: Vec::new(),
        freshness: None,
        latency: None,
        config_hash: "0123456789abcdef".to_owned(),
    }
}

/// The states of a file as tests name them.
pub(crate) fn state_of(publisher: &Publisher, arrival: &Arrival) -> FileState {
    publisher.ledger().get(&arrival.id).unwrap().state
}
