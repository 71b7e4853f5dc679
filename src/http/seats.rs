//! Room for a bounded number of connections. When all seats are taken, the connection that has gone longest without a whole
//! request gives up its own: however many clients are slow or silent, who asks is served.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long to wait for a seat until another connection must go.
const NEXT: Duration = Duration::from_millis(50);

/// All seats.
#[derive(Debug)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

/// Connections that wait for their client, the longest first.
#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    since: BTreeMap<u64, CancellationToken>,
}

impl Seats {
    /// Returns so many free seats.
    pub(super) fn new(seats: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(seats)), waiting: Mutex::default() })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat; if none is free, at the cost of who has waited longest.
    pub(super) async fn take(self: &Arc<Self>) -> Seat {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                let seat = Seat {
                    seats: Arc::clone(self),
                    number: Mutex::new(0),
                    gone: CancellationToken::new(),
                    _permit: permit,
                };
                seat.wait();
                return seat;
            }
            // With none waiting, all of them are being answered: one will soon be done.
            let longest = self.waiting().since.pop_first();
            if let Some((_, gone)) = longest {
                gone.cancel();
            }
            // Woken by the first free seat, which is then taken above, or by somebody else: then the next one goes.
            let freed = Arc::clone(&self.free).acquire_owned();
            drop(tokio::time::timeout(NEXT, freed).await);
        }
    }
}

/// One seat; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: Mutex<u64>,
    gone: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// Waits until another connection needs this seat.
    pub(super) async fn lost(&self) {
        self.gone.cancelled().await;
    }

    /// Keeps the seat for as long as a request is being answered.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.leave();
        Busy { seat: Arc::clone(self) }
    }

    /// Returns whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        let number = *self.number.lock().unwrap_or_else(PoisonError::into_inner);
        !self.seats.waiting().since.contains_key(&number)
    }

    fn wait(&self) {
        let mut waiting = self.seats.waiting();
        waiting.next += 1;
        let number = waiting.next;
        waiting.since.insert(number, self.gone.clone());
        *self.number.lock().unwrap_or_else(PoisonError::into_inner) = number;
    }

    fn leave(&self) {
        let number = *self.number.lock().unwrap_or_else(PoisonError::into_inner);
        self.seats.waiting().since.remove(&number);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A request is being answered.
#[derive(Debug)]
pub(super) struct Busy {
    seat: Arc<Seat>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.seat.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection: holds its seat until it is lost.
    fn sit(seat: Arc<Seat>) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move { seat.lost().await })
    }

    #[tokio::test]
    async fn who_waited_longest_goes_and_who_is_being_answered_stays() {
        let seats = Seats::new(3);
        let [first, second, third] = [seats.take().await, seats.take().await, seats.take().await].map(Arc::new);
        assert!(!first.is_busy());
        let busy = first.busy();
        assert!(first.is_busy() && !second.is_busy());
        let (first, second, third) = (sit(first), sit(second), sit(third));
        let fourth = seats.take().await;
        assert!(!first.is_finished() && !third.is_finished());
        second.await.unwrap();
        // Answered just now, so it waits from now on.
        drop(busy);
        let fifth = seats.take().await;
        third.await.unwrap();
        let sixth = seats.take();
        drop(fourth);
        drop(sixth.await);
        assert!(!first.is_finished());
        drop(fifth);
        assert_eq!(seats.free.available_permits(), 2);
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!((seats.free.available_permits(), seats.waiting().since.len()), (3, 0));
    }
}
