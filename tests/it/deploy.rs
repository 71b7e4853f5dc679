//! What lies in `deploy/` is tried as far as that goes without the machines it is for, and agrees with the program.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Daemon, Project, files_under, wait_for};

const PORT: u64 = 17170;

/// What a stop may take beyond `limits.drain`: the last blocks, and the answers that are being written.
const BEYOND_DRAIN: u64 = 15;

fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(relative)
}

fn read(relative: &str) -> String {
    fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("deploy/{relative}: {error}"))
}

fn yaml(relative: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(relative)).unwrap_or_else(|error| panic!("deploy/{relative}: {error}"))
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

/// Returns the strings of a list.
fn words(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Returns the values of a key of the unit.
fn unit(key: &str) -> Vec<String> {
    let start = format!("{key}=");
    read("forebay.service").lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
}

/// Returns the instructions of the Dockerfile that begin with this word.
fn docker(word: &str) -> Vec<String> {
    let start = format!("{word} ");
    read("Dockerfile").lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
}

/// Runs a tool. Without it that part is left out, loudly.
#[track_caller]
fn output(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "{program} is required: {error}");
            eprintln!("LEFT OUT: {program} not installed");
            None
        }
    }
}

/// Returns the configuration of a text as the program understands it.
fn config(text: &str) -> forebay::config::Config {
    forebay::config::parse(text, Path::new("/etc/forebay/forebay.toml")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn kubernetes_config() -> String {
    of_kind(&yaml("kubernetes.yaml"), "ConfigMap")["data"]["forebay.toml"].as_str().unwrap().to_owned()
}

#[test]
fn every_shipped_configuration_is_sound_and_fits_what_ships_it() {
    let project = Project::new("");
    let texts = [read("forebay.toml"), read("container.toml"), kubernetes_config()];
    for (text, grace) in texts.iter().zip([unit("TimeoutStopSec")[0].parse().unwrap(), 90, 90]) {
        project.configure(text);
        project.cli().arg("check").run().expect_code(0);
        let config = config(text);
        assert!(config.listen.iter().all(|address| u64::from(address.port()) == PORT));
        assert!(config.drain.as_secs() + BEYOND_DRAIN <= grace, "killed in the middle of a drain");
        assert!(config.state.starts_with("/var/lib/forebay"));
        assert!(config.pipelines.iter().all(|pipeline| pipeline.input.starts_with("/var/lib/forebay")));
        assert!(config.pipelines.iter().all(|pipeline| pipeline.freshness.is_some()), "alerts need objectives");
    }
    assert!(config(&texts[0]).listen[0].ip().is_loopback(), "on a machine of its own nobody else gets in");
    assert!(texts[1..].iter().all(|text| config(text).listen[0].ip().is_unspecified()), "in a container others must");
    let default = config("[pipelines.p]\ncolumns.a = \"int64\"");
    assert_eq!(u64::from(default.listen[0].port()), PORT);
}

#[test]
fn systemd_takes_the_unit_and_finds_it_hard_to_break_out_of() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("forebay.service");
    let shipped = read("forebay.service");
    assert!(shipped.contains("ExecStart=/usr/local/bin/forebay run -c /etc/forebay/forebay.toml"));
    fs::write(&copy, shipped.replace("/usr/local/bin/forebay", env!("CARGO_BIN_EXE_forebay"))).unwrap();
    let copy = copy.to_str().unwrap();
    for args in [vec!["verify", copy], vec!["security", "--offline=true", "--threshold=20", copy]] {
        let Some(ran) = output("systemd-analyze", &args) else { break };
        let told = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{args:?}\n{told}");
        let complaints: Vec<_> = told.lines().filter(|line| line.contains("forebay.service:")).collect();
        assert!(args[0] != "verify" || complaints.is_empty(), "{complaints:?}");
    }
    for (key, value) in [
        ("Type", "notify"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("KillMode", "mixed"),
        ("OOMPolicy", "continue"),
        ("RestartPreventExitStatus", "2"),
        ("StateDirectory", "forebay"),
        ("ProtectSystem", "strict"),
    ] {
        assert_eq!(unit(key), [value], "{key}");
    }
}

/// Reads what the daemon tells its service manager, until `wanted` is among it. Returns everything before.
#[track_caller]
fn told(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let mut all = Vec::new();
    wait_for(wanted, || {
        let mut bytes = [0; 4096];
        let read = socket.recv(&mut bytes).ok()?;
        let message = String::from_utf8_lossy(&bytes[..read]).trim().to_owned();
        all.push(message.clone());
        message.lines().any(|line| line == wanted).then_some(())
    });
    all
}

#[test]
fn the_service_manager_hears_of_ready_reload_life_and_stop() {
    let project = Project::new("[pipelines.p]\ncolumns.a = \"int64\"\n");
    let socket = UnixDatagram::bind(project.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut command = project.cli().args(["run", "--log-format", "json"]).into_command();
    command.env("NOTIFY_SOCKET", project.path("notify"));
    let mut daemon = Daemon::launch(&project, command);
    told(&socket, "READY=1");
    assert_eq!(daemon.get("/-/ready").code, 200, "ready is not told before it is");
    told(&socket, "WATCHDOG=1");
    // A refused reload ends, too: systemd would wait for ever.
    for text in ["nonsense", "[pipelines.q]\ncolumns.a = \"int64\"\n[server]\nlisten = \"127.0.0.1:0\"\n"] {
        project.configure(text);
        daemon.signal(Signal::HUP);
        let reloading = told(&socket, "RELOADING=1");
        assert!(reloading.last().unwrap().contains("MONOTONIC_USEC="), "{reloading:?}");
        told(&socket, "READY=1");
    }
    daemon.signal(Signal::TERM);
    let stopping = told(&socket, "STOPPING=1");
    assert!(stopping.iter().all(|message| message == "WATCHDOG=1" || message == "STOPPING=1"), "{stopping:?}");
    assert_eq!(daemon.wait_exit().code(), Some(0));
}

#[test]
fn the_image_is_no_root_s_stops_well_and_knows_whether_it_is_healthy() {
    let manifest = fs::read_to_string(path("../Cargo.toml")).unwrap();
    let needs = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap().trim_matches('"');
    assert!(docker("FROM")[0].starts_with(&format!("rust:{needs}-")), "built with the Rust it needs");
    assert_eq!(docker("USER"), ["10001:10001"]);
    assert_eq!(docker("EXPOSE"), [PORT.to_string()]);
    assert_eq!(docker("STOPSIGNAL"), ["SIGTERM"]);
    assert_eq!(docker("VOLUME"), ["/var/lib/forebay"]);
    assert!(docker("COPY").iter().any(|copy| copy == "deploy/container.toml /etc/forebay/forebay.toml"));
    let command: Vec<String> = serde_json::from_str(&docker("CMD")[0]).unwrap();
    assert_eq!(command[..3], ["run", "-c", "/etc/forebay/forebay.toml"]);

    // The health check itself, against a daemon on another port.
    let check = docker("HEALTHCHECK").remove(0);
    let check: Vec<String> = serde_json::from_str(check.split_once("CMD ").unwrap().1).unwrap();
    let project = Project::new("[pipelines.p]\ncolumns.a = \"int64\"\n");
    let daemon = project.start();
    let port = daemon.address().rsplit(':').next().unwrap().to_owned();
    let healthy = |port: &str| {
        let args = check[1..].iter().map(|arg| arg.replace(&PORT.to_string(), port));
        Command::new(&check[0]).args(args).output().unwrap().status.success()
    };
    assert!(healthy(&port), "{check:?}");
    daemon.stop();
    assert!(!healthy(&port), "nobody answers there any more");
}

#[test]
fn the_compose_file_fits_together() {
    let compose = yaml("docker-compose.yml").remove(0);
    let services = compose["services"].as_object().unwrap();
    let names: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["alertmanager", "forebay", "grafana", "prometheus"]));
    for (name, service) in services {
        for port in words(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: published for this machine only: {port}");
        }
        for volume in words(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            let volume_of_docker = compose["volumes"].as_object().unwrap().contains_key(source);
            // The dashboards have a folder of their own in the repository.
            let dashboards = source.starts_with("../grafana/") && !path("../grafana").exists();
            assert!(volume_of_docker || dashboards || path(source).exists(), "{name}: {volume}");
        }
    }
    let forebay = &services["forebay"];
    assert_eq!(words(&forebay["ports"]), [format!("127.0.0.1:{PORT}:{PORT}")]);
    assert_eq!((forebay["stop_grace_period"].as_str(), forebay["read_only"].as_bool()), (Some("90s"), Some(true)));
    assert!(
        path(forebay["build"]["context"].as_str().unwrap())
            .join(forebay["build"]["dockerfile"].as_str().unwrap())
            .exists()
    );

    let prometheus = yaml("compose/prometheus.yml").remove(0);
    let targets = |of: &Value| words(&of["static_configs"][0]["targets"])[0].to_owned();
    assert_eq!(targets(&prometheus["scrape_configs"][0]), format!("forebay:{PORT}"));
    assert_eq!(prometheus["scrape_configs"][0]["job_name"], "forebay", "the rules select this job");
    assert_eq!(targets(&prometheus["alerting"]["alertmanagers"][0]), "alertmanager:9093");
    let rules = words(&prometheus["rule_files"])[0];
    let mounts = words(&services["prometheus"]["volumes"]);
    assert!(mounts.iter().any(|mount| mount.contains(&format!(":{rules}:"))), "{rules} is mounted");
    let folder = tempfile::tempdir().unwrap();
    let here = path("../alerts/forebay.rules.yml");
    let copy = folder.path().join("prometheus.yml");
    fs::write(&copy, read("compose/prometheus.yml").replace(rules, here.to_str().unwrap())).unwrap();
    if let Some(ran) = output("promtool", &["check", "config", copy.to_str().unwrap()]) {
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    let datasource = yaml("compose/datasource.yml").remove(0);
    assert_eq!(datasource["datasources"][0]["url"], "http://prometheus:9090");
    assert_eq!(datasource["datasources"][0]["uid"], "prometheus");
}

#[test]
fn the_kubernetes_manifest_fits_together_and_its_probes_are_answered() {
    let documents = yaml("kubernetes.yaml");
    let deployment = &of_kind(&documents, "Deployment")["spec"];
    assert_eq!((deployment["replicas"].as_u64(), deployment["strategy"]["type"].as_str()), (Some(1), Some("Recreate")));
    let pod = &deployment["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 90);
    assert_eq!(pod["securityContext"]["runAsUser"], 10001, "the user of the image");
    let container = &pod["containers"][0];
    assert_eq!(container["ports"][0]["containerPort"], PORT);
    assert_eq!(of_kind(&documents, "Service")["spec"]["ports"][0]["port"], PORT);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(words(&container["args"])[..3], ["run", "-c", "/etc/forebay/forebay.toml"]);
    let names = |list: &Value| -> BTreeSet<String> {
        list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&container["volumeMounts"]), names(&pod["volumes"]));
    let labels = &deployment["template"]["metadata"]["labels"];
    assert_eq!(labels, &deployment["selector"]["matchLabels"]);
    assert_eq!(labels, &of_kind(&documents, "Service")["spec"]["selector"]);
    assert_eq!(labels, &of_kind(&yaml("servicemonitor.yaml"), "ServiceMonitor")["spec"]["selector"]["matchLabels"]);
    assert_eq!(deployment["template"]["metadata"]["annotations"]["prometheus.io/port"], PORT.to_string());

    let project = Project::new("[pipelines.p]\ncolumns.a = \"int64\"\n");
    let daemon = project.start();
    for probe in ["livenessProbe", "readinessProbe"] {
        let path = container[probe]["httpGet"]["path"].as_str().unwrap();
        assert_eq!(daemon.get(path).code, 200, "{probe}");
    }
    daemon.stop();
}

#[test]
fn the_readme_names_every_file() {
    let text = read("README.md");
    for file in files_under(&path("")) {
        let name = file.strip_prefix(path("")).unwrap().to_str().unwrap();
        assert!(name == "README.md" || text.contains(&format!("`{name}`")), "{name}");
    }
}
