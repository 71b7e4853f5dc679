//! A stream that ends itself when it brings no answer about for too long. The time an answer takes is ours, not the client's.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::seats::Seat;

/// Time a client has to get its first request across, and before that its handshake: it bounds slow and silent ones.
pub(super) const FIRST: Duration = Duration::from_secs(20);
/// Time between two answers: longer than the longest sensible scrape interval.
const IDLE: Duration = Duration::from_mins(2);
/// More time for a request that is being answered when the time is up: longer than every handler takes.
const ANSWER: Duration = Duration::from_mins(3);

/// The stream.
pub(super) struct Timed<S> {
    stream: S,
    seat: Arc<Seat>,
    deadline: Pin<Box<Sleep>>,
    /// More time was given already.
    extended: bool,
}

impl<S> Timed<S> {
    /// Gives `stream` the time of a first request, and more for as long as the client on this seat is being answered.
    pub(super) fn new(stream: S, seat: Arc<Seat>) -> Self {
        Self::within(FIRST, stream, seat)
    }

    fn within(first: Duration, stream: S, seat: Arc<Seat>) -> Self {
        Self { stream, seat, deadline: Box::pin(tokio::time::sleep(first)), extended: false }
    }

    /// Fails once the time is up; registers for a wake-up otherwise.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.deadline.as_mut().poll(cx).is_ready() {
            if self.extended || !self.seat.is_busy() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.extended = true;
            self.deadline.as_mut().reset(Instant::now() + ANSWER);
        }
        Ok(())
    }

    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(bytes)) => {
                self.extended = false;
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

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Also when bytes are there: a client that sends one byte now and then must not stay for ever.
        this.check(cx)?;
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::seats::Seats;
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    /// Reads what never comes; `None` if it is still waiting for it after several times the time of a first request.
    async fn waited(stream: &mut Timed<tokio::io::DuplexStream>) -> Option<io::ErrorKind> {
        let read = tokio::time::timeout(SHORT * 10, stream.read_u8()).await;
        read.ok().map(|read| read.unwrap_err().kind())
    }

    #[tokio::test]
    async fn a_silent_client_goes_and_one_that_is_being_answered_gets_its_answer() {
        let seats = Seats::new(1);
        let seat = Arc::new(seats.take().await);
        let (mut client, ours) = tokio::io::duplex(64);
        let mut stream = Timed::within(SHORT, ours, Arc::clone(&seat));
        let busy = seat.busy();
        assert_eq!(waited(&mut stream).await, None, "an answer that takes its time");
        drop(busy);
        stream.write_all(b"it").await.unwrap();
        let mut answer = [0; 2];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"it");
        let (_silent, ours) = tokio::io::duplex(64);
        let mut stream = Timed::within(SHORT, ours, seat);
        assert_eq!(waited(&mut stream).await, Some(io::ErrorKind::TimedOut));
    }
}
