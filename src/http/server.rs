//! The server: accepts, bounds what one client can hold, and speaks HTTP/1.1.
//!
//! HTTP/1.1 only: a scrape is one request at a time, which HTTP/2 makes no faster, and its streams are one more thing to
//! bound.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::seats::{Seat, Seats};
use super::timed::{FIRST, Timed};
use super::web::Web;
use crate::telemetry::Telemetry;
use crate::telemetry::event::Event;

/// Connections at once, over all addresses.
pub(super) const CONNECTIONS: usize = 128;
/// Longest head of a request, in bytes. More is answered with 431.
const HEAD: usize = 16 << 10;
/// Headers of a request.
const HEADERS: usize = 64;
/// Pause after a failure that may pass, such as too many open files.
const PAUSE: Duration = Duration::from_secs(1);
/// Failures in a row after which the listener counts as lost: half a minute nobody could watch.
const PATIENCE: u32 = 30;

/// What every connection needs.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) router: Router,
    pub(super) telemetry: Telemetry,
    pub(super) web: Option<Arc<Web>>,
    pub(super) seats: Arc<Seats>,
    pub(super) stop: CancellationToken,
}

impl Server {
    /// Answers on `listener` until the stop, then finishes the answers in progress. Fails if the listener is lost.
    pub(super) async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let mut connections = JoinSet::new();
        {
            // One future over the rounds: dropped half way, it would drop a client that waits for a seat.
            let accept = self.accept(&listener);
            tokio::pin!(accept);
            loop {
                tokio::select! {
                    () = self.stop.cancelled() => break,
                    accepted = accept.as_mut() => {
                        let (stream, seat) = accepted?;
                        connections.spawn(self.clone().converse(stream, seat));
                        accept.set(self.accept(&listener));
                    }
                    // Only to forget those that have ended.
                    Some(_) = connections.join_next() => {}
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
        Ok(())
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, Seat)> {
        let mut failures = 0;
        loop {
            let error = match listener.accept().await {
                Ok((stream, _)) => return Ok((stream, self.seats.take().await)),
                Err(error) => error,
            };
            if is_the_clients(&error) {
                continue;
            }
            failures += 1;
            self.telemetry.emit(Event::Error { component: "http", kind: "accept", message: &error.to_string() });
            if is_fatal(&error) || failures >= PATIENCE {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lives as long as one connection, or until another needs its seat.
    async fn converse(self, stream: TcpStream, seat: Seat) {
        let seat = Arc::new(seat);
        let lost = Arc::clone(&seat);
        tokio::select! {
            () = lost.lost() => {}
            () = self.greet(stream, seat) => {}
        }
    }

    async fn greet(self, stream: TcpStream, seat: Arc<Seat>) {
        let Some(web) = self.web.as_ref().filter(|web| web.protection().tls) else {
            return self.answer(stream, seat).await;
        };
        // Every stranger who knocks can make a handshake fail: not worth a line each.
        match tokio::time::timeout(FIRST, web.shake(stream)).await {
            Ok(Ok(stream)) => self.answer(stream, seat).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S, seat: Arc<Seat>) {
        let stream = Timed::new(stream, Arc::clone(&seat));
        let answers = TowerToHyperService::new(self.router);
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let (busy, answer) = (seat.busy(), answers.call(request));
            async move {
                let answer: Result<_, Infallible> = answer.await;
                drop(busy);
                answer
            }
        });
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD).max_headers(HEADERS);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::trace!(%error, "connection ended");
        }
    }
}

/// The client went away before it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    [ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted].contains(&error.kind())
}

/// The socket is none that listens: waiting cannot help.
fn is_fatal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let fatal = [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| fatal.contains(&code))
}
