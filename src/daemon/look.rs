//! Looking into inboxes, and keeping them watched.
//!
//! A watch is set before the scan that follows it, and set anew by the scan that finds it lost: no file can slip between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::locks::NotOurs;
use super::{Events, Lane, Shared, Told};
use crate::config::{Config, Pipeline};
use crate::discover::{self, FolderId, Listing, Name, Names, Note, Watcher};
use crate::engine::Event;
use crate::telemetry::Telemetry;

/// The watcher and what was last told of each inbox.
pub(super) struct Watch {
    watcher: Watcher,
    told: BTreeMap<Arc<str>, Result<(), String>>,
    lost: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl Watch {
    pub(super) fn new(config: &Config, telemetry: &Telemetry, events: Events) -> Self {
        let lost: Arc<Mutex<BTreeSet<Arc<str>>>> = Arc::default();
        let tell = {
            let (lost, telemetry) = (Arc::clone(&lost), telemetry.clone());
            move |note| hear(note, &telemetry, &lost, &events)
        };
        let watcher = Watcher::new(inboxes(config), tell);
        Self { watcher, told: BTreeMap::new(), lost }
    }

    /// Watches the inboxes of another configuration. New ones are watched from their first scan on.
    pub(super) fn adopt(&mut self, config: &Config) {
        self.watcher.adopt(inboxes(config));
        self.told.retain(|key, _| config.pipelines.iter().any(|pipeline| *pipeline.name == **key));
    }

    /// Returns whether the watch of a pipeline is to be set: it is not, or is worth nothing any more.
    fn is_wanted(&mut self, key: &Arc<str>) -> bool {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        if lost {
            self.watcher.forget(key);
            // That was told when it was lost: what comes now is news again.
            self.told.remove(key);
        }
        !self.watcher.is_up(key)
    }

    fn set(&mut self, key: &Arc<str>, folder: Option<FolderId>, telemetry: &Telemetry) {
        let result = self.watcher.set(key, folder).map_err(|error| error.to_string());
        if self.told.get(key) != Some(&result) {
            let message = result.as_ref().err().map_or("", String::as_str);
            telemetry.emit(Told::Watch { pipeline: key, up: result.is_ok(), message });
            self.told.insert(Arc::clone(key), result);
        }
    }
}

/// Sets the watch of a pipeline if it is to be set. An inbox that hangs does so in `identify`, which nobody else waits for.
fn ensure(watch: &Mutex<Watch>, key: &Arc<str>, telemetry: &Telemetry, identify: impl FnOnce() -> Option<FolderId>) {
    let watch = || watch.lock().unwrap_or_else(PoisonError::into_inner);
    if watch().is_wanted(key) {
        let folder = identify();
        watch().set(key, folder, telemetry);
    }
}

fn inboxes(config: &Config) -> Vec<discover::Inbox> {
    let inbox = |pipeline: &Arc<Pipeline>| discover::Inbox {
        pipeline: pipeline.name.as_str().into(),
        path: pipeline.input.clone(),
        names: Names::of(pipeline),
    };
    config.pipelines.iter().map(inbox).collect()
}

/// Runs on the watcher's own thread: hands on, and never waits.
fn hear(note: Note, telemetry: &Telemetry, lost: &Mutex<BTreeSet<Arc<str>>>, events: &Events) {
    let event = match note {
        Note::Hint { pipeline, name } => Event::Hint { pipeline, name },
        Note::Rescan { pipeline } => Event::Rescan { pipeline },
        Note::Lost { pipeline } => {
            lost.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(&pipeline));
            telemetry.emit(Told::Watch { pipeline: &pipeline, up: false, message: "the inbox was moved or removed" });
            Event::Rescan { pipeline }
        }
        Note::Overflow => return telemetry.emit(Told::WatchOverflow),
        Note::Seen(kind) => return telemetry.emit(Told::WatchEvent { kind }),
    };
    // When the engine has ended there is nobody to hint to.
    drop(events.send(event));
}

impl Shared {
    /// Lists an inbox, watched from before the listing on.
    pub(super) fn scan(&self, lane: &Lane) -> Event {
        let (key, pipeline) = (&lane.key, Arc::clone(&lane.key));
        let ensure = || ensure(&self.watcher, key, &self.telemetry, || discover::identify(&lane.pipeline.input).ok());
        ensure();
        let scan = || discover::scan(&lane.pipeline.input, &lane.names);
        let mut taken = self.clock.monotonic();
        let mut scanned = scan();
        if let Ok(Listing { folder, .. }) = &scanned
            && self.watch().watcher.is_stale(key, *folder)
        {
            // Another directory lies there than the one that is watched.
            self.watch().watcher.forget(key);
            ensure();
            taken = self.clock.monotonic();
            scanned = scan();
        }
        // Files that wait for an output are seen all the same.
        let ours = || match self.locks.lock(&*self.storage, lane) {
            Ok(()) | Err(NotOurs::Gone(_)) => Ok(()),
            Err(why @ (NotOurs::Another(..) | NotOurs::Unsound(_))) => Err(why.to_string()),
        };
        match scanned.map_err(|error| error.to_string()).and_then(|listing| ours().map(|()| listing)) {
            Ok(listing) => Event::Scanned { pipeline, taken, seen: listing.seen },
            Err(error) => Event::ScanFailed { pipeline, taken, message: error },
        }
    }

    /// Looks at single names.
    pub(super) fn look(&self, lane: &Lane, names: Vec<Name>) -> Event {
        let taken = self.clock.monotonic();
        let seen = discover::look(&lane.pipeline.input, &lane.names, names.clone()).unwrap_or_else(|error| {
            self.error("discover", "scan", &error.to_string());
            names.into_iter().map(|name| (name, discover::Sighting::Gone)).collect()
        });
        Event::Looked { pipeline: Arc::clone(&lane.key), taken, seen }
    }

    pub(super) fn watch(&self) -> std::sync::MutexGuard<'_, Watch> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn nobody_waits_for_an_inbox_that_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[pipelines.p]\ncolumns.x = \"int64\"";
        let config = crate::config::parse(text, &dir.path().join("forebay.toml")).unwrap();
        std::fs::create_dir_all(&config.pipelines[0].input).unwrap();
        let (telemetry, (events, _engine)) = (Telemetry::new(&[]), unbounded_channel());
        let watch = Mutex::new(Watch::new(&config, &telemetry, events));
        let key: Arc<str> = "p".into();
        ensure(&watch, &key, &telemetry, || {
            assert!(watch.try_lock().is_ok(), "others scan meanwhile");
            discover::identify(&config.pipelines[0].input).ok()
        });
        assert!(watch.lock().unwrap().watcher.is_up("p"));
        ensure(&watch, &key, &telemetry, || panic!("it is watched already"));
    }
}
