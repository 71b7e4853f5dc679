//! Who gets through a TLS handshake, and what is asked behind it.

use std::fs::File;
use std::path::PathBuf;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::*;

/// A certificate with its key.
struct Identity(Certificate, KeyPair);

/// An authority, those it vouches for, and a folder with their files.
struct World {
    folder: tempfile::TempDir,
    authority: Certificate,
    client: Identity,
    /// Of another authority.
    stranger: Identity,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = |name: &str| {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            (params.self_signed(&key).unwrap(), Issuer::new(params, key))
        };
        let signed = |name: &str, issuer: &Issuer<'_, KeyPair>| {
            let key = KeyPair::generate().unwrap();
            Identity(CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, issuer).unwrap(), key)
        };
        let (known, other) = (authority("ca.example"), authority("other.example"));
        let server = signed("localhost", &known.1);
        let (client, stranger) = (signed("client.example", &known.1), signed("client.example", &other.1));
        let world = Self { folder, authority: known.0, client, stranger };
        world.write("ca.pem", &world.authority.pem());
        world.write("cert.pem", &server.0.pem());
        world.write("key.pem", &server.1.serialize_pem());
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        File::create(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Starts an endpoint whose `tls_server_config` has these further lines, and more below.
    fn start(&self, tls: &str, more: &str) -> Running {
        self.write("web.yml", &format!("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n{tls}{more}"));
        let telemetry = Telemetry::new(&[]);
        let web = Web::open(&self.path("web.yml"), telemetry.clone()).unwrap();
        Running::with(None, telemetry, Some(Arc::new(web)))
    }

    /// Asks with this certificate and returns the status code; `None` if there was no answer.
    fn ask(
        &self,
        of: &Running,
        who: Option<&Identity>,
        version: &'static SupportedProtocolVersion,
        head: &str,
    ) -> Option<u16> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match who {
            None => builder.with_no_client_auth(),
            Some(Identity(certificate, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        };
        of.runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(of.address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
            let request = format!("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = Vec::new();
            // In TLS 1.3 the refusal of a certificate comes after the handshake.
            drop(stream.read_to_end(&mut answer).await);
            String::from_utf8(answer).unwrap().split(' ').nth(1)?.parse().ok()
        })
    }
}

#[test]
fn client_auth_types_let_in_whom_they_should() {
    let world = World::new();
    let ca = "  client_ca_file: ca.pem\n";
    let allowed = "  client_allowed_sans: [other.example, client.example]\n";
    let other = "  client_allowed_sans: [other.example]\n";
    for (kind, more, [nobody, client, stranger]) in [
        ("NoClientCert", "", [true, true, true]),
        ("RequestClientCert", "", [true, true, true]),
        ("RequireAnyClientCert", "", [false, true, true]),
        ("RequireClientCert", "", [false, true, true]),
        ("VerifyClientCertIfGiven", ca, [true, true, false]),
        ("RequireAndVerifyClientCert", ca, [false, true, false]),
        ("RequireAndVerifyClientCert", &format!("{ca}{allowed}"), [false, true, false]),
        ("RequireAndVerifyClientCert", &format!("{ca}{other}"), [false, false, false]),
        ("RequireAnyClientCert", allowed, [false, true, true]),
        ("RequireAnyClientCert", other, [false, false, false]),
    ] {
        let endpoint = world.start(&format!("  client_auth_type: {kind}\n{more}"), "");
        for version in [&TLS12, &TLS13] {
            for (who, identity, gets_in) in [
                ("nobody", None, nobody),
                ("client", Some(&world.client), client),
                ("stranger", Some(&world.stranger), stranger),
            ] {
                let code = world.ask(&endpoint, identity, version, "");
                assert_eq!(code, gets_in.then_some(200), "{kind} {more} {who} {:?}", version.version);
            }
        }
    }
}

#[test]
fn versions_suites_and_passwords_hold() {
    let world = World::new();
    let newest = world.start("  min_version: TLS13\n", "");
    assert_eq!(world.ask(&newest, None, &TLS12, ""), None);
    assert_eq!(world.ask(&newest, None, &TLS13, ""), Some(200));
    // Only CBC for TLS 1.2, which is not offered: then 1.3 is what is left.
    let suites = world.start("  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n", "");
    assert_eq!((world.ask(&suites, None, &TLS12, ""), world.ask(&suites, None, &TLS13, "")), (None, Some(200)));
    let users = format!("basic_auth_users:\n  alice: {}\n", bcrypt::hash("x", 4).unwrap());
    let locked = world.start("", &users);
    assert_eq!(world.ask(&locked, None, &TLS13, ""), Some(401));
    assert_eq!(world.ask(&locked, None, &TLS13, "Authorization: Basic YWxpY2U6eA==\r\n"), Some(200));
    assert_eq!(world.ask(&locked, None, &TLS13, "Authorization: Basic YWxpY2U6eQ==\r\n"), Some(401));
    let text = locked.telemetry.render();
    assert!(text.contains("forebay_http_requests_total{handler=\"door\",code=\"401\"} 2\n"), "{text}");
}

#[test]
fn a_certificate_is_rotated_under_way() {
    let world = World::new();
    let endpoint = world.start("", "");
    assert_eq!(world.ask(&endpoint, None, &TLS13, ""), Some(200));
    // A certificate the client does not trust: it must see the new one.
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    world.write("cert.pem", &own.pem());
    world.write("key.pem", &key.serialize_pem());
    assert_eq!(world.ask(&endpoint, None, &TLS13, ""), None);
}

#[test]
fn plain_http_is_not_answered_where_tls_is_asked_for() {
    let world = World::new();
    let endpoint = world.start("", "");
    let mut stream = TcpStream::connect(endpoint.address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    assert!(!answer.windows(8).any(|window| window == b"forebay_"), "{answer:?}");
}
