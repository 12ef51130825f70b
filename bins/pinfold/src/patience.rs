//! How long a connection that breaks is taken up again: after a restart of the node, or of what is
//! between.

use crate::client::Refused;
use anyhow::anyhow;
use std::time::Duration;

/// Tries in a row that bring nothing, and the longest pause between two.
const RECONNECTS: u32 = 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct Patience {
    /// Tries since one has brought something.
    failures: u32,
}

impl Patience {
    /// Returns when it is time to try again; false if it has been tried often enough.
    pub(crate) async fn lasts(&mut self, has_brought: bool) -> bool {
        self.failures = if has_brought { 1 } else { self.failures + 1 };
        if self.failures > RECONNECTS {
            return false;
        }
        tokio::time::sleep((Duration::from_millis(100) * self.failures).min(LONGEST_PAUSE)).await;
        true
    }

    /// What a stream of events came to. None: it broke, and it is time to take it up again.
    pub(crate) async fn judge<T>(
        &mut self,
        has_brought: bool,
        followed: anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Option<T>> {
        match followed {
            Ok(Some(end)) => Ok(Some(end)),
            // What the node says will not change by asking again; that it is just starting or
            // stopping will.
            Err(error) if error.downcast_ref::<Refused>().is_some_and(Refused::is_final) => {
                Err(error)
            }
            broken => match self.lasts(has_brought).await {
                true => Ok(None),
                false => Err(broken.err().unwrap_or_else(|| {
                    anyhow!("the node ends the stream of events again and again")
                })),
            },
        }
    }
}
