//! The bytes that one job has moved, and the bounds of its policy. The count is the job's and the
//! bounds are the policy's, so a policy that changes finds what was moved before.

use super::{Policy, Reason};
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Out,
    In,
}

#[derive(Debug, Default)]
pub struct Traffic {
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
}

impl Traffic {
    /// Counts bytes that are about to be passed on. Those that are refused are not passed on, and
    /// not counted.
    pub fn spend(&self, policy: &Policy, direction: Direction, bytes: u64) -> Result<(), Reason> {
        let (counter, bound, spent) = match direction {
            Direction::Out => (&self.bytes_out, policy.max_bytes_out(), Reason::BytesOutSpent),
            Direction::In => (&self.bytes_in, policy.max_bytes_in(), Reason::BytesInSpent),
        };
        let add = |moved: u64| {
            let sum = moved.saturating_add(bytes);
            bound.is_none_or(|bound| sum <= bound).then_some(sum)
        };
        // One number, on which nothing else depends: no ordering is needed.
        let added = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.map(drop).map_err(|_| spent)
    }

    pub fn moved(&self, direction: Direction) -> u64 {
        match direction {
            Direction::Out => self.bytes_out.load(Ordering::Relaxed),
            Direction::In => self.bytes_in.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_moves_what_its_policy_lets_it_and_not_a_byte_more() {
        let policy = Policy::default().bounded(Some(10), None);
        let traffic = Traffic::default();
        assert_eq!(traffic.spend(&policy, Direction::Out, 7), Ok(()));
        assert_eq!(traffic.spend(&policy, Direction::Out, 4), Err(Reason::BytesOutSpent));
        assert_eq!(traffic.spend(&policy, Direction::Out, 3), Ok(()));
        assert_eq!(traffic.spend(&policy, Direction::Out, u64::MAX), Err(Reason::BytesOutSpent));
        assert_eq!(traffic.spend(&policy, Direction::In, u64::MAX), Ok(()));
        assert_eq!(traffic.moved(Direction::Out), 10);
    }

    #[test]
    fn a_policy_that_changes_finds_what_was_moved() {
        let traffic = Traffic::default();
        traffic.spend(&Policy::default(), Direction::In, 100).unwrap();
        let narrower = Policy::default().bounded(None, Some(50));
        assert_eq!(traffic.spend(&narrower, Direction::In, 1), Err(Reason::BytesInSpent));
    }
}
