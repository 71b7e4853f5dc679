//! SIGHUP and `POST /-/reload`: look at the configuration again, and say honestly what comes of it.
//!
//! This version takes a changed configuration up only at a restart. A changed file that is sound is therefore told as a
//! reload that did not succeed: what was asked for has not happened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Told;
use crate::clock::Clock;
use crate::http::ReloadRequest;
use crate::lifecycle::Lifecycle;
use crate::telemetry::Telemetry;

/// Answers reload requests until it is dropped.
pub(super) async fn serve(
    path: Option<PathBuf>,
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    life: Lifecycle,
    mut asked: mpsc::Receiver<ReloadRequest>,
) -> Result<(), String> {
    let running = path.as_deref().map(read);
    loop {
        let answer = tokio::select! {
            () = life.reload_asked() => None,
            Some(answer) = asked.recv() => Some(answer),
        };
        let looked = match (path.clone(), running.clone()) {
            (Some(path), Some(running)) => {
                let look = tokio::task::spawn_blocking(move || look_again(&path, &running));
                look.await.map_err(|error| error.to_string())?
            }
            _ => Ok("this daemon was started without a configuration file".to_owned()),
        };
        let (ok, message) = match &looked {
            Ok(message) => (true, message),
            Err(message) => (false, message),
        };
        telemetry.emit(Told::ConfigLoaded { at: clock.now(), ok, message });
        if let Some(answer) = answer {
            // Whoever asked may have gone away.
            drop(answer.send(looked));
        }
    }
}

fn read(path: &Path) -> Vec<u8> {
    // Unreadable now is a difference later, if it is readable then.
    std::fs::read(path).unwrap_or_default()
}

fn look_again(path: &Path, running: &[u8]) -> Result<String, String> {
    let shown = path.display();
    match crate::config::load(path) {
        Err(errors) => Err(format!("{shown} is not sound, the running configuration stays: {errors}")),
        Ok(_) if read(path) == running => Ok(format!("{shown} has not changed")),
        Ok(_) => Err(format!("{shown} has changed and is sound; this version takes it up at a restart, not before")),
    }
}
