//! System calls, seen and tampered with by strace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::PATIENCE;
use crate::measure::has_tool;
use crate::site::Site;

/// The calls that change what is on a disk. Not every machine has each of them: hence the question mark.
pub(crate) const CHANGING: &[&str] = &[
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "ftruncate",
    "fallocate",
];

/// Returns whether strace is here and may trace.
pub(crate) fn is_here(suite: &str) -> bool {
    has_tool(suite, "strace", &["-f", "-o", "/dev/null", "true"])
}

/// Whom strace follows, and what it does to them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trace<'a> {
    /// The daemon and its children.
    Family,
    /// The daemon alone.
    Daemon,
    /// The daemon alone, with an injection (`fsync:error=EIO:when=3`).
    Strike(&'a str),
}

/// Returns the words before the program: strace writing into `strace.log` of the site.
pub(crate) fn words(site: &Site, calls: &[&str], trace: Trace<'_>) -> Vec<String> {
    let calls: Vec<String> = calls.iter().map(|call| format!("?{call}")).collect();
    let mut words = ["strace", "-f", "-qq", "-y", "-s", "4096", "-o"].map(str::to_owned).to_vec();
    words.push(log(site).display().to_string());
    words.extend(["-e".to_owned(), format!("trace={}", calls.join(","))]);
    if !matches!(trace, Trace::Family) {
        words.extend(["-b", "execve"].map(str::to_owned));
    }
    if let Trace::Strike(injection) = trace {
        words.extend(["-e".to_owned(), format!("inject=?{injection}")]);
    }
    words
}

fn log(site: &Site) -> std::path::PathBuf {
    site.root.join("strace.log")
}

/// One call, as strace wrote it down.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The thread.
    pub(crate) thread: String,
    /// `fsync`.
    pub(crate) name: String,
    /// Everything behind the name, with the answer if it came.
    pub(crate) rest: String,
    /// Whether it was answered while strace looked.
    pub(crate) answered: bool,
}

impl Call {
    /// Returns the paths it names: between `<` and `>` for what is open, between quotes for the others.
    pub(crate) fn paths(&self) -> Vec<&str> {
        self.rest.split(['<', '>', '"']).skip(1).step_by(2).collect()
    }

    /// Returns whether it was answered with a success.
    pub(crate) fn is_done(&self) -> bool {
        self.answered && self.rest.rsplit_once("= ").is_some_and(|(_, answer)| !answer.starts_with(['-', '?']))
    }
}

/// Returns the calls of the last traced run, in the order they began.
pub(crate) fn calls(site: &Site) -> Vec<Call> {
    let text = fs::read(log(site)).unwrap_or_default();
    let mut calls: Vec<Call> = Vec::new();
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some((_, answer)) = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            // The call of this thread that another thread's line cut in two.
            if let Some(call) = open.remove(thread) {
                calls[call].rest.push_str(answer);
                calls[call].answered = true;
            }
            continue;
        }
        let Some((name, rest)) = rest.split_once('(') else { continue };
        if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            continue;
        }
        let begun = rest.strip_suffix(" <unfinished ...>");
        if begun.is_some() {
            open.insert(thread.to_owned(), calls.len());
        }
        calls.push(Call {
            thread: thread.to_owned(),
            name: name.to_owned(),
            rest: begun.unwrap_or(rest).to_owned(),
            answered: begun.is_none(),
        });
    }
    calls
}

/// strace on a process that runs already, from its next call on; gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Attached(Child);

impl Attached {
    /// Attaches to a process and all its threads, with an injection or without.
    pub(crate) fn to(process: Pid, site: &Site, calls: &[&str], injection: Option<&str>) -> Self {
        let mut words = words(site, calls, injection.map_or(Trace::Family, Trace::Strike));
        words.extend(["-p".to_owned(), process.as_raw_pid().to_string()]);
        let child = Command::new(&words[0]).args(&words[1..]).stderr(Stdio::null()).spawn().unwrap();
        let attached = Self(child);
        let began = Instant::now();
        while !is_traced(process) {
            assert!(began.elapsed() < PATIENCE, "strace does not attach to {process:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        attached
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Asked, it lets go of the process; killed, it might not. It may have ended with the process.
        if let Some(tracer) = Pid::from_raw(i32::try_from(self.0.id()).unwrap()) {
            kill_process(tracer, Signal::TERM).ok();
        }
        self.0.wait().ok();
    }
}

/// Whether every thread of a process has a tracer.
fn is_traced(process: Pid) -> bool {
    let mut tasks = fs::read_dir(format!("/proc/{}/task", process.as_raw_pid())).into_iter().flatten().flatten();
    tasks.all(|task| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
    })
}

/// Returns the points to strike at: for each name the numbers, counted per thread as strace does, of the calls of a run
/// that matter.
pub(crate) fn points(site: &Site, matters: impl Fn(&Call) -> bool) -> BTreeMap<String, BTreeSet<usize>> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut points: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for call in calls(site) {
        let at = counts.entry((call.thread.clone(), call.name.clone())).or_default();
        *at += 1;
        if matters(&call) {
            points.entry(call.name).or_default().insert(*at);
        }
    }
    points
}

/// Returns how many calls failed in the last run that change something at the site, and how many others: every thread
/// that gets so far has its n-th call fail.
pub(crate) fn struck(site: &Site) -> (usize, usize) {
    let struck = calls(site).into_iter().filter(|call| call.rest.ends_with("(INJECTED)"));
    let (here, elsewhere): (Vec<Call>, Vec<Call>) =
        struck.partition(|call| call.rest.contains(site.data.to_str().unwrap()));
    (here.len(), elsewhere.len())
}

/// Whether a worker says something to its daemon.
pub(crate) fn answers(call: &Call) -> bool {
    call.name == "write" && call.rest.starts_with("1<pipe:")
}

/// Whether something at the site changes.
pub(crate) fn changes(call: &Call, data: &Path) -> bool {
    let here = call.rest.contains(data.to_str().unwrap());
    here && (call.name != "openat" || call.rest.contains("O_CREAT"))
}
