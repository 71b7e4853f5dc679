//! What a worker may still do once it knows its pipelines: read their inputs, write their staging folders, and be killed first
//! when memory runs out.

use std::path::Path;
use std::sync::Arc;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus,
};

use crate::config::Pipeline;

/// How much a worker gives way: it has a third of the weight of what is not nice.
const NICE: i32 = 5;

/// The rules this program was written for; an older kernel enforces as many of them as it knows.
const RULES: ABI = ABI::V5;

/// What the runtime looks up about the machine.
const SYSTEM: [&str; 2] = ["/proc", "/sys"];

/// Asks the system to take this process rather than the daemon when memory runs out. Where it will not hear of it, nothing is
/// lost but that.
#[expect(clippy::disallowed_methods, reason = "a switch of the kernel, not a file")]
pub(super) fn be_the_first_to_go() {
    std::fs::write("/proc/self/oom_score_adj", "500").ok();
}

/// Lets the daemon go first where both want a core: it answers scrapes and syncs what is finished, which takes little. For this
/// thread and all that it starts.
pub(super) fn give_way() {
    // A courtesy: jobs run without it as well.
    rustix::process::nice(NICE).ok();
}

/// Gives up every right to files and the network that no job needs. Threads started from now on have no more either; those
/// running keep theirs, so this comes before the first job.
///
/// # Errors
///
/// The kernel enforces nothing of it: says why.
pub(super) fn to_pipelines(pipelines: &[Arc<Pipeline>]) -> Result<(), String> {
    restrict(pipelines).map_err(|error| error.to_string()).and_then(|status| match status {
        RulesetStatus::NotEnforced => Err("the kernel has no Landlock".to_owned()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    })
}

fn restrict(pipelines: &[Arc<Pipeline>]) -> Result<RulesetStatus, landlock::RulesetError> {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let ruleset = ruleset.handle_access(AccessFs::from_all(RULES))?.handle_access(AccessNet::from_all(RULES))?;
    let mut ruleset = ruleset.create()?;
    for path in SYSTEM {
        ruleset = allow(ruleset, Path::new(path), AccessFs::from_read(RULES))?;
    }
    for pipeline in pipelines {
        ruleset = allow(ruleset, &pipeline.input, AccessFs::from_read(RULES))?;
        ruleset = allow(ruleset, &pipeline.staging_root(), AccessFs::from_all(RULES))?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// A folder that is not there cannot be named; a job that needs it fails, and the next worker looks again.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    match PathFd::new(path) {
        Ok(folder) => ruleset.add_rule(PathBeneath::new(folder, access)),
        Err(_) => Ok(ruleset),
    }
}
