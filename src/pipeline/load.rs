//! The input as a stream of UTF-8 text: opened safely, hashed as it arrived, inflated within limits, decoded.

pub mod decode;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use encoding_rs::{Encoding, UTF_8};

use crate::config::Inflate;
use crate::csv::block::BlockError;
use crate::job::{InputFacts, Job, JobError, QuarantineReason, RetryReason};
use crate::storage::{Opened, entry_of, open_at};

/// The ratio of text up to this many bytes is never held against it: repetitive text packs well.
pub const GRACE: u64 = 256 << 20;

/// An open input.
pub struct Input {
    /// The text, without its byte order mark.
    pub text: Box<dyn Read + Send>,
    /// Bytes of the text that were its byte order mark.
    pub bom_bytes: u64,
    /// Whether the text was transcoded, so that its offsets are not those of the file.
    pub transcoded: bool,
    /// What is known of the reading so far; outlives `text`.
    pub tracker: Tracker,
}

/// Watches the reading of one input from outside.
#[derive(Clone)]
pub struct Tracker {
    file: Arc<File>,
    seen: Arc<Seen>,
    encoding: &'static str,
    compression: &'static str,
}

#[derive(Default)]
struct Seen {
    bytes: AtomicU64,
    hasher: Mutex<blake3::Hasher>,
    failed: AtomicBool,
    /// Which limit was passed.
    bomb: OnceLock<String>,
}

/// Opens the input of `job`, which must still be the file that was claimed.
pub fn open(job: &Job, encoding: &'static Encoding, limits: Inflate) -> Result<Input, JobError> {
    let file = Arc::new(open_claimed(job)?);
    let seen = Arc::new(Seen::default());
    let raw = Hashing { file: Arc::clone(&file), seen: Arc::clone(&seen) };
    let fail = |error: io::Error| read_failed(&error, &seen, "none", job);
    let (raw, magic) = peek(raw, 4).map_err(fail)?;
    let compression = match magic.as_slice() {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd] => "zstd",
        _ => "none",
    };
    let fail = |error: io::Error| read_failed(&error, &seen, compression, job);
    let inflated = inflate(raw, compression, limits, &seen).map_err(fail)?;
    let (mut inflated, start) = peek(inflated, 3).map_err(fail)?;
    if start.is_empty() {
        let tracker = Tracker { file, seen, encoding: encoding.name(), compression };
        return Err(JobError::Empty { input: Box::new(tracker.facts(job)) });
    }
    let (encoding, bom_bytes) = Encoding::for_bom(&start).unwrap_or((encoding, 0));
    inflated.read_exact(&mut vec![0; bom_bytes]).map_err(fail)?;
    let transcoded = encoding != UTF_8;
    let text = if transcoded { Box::new(decode::Decoding::new(inflated, encoding)) } else { inflated };
    let tracker = Tracker { file, seen, encoding: encoding.name(), compression };
    Ok(Input { text, bom_bytes: bom_bytes as u64, transcoded, tracker })
}

impl Tracker {
    /// Returns the bytes of the file read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.seen.bytes.load(Ordering::Relaxed)
    }

    /// Returns an error if the file is not what was claimed any more.
    pub fn check_unchanged(&self, job: &Job) -> Result<(), JobError> {
        check_unchanged(&self.file, job)
    }

    /// Returns what the file was, once it was read to its end, or that it changed meanwhile.
    pub fn finish(&self, job: &Job) -> Result<InputFacts, JobError> {
        self.check_unchanged(job)?;
        let bytes = self.bytes();
        if bytes != job.stamp.size {
            return Err(changed(job, &format!("{bytes} bytes read, {} expected", job.stamp.size)));
        }
        Ok(self.facts(job))
    }

    fn facts(&self, job: &Job) -> InputFacts {
        let hasher = self.seen.hasher.lock().unwrap_or_else(PoisonError::into_inner);
        InputFacts {
            name: job.name.clone(),
            bytes: self.bytes(),
            blake3: hasher.finalize().to_hex().to_string(),
            encoding: self.encoding.to_ascii_lowercase(),
            compression: self.compression.to_owned(),
            arrived_at: job.arrived_at,
        }
    }

    /// Returns what a failed read means for the job.
    #[must_use]
    pub fn failed(&self, error: &BlockError, job: &Job) -> JobError {
        match error {
            BlockError::Io(error) => read_failed(error, &self.seen, self.compression, job),
            BlockError::Endless { .. } => JobError::refuse(
                QuarantineReason::RecordTooLarge,
                error.to_string(),
                "this is no file of records; if it is, raise csv.max_record_bytes or check csv.quote",
            ),
        }
    }
}

