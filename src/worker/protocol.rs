//! What daemon and worker say to each other: one JSON document per line over the worker's stdin and stdout.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
use crate::job::{Job, JobError, JobReport, Progress};

/// Both sides are the same program file; a line that another one wrote is refused all the same.
pub(super) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("FOREBAY_REVISION"), "), protocol 2");

/// From the daemon.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Instead of all others: say what is wrong with this configuration, and leave.
    Check {
        /// [`VERSION`] of the daemon.
        version: String,
        /// The configuration file.
        file: OsString,
        /// Its text.
        text: String,
    },
    /// First of all: the configuration the daemon runs with, whatever lies on the disk by now.
    Hello {
        /// [`VERSION`] of the daemon.
        version: String,
        /// The configuration file.
        file: OsString,
        /// Its text.
        text: String,
    },
    /// Run this job.
    Run(Box<Job>),
    /// End the job under way at its next block.
    Stop,
}

/// From the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// Answers [`Request::Check`].
    Checked {
        /// What is wrong; nothing: it is sound.
        errors: Vec<ConfigError>,
    },
    /// Answers [`Request::Hello`]: jobs may come.
    Ready {
        /// [`VERSION`] of the worker.
        version: String,
        /// What the worker may still reach; empty if all it needs.
        unconfined: Option<String>,
    },
    /// The job goes on.
    Progress(Progress),
    /// The job ended.
    Ended {
        /// How.
        result: Result<Box<JobReport>, JobError>,
        /// Whether it was a panic, which the worker survived.
        panicked: bool,
        /// Resident memory afterwards, in bytes.
        resident: u64,
    },
}

/// Writes one message and flushes.
pub(super) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Reads one message; `None` at the end of the stream.
pub(super) fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;
    use std::path::PathBuf;

    use super::*;
    use crate::job::{FileId, FileStamp, QuarantineReason, Stage, Timestamp};

    #[test]
    fn names_that_are_no_text_reach_the_worker_as_they_are() {
        let strange = PathBuf::from(OsString::from_vec(b"in/\xff\n\xfe.csv".to_vec()));
        let job = Job {
            id: FileId::parse("01a").unwrap(),
            pipeline: "p".to_owned(),
            input: strange.clone(),
            name: "x".to_owned(),
            stamp: FileStamp { dev: 1, ino: 2, size: u64::MAX, mtime_ns: i64::MIN },
            arrived_at: Timestamp(7),
            staging: strange.clone(),
            attempt: 3,
            trace_id: String::new(),
        };
        let mut line = Vec::new();
        send(&mut line, &Request::Run(Box::new(job))).unwrap();
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "a message is one line");
        let Some(Request::Run(job)) = receive(&mut line.as_slice()).unwrap() else { panic!("another message") };
        assert_eq!((job.input, job.staging, job.stamp.size), (strange.clone(), strange, u64::MAX));
    }

    #[test]
    fn an_end_keeps_what_an_operator_must_read() {
        let error = JobError::refuse(QuarantineReason::Query, "line 3\nis \"odd\"", "mend it");
        let mut lines = Vec::new();
        send(&mut lines, &Reply::Progress(Progress::Stage(Stage::Load))).unwrap();
        send(&mut lines, &Reply::Ended { result: Err(error.clone()), panicked: false, resident: 5 }).unwrap();
        let mut lines = lines.as_slice();
        assert!(matches!(receive(&mut lines).unwrap(), Some(Reply::Progress(Progress::Stage(Stage::Load)))));
        let Some(Reply::Ended { result: Err(read), .. }) = receive(&mut lines).unwrap() else { panic!("another") };
        assert_eq!(read, error);
        assert!(receive::<Reply>(&mut lines).unwrap().is_none());
    }
}
