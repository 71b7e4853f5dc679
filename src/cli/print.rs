//! `forebay print`: references and assets of this very version.

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
}

pub(super) fn print(global: &Global, args: &PrintArgs, console: &Console) -> Result<Exit, Failure> {
    let text = match args.what {
        What::Metrics => reference::markdown(),
        What::SeriesBudget => budget::markdown(),
        What::ConfigSchema => config::json_schema().clone(),
        What::ScrapeConfig => scrape_config(&shared::config(global)?)?,
    };
    console.result(text.trim_end());
    Ok(Exit::Done)
}

/// Writes the scrape config. The limit is at least twice what this config can bring: it stops a mistake, not growth.
fn scrape_config(config: &Config) -> Result<String, Failure> {
    let protection = config.web_config_file.as_deref().map(check_web_config).transpose().map_err(Failure::usage)?;
    let Protection { tls, client_certificates, passwords } = protection.unwrap_or_default();
    let cost = budget::Cost::total();
    let rules: usize = config.pipelines.iter().map(|pipeline| pipeline.rules.len()).sum();
    let samples = cost.fixed + cost.per_pipeline * config.pipelines.len() + cost.per_rule * rules;
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
