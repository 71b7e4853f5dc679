//! Servers of others, as Debian has them, for as long as a test lasts.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::{Project, Scrape, wait_for};

/// A running server that tells metrics. Killed at the end of the test.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    address: String,
}

impl Peer {
    /// Starts `program` on a free port and waits until it answers. `None` if it is not installed, which is said loudly.
    #[track_caller]
    pub(crate) fn start(project: &Project, program: &str, args: &[String]) -> Option<Self> {
        // Free a moment ago: it cannot be told to choose one and say which.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let log = std::fs::File::create(project.path(format!("{program}.log"))).unwrap();
        let started = Command::new(program)
            .arg(format!("--web.listen-address={address}"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        match started {
            Ok(child) => {
                let peer = Self { child, address };
                wait_for(program, || peer.try_scrape().map(drop));
                Some(peer)
            }
            Err(error) => {
                assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "{program} is required: {error}");
                eprintln!("LEFT OUT: {program} not installed");
                None
            }
        }
    }

    /// Returns where it listens, as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn try_scrape(&self) -> Option<Scrape> {
        let mut answer = ureq::get(format!("{}/metrics", self.url())).call().ok()?;
        Some(Scrape::parse(&answer.body_mut().read_to_string().ok()?))
    }

    /// Scrapes it.
    #[track_caller]
    pub(crate) fn scrape(&self) -> Scrape {
        self.try_scrape().expect("it answers")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
