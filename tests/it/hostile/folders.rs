//! Who else has a hand in forebay's folders: another daemon, and whoever may write to an inbox.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::SOUND;
use crate::support::{Daemon, Project, files_under, wait_for};

fn pipeline(name: &str, more: &str) -> String {
    format!(
        "[pipelines.{name}]\nsettle = \"60ms\"\nscan_interval = \"200ms\"\n{more}\n\
         [pipelines.{name}.columns]\nid = \"int64\"\namount = \"float64\"\n"
    )
}

fn project() -> Project {
    Project::new(&format!("{}{}", pipeline("p", ""), pipeline("q", "")))
}

/// A project whose pipeline `p` has the inbox of another's.
fn intruder(owner: &Project) -> Project {
    let (input, base) = (owner.inbox("p"), owner.path("intruder"));
    let folders = ["archive", "quarantine"].map(|name| format!("{name} = \"{}/{name}\"\n", base.display()));
    let shared = pipeline("p", &format!("input = \"{}\"\n{}", input.display(), folders.concat()));
    Project::new(&format!("{}{shared}", pipeline("own", "")))
}

#[test]
fn two_daemons_never_share_an_inbox() {
    let owner = project();
    let intruder = intruder(&owner);
    let daemon = owner.start();
    let refused = intruder.cli().arg("run").run().expect_code(70);
    let says = format!("another forebay (pid {}) works in {}", daemon.pid(), owner.inbox("p").display());
    assert!(refused.stderr.contains(&says), "{}", refused.stderr);
    owner.drop_file("p", "a.csv", SOUND);
    daemon.wait_processed("p", 1);
    // A reload that would bring one is refused; one that lets go of it leaves it to others.
    let with = fs::read_to_string(intruder.path("forebay.toml")).unwrap();
    let without = with.split("[pipelines.p]").next().unwrap();
    intruder.configure(without);
    let other = intruder.start();
    intruder.configure(&with);
    reload(&other, false);
    let both = fs::read_to_string(owner.path("forebay.toml")).unwrap();
    owner.configure(&both.replace(&pipeline("p", ""), ""));
    reload(&daemon, true);
    wait_for("the inbox to be let go of", || {
        other.signal(rustix::process::Signal::HUP);
        std::thread::sleep(std::time::Duration::from_millis(200));
        (other.scrape().metric("forebay_config_last_reload_successful").value() > 0.5).then_some(())
    });
    owner.drop_file("p", "b.csv", "id,amount\n7,7\n");
    other.wait_processed("p", 1);
    daemon.stop();
    other.stop();
}

/// Asks for a reload and waits until it has come to this.
fn reload(daemon: &Daemon, taken_up: bool) {
    daemon.signal(rustix::process::Signal::HUP);
    let says = if taken_up { "removed p" } else { "another forebay" };
    wait_for(says, || daemon.log().contains(says).then_some(()));
}

/// Files nobody may touch, in a folder a link leads to.
fn victim(project: &Project) -> Vec<std::path::PathBuf> {
    let victim = project.path("victim");
    fs::create_dir_all(victim.join("claimed")).unwrap();
    fs::write(victim.join("precious.csv"), SOUND).unwrap();
    fs::write(victim.join("claimed/precious.csv"), SOUND).unwrap();
    files_under(&victim)
}

fn others_go_on(project: &Project, daemon: &Daemon, rows: u64) {
    project.drop_file("q", format!("{rows}.csv"), format!("id,amount\n{rows},1\n"));
    daemon.wait_processed("q", rows);
}

#[test]
fn a_link_in_the_place_of_the_work_folder_moves_nothing_at_a_start() {
    for link in [".forebay", ".forebay/claimed"] {
        let project = project();
        let before = victim(&project);
        let link = project.inbox("p").join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(project.path("victim"), &link).unwrap();
        project.drop_file("p", "mine.csv", SOUND);
        let daemon = project.start();
        others_go_on(&project, &daemon, 1);
        let told = format!("{}: it is a symbolic link", link.display());
        wait_for("the link to be told of", || daemon.log().contains(&told).then_some(()));
        assert_eq!(files_under(&project.path("victim")), before);
        assert_eq!(project.left_in_inbox("p"), ["mine.csv"], "its files wait");
        fs::remove_file(&link).unwrap();
        daemon.wait_processed("p", 1);
        daemon.stop();
    }
}

