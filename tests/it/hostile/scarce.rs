//! Where the machine gives little.

use super::{SOUND, next_file_flows, project};
use crate::support::Daemon;

/// The program under a hard limit of so many open files.
fn limited(project: &crate::support::Project, files: u32) -> std::process::Command {
    let mut command = std::process::Command::new("/bin/sh");
    let script = format!("ulimit -n {files}; exec \"$0\" run --log-format json");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_forebay")]).current_dir(project.path(""));
    command
}

#[test]
fn too_few_open_files_are_said_to_be_too_few() {
    for files in [16, 24, 200] {
        let project = project();
        project.drop_file("p", "a.csv", SOUND);
        let ended = limited(&project, files).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(70), "{said}");
        assert!(said.contains(&format!("at most {files} files may be open")), "{said}");
        assert!(!project.path("data/state").exists(), "nothing was begun");
    }
}

#[test]
fn as_many_open_files_as_are_asked_for_are_enough() {
    let project = project();
    let said = limited(&project, 384).output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let needed: u32 = said.split("this takes ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap();
    for number in 0..200 {
        project.drop_file("p", format!("{number}.csv"), format!("id,amount\n{number},1\n"));
    }
    let daemon = Daemon::launch(&project, limited(&project, needed));
    daemon.wait_processed("p", 200);
    let scrape = daemon.scrape();
    assert!(scrape.metric("forebay_file_retries_total").sum() < 0.5, "{}", daemon.log());
    assert_eq!(project.published("p").len(), 200);
    next_file_flows(&project, &daemon, 201);
    daemon.stop();
}

#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let project = project();
    let mut command = std::process::Command::new("/bin/sh");
    let script = "ulimit -Sn 64; exec \"$0\" run --log-format json";
    command.args(["-c", script, env!("CARGO_BIN_EXE_forebay")]).current_dir(project.path(""));
    let daemon = Daemon::launch(&project, command);
    next_file_flows(&project, &daemon, 1);
    assert!(daemon.scrape().metric("process_max_fds").value() > 64.5);
    daemon.stop();
}
