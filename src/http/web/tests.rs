//! Web config files, good and bad, and what becomes of a change.

use std::fs::File;
use std::io::Write as _;

use rcgen::{CertificateParams, KeyPair};

use super::*;

const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

/// A folder with a certificate, its key, another key, and a `web.yml`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        folder.write("cert.pem", &certificate.pem());
        folder.write("key.pem", &key.serialize_pem());
        folder.write("other.pem", &other.serialize_pem());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        File::create(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Checks a file with this text; errors name it without the folder.
    fn check(&self, text: &str) -> Result<Protection, String> {
        self.write("web.yml", text);
        let folder = format!("{}/", self.0.path().display());
        check_web_config(&self.path("web.yml")).map_err(|error| error.to_string().replace(&folder, ""))
    }
}

const TLS: &str = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n";

#[test]
fn what_the_exporter_toolkit_takes_is_taken() {
    let folder = Folder::new();
    let none = Protection::default();
    let tls = Protection { tls: true, ..none };
    let indented = |name: &str| {
        let text = std::fs::read_to_string(folder.path(name)).unwrap();
        text.lines().map(|line| format!("    {line}\n")).collect::<Vec<_>>().concat()
    };
    let inline = format!("tls_server_config:\n  cert: |\n{}  key: |\n{}", indented("cert.pem"), indented("key.pem"));
    let suites = "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n  curve_preferences: [CurveP256, CurveP521]\n  prefer_server_cipher_suites: false\n";
    for (text, protection) in [
        (String::new(), none),
        ("# nothing yet\n".to_owned(), none),
        ("{}".to_owned(), none),
        ("tls_server_config:\nbasic_auth_users:\n".to_owned(), none),
        ("tls_server_config:\n  cert_file: ''\n".to_owned(), none),
        ("http_server_config:\n  http2: false\n".to_owned(), none),
        ("rate_limit:\n  interval: 0\n".to_owned(), none),
        ("rate_limit:\n  interval: 100ms\n  burst: 5\n".to_owned(), none),
        ("http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Content-Security-Policy: ''\n    Strict-Transport-Security: max-age=31536000\n    X-XSS-Protection: 1; mode=block\n    X-Content-Type-Options: nosniff\n".to_owned(), none),
        (format!("basic_auth_users:\n  alice: {HASH}\n  bob: {HASH}\n"), Protection { passwords: true, ..none }),
        (TLS.to_owned(), tls),
        (inline, tls),
        (format!("{TLS}{suites}"), tls),
        (format!("{TLS}  min_version: TLS13\n  max_version: TLS13\n"), tls),
        (format!("{TLS}  client_auth_type: NoClientCert\n"), tls),
        (format!("{TLS}  client_auth_type: RequestClientCert\n"), tls),
        (format!("{TLS}  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [prometheus]\n"), tls),
        (format!("{TLS}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: cert.pem\n"), tls),
        (
            format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: cert.pem\n"),
            Protection { client_certificates: true, ..tls },
        ),
    ] {
        assert_eq!(folder.check(&text), Ok(protection), "{text}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of faults")]
fn every_fault_names_its_key_and_line() {
    let folder = Folder::new();
    folder.write("empty.pem", "");
    let users = |hash: &str| format!("basic_auth_users:\n  alice: {hash}\n");
    let headers = |line: &str| format!("http_server_config:\n  headers:\n    {line}\n");
    for (text, words) in [
        (
            "tls_server_confg: {}\n".to_owned(),
            "web.yml:1: tls_server_confg: unknown key; valid keys here: tls_server_config,",
        ),
        (format!("{TLS}  cert_fil: x\n"), "web.yml:4: cert_fil: unknown key"),
        ("http_server_config:\n  http3: true\n".to_owned(), "web.yml:2: http3: unknown key"),
        ("rate_limit:\n  interval: 1s\n  burts: 1\n".to_owned(), "web.yml:3: burts: unknown key"),
        (format!("{}  alice: {HASH}\n", users(HASH)), "web.yml:3: alice: this key is there twice"),
        (users("secret"), "web.yml:2: basic_auth_users.alice: this is no bcrypt hash"),
        (
            format!("basic_auth_users:\n  \"a:b\": {HASH}\n"),
            "web.yml:2: basic_auth_users.a:b: a user's name cannot hold a colon",
        ),
        ("basic_auth_users: [alice]\n".to_owned(), "web.yml:1:"),
        (
            headers("X-Powered-By: rust"),
            "web.yml:3: http_server_config.headers.X-Powered-By: this header cannot be configured",
        ),
        (
            headers("X-Frame-Options: allow"),
            "web.yml:3: http_server_config.headers.X-Frame-Options: the value must be one of: deny, sameorigin",
        ),
        ("rate_limit:\n  interval: soon\n".to_owned(), "web.yml:2: rate_limit.interval: expected a duration"),
        (
            "rate_limit:\n  interval: 1s\n  burst: 0\n".to_owned(),
            "web.yml:3: rate_limit.burst: with an interval it must be at least 1",
        ),
        ("tls_server_config:\n  key_file: key.pem\n".to_owned(), "web.yml: tls_server_config: cert_file is missing"),
        ("tls_server_config:\n  cert_file: cert.pem\n".to_owned(), "web.yml: tls_server_config: key_file is missing"),
        ("tls_server_config:\n  min_version: TLS12\n".to_owned(), "cert_file is missing"),
        (
            TLS.replace("cert.pem", "gone.pem"),
            "web.yml:2: tls_server_config.cert_file: gone.pem cannot be read: No such file",
        ),
        (TLS.replace("cert.pem", "empty.pem"), "web.yml:2: tls_server_config.cert_file: there is no certificate in it"),
        (TLS.replace("key.pem", "cert.pem"), "web.yml:3: tls_server_config.key_file: there is no private key in it"),
        (TLS.replace("key.pem", "other.pem"), "web.yml:3: tls_server_config.key_file: certificate and key do not fit"),
        (format!("{TLS}  cert: x\n"), "web.yml:2: tls_server_config.cert_file: there is cert too"),
        (format!("{TLS}  min_version: TLS11\n"), "web.yml:4: tls_server_config.min_version: nothing below TLS12"),
        (
            format!("{TLS}  max_version: SSL30\n"),
            "web.yml:4: tls_server_config.max_version: it is none of: TLS12, TLS13",
        ),
        (format!("{TLS}  min_version: TLS13\n  max_version: TLS12\n"), "min_version is above max_version"),
        (
            format!("{TLS}  cipher_suites:\n    - TLS_ROT13\n"),
            "web.yml:5: tls_server_config.cipher_suites: there is no such cipher suite",
        ),
        (
            format!("{TLS}  curve_preferences: [CurveP256, Curve1]\n"),
            "web.yml:4: tls_server_config.curve_preferences: it is none of",
        ),
        (format!("{TLS}  curve_preferences: [CurveP521]\n"), "none of these is offered here"),
        (
            format!("{TLS}  client_auth_type: Maybe\n"),
            "web.yml:4: tls_server_config.client_auth_type: it is none of: NoClientCert",
        ),
        (
            format!("{TLS}  client_ca_file: cert.pem\n"),
            "web.yml:4: tls_server_config.client_ca_file: it is given, but client_auth_type",
        ),
        (
            format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n"),
            "web.yml:4: tls_server_config.client_auth_type: it needs client_ca_file",
        ),
        (
            format!(
                "{TLS}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: cert.pem\n  client_allowed_sans: [a]\n"
            ),
            "web.yml:6: tls_server_config.client_allowed_sans: it needs client_auth_type",
        ),
        ("a: [\n".to_owned(), "web.yml:"),
        ("- a\n".to_owned(), "web.yml:1:"),
    ] {
        let error = folder.check(&text).expect_err(&text);
        assert!(
            error.starts_with(words) || (!words.starts_with("web.yml") && error.contains(words)),
            "{error}\nfor\n{text}"
        );
        assert!(!error.contains("secret") && !error.contains("$2y$"), "a secret is told: {error}");
    }
    let gone = check_web_config(&folder.path("gone.yml")).unwrap_err().to_string();
    assert!(gone.contains("gone.yml: the web config cannot be read: No such file"), "{gone}");
}

#[tokio::test]
async fn a_change_is_taken_up_and_a_broken_one_changes_nothing() {
    let folder = Folder::new();
    folder.write("web.yml", "http_server_config:\n  headers:\n    X-Frame-Options: deny\n");
    let telemetry = Telemetry::new(&[]);
    let web = Arc::new(Web::open(&folder.path("web.yml"), telemetry.clone()).unwrap());
    let headers = async || {
        let (headers, refused) = web.admit(&HeaderMap::new()).await;
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .chain(refused.map(|refusal| refusal.status().to_string()))
            .collect::<Vec<_>>()
    };
    let failures = || {
        let text = telemetry.render();
        let line =
            text.lines().find(|line| line.starts_with("forebay_errors_total{component=\"http\",kind=\"web_config\"}"));
        line.unwrap().rsplit_once(' ').unwrap().1.to_owned()
    };
    assert_eq!(headers().await, ["x-frame-options: deny"]);
    folder.write("web.yml", "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n");
    assert_eq!(headers().await, ["x-frame-options: sameorigin"]);
    for broken in ["http_server_config:\n  headrs: {}\n", TLS] {
        folder.write("web.yml", broken);
        assert_eq!(headers().await, ["x-frame-options: sameorigin"], "{broken}");
        assert_eq!(headers().await, ["x-frame-options: sameorigin"], "{broken}");
        assert!(web.check().is_err(), "a reload is told so: {broken}");
    }
    assert_eq!(failures(), "2", "each is told once");
    folder.write("web.yml", &format!("basic_auth_users:\n  alice: {HASH}\n"));
    assert_eq!(headers().await, ["401 Unauthorized"]);
    folder.write("web.yml", "rate_limit:\n  interval: 1h\n  burst: 2\n");
    assert_eq!((headers().await.len(), headers().await.len()), (0, 0));
    assert_eq!(headers().await, ["429 Too Many Requests"]);
    folder.write("web.yml", "");
    assert_eq!(headers().await, Vec::<String>::new());
    web.check().unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_without_a_change_of_the_file() {
    let folder = Folder::new();
    folder.write("web.yml", TLS);
    let web = Arc::new(Web::open(&folder.path("web.yml"), Telemetry::new(&[])).unwrap());
    let first = web.now().await.unwrap();
    assert!(Arc::ptr_eq(&first, &web.now().await.unwrap()), "nothing has changed");
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    folder.write("cert.pem", &certificate.pem());
    // The new certificate beside the old key: half a rotation.
    assert!(Arc::ptr_eq(&first, &web.now().await.unwrap()), "what was in force stays");
    folder.write("key.pem", &key.serialize_pem());
    assert!(!Arc::ptr_eq(&first, &web.now().await.unwrap()), "the new pair is in force");
}

#[tokio::test]
async fn a_disk_that_hangs_keeps_nobody_waiting_for_long_and_leaves_the_door_as_it_is() {
    use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open, unlink};
    let folder = Folder::new();
    folder.write("web.yml", &format!("basic_auth_users:\n  alice: {HASH}\n"));
    let path = folder.path("web.yml");
    let web = Arc::new(Web::open(&path, Telemetry::new(&[])).unwrap());
    // Reading a pipe that nobody writes to is like reading from a disk that is gone.
    unlink(&path).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let began = Instant::now();
    for _ in 0..100 {
        let (_, refused) = web.admit(&HeaderMap::new()).await;
        assert_eq!(refused.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    let took = began.elapsed();
    assert!((LOOK..LOOK * 5).contains(&took), "the first one waits a little: {took:?}");
    drop(open(&path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap());
}
