//! Where it happens: one Prometheus, one Alertmanager and one receiver for all drills.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::alert::Alert;
use crate::process::{Process, free_address, get};
use crate::receiver::{Heard, Receiver};
use crate::report::{Report, Row};
use crate::{PACE, wait_for};

/// Where the messages say that the runbooks are.
pub(crate) const RUNBOOKS: &str = "https://runbooks.example.com/forebay";

/// The jobs whose rules are loaded: all daemons, and one that will lose its only target.
const JOBS: [&str; 2] = ["forebay", "departing"];

/// The programs, for as long as the test lasts.
#[derive(Debug)]
pub(crate) struct Range {
    prometheus: Process,
    prometheus_address: String,
    _alertmanager: Process,
    alertmanager_address: String,
    receiver: Receiver,
    folder: TempDir,
    expected: Mutex<BTreeSet<Alert>>,
    rows: Mutex<Vec<Row>>,
    /// When the rules were loaded.
    began: Instant,
}

/// Returns what `forebay print` prints, sixty times faster.
fn printed(args: &[&str]) -> String {
    let pace = PACE.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let output = command.arg("print").args(args).args(["--pace", &pace]).output().unwrap();
    assert!(output.status.success(), "forebay print {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Range {
    /// Starts everything. The rules are loaded when their jobs have targets, as they would be in earnest.
    pub(crate) fn open() -> Self {
        let folder = tempfile::Builder::new().prefix("forebay-fire-").tempdir().unwrap();
        let receiver = Receiver::start();
        let (alertmanager_address, prometheus_address) = (free_address(), free_address());
        for sub in ["targets", "rules"] {
            fs::create_dir(folder.path().join(sub)).unwrap();
        }
        let alertmanager = alertmanager(&folder, &alertmanager_address, receiver.address());
        let prometheus = prometheus(&folder, &prometheus_address, &alertmanager_address);
        wait_for("Prometheus", || get(&prometheus_address, "/-/ready"));
        wait_for("the Alertmanager", || get(&alertmanager_address, "/-/ready"));
        Self {
            prometheus,
            prometheus_address,
            _alertmanager: alertmanager,
            alertmanager_address,
            receiver,
            folder,
            expected: Mutex::default(),
            rows: Mutex::default(),
            began: Instant::now(),
        }
    }

    /// Loads the rules of all jobs, each of which must have a target by now.
    pub(crate) fn load_rules(&self) {
        for job in JOBS {
            let rules = printed(&["rules", "--job", job, "--runbooks", RUNBOOKS]);
            fs::write(self.folder.path().join(format!("rules/{job}.yml")), rules).unwrap();
        }
        self.prometheus.signal(Signal::HUP);
        wait_for("the rules", || get(&self.prometheus_address, "/api/v1/rules")?.contains("Watchdog").then_some(()));
    }

    /// Adds a target to a job.
    pub(crate) fn scrape(&self, job: &str, instance: &str, address: &str) {
        let target = format!("[{{\"targets\": [\"{address}\"], \"labels\": {{\"instance\": \"{instance}\"}}}}]");
        let path = self.folder.path().join(format!("targets/{job}-{instance}.json"));
        let aside = path.with_extension("tmp");
        fs::write(&aside, target).unwrap();
        fs::rename(aside, path).unwrap();
    }

    /// Takes a target away.
    pub(crate) fn forget(&self, job: &str, instance: &str) {
        fs::write(self.folder.path().join(format!("targets/{job}-{instance}.json")), "[]").unwrap();
    }

    /// Takes an instance away from all jobs, and waits until Prometheus has forgotten it.
    pub(crate) fn retire(&self, instance: &str) {
        for job in JOBS {
            if self.folder.path().join(format!("targets/{job}-{instance}.json")).is_file() {
                self.forget(job, instance);
            }
        }
        let query = format!("count(up{{instance=\"{instance}\"}})");
        wait_for(&format!("{instance} to be forgotten"), || self.query(&query).is_none().then_some(()));
    }

    /// Returns the value of an instant query, if it has one.
    pub(crate) fn query(&self, query: &str) -> Option<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = get(&self.prometheus_address, &format!("/api/v1/query?query={encoded}"))?;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["data"]["result"].get(0)?["value"][1].as_str()?.parse().ok()
    }

    /// Waits until Alertmanager holds an alert back because another one tells the cause.
    #[track_caller]
    pub(crate) fn wait_inhibited(&self, alert: &Alert) {
        self.allow(alert.clone());
        wait_for(&format!("{alert} to be held back"), || {
            let alerts: Value = serde_json::from_str(&get(&self.alertmanager_address, "/api/v2/alerts")?).unwrap();
            let mut same = alerts.as_array()?.iter().filter(|other| Alert::read(&other["labels"]) == *alert);
            same.any(|other| other["status"]["inhibitedBy"][0].is_string()).then_some(())
        });
    }

    /// Notes that an alert may come: it is the subject of a drill, or goes with one.
    pub(crate) fn allow(&self, alert: Alert) {
        self.expected.lock().unwrap().insert(alert);
    }

    pub(crate) fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    pub(crate) fn note(&self, row: Row) {
        self.rows.lock().unwrap().push(row);
    }

    pub(crate) fn report(&self) -> Report {
        Report::of(self.rows.lock().unwrap().clone())
    }

    /// Stops the test if somebody was told of anything that was not done to the daemons.
    #[track_caller]
    pub(crate) fn expect_nothing_else(&self) {
        let expected = self.expected.lock().unwrap();
        let told: BTreeSet<Alert> = self.receiver.heard().into_iter().map(|heard| heard.alert).collect();
        let stray: Vec<String> = told.difference(&expected).map(ToString::to_string).collect();
        assert!(stray.is_empty(), "false alarms: {stray:#?}");
    }

    /// Stops the test unless messages hold one kind of alert and job each, and some more than one alert.
    #[track_caller]
    pub(crate) fn expect_groups(&self) {
        let heard = self.receiver.heard();
        for Heard { alert, group, .. } in &heard {
            let shared = [("alertname", &alert.name), ("job", &alert.job)];
            let mut labels = group.as_object().unwrap().iter();
            assert!(
                labels.all(|(label, value)| shared.contains(&(label.as_str(), &value.as_str().unwrap().to_owned())))
            );
        }
        let together = |message| heard.iter().filter(|heard| heard.message == message).count() > 1;
        assert!(heard.iter().any(|heard| together(heard.message)), "no message holds two alerts");
    }
}

