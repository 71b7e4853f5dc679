//! A real Prometheus, as Debian has it, for as long as a test lasts.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{Project, wait_for};

/// A running Prometheus. Killed at the end of the test.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    /// Starts it in a project's folder with these jobs, each a piece of YAML below `scrape_configs:`; `ITSELF` in them is its own
    /// address. `None` if it is not installed, which is said loudly.
    #[track_caller]
    pub(crate) fn start(project: &Project, jobs: &str) -> Option<Self> {
        // Free a moment ago: Prometheus cannot be told to choose one and say which.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let jobs = jobs.replace("ITSELF", &address);
        let config = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  evaluation_interval: 1s\nscrape_configs:\n{jobs}"
        );
        let path = project.path("prometheus.yml");
        std::fs::write(&path, config).unwrap();
        let log = std::fs::File::create(project.path("prometheus.log")).unwrap();
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", project.path("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--enable-feature=exemplar-storage", "--log.level=warn"])
            .current_dir(project.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        match started {
            Ok(child) => Some(Self { child, address }),
            Err(error) => {
                assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "prometheus is required: {error}");
                eprintln!("LEFT OUT: prometheus not installed");
                None
            }
        }
    }

    /// Asks its API; `None` until it answers.
    fn try_ask(&self, path: &str) -> Option<Value> {
        let text = ureq::get(format!("http://{}{path}", self.address)).call().ok()?.body_mut().read_to_string().ok()?;
        let answer: Value = serde_json::from_str(&text).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// Waits for a target of `job` that was scraped, and returns what Prometheus says of it.
    #[track_caller]
    pub(crate) fn target(&self, job: &str) -> Value {
        wait_for(&format!("Prometheus to scrape {job}"), || {
            let targets = self.try_ask("/api/v1/targets")?;
            let all = targets["activeTargets"].as_array()?;
            let target = all.iter().find(|target| target["labels"]["job"] == job)?;
            (target["health"] != "unknown").then(|| target.clone())
        })
    }

    /// Waits until an instant query gives one sample that `wanted` takes.
    #[track_caller]
    pub(crate) fn wait_value(&self, query: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        wait_for(query, || {
            let data = self.try_ask(&format!("/api/v1/query?query={}", encode(query)))?;
            let [sample] = data["result"].as_array()?.as_slice() else { return None };
            let value: f64 = sample["value"][1].as_str()?.parse().ok()?;
            wanted(value).then_some(value)
        })
    }

    /// Asks for the newest values.
    #[track_caller]
    pub(crate) fn instant(&self, query: &str) -> Value {
        let answer = self.try_ask(&format!("/api/v1/query?query={}", encode(query)));
        answer.unwrap_or_else(|| panic!("Prometheus does not answer {query}"))
    }

    /// Asks for the values of the last seconds, one for each.
    #[track_caller]
    pub(crate) fn range(&self, query: &str, seconds: u64) -> Value {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let span = format!("start={}&end={now}&step=1", now - seconds);
        let answer = self.try_ask(&format!("/api/v1/query_range?query={}&{span}", encode(query)));
        answer.unwrap_or_else(|| panic!("Prometheus does not answer {query}"))
    }

    /// Asks for the values of a label of some series, sorted.
    #[track_caller]
    pub(crate) fn label_values(&self, series: &str, label: &str) -> Vec<String> {
        let answer = self.try_ask(&format!("/api/v1/label/{label}/values?match[]={}", encode(series)));
        let values = answer.unwrap_or_else(|| panic!("Prometheus does not answer label_values({series}, {label})"));
        values.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    /// Waits for the exemplars of a series.
    #[track_caller]
    pub(crate) fn wait_exemplars(&self, query: &str) -> Vec<Value> {
        wait_for(&format!("exemplars of {query}"), || {
            let path = format!("/api/v1/query_exemplars?query={}&start=0&end=9999999999", encode(query));
            let data = self.try_ask(&path)?;
            let found: Vec<Value> = data
                .as_array()?
                .iter()
                .flat_map(|series| series["exemplars"].as_array().cloned().unwrap_or_default())
                .collect();
            (!found.is_empty()).then_some(found)
        })
    }
}

/// Percent-encodes a query.
fn encode(query: &str) -> String {
    query
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
