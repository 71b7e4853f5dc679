//! SIGHUP and `POST /-/reload`: another configuration, all of it or nothing.
//!
//! Everything that can fail comes first and changes nothing that is in force; then the new configuration takes the place
//! of the old one in one step. Files that were claimed before keep the one they were claimed under, until they are done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::generation::Generation;
use super::{Events, LedgerView, Shared, Told, manager, setup};
use crate::config::{Config, Pipeline};
use crate::engine::Event;
use crate::http::{ReloadRequest, Web};
use crate::lifecycle::Lifecycle;
use crate::publish::Recovered;
use crate::telemetry::Readiness;
use crate::telemetry::event::Loaded;
use crate::worker::LoadError;

/// Who reloads.
pub(super) struct Reloader {
    pub(super) path: Option<PathBuf>,
    pub(super) shared: Arc<Shared>,
    pub(super) view: Arc<LedgerView>,
    pub(super) web: Option<Arc<Web>>,
    pub(super) events: Events,
    pub(super) life: Lifecycle,
}

impl Reloader {
    /// Answers reload requests, one after the other, until it is dropped.
    pub(super) async fn serve(self, mut asked: mpsc::Receiver<ReloadRequest>) -> Result<(), String> {
        let this = Arc::new(self);
        loop {
            let answer = tokio::select! {
                () = this.life.reload_asked() => None,
                Some(answer) = asked.recv() => Some(answer),
            };
            // Before it was told of a start, and once it was told of the end, the service manager hears of no reload.
            let ready = || this.shared.telemetry.readiness() == Readiness::Ready;
            let told = ready();
            if told {
                manager::reloading();
            }
            let before = this.shared.plan();
            let reloading = Arc::clone(&this);
            let reloaded = tokio::task::spawn_blocking(move || reloading.reload());
            let reloaded = reloaded.await.map_err(|error| error.to_string())?;
            let (outcome, message) = match &reloaded {
                Ok(message) if Arc::ptr_eq(&before, &this.shared.plan()) => (Loaded::Unchanged, message),
                Ok(message) => (Loaded::TakenUp, message),
                Err(message) => (Loaded::Refused, message),
            };
            let at = this.shared.clock.now();
            this.shared.telemetry.emit(Told::ConfigLoaded { at, outcome, message });
            if told && ready() {
                manager::ready();
            }
            if let Some(answer) = answer {
                // Whoever asked may have gone away.
                drop(answer.send(reloaded));
            }
        }
    }

    /// Takes up what the file says now. Returns what came of it, for a person. Blocking.
    fn reload(&self) -> Result<String, String> {
        let Some(path) = &self.path else {
            return Ok("this daemon was started without a configuration file".to_owned());
        };
        let shown = path.display();
        let stays = "the running configuration stays";
        let (config, old) = (self.read(path).map_err(|why| format!("{shown}: {why}; {stays}"))?, self.shared.plan());
        if config.text == old.config.text {
            return Ok(format!("{shown} has not changed"));
        }
        let next = Arc::new(Generation::of(config));
        let prepared = self.prepare(&next);
        if prepared.is_err() {
            // Whatever was made ready for it is of no use.
            self.shared.runner.adopt(&old.config);
        }
        let anew = prepared.map_err(|why| format!("{shown}: {why}; {stays}"))?;
        let changes = changes(&old, &next, &anew.in_quarantine);
        self.adopt(&next, anew);
        Ok(format!("{shown}: {changes}"))
    }

    /// Reads the file and refuses what can be refused without touching anything.
    fn read(&self, path: &Path) -> Result<Config, String> {
        if self.life.draining().is_cancelled() {
            return Err("forebay is draining, it takes up nothing new".to_owned());
        }
        let config = self.shared.runner.load(path).map_err(|error| match error {
            LoadError::Config(errors) => format!("it is not sound\n{errors}"),
            LoadError::Unchecked(_) => error.to_string(),
        })?;
        let fixed = self.shared.plans().fixed(&config);
        if !fixed.is_empty() {
            let keys = fixed.join(", ");
            return Err(format!("{keys}: cannot change while forebay runs, restart it to take the new file up"));
        }
        crate::config::check_folders(&config).map_err(|errors| errors.to_string())?;
        // Always the same file: its name cannot change.
        if let Some(web) = &self.web {
            web.check().map_err(|error| error.to_string())?;
        }
        Ok(config)
    }

