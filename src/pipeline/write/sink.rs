//! Where bytes of an output go: a new file in staging, compressed if asked, hashed and counted on the way.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::write::GzEncoder;
use polars::prelude::PolarsError;

use crate::job::{JobError, OutputFile, Progress};
use crate::pipeline::flow::{query_failed, retry_reason};

const ZSTD_LEVEL: i32 = 3;

/// Bytes gathered for one write.
const BUFFER_BYTES: usize = 256 << 10;

/// The staging directory of one job.
#[derive(Clone)]
pub struct Staging<'p> {
    directory: PathBuf,
    progress: &'p (dyn Fn(Progress) + Sync),
}

/// How the bytes of a whole file are compressed (Parquet and IPC compress inside).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// As they are.
    Plain,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// An output file while it is written. Clones share the file: a writer takes one for good, its owner keeps another.
/// Nothing is durable yet: `publish` syncs what it publishes.
#[derive(Clone)]
pub struct Sink<'p> {
    packed: Rc<RefCell<Option<Packed<'p>>>>,
    path: Rc<PathBuf>,
    failure: Rc<RefCell<Option<io::ErrorKind>>>,
}

enum Packed<'p> {
    Plain(Buffered<'p>),
    Gzip(GzEncoder<Buffered<'p>>),
    Zstd(zstd::Encoder<'static, Buffered<'p>>),
}

/// Writers come with a few bytes at a time: they are counted, hashed and told of together.
type Buffered<'p> = BufWriter<Counted<'p>>;

/// The file itself.
struct Counted<'p> {
    file: File,
    bytes: u64,
    hasher: blake3::Hasher,
    progress: &'p (dyn Fn(Progress) + Sync),
}

impl<'p> Staging<'p> {
    /// Returns the directory of a job.
    pub fn new(directory: PathBuf, progress: &'p (dyn Fn(Progress) + Sync)) -> Self {
        Self { directory, progress }
    }

    /// Returns the path of `name`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Creates `name`, which must not exist, and the directories above it.
    pub fn create(&self, name: &str, packing: Packing) -> Result<Sink<'p>, JobError> {
        let path = self.path(name);
        let parent = path.parent().unwrap_or(&self.directory);
        let made = std::fs::create_dir_all(parent).and_then(|()| File::create_new(&path));
        let file = made.map_err(|error| write_failed(error.kind(), &path, &error.to_string()))?;
        let counted = Counted { file, bytes: 0, hasher: blake3::Hasher::new(), progress: self.progress };
        let counted = BufWriter::with_capacity(BUFFER_BYTES, counted);
        let packed = match packing {
            Packing::Plain => Packed::Plain(counted),
            Packing::Gzip => Packed::Gzip(GzEncoder::new(counted, flate2::Compression::default())),
            Packing::Zstd => {
                let encoder = zstd::Encoder::new(counted, ZSTD_LEVEL);
                Packed::Zstd(encoder.map_err(|error| write_failed(error.kind(), &path, &error.to_string()))?)
            }
        };
        Ok(Sink { packed: Rc::new(RefCell::new(Some(packed))), path: Rc::new(path), failure: Rc::default() })
    }

    /// Removes `name`: staging is private to the attempt, and nothing in it is known to the ledger.
    #[expect(clippy::disallowed_methods, reason = "a spool of this attempt, unknown to the ledger")]
    pub fn remove(&self, name: &str) -> Result<(), JobError> {
        let path = self.path(name);
        std::fs::remove_file(&path).map_err(|error| write_failed(error.kind(), &path, &error.to_string()))
    }
}

impl Sink<'_> {
    /// Ends the file, which holds `rows`, and returns its facts. Every clone is closed with it.
    pub fn close(&self, rows: u64) -> Result<OutputFile, JobError> {
        let packed = self.packed.borrow_mut().take();
        let ended = match packed {
            Some(Packed::Plain(counted)) => Ok(counted),
            Some(Packed::Gzip(encoder)) => encoder.finish(),
            Some(Packed::Zstd(encoder)) => encoder.finish(),
            None => Err(closed()),
        };
        let flushed = ended.and_then(|counted| counted.into_inner().map_err(io::IntoInnerError::into_error));
        let counted = flushed.map_err(|error| self.io_failed(&error))?;
        Ok(OutputFile { bytes: counted.bytes, rows, blake3: counted.hasher.finalize().to_hex().to_string() })
    }

    /// Returns what an error of a Polars writer means: of the disk, if the sink saw one, else of the rows.
    #[must_use]
    pub fn failed(&self, error: &PolarsError) -> JobError {
        // Polars wraps I/O errors so that their kind is lost.
        match *self.failure.borrow() {
            Some(kind) => write_failed(kind, &self.path, &kind.to_string()),
            None => query_failed(error),
        }
    }

    fn io_failed(&self, error: &io::Error) -> JobError {
        write_failed(error.kind(), &self.path, &error.to_string())
    }

    fn remember<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            self.failure.borrow_mut().get_or_insert(error.kind());
        })
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = match self.packed.borrow_mut().as_mut() {
            Some(Packed::Plain(counted)) => counted.write_all(buffer),
            Some(Packed::Gzip(encoder)) => encoder.write_all(buffer),
            Some(Packed::Zstd(encoder)) => encoder.write_all(buffer),
            None => Err(closed()),
        };
        self.remember(written)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Flushing early would only split the writes; `close` writes everything.
        Ok(())
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write_all(buffer)?;
        self.hasher.update(buffer);
        self.bytes += buffer.len() as u64;
        (self.progress)(Progress::Wrote { bytes: buffer.len() as u64 });
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn closed() -> io::Error {
    io::Error::other("the output is closed")
}

/// Returns what a failed write means for the job.
fn write_failed(kind: io::ErrorKind, path: &Path, error: &str) -> JobError {
    JobError::Retry { reason: retry_reason(kind), message: format!("cannot write {}: {error}", path.display()) }
}
