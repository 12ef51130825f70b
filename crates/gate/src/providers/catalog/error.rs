//! Why a change was not made, and the problem that an operator is told.

use crate::providers::{KeyError, VaultError};
use contracts::{
    Faults, ProviderName, RouteAlias,
    problem::{Problem, ProblemType},
    provider::ProbeView,
};
use store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the request is invalid: {0}")]
    Invalid(Faults),
    #[error("refused: {0}")]
    Refused(Faults),
    /// The real call before the change failed.
    #[error("{}", probed(.0))]
    Probe(Box<ProbeView>),
    #[error("there is no {0}")]
    NotFound(&'static str),
    #[error("the provider {0} exists already")]
    Exists(ProviderName),
    #[error("it was changed by somebody else meanwhile: its revision is {0}")]
    Overtaken(u64),
    #[error("the provider {name} is used by {}; delete it with force to cut {} off", listed(.routes), if .routes.len() == 1 { "it" } else { "them" })]
    InUse { name: ProviderName, routes: Vec<RouteAlias> },
    #[error(
        "the provider key is not the one that sealed what the store holds: bring the old one back, \
         or delete the providers from the store"
    )]
    WrongKey,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the change broke off")]
    Broken(#[source] tokio::task::JoinError),
}

impl CatalogError {
    /// What the caller reads. Faults of ours name their phase and nothing of the host.
    pub fn problem(&self) -> Problem {
        use ProblemType::{Internal, NotFound, Validation};
        match self {
            Self::Invalid(faults) => Problem::from_faults(400, "Invalid request", faults),
            Self::Refused(faults) => Problem::from_faults(422, "Refused by this node", faults),
            Self::Probe(_) => Problem::new(Validation, 422, "The provider did not pass its test")
                .with_detail(self.to_string())
                .with_phase("validate"),
            Self::NotFound(_) => {
                Problem::new(NotFound, 404, "Not found").with_detail(self.to_string())
            }
            Self::Exists(_) | Self::Overtaken(_) | Self::InUse { .. } => {
                Problem::new(Validation, 409, "Conflict").with_detail(self.to_string())
            }
            Self::WrongKey | Self::Key(_) | Self::Vault(_) => {
                Problem::new(Internal, 500, "The node failed").with_phase("vault")
            }
            Self::Store(_) | Self::Broken(_) => {
                Problem::new(Internal, 500, "The node failed").with_phase("store")
            }
        }
    }
}

fn probed(probe: &ProbeView) -> String {
    let cause = probe.cause.as_deref().unwrap_or("failed");
    format!("{} {cause} ({}); it can be saved without validation", probe.provider, probe.call)
}

fn listed(routes: &[RouteAlias]) -> String {
    let names: Vec<&str> = routes.iter().map(RouteAlias::as_str).collect();
    let noun = if names.len() == 1 { "the route" } else { "the routes" };
    format!("{noun} {}", names.join(", "))
}
