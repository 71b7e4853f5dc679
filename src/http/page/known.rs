//! What the ledger said of the first page a moment ago: everybody who looks at it shares one question.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::SHOWN;
use crate::http::App;
use crate::http::api::{Refusal, ask};
use crate::http::view::{FileFilter, FileSummary, OutcomeCounts};

/// An answer is shared for so long.
const FRESH: Duration = Duration::from_secs(1);

/// Files by pipeline and outcome, and the last ones.
pub(super) type Answer = (OutcomeCounts, Vec<FileSummary>);

/// The last answer, and when it was given.
#[derive(Debug, Default)]
pub(in crate::http) struct Known {
    last: Mutex<Option<(Instant, Arc<Answer>)>>,
}

impl Known {
    /// Returns the last answer, or asks for a new one.
    pub(super) async fn ask(&self, app: &App) -> Result<Arc<Answer>, Refusal> {
        let mut last = self.last.lock().await;
        if let Some((_, answer)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(Arc::clone(answer));
        }
        let filter = FileFilter { state: None, pipeline: None, limit: SHOWN };
        let answer = Arc::new(ask(app, move |view| Ok((view.outcomes()?, view.files(&filter)?))).await?);
        *last = Some((Instant::now(), Arc::clone(&answer)));
        Ok(answer)
    }
}
