//! The person on call: hears what Alertmanager posts, and remembers all of it.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::post;
use serde_json::Value;

use crate::alert::Alert;

/// One alert of one message.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    /// Whom it was sent to.
    pub(crate) receiver: String,
    pub(crate) alert: Alert,
    pub(crate) firing: bool,
    pub(crate) annotations: Value,
    /// Number of the message it came in.
    pub(crate) message: usize,
    /// The labels that all alerts of the message share.
    pub(crate) group: Value,
}

/// Listens until the test ends.
#[derive(Debug)]
pub(crate) struct Receiver {
    heard: Arc<Mutex<Vec<Heard>>>,
    address: String,
}

impl Receiver {
    /// Listens on a port that the system chooses.
    pub(crate) fn start() -> Self {
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let door = axum::Router::new().route("/{receiver}", post(hear)).with_state(Arc::clone(&heard));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, door).await.unwrap();
            });
        });
        Self { heard, address }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns all that was heard, in order.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Returns what was first heard of an alert since a moment.
    pub(crate) fn first(&self, alert: &Alert, firing: bool, since: Instant) -> Option<Heard> {
        let heard = self.heard.lock().unwrap();
        heard.iter().find(|heard| heard.firing == firing && heard.at >= since && heard.alert == *alert).cloned()
    }
}

async fn hear(State(heard): State<Arc<Mutex<Vec<Heard>>>>, Path(receiver): Path<String>, Json(message): Json<Value>) {
    let mut heard = heard.lock().unwrap();
    let number = heard.last().map_or(0, |last| last.message + 1);
    for alert in message["alerts"].as_array().unwrap() {
        heard.push(Heard {
            at: Instant::now(),
            receiver: receiver.clone(),
            alert: Alert::read(&alert["labels"]),
            firing: alert["status"] == "firing",
            annotations: alert["annotations"].clone(),
            message: number,
            group: message["groupLabels"].clone(),
        });
    }
}
