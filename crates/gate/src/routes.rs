//! Routes: from the name of a model to a provider that serves it, and on to the next one when that
//! fails before it has begun to answer.
//!
//! A call takes the table as it is at that moment and keeps it: a table that is swapped meanwhile
//! concerns the next call. What is learned of a target's health outlives the tables.

mod attempt;
mod breaker;
mod retries;
mod table;
mod target;

pub use attempt::{Attempt, Outcome, Verdict};
pub use breaker::{Blocked, Breaker, Permit};
pub use retries::RetryBudget;
pub use table::{BrokenHop, Hop, Route, RouteError, RouteTable};
pub use target::Target;
pub(crate) use target::{Access, split, spoken};