/// The shipped configuration, which posts to the receiver.
fn alertmanager(folder: &TempDir, address: &str, receiver: &str) -> Process {
    let config = printed(&["alertmanager"]);
    let shipped = "http://127.0.0.1:9099";
    assert!(config.contains(shipped));
    let path = folder.path().join("alertmanager.yml");
    fs::write(&path, config.replace(shipped, &format!("http://{receiver}"))).unwrap();
    let mut command = Command::new("prometheus-alertmanager");
    command.arg(format!("--config.file={}", path.display())).arg(format!("--web.listen-address={address}"));
    command.args(["--cluster.listen-address=", "--log.level=warn"]).arg("--storage.path=alertmanager");
    command.current_dir(folder.path());
    Process::start(command, &folder.path().join("alertmanager.log"))
}

/// A Prometheus at the pace of the rules: a scrape in a second, and old samples are forgotten after five. Alerts are sent
/// again soon: those of the first moments after a reload are lost, until it has found its Alertmanager anew.
fn prometheus(folder: &TempDir, address: &str, alertmanager: &str) -> Process {
    let mut config = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  evaluation_interval: 1s\nrule_files: [rules/*.yml]\n\
         alerting:\n  alertmanagers:\n    - static_configs:\n        - targets: [\"{alertmanager}\"]\nscrape_configs:\n"
    );
    for job in JOBS {
        // A file that appears while the watch is being set is found by looking again only, every five minutes if not told.
        write!(
            config,
            "  - job_name: {job}\n    file_sd_configs:\n      - files: [targets/{job}-*.json]\n        refresh_interval: 1s\n"
        )
        .unwrap();
    }
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let mut command = Command::new("prometheus");
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--query.lookback-delta=5s"]);
    command.arg("--rules.alert.resend-delay=5s");
    command.arg(format!("--web.listen-address={address}")).arg("--log.level=warn").current_dir(folder.path());
    Process::start(command, &folder.path().join("prometheus.log"))
}
