//! `forebay print`: references and assets of this very version.

mod dashboards;
mod pace;

use clap::{Args, Subcommand};

use super::console::Console;
use super::exit::{Exit, Failure};
use super::{Global, shared};
use crate::config::{self, Config};
use crate::http::{Protection, check_web_config};
use crate::telemetry::{budget, reference};

/// Options of `forebay print`.
#[derive(Debug, Args)]
pub(super) struct PrintArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every metric with type, labels and meaning, as Markdown.
    Metrics,
    /// How many series a pipeline costs Prometheus, metric by metric.
    SeriesBudget,
    /// The JSON Schema of the configuration, for editors.
    ConfigSchema,
    /// A scrape config for Prometheus that fits the configuration.
    ScrapeConfig,
    /// Recording and alerting rules for Prometheus.
    Rules(RulesArgs),
    /// An Alertmanager configuration to start from.
    Alertmanager(PaceArgs),
    /// The Grafana dashboards.
    Dashboards(dashboards::DashboardsArgs),
}

/// What the rules name that only their user knows.
#[derive(Debug, Args)]
struct RulesArgs {
    /// The job forebay is scraped as.
    #[arg(long, value_name = "JOB", default_value = JOB, value_parser = plain)]
    job: String,
    /// Where the runbooks are to be read.
    #[arg(long, value_name = "URL", default_value = RUNBOOKS, value_parser = plain)]
    runbooks: String,
    /// The Grafana that has the dashboards.
    #[arg(long, value_name = "URL", default_value = GRAFANA, value_parser = plain)]
    grafana: String,
    #[command(flatten)]
    pace: PaceArgs,
}

/// How fast everything happens.
#[derive(Debug, Args)]
struct PaceArgs {
    /// Every window and every wait so many times shorter: for tests that cannot wait.
    #[arg(long, value_name = "FACTOR", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=600))]
    pace: u32,
}

const JOB: &str = "forebay";
const RUNBOOKS: &str = "https://forebay.example.com/docs/runbooks";
const GRAFANA: &str = "https://grafana.example.com";

/// The shipped files, which are what is printed when nothing is asked for.
const RULES: &str = include_str!("../../alerts/forebay.rules.yml");
const ALERTMANAGER: &str = include_str!("../../alerts/alertmanager.yml");

/// Takes what can stand in YAML and PromQL as it is.
fn plain(text: &str) -> Result<String, String> {
    let may = |letter: char| letter.is_ascii_alphanumeric() || "-_./:~%@".contains(letter);
    if text.is_empty() || !text.chars().all(may) {
        return Err("letters, digits and - _ . / : ~ % @ are possible".to_owned());
    }
    Ok(text.to_owned())
}

fn rules(args: &RulesArgs) -> String {
    pace::paced(RULES, args.pace.pace)
        .replace(&format!("job=\"{JOB}\""), &format!("job=\"{}\"", args.job))
        .replace(RUNBOOKS, args.runbooks.trim_end_matches('/'))
        .replace(GRAFANA, args.grafana.trim_end_matches('/'))
}

pub(super) fn print(global: &Global, args: &PrintArgs, console: &Console) -> Result<Exit, Failure> {
    let text = match &args.what {
        What::Dashboards(args) => return dashboards::print(args, console).map(|()| Exit::Done),
        What::Metrics => reference::markdown(),
        What::SeriesBudget => budget::markdown(),
        What::ConfigSchema => config::json_schema().clone(),
        What::ScrapeConfig => scrape_config(&shared::config(global)?)?,
        What::Rules(args) => rules(args),
        What::Alertmanager(args) => pace::paced(ALERTMANAGER, args.pace),
    };
    console.result(text.trim_end());
    Ok(Exit::Done)
}

/// Writes the scrape config. The limit is at least twice what this config can bring: it stops a mistake, not growth.
fn scrape_config(config: &Config) -> Result<String, Failure> {
    let protection = config.web_config_file.as_deref().map(check_web_config).transpose().map_err(Failure::usage)?;
    let Protection { tls, client_certificates, passwords } = protection.unwrap_or_default();
    let rules: usize = config.pipelines.iter().map(|pipeline| pipeline.rules.len()).sum();
    let samples = budget::Cost::total().of_all(config.pipelines.len(), rules, config.workers);
    let mut text = format!(
        "\
# For prometheus.yml. Below scrape_interval 15s little is gained; above 1m short backlogs are not seen.
scrape_configs:
  - job_name: forebay
    scrape_interval: 15s
    scrape_timeout: 10s
    sample_limit: {}      # twice what this config can make, and more; see `forebay print series-budget`
    label_limit: 16
    label_name_length_limit: 64
    label_value_length_limit: 128
",
        (samples * 2).next_multiple_of(1000)
    );
    if tls {
        text.push_str("    scheme: https\n    tls_config:\n      ca_file: forebay-ca.pem      # who signed the certificate of forebay\n");
    }
    if client_certificates {
        text.push_str("      cert_file: prometheus.pem\n      key_file: prometheus.key\n");
    }
    if passwords {
        text.push_str("    basic_auth:\n      username: prometheus\n      password_file: forebay-password\n");
    }
    // Of several addresses the first: they all tell the same, and two targets would be two daemons.
    let target = config.listen.first().map(ToString::to_string).unwrap_or_default();
    Ok(text + "    static_configs:\n      - targets: [\"" + &target + "\"]\n")
}
