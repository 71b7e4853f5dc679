//! File events as hints. Our own small type over `notify`, so that its quirks stay in this file.
//!
//! Nothing here is trusted to be complete: an overflow, an error or a lost watch becomes a rescan, and an inbox that
//! cannot be watched is scanned only.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind, RenameMode};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::names::{Kind, Names};
use super::scan::FolderId;
use super::sighting::Name;
use crate::planted::{self, Bug};

/// One inbox to watch.
#[derive(Debug, Clone)]
pub struct Inbox {
    /// Its pipeline.
    pub pipeline: Arc<str>,
    /// Its path, absolute.
    pub path: PathBuf,
    /// Which names matter.
    pub names: Names,
}

/// What the watcher tells. Comes from its own thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Something may have happened to this candidate.
    Hint {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// Its name.
        name: Name,
    },
    /// Events of this inbox may have been lost: only a scan can tell.
    Rescan {
        /// Its pipeline.
        pipeline: Arc<str>,
    },
    /// The inbox itself went away: its watch is worth nothing any more.
    Lost {
        /// Its pipeline.
        pipeline: Arc<str>,
    },
    /// The kernel dropped events; a rescan of every inbox was asked for.
    Overflow,
    /// An event arrived: `create`, `close_write`, `moved_to`, `remove`, `other`. For counting.
    Seen(&'static str),
}

/// Why an inbox is not watched. It is scanned all the same.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// `ENOSPC`.
    #[error("no inotify watch is left: raise fs.inotify.max_user_watches (sysctl)")]
    NoWatches,
    /// `EMFILE`.
    #[error("no inotify instance is left: raise fs.inotify.max_user_instances (sysctl) or the open-files limit")]
    NoInstances,
    /// The folder is missing.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// Anything else.
    #[error("file events are not available: {0}")]
    Other(String),
}

impl From<notify::Error> for WatchError {
    fn from(error: notify::Error) -> Self {
        let errno = |io: &std::io::Error| io.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
        match &error.kind {
            ErrorKind::MaxFilesWatch => Self::NoWatches,
            ErrorKind::PathNotFound => Self::Missing(error.paths.first().cloned().unwrap_or_default()),
            ErrorKind::Io(io) if errno(io) == Some(rustix::io::Errno::MFILE) => Self::NoInstances,
            ErrorKind::Io(io) if errno(io) == Some(rustix::io::Errno::NFILE) => Self::NoInstances,
            ErrorKind::Io(io) if errno(io) == Some(rustix::io::Errno::NOSPC) => Self::NoWatches,
            ErrorKind::Io(_) | ErrorKind::Generic(_) | ErrorKind::WatchNotFound | ErrorKind::InvalidConfig(_) => {
                Self::Other(error.to_string())
            }
        }
    }
}

/// By path.
type Inboxes = BTreeMap<PathBuf, Inbox>;

/// Watches inboxes, each on its own: one that cannot be watched does not hurt the others.
pub struct Watcher {
    inboxes: Arc<RwLock<Inboxes>>,
    tell: Arc<dyn Fn(Note) + Send + Sync>,
    notify: Option<RecommendedWatcher>,
    set: BTreeMap<Arc<str>, FolderId>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("set", &self.set).finish_non_exhaustive()
    }
}

impl Watcher {
    /// Prepares to watch; nothing is watched yet.
    #[must_use]
    pub fn new(inboxes: Vec<Inbox>, tell: impl Fn(Note) + Send + Sync + 'static) -> Self {
        Self {
            inboxes: Arc::new(RwLock::new(by_path(inboxes))),
            tell: Arc::new(tell),
            notify: None,
            set: BTreeMap::new(),
        }
    }

    /// Takes other inboxes in the place of those before. What is watched already and still wanted stays watched.
    pub fn adopt(&mut self, inboxes: Vec<Inbox>) {
        let kept = |name: &Arc<str>| {
            inboxes.iter().any(|inbox| inbox.pipeline == *name && self.path(name) == Some(inbox.path.clone()))
        };
        let gone: Vec<Arc<str>> = self.set.keys().filter(|name| !kept(name)).cloned().collect();
        for name in gone {
            self.forget(&name);
        }
        *self.inboxes.write().unwrap_or_else(PoisonError::into_inner) = by_path(inboxes);
    }

    fn path(&self, pipeline: &str) -> Option<PathBuf> {
        let inboxes = self.inboxes.read().unwrap_or_else(PoisonError::into_inner);
        inboxes.values().find(|inbox| &*inbox.pipeline == pipeline).map(|inbox| inbox.path.clone())
    }

    /// Returns whether this pipeline's inbox is watched, as far as we know.
    #[must_use]
    pub fn is_up(&self, pipeline: &str) -> bool {
        self.set.contains_key(pipeline)
    }

