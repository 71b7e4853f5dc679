//! SIGHUP and `POST /-/reload`: another configuration, all of it or nothing.
//!
//! Everything that can fail comes first and changes nothing that is in force; then the new configuration takes the place
//! of the old one in one step. Files that were claimed before keep the one they were claimed under, until they are done.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::generation::Generation;
use super::{Events, LedgerView, Shared, Told, manager, setup};
use crate::config::{Config, Pipeline};
use crate::engine::Event;
use crate::http::{ReloadRequest, check_web_config};
use crate::lifecycle::Lifecycle;
use crate::publish::Recovered;
use crate::telemetry::Readiness;
use crate::worker::LoadError;

/// Who reloads.
pub(super) struct Reloader {
    pub(super) path: Option<PathBuf>,
    pub(super) shared: Arc<Shared>,
    pub(super) view: Arc<LedgerView>,
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
            let ready = this.shared.telemetry.readiness() == Readiness::Ready;
            if ready {
                manager::reloading();
            }
            let reloading = Arc::clone(&this);
            let reloaded = tokio::task::spawn_blocking(move || reloading.reload());
            let reloaded = reloaded.await.map_err(|error| error.to_string())?;
            let (ok, message) = match &reloaded {
                Ok(message) => (true, message),
                Err(message) => (false, message),
            };
            let at = this.shared.clock.now();
            this.shared.telemetry.emit(Told::ConfigLoaded { at, ok, message });
            if ready {
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
        self.adopt(&next, anew);
        Ok(format!("{shown}: {}", changes(&old, &next)))
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
        if let Some(web) = &config.web_config_file {
            check_web_config(web).map_err(|error| error.to_string())?;
        }
        Ok(config)
    }

    /// Does everything that may fail. Returns what the ledger knows of the pipelines that are new.
    fn prepare(&self, next: &Generation) -> Result<Anew, String> {
        setup::make_folders(&*self.shared.storage, &next.config).map_err(|error| error.to_string())?;
        self.shared.runner.prepare(&next.config).map_err(|why| format!("no worker starts with it: {why}"))?;
        let new: Vec<Arc<Pipeline>> = {
            let plans = self.shared.plans();
            let new = |pipeline: &&Arc<Pipeline>| plans.any(&pipeline.name).is_none();
            next.config.pipelines.iter().filter(new).cloned().collect()
        };
        let publisher = &self.shared.publisher;
        let recovered = publisher.resume(&new).map_err(|error| format!("recovery: {error}"))?;
        let restored = setup::restored(publisher.ledger(), &new).map_err(|error| error.to_string())?;
        let old = self.shared.plan();
        let come = next.lanes.values().filter(|lane| !old.lanes.contains_key(&lane.key));
        let kept = setup::kept(publisher.ledger(), come).map_err(|error| error.to_string())?;
        if self.life.draining().is_cancelled() {
            return Err("forebay is draining, it takes up nothing new".to_owned());
        }
        Ok(Anew { recovered, restored, kept })
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
        let mut then = anew.kept;
        then.extend(setup::take_up(shared, anew.recovered));
        let limits = setup::limits(&next.config, shared.retry);
        let reload = Event::Reload { rules: setup::rules(&next.config), limits, then };
        // An engine that has ended works on nothing any more.
        drop(self.events.send(reload));
    }
}

/// What the ledger knows of pipelines that come anew.
struct Anew {
    recovered: Vec<Recovered>,
    restored: Vec<setup::Restored>,
    kept: Vec<Event>,
}

/// Says what a reload changed, pipeline by pipeline.
fn changes(old: &Generation, new: &Generation) -> String {
    let names = |pick: &dyn Fn(&str) -> bool| {
        let all = old.lanes.keys().chain(new.lanes.keys().filter(|key| !old.lanes.contains_key(*key)));
        all.filter(|key| pick(key)).map(|key| &**key).collect::<Vec<_>>().join(", ")
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
