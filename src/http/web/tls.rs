//! `tls_server_config`: from names Go has given things to a rustls config.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::error::Fault;
use super::verify::{self, ClientAuth};

type Text = Option<Spanned<String>>;
type Texts = Option<Vec<Spanned<String>>>;

/// PEM, and the place that says so.
type Pem<'r> = (&'r Spanned<String>, Vec<u8>);

/// Suites Go knows and TLS 1.2 here does not: CBC is not offered. A list may name them, for other programs' sake.
const NOT_OFFERED: [&str; 4] = [
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    cert: Text,
    key: Text,
    client_ca: Text,
    cert_file: Text,
    key_file: Text,
    client_auth_type: Text,
    client_ca_file: Text,
    client_allowed_sans: Texts,
    min_version: Text,
    max_version: Text,
    cipher_suites: Texts,
    prefer_server_cipher_suites: Option<bool>,
    curve_preferences: Texts,
}

impl RawTls {
    /// Returns the files it names.
    pub(super) fn files(&self, folder: &Path) -> Vec<PathBuf> {
        let named = [&self.cert_file, &self.key_file, &self.client_ca_file].into_iter().flatten();
        named.filter(|text| !text.value.is_empty()).map(|text| folder.join(&text.value)).collect()
    }

    /// Returns whether anything is asked for: half a section is a fault, not the absence of TLS.
    pub(super) fn is_enabled(&self) -> bool {
        let texts = [&self.cert, &self.key, &self.client_ca, &self.cert_file, &self.key_file, &self.client_ca_file];
        let more = [&self.client_auth_type, &self.min_version, &self.max_version];
        let lists = [&self.client_allowed_sans, &self.cipher_suites, &self.curve_preferences];
        texts.iter().chain(&more).any(|text| given(text).is_some()) || lists.iter().any(|list| list.is_some())
    }

    /// Returns whether clients without a verified certificate stay outside.
    pub(super) fn verifies_clients(&self) -> bool {
        given(&self.client_auth_type).is_some_and(|text| text.value == "RequireAndVerifyClientCert")
    }
}

/// An empty text is as good as none.
fn given(text: &Text) -> Option<&Spanned<String>> {
    text.as_ref().filter(|text| !text.value.is_empty())
}

fn fault(key: &str, at: &Spanned<String>, message: impl Into<String>) -> Fault {
    Fault::of(&format!("tls_server_config.{key}"), at.referenced.line(), message)
}

/// Builds the config; reads certificates and keys.
pub(super) fn config(raw: &RawTls, folder: &Path) -> Result<Arc<ServerConfig>, Fault> {
    let (chain_at, chain_pem) = pem(folder, ("cert", &raw.cert), ("cert_file", &raw.cert_file))?
        .ok_or_else(|| Fault::of("tls_server_config", None, "cert_file is missing"))?;
    let (key_at, key_pem) = pem(folder, ("key", &raw.key), ("key_file", &raw.key_file))?
        .ok_or_else(|| Fault::of("tls_server_config", None, "key_file is missing"))?;
    let chain = certificates(&chain_pem, "cert_file", chain_at)?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|_| fault("key_file", key_at, "there is no private key in it (PEM: PKCS#8, PKCS#1 or SEC1)"))?;
    let provider = Arc::new(CryptoProvider {
        cipher_suites: suites(&raw.cipher_suites)?,
        kx_groups: groups(&raw.curve_preferences)?,
        ..ring::default_provider()
    });
    let clients = clients(raw, folder, &provider)?;
    let whole = |error: rustls::Error| Fault::of("tls_server_config", None, error.to_string());
    let builder =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions(raw)?).map_err(whole)?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| fault("key_file", key_at, format!("certificate and key do not fit: {error}")))?;
    config.ignore_client_order = raw.prefer_server_cipher_suites.unwrap_or(true);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Returns what stands in the file itself or in another one, with the place that says so.
fn pem<'r>(
    folder: &Path,
    (text_key, text): (&str, &'r Text),
    (file_key, file): (&str, &'r Text),
) -> Result<Option<Pem<'r>>, Fault> {
    match (given(text), given(file)) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some((text, text.value.clone().into_bytes()))),
        (Some(_), Some(file)) => {
            Err(fault(file_key, file, format!("there is {text_key} too: only one of them can hold")))
        }
        (None, Some(file)) => match std::fs::read(folder.join(&file.value)) {
            Ok(bytes) => Ok(Some((file, bytes))),
            Err(error) => {
                Err(fault(file_key, file, format!("{} cannot be read: {error}", folder.join(&file.value).display())))
            }
        },
    }
}

fn certificates(pem: &[u8], key: &str, at: &Spanned<String>) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(fault(key, at, "there is no certificate in it (PEM)")),
        Err(error) => Err(fault(key, at, format!("the certificates in it cannot be read: {error}"))),
    }
}

