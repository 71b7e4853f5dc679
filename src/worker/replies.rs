//! What a worker says, taken in as it comes: the daemon never waits inside a line, and never holds more than a longest one.

use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::process::ChildStdout;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::protocol::Reply;

/// Bytes of the longest answer: a report that names every file of a result with very many partitions.
const LONGEST: usize = 64 << 20;

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// The answers of one worker.
pub(super) struct Replies {
    pipe: ChildStdout,
    /// What one read takes in: kept, as a small file has several answers.
    chunk: Box<[u8]>,
    held: Vec<u8>,
    /// Bytes of it in which there is no line end.
    searched: usize,
}

impl Replies {
    /// Reads from `pipe` from now on without ever waiting in it.
    pub(super) fn new(pipe: ChildStdout) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&pipe)?;
        rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
        Ok(Self { pipe, chunk: vec![0; CHUNK].into(), held: Vec::new(), searched: 0 })
    }

    /// Returns the next whole answer, if there is one by the end of `time`. Their end is an error.
    pub(super) fn next(&mut self, time: Duration) -> io::Result<Option<Reply>> {
        if let Some(line) = self.line() {
            return Ok(Some(serde_json::from_slice(&line)?));
        }
        if !self.ready(PollFlags::IN, time)? {
            return Ok(None);
        }
        self.read()?;
        self.line().map(|line| Ok(serde_json::from_slice(&line)?)).transpose()
    }

    /// Returns whether the worker has closed its end.
    pub(super) fn ended(&self) -> bool {
        self.ready(PollFlags::HUP, Duration::ZERO).is_ok_and(|ended| ended)
    }

    fn ready(&self, wanted: PollFlags, time: Duration) -> io::Result<bool> {
        let time = Timespec::try_from(time).ok();
        match poll(&mut [PollFd::from_borrowed_fd(self.pipe.as_fd(), wanted)], time.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes in what is there.
    fn read(&mut self) -> io::Result<()> {
        match self.pipe.read(&mut self.chunk) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its answers ended")),
            Ok(read) => self.held.extend_from_slice(self.chunk.get(..read).unwrap_or_default()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        if self.held.len() > LONGEST && !self.held.contains(&b'\n') {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it gave an answer without an end"));
        }
        Ok(())
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let fresh = self.held.get(self.searched..).unwrap_or_default();
        let Some(at) = memchr::memchr(b'\n', fresh) else {
            self.searched = self.held.len();
            return None;
        };
        let rest = self.held.split_off(self.searched + at + 1);
        self.searched = 0;
        Some(std::mem::replace(&mut self.held, rest))
    }
}
