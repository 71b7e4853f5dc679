//! A real Prometheus scrapes the running daemon, in the clear and behind every lock.

use std::fs;

use crate::support::{CLIENT, Daemon, Project, Prometheus, write_certificates};

const PIPELINE: &str = "
[pipelines.p]
settle = \"50ms\"
scan_interval = \"200ms\"
columns.a = \"int64\"
";

const TLS: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";

/// Starts a daemon behind this web config; none for an empty one.
fn daemon(web: &str) -> (Project, Daemon) {
    let web_key = if web.is_empty() { "" } else { "web_config_file = \"web.yml\"\n" };
    let project = Project::with_config(&format!("[server]\nlisten = \"127.0.0.1:0\"\n{web_key}{PIPELINE}"));
    write_certificates(&project);
    fs::write(project.path("web.yml"), web).unwrap();
    let daemon = Daemon::spawn(&project, &[]);
    project.drop_file("p", "x.csv", "a\n1\n2\n3\n");
    (project, daemon)
}

/// One scrape job; `more` are further lines of it.
fn job(name: &str, daemon: &Daemon, more: &str) -> String {
    let target = daemon.address();
    format!("  - job_name: {name}\n    static_configs: [{{targets: [\"{target}\"]}}]\n{more}")
}

#[test]
fn prometheus_gets_in_with_the_right_key_and_finds_the_files_and_their_exemplars() {
    let hash = bcrypt::hash("pass: word", 5).unwrap();
    let users = format!("basic_auth_users:\n  prometheus: {hash}\n");
    let mutual = format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [{CLIENT}]\n  min_version: TLS13\n"
    );
    let (plain_project, plain) = daemon("");
    let (auth_project, auth) = daemon(&format!("{TLS}{users}"));
    let (mtls_project, mtls) = daemon(&mutual);
    let ca = |project: &Project| {
        format!("    scheme: https\n    tls_config:\n      ca_file: {}\n", project.path("ca.pem").display())
    };
    let with = |project: &Project, who: &str| {
        let file = |kind: &str| project.path(format!("{who}.{kind}")).display().to_string();
        format!("{}      cert_file: {}\n      key_file: {}\n", ca(project), file("pem"), file("key"))
    };
    let password =
        |word: &str| format!("{}    basic_auth: {{username: prometheus, password: \"{word}\"}}\n", ca(&auth_project));
    let jobs = [
        job("plain", &plain, ""),
        job("auth", &auth, &password("pass: word")),
        job("mtls", &mtls, &with(&mtls_project, "client")),
        job("wrong_password", &auth, &password("guess")),
        job("no_password", &auth, &ca(&auth_project)),
        job("no_certificate", &mtls, &ca(&mtls_project)),
        job("stranger", &mtls, &with(&mtls_project, "stranger")),
        job("no_tls", &mtls, ""),
    ];
    let Some(prometheus) = Prometheus::start(&plain_project, &jobs.concat()) else { return };

    for (name, project) in [("plain", &plain_project), ("auth", &auth_project), ("mtls", &mtls_project)] {
        let target = prometheus.target(name);
        assert_eq!(target["health"], "up", "{target}");
        prometheus.wait_value(&format!("sum(forebay_rows_written_total{{job=\"{name}\"}})"), |rows| rows > 2.5);
        let exemplars = prometheus.wait_exemplars(&format!("forebay_file_latency_seconds_bucket{{job=\"{name}\"}}"));
        let published = project.published("p");
        let labels = &exemplars[0]["labels"];
        assert_eq!(labels["trace_id"], published[0].manifest["trace_id"], "{labels}");
        assert_eq!(labels["file_id"].as_str(), published[0].path.file_name().unwrap().to_str(), "{labels}");
    }
    for (name, words) in [
        ("wrong_password", "401"),
        ("no_password", "401"),
        ("no_certificate", "tls"),
        ("stranger", "tls"),
        ("no_tls", ""),
    ] {
        let target = prometheus.target(name);
        let error = target["lastError"].as_str().unwrap().to_owned();
        assert!(target["health"] == "down" && error.contains(words) && !error.is_empty(), "{name}: {target}");
    }
    // What Prometheus keeps for a daemon with one pipeline is within the budget, its own five series of the scrape apart.
    let kept = prometheus.wait_value("count({job=\"plain\"})", |series| series > 100.0);
    let budget = plain_project.cli().args(["print", "series-budget"]).run().expect_code(0).stdout;
    let cells: Vec<f64> =
        budget.lines().last().unwrap().split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    assert!(kept <= cells[0] + cells[1] + 5.0, "{kept} series\n{budget}");
}

/// Returns the YAML blocks of the operating guide.
fn samples() -> Vec<String> {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATING.md")).unwrap();
    guide.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_samples_of_the_operating_guide_work() {
    let [web, scrape] = <[String; 2]>::try_from(samples()).unwrap();
    let project = Project::with_config(&format!("[server]\nweb_config_file = \"web.yml\"\n{PIPELINE}"));
    write_certificates(&project);
    fs::write(project.path("web.yml"), web).unwrap();
    project.cli().arg("check").run().expect_code(0);
    let printed = project.cli().args(["print", "scrape-config"]).run().expect_code(0).stdout;
    for line in ["scheme: https", "cert_file: prometheus.pem", "username: prometheus"] {
        assert!(printed.contains(line) && scrape.contains(line), "{line} in\n{printed}");
    }
    for file in ["forebay-ca.pem", "prometheus.pem", "prometheus.key", "forebay-password"] {
        fs::copy(project.path("ca.pem"), project.path(file)).unwrap();
    }
    // promtool wants certificate and key to fit.
    fs::copy(project.path("client.pem"), project.path("prometheus.pem")).unwrap();
    fs::copy(project.path("client.key"), project.path("prometheus.key")).unwrap();
    for (name, text) in [("guide.yml", scrape), ("printed.yml", printed)] {
        fs::write(project.path(name), text).unwrap();
        let ran = std::process::Command::new("promtool")
            .args(["check", "config", name])
            .current_dir(project.path(""))
            .output();
        match ran {
            Ok(ran) => assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr)),
            Err(error) => {
                assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "promtool is required: {error}");
                eprintln!("LEFT OUT: promtool not installed");
            }
        }
    }
}
