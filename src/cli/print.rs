//! `forebay print`: references and assets of this very version.

use clap::{Args, Subcommand};

use super::console::Console;
use super::exit::{Exit, Failure};
use super::{Global, shared};
use crate::config;
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
        What::ScrapeConfig => scrape_config(&shared::config(global)?.listen.to_string()),
    };
    console.result(text.trim_end());
    Ok(Exit::Done)
}

fn scrape_config(target: &str) -> String {
    format!(
        "\
# For prometheus.yml. Below scrape_interval 15s little is gained; above 1m short backlogs are not seen.
scrape_configs:
  - job_name: forebay
    scrape_interval: 15s
    static_configs:
      - targets: [\"{target}\"]
"
    )
}