/// Opens the file that was claimed, and nothing that somebody has put in its place.
fn open_claimed(job: &Job) -> Result<File, JobError> {
    let cannot = |why: &str| format!("cannot open {}: {why}", job.name);
    let io = |why: &str| JobError::Retry { reason: RetryReason::Io, message: cannot(why) };
    match open_at(&job.input) {
        Ok(Opened::File(file, stamp)) if stamp == job.stamp => Ok(file),
        Ok(Opened::File(..)) => Err(changed(job, "its size or time is not what it was when it was claimed")),
        Ok(Opened::NotAFile("unreadable")) => Err(io("permission denied")),
        Ok(Opened::NotAFile(kind)) => Err(changed(job, &format!("it is a {kind} now"))),
        Ok(Opened::Missing) => Err(JobError::Vanished { message: cannot("it is gone") }),
        Err(error) if error.is_missing() => Err(JobError::Vanished { message: cannot("its folder is gone") }),
        Err(error) => Err(io(&error.to_string())),
    }
}

fn check_unchanged(file: &File, job: &Job) -> Result<(), JobError> {
    let io = |error: io::Error| JobError::Retry {
        reason: RetryReason::Io,
        message: format!("cannot stat {}: {error}", job.name),
    };
    let found = file.metadata().map_err(io)?;
    if entry_of(&found).stamp == job.stamp {
        Ok(())
    } else {
        Err(changed(job, "its size or time is not what it was when it was claimed"))
    }
}

fn changed(job: &Job, what: &str) -> JobError {
    JobError::Retry { reason: RetryReason::Changed, message: format!("{} changed while it was read: {what}", job.name) }
}

fn read_failed(error: &io::Error, seen: &Seen, compression: &str, job: &Job) -> JobError {
    if seen.failed.load(Ordering::Relaxed) {
        return JobError::Retry { reason: RetryReason::Io, message: format!("cannot read {}: {error}", job.name) };
    }
    if let Some(passed) = seen.bomb.get() {
        let message = format!("the {compression} data inflates to more than {passed}");
        let hint = "if it is sound, raise the limit the message names, or drop the file uncompressed";
        return JobError::refuse(QuarantineReason::DecompressionBomb, message, hint);
    }
    if error.kind() == io::ErrorKind::OutOfMemory {
        return JobError::Retry { reason: RetryReason::OutOfMemory, message: error.to_string() };
    }
    let at = seen.bytes.load(Ordering::Relaxed);
    let what = if error.kind() == io::ErrorKind::UnexpectedEof { "ends early" } else { "is damaged" };
    let message = format!("the {compression} data {what}, at or before byte {at} of {}: {error}", job.stamp.size);
    JobError::refuse(QuarantineReason::BadCompression, message, "ask the sender for the file again")
}

fn inflate(
    raw: impl Read + Send + 'static,
    compression: &str,
    limits: Inflate,
    seen: &Arc<Seen>,
) -> io::Result<Box<dyn Read + Send>> {
    const BUFFER: usize = 128 << 10;
    const WINDOW_LOG_MAX: u32 = 27;
    let guard = |inner: Box<dyn Read + Send>| Guard { inner, limits, seen: Arc::clone(seen), produced: 0 };
    Ok(match compression {
        "gzip" => {
            let inner = flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(BUFFER, raw));
            Box::new(guard(Box::new(inner)))
        }
        "zstd" => {
            let mut inner = zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(BUFFER, raw))?;
            inner.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(guard(Box::new(inner)))
        }
        _ => Box::new(raw),
    })
}

/// Returns up to `count` first bytes, and a reader that still starts with them.
fn peek(mut source: impl Read + Send + 'static, count: u64) -> io::Result<(Box<dyn Read + Send>, Vec<u8>)> {
    let mut start = Vec::new();
    source.by_ref().take(count).read_to_end(&mut start)?;
    Ok((Box::new(io::Cursor::new(start.clone()).chain(source)), start))
}

/// Hashes and counts the very bytes that are read.
struct Hashing {
    file: Arc<File>,
    seen: Arc<Seen>,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&*self.file).read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.seen.failed.store(true, Ordering::Relaxed);
            }
        })?;
        let bytes = buffer.get(..read).unwrap_or_default();
        self.seen.hasher.lock().unwrap_or_else(PoisonError::into_inner).update(bytes);
        self.seen.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Stops a stream that inflates beyond reason.
struct Guard {
    inner: Box<dyn Read + Send>,
    limits: Inflate,
    seen: Arc<Seen>,
    produced: u64,
}

impl Guard {
    /// Returns which limit is passed, with its key.
    fn passed(&self) -> Option<String> {
        let Inflate { max_bytes, max_ratio } = self.limits;
        let by_ratio = self.seen.bytes.load(Ordering::Relaxed).saturating_mul(max_ratio).max(GRACE);
        if self.produced > max_bytes {
            return Some(format!("{max_bytes} bytes (max_decompressed_bytes)"));
        }
        (self.produced > by_ratio).then(|| format!("{max_ratio} times its size (max_decompression_ratio)"))
    }
}

impl Read for Guard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.produced += read as u64;
        if let Some(passed) = self.passed() {
            // Only the first to pass it tells.
            drop(self.seen.bomb.set(passed));
            return Err(io::Error::other("decompression limit"));
        }
        Ok(read)
    }
}
