//! `forebay print dashboards`: the Grafana dashboards, one to stdout or all into a folder.

use std::fs::{File, create_dir_all};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{RUNBOOKS, plain};
use crate::cli::console::Console;
use crate::cli::exit::Failure;
use crate::dashboards;

/// Which dashboards, and what they name that only their user knows.
#[derive(Debug, Args)]
pub(super) struct DashboardsArgs {
    /// The dashboard to print: overview, pipeline or resources.
    #[arg(value_name = "NAME", required_unless_present = "dir", value_parser = ["overview", "pipeline", "resources"])]
    name: Option<String>,
    /// Write NAME, or all of them, into this folder instead, as NAME.json.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where the runbooks are to be read.
    #[arg(long, value_name = "URL", default_value = RUNBOOKS, value_parser = plain)]
    runbooks: String,
}

/// Prints or writes what is asked for.
pub(super) fn print(args: &DashboardsArgs, console: &Console) -> Result<(), Failure> {
    let all = dashboards::all(args.runbooks.trim_end_matches('/'));
    let wanted = all.iter().filter(|dashboard| args.name.as_deref().is_none_or(|name| name == dashboard.name));
    for dashboard in wanted {
        match &args.dir {
            None => console.result(dashboard.text.trim_end()),
            Some(dir) => {
                let path = dir.join(format!("{}.json", dashboard.name));
                write(&path, dashboard.text.as_bytes())
                    .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
                console.result(&path.display().to_string());
            }
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    File::create(path)?.write_all(bytes)
}