    /// Watches the inbox of `pipeline`, anew if it was watched. `folder` is which one it was a moment ago (`None`: it was not
    /// there): if it was swapped since, the next comparison finds out. Scan it after this, not before: what happens in between
    /// would be told by nobody.
    pub fn set(&mut self, pipeline: &str, folder: Option<FolderId>) -> Result<(), WatchError> {
        let path = self.path(pipeline).ok_or_else(|| WatchError::Other(format!("no pipeline '{pipeline}'")))?;
        self.forget(pipeline);
        let folder = folder.ok_or_else(|| WatchError::Missing(path.clone()))?;
        self.notify()?.watch(&path, RecursiveMode::NonRecursive)?;
        self.set.insert(pipeline.into(), folder);
        Ok(())
    }

    /// Gives up the watch of `pipeline`, if there is one.
    pub fn forget(&mut self, pipeline: &str) {
        if self.set.remove(pipeline).is_none() {
            return;
        }
        if let (Some(path), Some(notify)) = (self.path(pipeline), &mut self.notify) {
            // The kernel drops the watch of a deleted folder by itself: then there is nothing to take away.
            drop(notify.unwatch(&path));
        }
    }

    /// Returns whether the watch of `pipeline` is set on another directory than `folder`, the one a scan has just read.
    #[must_use]
    pub fn is_stale(&self, pipeline: &str, folder: FolderId) -> bool {
        self.set.get(pipeline).is_some_and(|watched| *watched != folder)
    }

    fn notify(&mut self) -> Result<&mut RecommendedWatcher, WatchError> {
        if self.notify.is_none() {
            let inboxes = Arc::clone(&self.inboxes);
            let tell = Arc::clone(&self.tell);
            let handler = move |result| {
                handle(&inboxes.read().unwrap_or_else(PoisonError::into_inner), &*tell, result);
            };
            self.notify = Some(notify::recommended_watcher(handler)?);
        }
        self.notify.as_mut().ok_or_else(|| WatchError::Other("no watcher".to_owned()))
    }
}

fn by_path(inboxes: Vec<Inbox>) -> Inboxes {
    inboxes.into_iter().map(|inbox| (inbox.path.clone(), inbox)).collect()
}

fn handle(inboxes: &Inboxes, tell: &dyn Fn(Note), result: notify::Result<Event>) {
    let rescan_all = || {
        for inbox in inboxes.values() {
            tell(Note::Rescan { pipeline: Arc::clone(&inbox.pipeline) });
        }
    };
    let Ok(event) = result else { return rescan_all() };
    // First of all: an overflow has no path, so a loop over paths would miss it.
    if event.need_rescan() {
        tell(Note::Overflow);
        if planted::is(Bug::NoRescan) {
            return;
        }
        return rescan_all();
    }
    let Some((kind, hints)) = classify(event.kind) else { return };
    tell(Note::Seen(kind));
    for path in &event.paths {
        if let Some(inbox) = inboxes.get(path) {
            if kind == "remove" {
                tell(Note::Lost { pipeline: Arc::clone(&inbox.pipeline) });
            }
        } else if hints && let Some((inbox, name)) = of_inbox(inboxes, path) {
            let pipeline = Arc::clone(&inbox.pipeline);
            match inbox.names.kind(name) {
                Kind::Candidate => tell(Note::Hint { pipeline, name: name.into() }),
                Kind::MarkerOf(name) => tell(Note::Hint { pipeline, name: name.as_os_str().into() }),
                Kind::MarkerOfAll => tell(Note::Rescan { pipeline }),
                Kind::Ignored => {}
            }
        }
    }
}

fn of_inbox<'a, 'p>(inboxes: &'a BTreeMap<PathBuf, Inbox>, path: &'p Path) -> Option<(&'a Inbox, &'p OsStr)> {
    Some((inboxes.get(path.parent()?)?, path.file_name()?))
}

/// Returns the label of an event and whether it is a hint; `None` for the doubles that `notify` makes itself and for
/// reads, which are mostly our own.
const fn classify(kind: EventKind) -> Option<(&'static str, bool)> {
    match kind {
        EventKind::Create(CreateKind::Any | CreateKind::File | CreateKind::Folder | CreateKind::Other) => {
            Some(("create", true))
        }
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(("close_write", true)),
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => None,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(("moved_to", true)),
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => Some(("remove", false)),
        // A name that is written to has been told by its creation or by a scan; its close will tell of it again.
        EventKind::Modify(
            ModifyKind::Any
            | ModifyKind::Data(_)
            | ModifyKind::Metadata(_)
            | ModifyKind::Other
            | ModifyKind::Name(RenameMode::Any | RenameMode::Other),
        )
        | EventKind::Any
        | EventKind::Other => Some(("other", false)),
    }
}

#[cfg(test)]
mod tests;
