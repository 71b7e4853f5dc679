//! `forebay ledger verify`: does the disk hold what the ledger says?

use clap::Args;
use serde_json::json;

use crate::cli::console::{Console, Tone, count};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{Global, shared};
use crate::ledger::{LedgerError, LedgerReader};
use crate::publish::{Audit, Audited, Finding, FindingKind, PublishError};
use crate::storage::Disk;

/// Options of `forebay ledger verify`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 nothing is wrong, 1 something is, 2 usage or config error.")]
pub(in crate::cli) struct VerifyArgs {
    /// Compares names and sizes only, and reads no outputs and originals.
    #[arg(long)]
    quick: bool,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn verify(global: &Global, args: &VerifyArgs, console: &Console) -> Result<Exit, Failure> {
    let config = shared::config(global)?;
    let mut findings = Vec::new();
    let mut tell = |finding: Finding| {
        if !args.json {
            print(&finding, console);
        }
        findings.push(finding);
    };
    let compared = LedgerReader::open(&config.state).map_err(PublishError::from).and_then(|ledger| {
        let storage = Disk::default();
        Audit { pipelines: &config.pipelines, ledger: &ledger, storage: &storage, contents: !args.quick }.run(&mut tell)
    });
    let audited = match compared {
        Ok(audited) => audited,
        Err(PublishError::Ledger(error @ (LedgerError::Unreadable { .. } | LedgerError::Sql { .. }))) => {
            tell(Finding::of_ledger(error.to_string()));
            Audited::default()
        }
        Err(PublishError::Ledger(error)) => return Err(shared::ledger_failure(&error)),
        Err(error) => return Err(Failure::internal(shared::chain(&error))),
    };
    let Audited { files, outputs } = audited;
    if args.json {
        console.json(&json!({ "files": files, "outputs": outputs, "findings": findings }));
    }
    let wrong = findings.len() as u64;
    let looked_at = format!("{} files and {} published directories compared", count(files), count(outputs));
    if wrong == 0 {
        console.say(&format!("{looked_at}; nothing is wrong"));
        return Ok(Exit::Done);
    }
    let damaged = findings.iter().any(|finding| finding.kind == FindingKind::LedgerDamaged);
    let incomplete = if damaged { "; the ledger is damaged, so there may be more" } else { "" };
    console.warn(&format!("{looked_at}; findings: {}{incomplete}", count(wrong)));
    Ok(Exit::SomeFailed)
}

fn print(finding: &Finding, console: &Console) {
    let place = [finding.id.as_ref().map(ToString::to_string), finding.shown_path()];
    let place: Vec<String> = place.into_iter().flatten().collect();
    let kind = console.out(Tone::Alarm, finding.kind.as_str());
    console.result(&format!("{kind}  {}", place.join("  ")));
    console.result(&format!("    {}", finding.message));
    console.result(&format!("    {}", console.out(Tone::Faint, &finding.hint)));
}
