//! A listener that bounds what one client can hold: connections in all, and time without an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep};

use crate::telemetry::Telemetry;
use crate::telemetry::event::Event;

/// Connections at once. More wait in the kernel's queue.
const CONNECTIONS: usize = 128;
/// Time a client has to get its first request across: it bounds slow and silent ones.
const FIRST: Duration = Duration::from_secs(20);
/// Time between two answers: longer than the longest sensible scrape interval.
const IDLE: Duration = Duration::from_mins(2);
/// Pause after a failure that may pass, such as too many open files.
const PAUSE: Duration = Duration::from_secs(1);
/// Failures in a row after which the listener counts as lost: half a minute nobody could watch.
const PATIENCE: u32 = 30;

/// The listener.
pub(super) struct Guarded {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    telemetry: Telemetry,
    dying: mpsc::Sender<io::Error>,
}

impl Guarded {
    /// Guards `listener`; its death is told to `dying`.
    pub(super) fn new(listener: TcpListener, telemetry: Telemetry, dying: mpsc::Sender<io::Error>) -> Self {
        Self { listener, slots: Arc::new(Semaphore::new(CONNECTIONS)), telemetry, dying }
    }

    /// Tells of the death and never returns: the server is ended from outside.
    async fn die(&self, error: io::Error) -> ! {
        // Nobody listening means the server ends already.
        drop(self.dying.send(error).await);
        std::future::pending().await
    }
}

impl axum::serve::Listener for Guarded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let slot = match Arc::clone(&self.slots).acquire_owned().await {
            Ok(slot) => slot,
            Err(closed) => self.die(io::Error::other(closed)).await,
        };
        let mut failures = 0;
        loop {
            let error = match self.listener.accept().await {
                Ok((stream, peer)) => return (Connection::new(stream, slot), peer),
                Err(error) => error,
            };
            if is_the_clients(&error) {
                continue;
            }
            failures += 1;
            self.telemetry.emit(Event::Error { component: "http", kind: "accept", message: &error.to_string() });
            if is_fatal(&error) || failures >= PATIENCE {
                self.die(error).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
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

/// A connection that ends itself when it brings no answer about for too long.
pub(super) struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, slot: OwnedSemaphorePermit) -> Self {
        Self { stream, deadline: Box::pin(tokio::time::sleep(FIRST)), _slot: slot }
    }

    /// Fails once the time is up; registers for a wake-up otherwise.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(bytes)) => {
                self.deadline.as_mut().reset(Instant::now() + IDLE);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match self.check(cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Also when bytes are there: a client that sends one byte now and then must not stay for ever.
        this.check(cx)?;
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
