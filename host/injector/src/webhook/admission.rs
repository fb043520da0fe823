//! Who may come in: connections, reviews and their bytes, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::limits;

/// How many there are now.
#[derive(Debug, Default)]
pub(super) struct Admission {
    connections: AtomicUsize,
    reviews: AtomicUsize,
    bytes: AtomicUsize,
}

impl Admission {
    /// A place for one connection, unless all are taken.
    pub(super) fn connection(self: &Arc<Self>) -> Option<Slot> {
        Slot::take(self, |all| &all.connections, 1, limits::CONNECTIONS_MAX)
    }

    /// A place for one review, unless all are taken.
    pub(super) fn review(self: &Arc<Self>) -> Option<Slot> {
        Slot::take(self, |all| &all.reviews, 1, limits::IN_FLIGHT_MAX)
    }

    /// Memory for so many bytes of a body, unless the others hold too many.
    pub(super) fn bytes(self: &Arc<Self>, bytes: usize) -> Option<Slot> {
        Slot::take(self, |all| &all.bytes, bytes, limits::BODIES_BYTES_MAX)
    }

    /// Connections now.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Reviews now.
    pub(super) fn reviews(&self) -> usize {
        self.reviews.load(Ordering::Relaxed)
    }
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    all: Arc<Admission>,
    which: fn(&Admission) -> &AtomicUsize,
    size: usize,
    limit: usize,
}

impl Slot {
    fn take(
        all: &Arc<Admission>,
        which: fn(&Admission) -> &AtomicUsize,
        size: usize,
        limit: usize,
    ) -> Option<Self> {
        let mut slot = Self {
            all: Arc::clone(all),
            which,
            size: 0,
            limit,
        };
        slot.grow(size).then_some(slot)
    }

    /// Takes so much more, unless that is over the limit.
    pub(super) fn grow(&mut self, by: usize) -> bool {
        let taken = (self.which)(&self.all)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(by).filter(|sum| *sum <= self.limit)
            })
            .is_ok();
        if taken {
            self.size += by;
        }
        taken
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        (self.which)(&self.all).fetch_sub(self.size, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_whoever_had_it_has_gone() {
        let all = Arc::new(Admission::default());
        let mut taken: Vec<Slot> = std::iter::from_fn(|| all.review()).collect();
        assert_eq!(taken.len(), limits::IN_FLIGHT_MAX);
        assert_eq!(all.reviews(), limits::IN_FLIGHT_MAX);
        taken.pop();
        assert!(all.review().is_some());
        drop(taken);
        assert_eq!(all.reviews(), 0);
    }

    #[test]
    fn what_does_not_fit_takes_nothing() {
        let all = Arc::new(Admission::default());
        let mut first = all.bytes(limits::BODIES_BYTES_MAX - 10).unwrap();
        assert!(!first.grow(11));
        assert!(first.grow(10));
        assert!(all.bytes(1).is_none());
        drop(first);
        assert!(all.bytes(limits::BODIES_BYTES_MAX).is_some());
    }
}
