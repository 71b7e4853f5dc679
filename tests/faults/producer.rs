//! A producer in a thread of its own: files of every kind, as fast as they are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::feed::Feed;
use crate::site::{OnSuccess, Site};

/// Files the inbox may hold before the producer waits.
const BACKLOG: usize = 40;

/// Drops files of every kind until it is stopped.
#[derive(Debug)]
pub(crate) struct Producer {
    end: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Feed>,
}

impl Producer {
    pub(crate) fn start(site: &Arc<Site>, mut feed: Feed) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (site, told) = (Arc::clone(site), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let keeps = site.on_success == OnSuccess::Keep;
                if keeps || std::fs::read_dir(site.inbox()).unwrap().count() < BACKLOG {
                    // A name that is taken is used another time.
                    site.drop_file(feed.next());
                }
                if keeps || std::fs::read_dir(site.inbox()).unwrap().count() >= BACKLOG {
                    std::thread::sleep(Duration::from_millis(if keeps { 15 } else { 5 }));
                }
            }
            feed
        });
        Self { end, thread }
    }

    /// Stops it when the drop under way is done, and returns its feed, to go on with later.
    pub(crate) fn stop(self) -> Feed {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