fn clients(
    raw: &RawTls,
    folder: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>, Fault> {
    let authorities = pem(folder, ("client_ca", &raw.client_ca), ("client_ca_file", &raw.client_ca_file))?;
    let auth = given(&raw.client_auth_type).map_or(Ok(ClientAuth::None), |text| {
        ClientAuth::named(&text.value).ok_or_else(|| {
            fault(
                "client_auth_type",
                text,
                format!("it is none of: {}", ClientAuth::NAMES.map(|(name, _)| name).join(", ")),
            )
        })
    })?;
    if let (Some((at, _)), ClientAuth::None) = (&authorities, auth) {
        return Err(fault("client_ca_file", at, "it is given, but client_auth_type asks for no certificates"));
    }
    let sans = raw.client_allowed_sans.as_deref();
    if let Some(sans) = sans
        && !auth.requires()
    {
        let words = "it needs client_auth_type RequireAnyClientCert or RequireAndVerifyClientCert";
        let line = sans.first().map(|san| san.referenced.line());
        return Err(Fault::of("tls_server_config.client_allowed_sans", line, words));
    }
    let roots = match authorities {
        None if auth.verifies() => {
            let line = given(&raw.client_auth_type).map(|text| text.referenced.line());
            return Err(Fault::of(
                "tls_server_config.client_auth_type",
                line,
                "it needs client_ca_file to verify against",
            ));
        }
        None => None,
        Some((at, pem)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(&pem, "client_ca_file", at)? {
                roots.add(certificate).map_err(|error| fault("client_ca_file", at, error.to_string()))?;
            }
            Some(roots)
        }
    };
    let sans = sans.map(|sans| sans.iter().map(|san| san.value.clone()).collect());
    verify::verifier(auth, roots, sans, provider).map_err(|message| Fault::of("tls_server_config", None, message))
}

fn versions(raw: &RawTls) -> Result<Vec<&'static SupportedProtocolVersion>, Fault> {
    let version = |key: &str, text: &Text, otherwise: u8| match given(text) {
        None => Ok(otherwise),
        Some(text) => match text.value.as_str() {
            "TLS12" => Ok(12),
            "TLS13" => Ok(13),
            "TLS10" | "TLS11" => Err(fault(key, text, "nothing below TLS12 is spoken here")),
            _ => Err(fault(key, text, "it is none of: TLS12, TLS13")),
        },
    };
    let (least, most) = (version("min_version", &raw.min_version, 12)?, version("max_version", &raw.max_version, 13)?);
    let offered = [(13, &TLS13), (12, &TLS12)].into_iter().filter(|(number, _)| (least..=most).contains(number));
    let versions: Vec<_> = offered.map(|(_, version)| version).collect();
    if versions.is_empty() {
        return Err(Fault::of("tls_server_config.min_version", None, "min_version is above max_version"));
    }
    Ok(versions)
}

/// Returns the suites on offer. As in Go, a list is about TLS 1.2 only.
fn suites(names: &Texts) -> Result<Vec<SupportedCipherSuite>, Fault> {
    let all = ring::ALL_CIPHER_SUITES;
    let Some(names) = names.as_deref().filter(|names| !names.is_empty()) else { return Ok(all.to_vec()) };
    let mut suites: Vec<_> = all.iter().copied().filter(|suite| suite.tls13().is_some()).collect();
    for name in names {
        let go = name.value.as_str();
        let ours = go.strip_prefix("TLS_").filter(|rest| rest.starts_with("AES_") || rest.starts_with("CHACHA20_"));
        let ours = ours.map_or_else(|| go.to_owned(), |rest| format!("TLS13_{rest}"));
        match all.iter().find(|suite| suite.suite().as_str() == Some(&ours)) {
            Some(suite) if suites.contains(suite) => {}
            Some(suite) => suites.push(*suite),
            None if NOT_OFFERED.contains(&go) => {}
            None => {
                return Err(fault(
                    "cipher_suites",
                    name,
                    "there is no such cipher suite; names are those of Go's crypto/tls",
                ));
            }
        }
    }
    Ok(suites)
}

fn groups(names: &Texts) -> Result<Vec<&'static dyn SupportedKxGroup>, Fault> {
    let Some(names) = names.as_deref().filter(|names| !names.is_empty()) else {
        return Ok(ring::ALL_KX_GROUPS.to_vec());
    };
    let mut groups: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    for name in names {
        match name.value.as_str() {
            "X25519" => groups.push(kx_group::X25519),
            "CurveP256" => groups.push(kx_group::SECP256R1),
            "CurveP384" => groups.push(kx_group::SECP384R1),
            // Known to Go, not offered here; a list may name it, for other programs' sake.
            "CurveP521" => {}
            _ => {
                return Err(fault("curve_preferences", name, "it is none of: X25519, CurveP256, CurveP384, CurveP521"));
            }
        }
    }
    if groups.is_empty() {
        let line = names.first().map(|name| name.referenced.line());
        return Err(Fault::of(
            "tls_server_config.curve_preferences",
            line,
            "none of these is offered here; add X25519 or CurveP256",
        ));
    }
    Ok(groups)
}
