//! What a worker may still do once it knows its pipelines: read their inputs, write their staging folders, and be killed first
//! when memory runs out.
//!
//! It is reused, and what is given up does not come back, so it keeps the folders of all pipelines of its configuration. Closed
//! are all other files, TCP, abstract Unix sockets, and signals to others. Landlock knows nothing of UDP and of Unix sockets with a
//! name in a folder: those stay open.

use std::path::Path;
use std::sync::Arc;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use crate::config::Pipeline;
use crate::job::places;

/// How much a worker gives way: it has a third of the weight of what is not nice.
const NICE: i32 = 5;

/// The rules this program was written for; an older kernel enforces as many of them as it knows.
const RULES: ABI = ABI::V6;

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

/// Gives up every right that no job needs, as far as Landlock knows it. Threads started from now on have no more either; those
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
    let ruleset = ruleset.scope(Scope::from_all(RULES))?;
    let mut ruleset = ruleset.create()?;
    for path in SYSTEM {
        ruleset = allow(ruleset, Path::new(path), AccessFs::from_read(RULES))?;
    }
    for pipeline in pipelines {
        ruleset = allow(ruleset, &pipeline.input, AccessFs::from_read(RULES))?;
        ruleset = allow(ruleset, &places::staging(&pipeline.output), AccessFs::from_all(RULES))?;
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

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    use super::*;

    #[test]
    fn what_is_given_up_is_files_tcp_and_abstract_sockets() {
        let (dir, listener) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let here = listener.local_addr().unwrap();
        let name = SocketAddr::from_abstract_name(dir.path().as_os_str().as_encoded_bytes()).unwrap();
        let _listening = UnixListener::bind_addr(&name).unwrap();
        TcpStream::connect(here).expect("before, it is there");
        UnixStream::connect_addr(&name).expect("and so is this");
        // The restriction is the thread's.
        let after = std::thread::spawn(move || {
            to_pipelines(&[]).unwrap();
            let kinds = [
                TcpStream::connect(here).map(drop),
                TcpListener::bind("127.0.0.1:0").map(drop),
                UnixStream::connect_addr(&name).map(drop),
                std::fs::read("/etc/passwd").map(drop),
                std::fs::create_dir(dir.path().join("x")),
            ];
            kinds.map(|done| done.err().map(|error| error.kind()))
        });
        assert_eq!(after.join().unwrap(), [Some(ErrorKind::PermissionDenied); 5]);
    }
}
