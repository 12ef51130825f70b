//! One call on its way along a route: which target is next, and when there is none left to try.
//! Pure: it is told the time and what happened, and makes no call itself.

use super::{Permit, RetryBudget, RouteError, Target, table::BrokenHop};
use relay::RelayError;
use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Instant,
    vec,
};

/// How a call to a target went, up to the head of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It can't be reached.
    Connect,
    /// It did not take the call or begin its answer in time.
    Timeout,
    /// It hung up, redirected, or what it said is not HTTP.
    Broken,
    Status(u16),
    /// The client went, or its request was at fault.
    Client,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The client gets what this target said.
    Done,
    /// `target` is another one now: make the same call there.
    Next,
    /// There is nothing to give on, and nobody left: `failure` tells why.
    Fail,
}

/// A call and the targets that are left for it. Dropped in the middle, it says nothing about the
/// target that it was at.
#[derive(Debug)]
pub struct Attempt {
    route: String,
    target: Arc<Target>,
    permit: Option<Permit>,
    left: vec::IntoIter<Arc<Target>>,
    retries: Arc<RetryBudget>,
    failed: Vec<BrokenHop>,
    /// Whose call it is.
    task: u64,
}

impl Outcome {
    /// Whether it speaks against the target; nothing if it says nothing about it.
    pub(super) fn is_targets_fault(self) -> Option<bool> {
        match self {
            Self::Connect | Self::Timeout | Self::Broken => Some(true),
            Self::Status(status) => Some(status >= 500),
            Self::Client => None,
        }
    }

    /// Whether the call itself may have brought it about.
    pub(super) fn may_be_provoked(self) -> bool {
        matches!(self, Self::Timeout | Self::Broken | Self::Status(500))
    }

    /// Whether another target may do better, and what the client gets if there is none.
    fn verdict(self) -> (bool, Verdict) {
        match self {
            Self::Connect | Self::Timeout | Self::Broken => (true, Verdict::Fail),
            // Our key is refused: nothing that a client could understand or change.
            Self::Status(401) => (true, Verdict::Fail),
            Self::Status(429 | 500..) => (true, Verdict::Done),
            Self::Status(_) | Self::Client => (false, Verdict::Done),
        }
    }
}

impl From<&RelayError> for Outcome {
    fn from(error: &RelayError) -> Self {
        match error {
            RelayError::Connect(_) | RelayError::SlowConnect(_) => Self::Connect,
            RelayError::UnreadRequest(_)
            | RelayError::SlowAnswer(_)
            | RelayError::Idle(_)
            | RelayError::Total(_) => Self::Timeout,
            RelayError::Cut(_)
            | RelayError::Unfinished
            | RelayError::Garbled
            | RelayError::Encoded
            | RelayError::Malformed(_)
            | RelayError::Redirect => Self::Broken,
            RelayError::Refused(_)
            | RelayError::TooLarge { .. }
            | RelayError::SlowRequest(_)
            | RelayError::BrokenRequest => Self::Client,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("can't be reached"),
            Self::Timeout => f.write_str("did not answer in time"),
            Self::Broken => f.write_str("broke the call off"),
            Self::Status(401) => f.write_str("refused the node's key"),
            Self::Status(status) => write!(f, "answered {status}"),
            Self::Client => f.write_str("was not heard out"),
        }
    }
}

impl Attempt {
    /// Starts at the first target that gets calls now. `failed` are the hops that never could.
    pub(super) fn begin(
        route: String,
        targets: Vec<Arc<Target>>,
        mut failed: Vec<BrokenHop>,
        retries: Arc<RetryBudget>,
        now: Instant,
    ) -> Result<Self, RouteError> {
        retries.call();
        let mut left = targets.into_iter();
        match admitted(&mut left, &mut failed, now) {
            Some((target, permit)) => {
                Ok(Self { route, target, permit: Some(permit), left, retries, failed, task: 0 })
            }
            None => Err(RouteError::Broken { route, hops: failed }),
        }
    }

    /// Says whose call it is: what one task provokes is not the same as what all of them meet.
    #[must_use]
    pub fn of_task(self, task: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        task.hash(&mut hasher);
        Self { task: hasher.finish(), ..self }
    }

    /// The one to call now.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Told once per call to a target.
    pub fn ended(&mut self, outcome: Outcome, now: Instant) -> Verdict {
        if let Some(permit) = self.permit.take() {
            permit.settle(outcome, self.task, now);
        }
        let (may_go_on, otherwise) = outcome.verdict();
        if !may_go_on {
            return otherwise;
        }
        self.failed.push(BrokenHop::new(&self.target, outcome.to_string()));
        if self.left.len() == 0 {
            return otherwise;
        }
        // The token is spent even if nobody admits the call: that is a bad time for more of them.
        if !self.retries.retry(now) {
            return otherwise;
        }
        match admitted(&mut self.left, &mut self.failed, now) {
            Some((target, permit)) => {
                (self.target, self.permit) = (target, Some(permit));
                Verdict::Next
            }
            None => otherwise,
        }
    }

    /// Why nobody served the call: each hop with its cause.
    pub fn failure(&self) -> RouteError {
        RouteError::Broken { route: self.route.clone(), hops: self.failed.clone() }
    }
}

fn admitted(
    left: &mut vec::IntoIter<Arc<Target>>,
    failed: &mut Vec<BrokenHop>,
    now: Instant,
) -> Option<(Arc<Target>, Permit)> {
    for target in left.by_ref() {
        match target.breaker.admit(now) {
            Ok(permit) => return Some((target, permit)),
            Err(blocked) => failed.push(BrokenHop::blocked(&target, &blocked)),
        }
    }
    None
}

#[cfg(test)]
mod tests;
