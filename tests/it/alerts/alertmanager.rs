//! An Alertmanager of Debian's, asked through amtool.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::{ROOT, tool};
use crate::support::wait_for;

/// An Alertmanager with the shipped configuration. Killed at the end of the test.
pub(super) struct Alertmanager {
    child: Child,
    url: String,
    _storage: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts it on a free port and waits until it answers.
    #[track_caller]
    pub(super) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let storage = tempfile::tempdir().unwrap();
        let child = Command::new("prometheus-alertmanager")
            .args(["--config.file=alerts/alertmanager.yml", "--cluster.listen-address="])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--storage.path={}", storage.path().display()))
            .current_dir(ROOT)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("where amtool is, there is an Alertmanager");
        let manager = Self { child, url: format!("--alertmanager.url=http://127.0.0.1:{port}"), _storage: storage };
        wait_for("the Alertmanager", || {
            let asked = Command::new("amtool").args([&manager.url, "config", "show"]).output().unwrap();
            asked.status.success().then_some(())
        });
        manager
    }

    /// Adds an alert with these labels, `name=value` each.
    pub(super) fn add(&self, labels: &str) {
        let args = ["alert", "add", "job=forebay"].into_iter().chain(labels.split(' '));
        let args: Vec<&str> = [self.url.as_str()].into_iter().chain(args).collect();
        tool("amtool", &args);
    }

    /// Returns name, instance, pipeline and volume of the alerts that are held back by others.
    pub(super) fn inhibited(&self) -> BTreeSet<String> {
        let told = tool("amtool", &[&self.url, "alert", "query", "--inhibited", "-o", "json"]).unwrap();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let label = |alert: &serde_json::Value, name: &str| alert["labels"][name].as_str().unwrap_or("-").to_owned();
        let words = |alert| ["alertname", "instance", "pipeline", "volume"].map(|name| label(alert, name)).join(" ");
        told.as_array().unwrap().iter().map(words).collect()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
