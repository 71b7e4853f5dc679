//! Work that comes again and again, each piece on a thread of its own: one that hangs is left out until it is back, and holds up
//! nobody else.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

/// Pieces of work under way, by name.
#[derive(Default)]
pub(super) struct Steps {
    under_way: BTreeSet<String>,
    done: JoinSet<(String, Result<(), String>)>,
}

impl Steps {
    /// Begins a piece of work, unless it has not come back from the last time.
    pub(super) fn begin(&mut self, name: String, act: impl FnOnce() -> Result<(), String> + Send + 'static) {
        if self.under_way.insert(name.clone()) {
            drop(self.done.spawn_blocking(move || {
                let ended = act();
                (name, ended)
            }));
        }
    }

    /// Waits for the end of one; for ever if there is none. A panic is an error as well.
    pub(super) async fn ended(&mut self) -> Result<(), String> {
        match self.done.join_next().await {
            Some(Ok((name, ended))) => {
                self.under_way.remove(&name);
                ended
            }
            Some(Err(error)) => Err(error.to_string()),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn a_step_that_hangs_is_left_out_and_holds_up_nobody() {
        let mut steps = Steps::default();
        let (let_go, held) = channel::<()>();
        let begun: Arc<AtomicU32> = Arc::default();
        let hang = |begun: &Arc<AtomicU32>, held: Option<std::sync::mpsc::Receiver<()>>| {
            let begun = Arc::clone(begun);
            move || {
                begun.fetch_add(1, Ordering::SeqCst);
                held.map_or(Ok(()), |held| held.recv().map_err(|error| error.to_string()))
            }
        };
        steps.begin("hung".to_owned(), hang(&begun, Some(held)));
        for _ in 0..3 {
            steps.begin("quick".to_owned(), || Ok(()));
            steps.begin("hung".to_owned(), hang(&begun, None));
            steps.ended().await.unwrap();
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1, "begun once as long as it has not come back");
        let_go.send(()).unwrap();
        steps.ended().await.unwrap();
        steps.begin("hung".to_owned(), hang(&begun, None));
        steps.ended().await.unwrap();
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_fails_or_panics_is_told() {
        let mut steps = Steps::default();
        steps.begin("bad".to_owned(), || Err("no luck".to_owned()));
        assert_eq!(steps.ended().await, Err("no luck".to_owned()));
        steps.begin("worse".to_owned(), || panic!("on purpose"));
        assert!(steps.ended().await.is_err());
    }
}
