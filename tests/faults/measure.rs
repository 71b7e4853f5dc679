//! How much is run, and how it is told.

use std::io::Write as _;
use std::process::Command;

use crate::scraper::take_tally;

/// Returns how often to do something: `bounded` in every test run, `full` with `FOREBAY_FAULTS=full`, or the number in
/// `FOREBAY_FAULTS_<NAME>`.
pub(crate) fn count(name: &str, bounded: usize, full: usize) -> usize {
    match std::env::var(format!("FOREBAY_FAULTS_{name}")) {
        Ok(wish) => wish.parse().unwrap_or_else(|_| panic!("FOREBAY_FAULTS_{name}={wish} is no number")),
        Err(_) if is_full() => full,
        Err(_) => bounded,
    }
}

/// Returns whether a number belongs to this run: all do, or with `FOREBAY_FAULTS_PART=1/4` every fourth, so that four runs
/// together do them all.
pub(crate) fn is_in_part(number: usize) -> bool {
    let Ok(wish) = std::env::var("FOREBAY_FAULTS_PART") else { return true };
    let parsed =
        wish.split_once('/').and_then(|(part, of)| Some((part.parse::<usize>().ok()?, of.parse::<usize>().ok()?)));
    let (part, of) = parsed.unwrap_or_else(|| panic!("FOREBAY_FAULTS_PART={wish} is no part"));
    number % of == part % of
}

/// Returns whether the suites run at full length.
pub(crate) fn is_full() -> bool {
    std::env::var_os("FOREBAY_FAULTS").is_some_and(|value| value == "full")
}

/// Returns the random numbers of a suite, and the seed to have them again with `FOREBAY_FAULTS_SEED`.
pub(crate) fn random() -> (fastrand::Rng, u64) {
    let seed = match std::env::var("FOREBAY_FAULTS_SEED") {
        Ok(wish) => wish.parse().unwrap_or_else(|_| panic!("FOREBAY_FAULTS_SEED={wish} is no number")),
        Err(_) => fastrand::u64(..),
    };
    (fastrand::Rng::with_seed(seed), seed)
}

/// Tells the figures of a suite, and how `/metrics` answered meanwhile.
pub(crate) fn figures(suite: &str, text: &str) {
    let (answers, slowest) = take_tally();
    let answered = match answers {
        0 => String::new(),
        _ => format!("; /metrics answered {answers} times, within {} ms", slowest.as_millis()),
    };
    tell(&format!("faults: {suite}: {text}{answered}"));
}

/// Writes to the real stderr: the one of `eprintln!` is kept back for tests that pass.
fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Says loudly what is not run, and why.
pub(crate) fn left_out(suite: &str, why: &str) {
    tell(&format!("LEFT OUT: faults: {suite}: {why}"));
}

/// Returns whether a tool is here. With `FOREBAY_REQUIRE_TOOLS` (as in CI) a missing one stops the test.
#[track_caller]
pub(crate) fn has_tool(suite: &str, tool: &str, probe: &[&str]) -> bool {
    let ran = Command::new(tool).args(probe).output();
    if ran.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "{tool} is required here");
    left_out(suite, &format!("{tool} is not installed or does not work here"));
    false
}
