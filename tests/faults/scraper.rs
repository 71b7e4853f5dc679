//! Somebody who asks for `/metrics` ten times a second beside everything a suite does: a daemon that lives answers.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::daemon::listen;

/// Time between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// An answer that takes longer is none.
const LIMIT: Duration = Duration::from_secs(1);

/// A daemon that has closed its door ends so soon, or has no excuse.
const LAST_WORDS: Duration = Duration::from_secs(10);

thread_local! {
    /// What the scrapers of this thread's suite have come to since it was last told: answers, and the slowest.
    static TALLY: Cell<(u64, Duration)> = const { Cell::new((0, Duration::ZERO)) };
}

/// Takes what the suite of this thread has to tell: answers, and how long the slowest took.
pub(crate) fn take_tally() -> (u64, Duration) {
    TALLY.take()
}

/// Asks one daemon, from its first answer to its end.
#[derive(Debug)]
pub(crate) struct Scraper {
    shared: Arc<Shared>,
    thread: JoinHandle<Heard>,
}

#[derive(Debug, Default)]
struct Shared {
    end: AtomicBool,
    /// Odd while the daemon stands still by our doing.
    excuses: AtomicU64,
}

#[derive(Debug, Default)]
struct Heard {
    answers: u64,
    slowest: Duration,
    /// When a question found no answer, and why.
    faults: Vec<String>,
}

impl Scraper {
    /// Begins to ask the daemon that writes this log, for as long as `lives` says that there is one.
    pub(crate) fn start(log: PathBuf, lives: impl Fn() -> bool + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let thread = std::thread::spawn(move || ask(&log, &told, &lives));
        Self { shared, thread }
    }

    /// The daemon stands still from now on, or goes on.
    pub(crate) fn excuse(&self) {
        self.shared.excuses.fetch_add(1, Ordering::SeqCst);
    }

    /// Stops asking: the daemon is about to end, or has. Returns what it did not answer although it lived.
    pub(crate) fn end(self) -> Vec<String> {
        self.shared.end.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        let heard = self.thread.join().expect("the scraper does not panic");
        let (answers, slowest) = TALLY.get();
        TALLY.set((answers + heard.answers, slowest.max(heard.slowest)));
        heard.faults
    }
}

fn ask(log: &std::path::Path, shared: &Shared, lives: &dyn Fn() -> bool) -> Heard {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(LIMIT))
        .max_idle_connections(0)
        .build()
        .into();
    let mut heard = Heard::default();
    // Since when it has not answered, and what was said then: if it is about to end, that is no fault.
    let mut silent: Option<(Instant, String)> = None;
    let mut address = None;
    // Before its first answer it may not even have been started.
    while !shared.end.load(Ordering::SeqCst) && (heard.answers == 0 || lives()) {
        let before = shared.excuses.load(Ordering::SeqCst);
        if address.is_none() {
            let text = fs::read(log).unwrap_or_default();
            address = String::from_utf8_lossy(&text).lines().find_map(listen);
        }
        if let Some(address) = address.as_ref().filter(|_| before.is_multiple_of(2)) {
            let began = Instant::now();
            let answer = get(&agent, address);
            let excused = shared.excuses.load(Ordering::SeqCst) != before || shared.end.load(Ordering::SeqCst);
            match answer {
                Ok(()) => {
                    heard.answers += 1;
                    heard.slowest = heard.slowest.max(began.elapsed());
                    heard.faults.extend(silent.take().map(|(_, why)| why));
                }
                // Before the first answer it has not started.
                Err(why) if heard.answers > 0 && !excused => {
                    silent.get_or_insert_with(|| (began, format!("/metrics gave no answer: {why}")));
                }
                Err(_) => {}
            }
        }
        if silent.as_ref().is_some_and(|(since, _)| since.elapsed() > LAST_WORDS) {
            break;
        }
        std::thread::park_timeout(PAUSE);
    }
    // It was silent for too long, and lived on until we ended it.
    let overdue = silent.filter(|(since, _)| since.elapsed() > LIMIT * 2 && lives());
    heard.faults.extend(overdue.map(|(since, why)| format!("{why}, and none for {:?}", since.elapsed())));
    heard
}

fn get(agent: &ureq::Agent, address: &str) -> Result<(), String> {
    let mut answer = agent.get(format!("http://{address}/metrics")).call().map_err(|error| error.to_string())?;
    let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    let whole = answer.status() == 200 && text.contains("forebay_build_info");
    whole.then_some(()).ok_or_else(|| format!("{} with {} bytes", answer.status(), text.len()))
}
