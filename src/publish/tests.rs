//! The durable path, from a claim to a result and an original in its place; deaths and replays have files of their own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::testing::{Rig, files_below, names as visible, refusal, stage, state_of};
use super::*;
use crate::clock::SystemClock;
use crate::config::OnSuccess;
use crate::ledger::Filter;
use crate::storage::Disk;
use crate::storage::failing::{FailAt, Fault, until_death};

mod checked;
mod once;
mod one_shot;
mod refused;
mod restart;
mod settled;

const GOOD: &str = "a,1\nb,2\n";

/// A file that is about to be published: its job and its report.
fn ready(rig: &Rig, publisher: &Publisher, name: &str, text: &str) -> (Arrival, Job, JobReport) {
    let arrival = rig.claimed(publisher, name, text);
    let job = rig.begun(publisher, &arrival);
    let report = stage(&job, text);
    (arrival, job, report)
}
