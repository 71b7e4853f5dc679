//! The YAML of a web config file: strict, every key known, values checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::auth::{self, Users};
use super::error::{Fault, WebConfigError};
use super::rate::Rate;
use super::tls::{self, RawTls};
use super::{Protection, Stamp, WebConfig, stamp};

/// Largest web config file, certificates in it included.
const LARGEST: u64 = 1 << 20;

/// Headers that may be set, with the values they may have; none: any value.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    tls_server_config: Option<RawTls>,
    http_server_config: Option<RawHttp>,
    rate_limit: Option<RawRate>,
    basic_auth_users: Option<BTreeMap<String, Spanned<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    /// Known, and without effect: see `server.rs`.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    headers: Option<BTreeMap<String, Spanned<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRate {
    interval: Option<Spanned<String>>,
    burst: Option<Spanned<u32>>,
}

/// What reading found, and which files it depends on.
pub(super) struct Found {
    pub(super) read: Vec<(PathBuf, Option<Stamp>)>,
    pub(super) config: Result<(WebConfig, Protection), WebConfigError>,
}

/// Reads the file. Paths in it are relative to its own folder.
pub(super) fn read(path: &Path) -> Found {
    // Stamps are taken before anything is read: a change in between is then seen as one.
    let mut read = vec![(path.to_owned(), stamp(path))];
    let config = text_of(path).and_then(|text| parse(&text)).and_then(|raw| {
        let folder = path.parent().unwrap_or(Path::new("."));
        let named = raw.tls_server_config.iter().flat_map(|tls| tls.files(folder));
        read.extend(named.map(|path| {
            let stamp = stamp(&path);
            (path, stamp)
        }));
        validate(raw, folder)
    });
    Found { read, config: config.map_err(|fault| fault.in_file(path)) }
}

fn text_of(path: &Path) -> Result<String, Fault> {
    let whole = |message: String| Fault::of("", None, message);
    let bytes =
        std::fs::metadata(path).map_err(|error| whole(format!("the web config cannot be read: {error}")))?.len();
    if bytes > LARGEST {
        return Err(whole(format!("the web config has {bytes} bytes, more than {LARGEST}")));
    }
    std::fs::read_to_string(path).map_err(|error| whole(format!("the web config cannot be read: {error}")))
}

fn parse(text: &str) -> Result<RawFile, Fault> {
    // A file of comments is a file that asks for nothing.
    serde_saphyr::from_str::<Option<RawFile>>(text).map(Option::unwrap_or_default).map_err(|error| {
        let line = error.location().map(|location| location.line());
        // Without the snippet: a line next to the fault may be a secret.
        let error = error.without_snippet();
        if let serde_saphyr::Error::SerdeUnknownField { field, expected, .. } = error {
            return Fault::of(field, line, format!("unknown key; valid keys here: {}", expected.join(", ")));
        }
        if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error {
            return Fault::of(key.as_deref().unwrap_or_default(), line, "this key is there twice");
        }
        Fault::of("", line, error.to_string())
    })
}

fn validate(raw: RawFile, folder: &Path) -> Result<(WebConfig, Protection), Fault> {
    let http = raw.http_server_config.unwrap_or_default();
    let headers = headers(http.headers.unwrap_or_default())?;
    let users = raw.basic_auth_users.unwrap_or_default();
    for (name, hash) in &users {
        // The user's name is no secret; the hash is.
        let key = format!("basic_auth_users.{name}");
        if name.contains(':') {
            return Err(Fault::of(&key, hash.referenced.line(), "a user's name cannot hold a colon"));
        }
        if auth::cost(&hash.value).is_none() {
            return Err(Fault::of(
                &key,
                hash.referenced.line(),
                "this is no bcrypt hash; make one with `htpasswd -nBC 10 USER`",
            ));
        }
    }
    let users = Users::new(users.into_iter().map(|(name, hash)| (name, hash.value)).collect());
    let client_certificates = raw.tls_server_config.as_ref().is_some_and(RawTls::verifies_clients);
    let tls = raw.tls_server_config.filter(RawTls::is_enabled).map(|tls| tls::config(&tls, folder)).transpose()?;
    let rate = raw.rate_limit.map_or(Ok(None), |rate| limit(&rate))?;
    let protection = Protection { tls: tls.is_some(), client_certificates, passwords: !users.is_empty() };
    Ok((WebConfig { tls, users, headers, rate }, protection))
}

fn headers(raw: BTreeMap<String, Spanned<String>>) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let mut headers = Vec::new();
    for (name, value) in raw {
        let key = format!("http_server_config.headers.{name}");
        let fault = |message: String| Fault::of(&key, value.referenced.line(), message);
        let Some((_, allowed)) = HEADERS.iter().find(|(known, _)| *known == name) else {
            let names = HEADERS.map(|(name, _)| name).join(", ");
            return Err(fault(format!("this header cannot be configured; those that can: {names}")));
        };
        if value.value.is_empty() {
            continue;
        }
        if !allowed.is_empty() && !allowed.contains(&value.value.as_str()) {
            return Err(fault(format!("the value must be one of: {}", allowed.join(", "))));
        }
        let value = HeaderValue::from_str(&value.value).map_err(|_| fault("no value for a header".to_owned()))?;
        headers.push((HeaderName::from_bytes(name.as_bytes()).map_err(|error| fault(error.to_string()))?, value));
    }
    Ok(headers)
}

fn limit(raw: &RawRate) -> Result<Option<Rate>, Fault> {
    let interval = match &raw.interval {
        None => Duration::ZERO,
        Some(text) if text.value == "0" => Duration::ZERO,
        Some(text) => humantime::parse_duration(&text.value).map_err(|_| {
            Fault::of("rate_limit.interval", text.referenced.line(), "expected a duration, for instance 100ms or 1s")
        })?,
    };
    if interval.is_zero() {
        return Ok(None);
    }
    let burst = raw.burst.as_ref().map_or(0, |burst| burst.value);
    if burst == 0 {
        let line = raw.burst.as_ref().map(|burst| burst.referenced.line());
        return Err(Fault::of(
            "rate_limit.burst",
            line,
            "with an interval it must be at least 1, or nothing is ever answered",
        ));
    }
    Ok(Some(Rate { interval, burst }))
}