    /// Does everything that may fail. Returns what the ledger knows of the pipelines that are new.
    fn prepare(&self, next: &Generation) -> Result<Anew, String> {
        let Shared { storage, publisher, telemetry, .. } = &*self.shared;
        setup::make_folders(&**storage, &next.config).map_err(|error| error.to_string())?;
        setup::make_outputs(publisher, &next.config, telemetry).map_err(|error| error.to_string())?;
        self.shared.locks.all(&**storage, next, |key| self.shared.plans().any(key).is_some())?;
        self.shared.runner.prepare(&next.config).map_err(|why| format!("no worker starts with it: {why}"))?;
        let new: Vec<Arc<Pipeline>> = {
            let plans = self.shared.plans();
            let new = |pipeline: &&Arc<Pipeline>| plans.any(&pipeline.name).is_none();
            next.config.pipelines.iter().filter(new).cloned().collect()
        };
        let ledger = self.shared.publisher.ledger();
        let restored = setup::restored(ledger, &new).map_err(|error| error.to_string())?;
        let in_quarantine = ledger.counts().map_err(|error| error.to_string())?.in_quarantine;
        let mut recovered = Vec::new();
        match self.resume(next, &new, &mut recovered) {
            Ok(kept) => Ok(Anew { recovered, restored, kept, in_quarantine }),
            Err(why) => {
                // What it has finished is finished, whatever becomes of the configuration.
                setup::tell_finished(&self.shared, recovered);
                Err(why)
            }
        }
    }

    /// Goes on with what an earlier run began for pipelines that come anew: the last of what may fail, as it does something.
    /// Returns the files they have taken and kept.
    fn resume(
        &self,
        next: &Generation,
        new: &[Arc<Pipeline>],
        recovered: &mut Vec<Recovered>,
    ) -> Result<Vec<Event>, String> {
        let publisher = &self.shared.publisher;
        publisher.resume(new, recovered).map_err(|error| format!("recovery: {error}"))?;
        let old = self.shared.plan();
        let come = next.lanes.values().filter(|lane| !old.lanes.contains_key(&lane.key));
        // Only now: recovery forgets the claims that came to nothing.
        let kept = setup::kept(publisher.ledger(), come).map_err(|error| error.to_string())?;
        if self.life.draining().is_cancelled() {
            return Err("forebay is draining, it takes up nothing new".to_owned());
        }
        Ok(kept)
    }

    /// Puts the new configuration in force. Nothing in here fails.
    fn adopt(&self, next: &Arc<Generation>, anew: Anew) {
        let shared = &self.shared;
        shared.telemetry.set_pipelines(&setup::infos(&next.config));
        shared.plans().adopt(Arc::clone(next));
        shared.watch().adopt(&next.config);
        shared.runner.adopt(&next.config);
        self.view.adopt(&next.config);
        setup::tell_limits(&next.config, &shared.telemetry);
        setup::tell_restored(&shared.telemetry, &anew.restored);
        // A pipeline that is back has the files it had in quarantine.
        shared.holdings();
        let mut then = anew.kept;
        then.extend(setup::take_up(shared, anew.recovered));
        let limits = setup::limits(&next.config, shared.retry);
        let reload = Event::Reload { rules: setup::rules(&next.config), limits, then };
        // An engine that has ended works on nothing any more.
        drop(self.events.send(reload));
    }
}

/// What the ledger knows of pipelines that come anew, and of what the others leave behind.
struct Anew {
    recovered: Vec<Recovered>,
    restored: Vec<setup::Restored>,
    kept: Vec<Event>,
    /// Files in quarantine, by pipeline.
    in_quarantine: BTreeMap<String, u64>,
}

/// Says what a reload changed, pipeline by pipeline. Of one that goes it tells what stays in its quarantine: no metric does any
/// more.
fn changes(old: &Generation, new: &Generation, in_quarantine: &BTreeMap<String, u64>) -> String {
    let name = |key: &Arc<str>| match in_quarantine.get(&**key).filter(|_| !new.lanes.contains_key(key)) {
        Some(1) => format!("{key} (1 file stays in its quarantine)"),
        Some(files) => format!("{key} ({files} files stay in its quarantine)"),
        None => key.to_string(),
    };
    let names = |pick: &dyn Fn(&str) -> bool| {
        let all = old.lanes.keys().chain(new.lanes.keys().filter(|key| !old.lanes.contains_key(*key)));
        all.filter(|key| pick(key)).map(name).collect::<Vec<_>>().join(", ")
    };
    let hash = |of: &Generation, key: &str| of.lanes.get(key).map(|lane| lane.pipeline.config_hash.clone());
    let (in_old, in_new) = (|key: &str| old.lanes.contains_key(key), |key: &str| new.lanes.contains_key(key));
    let told = [
        ("added", names(&|key| !in_old(key))),
        ("changed", names(&|key| in_old(key) && in_new(key) && hash(old, key) != hash(new, key))),
        ("removed", names(&|key| !in_new(key))),
    ];
    let told: Vec<String> = told
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what} {names}"))
        .collect();
    if told.is_empty() {
        "taken up; no pipeline has changed".to_owned()
    } else {
        format!("taken up; {}", told.join("; "))
    }
}

#[cfg(test)]
mod tests;
