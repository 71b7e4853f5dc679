//! What a reload has done already when it comes to nothing.

use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use super::super::{DaemonOptions, Notice};
use super::*;
use crate::admit::{Claim, Found};
use crate::clock::{Clock, SystemClock};
use crate::job::Outcome;
use crate::ledger::Ledger;
use crate::publish::Publisher;
use crate::storage::{Disk, Storage};
use crate::telemetry::Telemetry;

fn config(dir: &Path, pipelines: &[&str]) -> Config {
    let pipelines: Vec<String> =
        pipelines.iter().map(|name| format!("[pipelines.{name}]\ncolumns.id = \"int64\"\n")).collect();
    let pipelines = pipelines.concat();
    let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n[paths]\nbase = \"data\"\n{pipelines}");
    crate::config::parse(&text, &dir.join("forebay.toml")).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Leaves a file of the first pipeline in the ledger that was claimed by a process that died, and has gone since: all there is
/// left to do is to say so.
fn a_claim_that_is_gone(config: &Config) {
    let (storage, clock): (Arc<dyn Storage>, Arc<dyn Clock>) = (Arc::new(Disk::new()), Arc::new(SystemClock));
    setup::make_folders(&*storage, config).unwrap();
    let pipeline = &config.pipelines[0];
    let path = pipeline.input.join("gone.csv");
    std::fs::File::create(&path).unwrap();
    let stamp = storage.stat(&path).unwrap().unwrap().stamp;
    let found = Found { name: "gone.csv".into(), path, stamp, first_seen: clock.now() };
    let ledger = Arc::new(Ledger::open(&config.state, Arc::clone(&clock)).unwrap());
    let publisher = Publisher::new(storage, Arc::clone(&ledger), clock);
    assert!(matches!(publisher.claim(pipeline, &found).unwrap(), Claim::Claimed(_)));
    rustix::fs::unlink(&ledger.unfinished().unwrap()[0].input_path).unwrap();
}

#[test]
fn what_a_refused_reload_has_finished_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let both = config(dir.path(), &["p", "q"]);
    a_claim_that_is_gone(&both);
    let (tell, mut notices) = unbounded_channel();
    let (events, _engine) = unbounded_channel();
    let options = DaemonOptions { notices: Some(tell), ..DaemonOptions::default() };
    let only_q = config(dir.path(), &["q"]);
    let (view, telemetry) = (Arc::new(LedgerView::new(&only_q)), Telemetry::new(&setup::infos(&only_q)));
    let known = CancellationToken::new();
    let prepared =
        setup::prepare(only_q, options, telemetry, Arc::new(SystemClock), &view, events.clone(), known).unwrap();
    assert!(notices.try_recv().is_err(), "its pipeline is not there");
    let life = Lifecycle::new();
    let reloader = Reloader { path: None, shared: Arc::new(prepared.0), view, web: None, events, life: life.clone() };
    // The end comes while the reload is under way.
    life.drain("test");
    let next = Generation::of(both);
    assert!(reloader.prepare(&next).is_err_and(|why| why.contains("draining")));
    let Ok(Notice::Finished(row)) = notices.try_recv() else { panic!("nobody is told") };
    assert_eq!((row.display_name().as_str(), row.outcome), ("gone.csv", Some(Outcome::Failed)));
    assert!(reloader.shared.publisher.ledger().unfinished().unwrap().is_empty(), "and it is done");
}