#[test]
fn a_link_in_the_place_of_the_work_folder_takes_no_file_while_it_runs() {
    let project = project();
    let before = victim(&project);
    let daemon = project.start();
    let ours = project.inbox("p").join(".forebay");
    fs::rename(&ours, project.path("aside")).unwrap();
    symlink(project.path("victim"), &ours).unwrap();
    project.drop_file("p", "mine.csv", SOUND);
    others_go_on(&project, &daemon, 1);
    wait_for("the link to be told of", || daemon.log().contains("it is a symbolic link").then_some(()));
    assert_eq!(files_under(&project.path("victim")), before);
    assert_eq!(project.left_in_inbox("p"), ["mine.csv"]);
    fs::remove_file(&ours).unwrap();
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p").len(), 1);
    daemon.stop();
}

#[test]
fn a_pipe_in_the_place_of_a_kept_file_holds_nobody_up() {
    let config = "[server]\nlisten = \"127.0.0.1:0\"\n[paths]\nbase = \"data\"\n[limits]\nworkers = 1\n";
    let project = Project::with_config(&format!("{config}{}", pipeline("p", "on_success = \"keep\"")));
    let daemon = project.start();
    // Contents of a size seen before are read by the daemon itself.
    project.drop_file("p", "seen.csv", SOUND);
    daemon.wait_processed("p", 1);
    let rows: String = (0..1_500_000).map(|id| format!("{id},{id}.25\n")).collect();
    project.drop_file("p", "big.csv", format!("id,amount\n{rows}"));
    let in_flight = || daemon.scrape().metric("forebay_files_in_flight").value();
    wait_for("the large file to be in progress", || (in_flight() > 0.5).then_some(()));
    let inbox = project.inbox("p");
    for name in ["pipe.csv", "tube.csv", "link.csv"] {
        project.drop_file("p", name, SOUND.replace('1', &name.len().to_string()));
    }
    let claimed = || project.cli().args(["files", "--json"]).run().stdout.matches("\"claimed\"").count();
    wait_for("all to be claimed", || (claimed() == 4).then_some(()));
    for pipe in [inbox.join("pipe.csv"), inbox.join("tube.csv")] {
        fs::remove_file(&pipe).unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    }
    fs::write(project.path("elsewhere.csv"), SOUND).unwrap();
    fs::remove_file(inbox.join("link.csv")).unwrap();
    symlink(project.path("elsewhere.csv"), inbox.join("link.csv")).unwrap();
    project.drop_file("p", "next.csv", "id,amount\n9,9.5\n");
    daemon.wait_processed("p", 3);
    let mut names: Vec<_> = project.published("p").iter().map(|one| one.input_name().to_owned()).collect();
    names.sort_unstable();
    assert_eq!(names, ["big.csv", "next.csv", "seen.csv"]);
    daemon.stop();
}

#[test]
fn a_file_with_other_names_is_taken_and_told_of() {
    let project = project();
    let source = project.path("source.csv");
    fs::write(&source, SOUND).unwrap();
    let daemon = project.start();
    fs::hard_link(&source, project.inbox("p").join("linked.csv")).unwrap();
    project.drop_file("p", "alone.csv", "id,amount\n5,5\n");
    daemon.wait_processed("p", 2);
    let log = daemon.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("hard links")).collect();
    assert!(told.len() == 1 && told[0].contains("linked.csv"), "{told:?}");
    let story = |name: &str| project.cli().args(["explain", name]).run().expect_code(0).stdout;
    assert!(story("linked.csv").contains("it has other names (hard links)"), "{}", story("linked.csv"));
    assert!(!story("alone.csv").contains("hard links"));
    daemon.stop();
}
