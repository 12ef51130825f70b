//! Why the node did not do what it was asked for, and the problem that a caller is told.

mod files;

pub use files::FileRefusal;

use crate::{libraries::Complaint, sessions::SessionEnded};
use contracts::{
    Faults,
    problem::{Problem, ProblemType},
};
use executor::{EngineError, LinkError};
use store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The request itself is wrong.
    #[error("the request is invalid: {0}")]
    Invalid(Faults),
    /// The request is well-formed and this node won't do it.
    #[error("refused: {0}")]
    Refused(Faults),
    #[error("the id is already used for another request")]
    Conflict,
    #[error("the node is full")]
    Full { retry_after_s: u64 },
    #[error("the node's disk is nearly full")]
    DiskFull { retry_after_s: u64 },
    #[error("the node is shutting down")]
    Draining,
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("the session has ended: {}", .0.why.told())]
    Gone(SessionEnded),
    #[error("the job does not run")]
    NotRunning,
    #[error("the code has ended, or its standard input is not open")]
    NotReading,
    #[error(
        "programs in the session leave too much of their standard input unread; nothing was taken"
    )]
    Unread { retry_after_s: u64 },
    #[error("{what} is larger than {most} bytes")]
    TooLarge { what: &'static str, most: u64 },
    #[error("the libraries can't be installed: the client ended with {}", .0.exit_code)]
    Libraries(Complaint),
    /// A call about a session's file that can't be done.
    #[error(transparent)]
    File(Box<FileRefusal>),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the node failed at {phase}")]
    Fault {
        phase: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl JobError {
    pub(crate) fn fault(
        phase: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Fault { phase, source: source.into() }
    }

    /// What the caller reads. Faults of ours name their phase and nothing of the host.
    pub fn problem(&self) -> Problem {
        use ProblemType::{NotFound, RateLimit, Validation};
        match self {
            Self::Invalid(faults) => Problem::from_faults(400, "Invalid request", faults),
            Self::Refused(faults) => Problem::from_faults(422, "Refused by this node", faults),
            Self::Libraries(complaint) => {
                Problem::new(Validation, 422, "Libraries can't be installed")
                    .with_detail(format!("{self}: {}", complaint.said))
            }
            Self::Conflict => {
                Problem::new(Validation, 409, "Conflict").with_detail(self.to_string())
            }
            Self::Full { .. } | Self::DiskFull { .. } => {
                Problem::new(RateLimit, 503, "Node is full").with_detail(self.to_string())
            }
            Self::Draining => {
                Problem::new(RateLimit, 503, "Shutting down").with_detail(self.to_string())
            }
            Self::NotFound(_) => {
                Problem::new(NotFound, 404, "Not found").with_detail(self.to_string())
            }
            Self::Gone(SessionEnded { why, at }) => Problem {
                ended: Some(*why),
                ended_at: *at,
                ..Problem::new(NotFound, 410, "Gone").with_detail(self.to_string())
            },
            Self::NotRunning | Self::NotReading => {
                Problem::new(Validation, 409, "Not running").with_detail(self.to_string())
            }
            Self::Unread { .. } => {
                Problem::new(RateLimit, 429, "Too much is unread").with_detail(self.to_string())
            }
            Self::TooLarge { .. } => {
                Problem::new(Validation, 413, "Too large").with_detail(self.to_string())
            }
            Self::File(refusal) => refusal.problem(),
            Self::Engine(error) if error.is_callers() => {
                Problem::new(Validation, 422, "Refused by this node")
                    .with_detail(error.to_string())
                    .with_phase(error.phase())
            }
            Self::Engine(error) => internal(error.phase()),
            Self::Store(_) => internal("store"),
            Self::Fault { phase, .. } => internal(phase),
        }
    }
}

fn internal(phase: &str) -> Problem {
    Problem::new(ProblemType::Internal, 500, "The node failed")
        .with_detail(format!("a step of the node's own failed: {phase}"))
        .with_phase(phase)
}

impl From<LinkError> for JobError {
    fn from(error: LinkError) -> Self {
        Self::Engine(EngineError::Link(error))
    }
}

/// An error with all its causes, for one line of a log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
