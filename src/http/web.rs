//! `web_config_file`: TLS, users, headers and a rate limit, in the format of Prometheus' exporter toolkit.
//!
//! The file, and the certificates it names, are looked at for every connection and every request, and read again when one
//! of them has changed. A change that is not sound is told once and changes nothing: what was in force stays. Whether there
//! is TLS is settled at the start; no edit makes the endpoint take passwords in the open.

mod auth;
mod error;
mod file;
mod rate;
mod tls;
mod verify;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::auth::{Gate, Users};
pub use self::error::WebConfigError;
use self::rate::{Bucket, Rate};
use crate::telemetry::Telemetry;
use crate::telemetry::event::Event;

/// How long a request waits for a look at the files.
const LOOK: Duration = Duration::from_secs(1);

/// A web config file, validated, with everything it names.
#[derive(Debug)]
struct WebConfig {
    tls: Option<Arc<ServerConfig>>,
    users: Users,
    headers: Vec<(HeaderName, HeaderValue)>,
    rate: Option<Rate>,
}

/// What a web config file protects the endpoint with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Protection {
    /// Connections are encrypted.
    pub tls: bool,
    /// Clients must show a certificate that was verified.
    pub client_certificates: bool,
    /// Clients must know a user's password.
    pub passwords: bool,
}

/// The web config in force.
#[derive(Debug)]
pub struct Web {
    path: PathBuf,
    protection: Protection,
    telemetry: Telemetry,
    /// The files that were read, as they were then. Held while they are looked at.
    read: Mutex<Vec<(PathBuf, Option<Stamp>)>>,
    config: RwLock<Arc<WebConfig>>,
    gate: Gate,
    bucket: Mutex<Option<Bucket>>,
    began: Instant,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn stamp(path: &Path) -> Option<Stamp> {
    let facts = std::fs::metadata(path).ok()?;
    Some(Stamp {
        inode: facts.ino(),
        bytes: facts.size(),
        modified: (facts.mtime(), facts.mtime_nsec()),
        changed: (facts.ctime(), facts.ctime_nsec()),
    })
}

/// Reads and validates a web config file with the certificates it names, and says what it protects with.
pub fn check_web_config(path: &Path) -> Result<Protection, WebConfigError> {
    file::read(path).config.map(|(_, protection)| protection)
}

impl Web {
    /// Reads the file for the first time. Blocking.
    pub fn open(path: &Path, telemetry: Telemetry) -> Result<Self, WebConfigError> {
        let found = file::read(path);
        let (config, protection) = found.config?;
        Ok(Self {
            path: path.to_owned(),
            protection,
            telemetry,
            read: Mutex::new(found.read),
            config: RwLock::new(Arc::new(config)),
            gate: Gate::new(),
            bucket: Mutex::default(),
            began: Instant::now(),
        })
    }

    /// Returns what the file protected the endpoint with at the start.
    #[must_use]
    pub const fn protection(&self) -> Protection {
        self.protection
    }

    /// Shakes hands on a new connection, with the certificates of now.
    pub(super) async fn shake(self: &Arc<Self>, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let config = self.now().await?;
        let tls = config.tls.clone().ok_or_else(|| std::io::Error::other("the web config has no TLS"))?;
        TlsAcceptor::from(tls).accept(stream).await
    }

    /// Decides on a request. The headers belong to every answer; the answer is there if the request is refused.
    pub(super) async fn admit(
        self: &Arc<Self>,
        request: &HeaderMap,
    ) -> (Vec<(HeaderName, HeaderValue)>, Option<Response>) {
        let Ok(config) = self.now().await else {
            return (Vec::new(), Some(StatusCode::INTERNAL_SERVER_ERROR.into_response()));
        };
        if !self.in_time(config.rate) {
            return (Vec::new(), Some((StatusCode::TOO_MANY_REQUESTS, "429: too many requests\n").into_response()));
        }
        let refused = (!self.gate.admits(&config.users, request).await).then(|| {
            let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"forebay\", charset=\"UTF-8\"")];
            (StatusCode::UNAUTHORIZED, ask, "401: name and password, please\n").into_response()
        });
        (config.headers.clone(), refused)
    }

    /// Takes a token of the rate limit. A limit that has changed begins anew.
    fn in_time(&self, rate: Option<Rate>) -> bool {
        let now = self.began.elapsed();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.as_ref().map(Bucket::rate) != rate {
            *bucket = rate.map(|rate| Bucket::full(rate, now));
        }
        bucket.as_mut().is_none_or(|bucket| bucket.take(now))
    }

    /// Says whether the file could be taken up as it is now. Blocking.
    pub fn check(&self) -> Result<(), WebConfigError> {
        self.fitting(file::read(&self.path).config).map(drop)
    }

    /// Refuses what no running endpoint can take up.
    fn fitting(&self, read: Result<(WebConfig, Protection), WebConfigError>) -> Result<WebConfig, WebConfigError> {
        let (config, protection) = read?;
        let words = "whether there is TLS cannot change without a restart";
        let same = protection.tls == self.protection.tls;
        if same { Ok(config) } else { Err(WebConfigError::whole(&self.path, words)) }
    }

    /// Returns the config in force now. A disk that hangs changes nothing, and takes one thread: the others are for scrapes.
    async fn now(self: &Arc<Self>) -> std::io::Result<Arc<WebConfig>> {
        let web = Arc::clone(self);
        match tokio::time::timeout(LOOK, tokio::task::spawn_blocking(move || web.look())).await {
            Ok(looked) => looked?,
            Err(_) => {
                tracing::debug!(file = %self.path.display(), "the web config cannot be looked at: its disk hangs");
            }
        }
        Ok(Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Takes up what has changed. Leaves it to whoever is at it already.
    fn look(&self) {
        let mut read = match self.read.try_lock() {
            Ok(read) => read,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if read.iter().all(|(path, before)| stamp(path) == *before) {
            return;
        }
        let found = file::read(&self.path);
        *read = found.read;
        match self.fitting(found.config) {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                tracing::info!(file = %self.path.display(), "web config read again");
            }
            Err(error) => {
                let message = format!("{error}; what was in force before stays");
                self.telemetry.emit(Event::Error { component: "http", kind: "web_config", message: &message });
            }
        }
    }
}

#[cfg(test)]
mod tests;
