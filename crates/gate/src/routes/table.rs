//! All routes at one moment.

use super::{Attempt, Blocked, RetryBudget, Target};
use crate::refusal::quoted;
use contracts::{ProviderName, RouteAlias};
use http::StatusCode;
use relay::Dialect;
use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Never changes; the catalogue puts another one in its place.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// Counts the tables of this process.
    pub generation: u64,
    routes: BTreeMap<String, Route>,
}

#[derive(Debug, Clone)]
pub struct Route {
    pub hops: Vec<Hop>,
    pub retries: Arc<RetryBudget>,
}

#[derive(Debug, Clone)]
pub enum Hop {
    Works(Arc<Target>),
    /// It can't get calls until an operator does something.
    Broken(BrokenHop),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenHop {
    pub provider: ProviderName,
    pub model: String,
    pub cause: String,
    /// When it is worth another try, if time cures it.
    pub retry_in: Option<Duration>,
}

/// Why a call finds nobody. Made to be told to code in a sandbox: providers' names, no places.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error(
        "this node has no inference route yet: an operator sets one by `pinfold inference set`"
    )]
    NoDefault,
    #[error("the model '{name}' is not one that this job may use: it may use {}", list(.allowed))]
    NotAllowed { name: String, allowed: Vec<String> },
    #[error("the route '{route}' has nobody to serve the call: {}", causes(.hops))]
    Broken { route: String, hops: Vec<BrokenHop> },
}

impl RouteTable {
    pub(crate) fn new(generation: u64, routes: BTreeMap<String, Route>) -> Self {
        Self { generation, routes }
    }

    /// The targets for a name, first to last: those of its own route, else of the default. `allowed`
    /// are the routes that a job may use; none given allows all, an empty list none.
    pub fn resolve(
        &self,
        name: &str,
        allowed: Option<&[String]>,
    ) -> Result<Vec<Arc<Target>>, RouteError> {
        let (alias, route) = self.find(name, allowed)?;
        let (targets, broken) = route.parted();
        match targets.is_empty() {
            true => Err(RouteError::Broken { route: alias.to_owned(), hops: broken }),
            false => Ok(targets),
        }
    }

    /// The same as a call on its way, over those targets that speak its dialect.
    pub fn begin(
        &self,
        name: &str,
        allowed: Option<&[String]>,
        dialect: Dialect,
        now: Instant,
    ) -> Result<Attempt, RouteError> {
        let (alias, route) = self.find(name, allowed)?;
        let (targets, mut broken) = route.parted();
        let (speaking, others): (Vec<_>, Vec<_>) =
            targets.into_iter().partition(|target| target.speaks(dialect));
        for other in others {
            let cause = format!("does not speak {}", named(dialect));
            broken.push(BrokenHop::new(&other, cause));
        }
        let retries = Arc::clone(&route.retries);
        Attempt::begin(alias.to_owned(), speaking, broken, retries, now)
    }

    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    pub fn route(&self, alias: &str) -> Option<&Route> {
        self.routes.get(alias)
    }

    /// The names of the routes that a job may use, the default's included.
    pub fn names(&self, allowed: Option<&[String]>) -> Vec<&str> {
        self.routes.keys().map(String::as_str).filter(|alias| may_use(allowed, alias)).collect()
    }

    fn find(&self, name: &str, allowed: Option<&[String]>) -> Result<(&str, &Route), RouteError> {
        let default = RouteAlias::DEFAULT;
        let own = self.routes.get_key_value(name);
        let alias = own.map_or(default, |(alias, _)| alias);
        // Asked before it is looked up: a job must not learn which routes there are.
        if !may_use(allowed, alias) {
            let allowed = allowed.unwrap_or_default().to_vec();
            return Err(RouteError::NotAllowed { name: quoted(name), allowed });
        }
        let found = own.or_else(|| self.routes.get_key_value(default));
        found.map(|(alias, route)| (alias.as_str(), route)).ok_or(RouteError::NoDefault)
    }
}

fn may_use(allowed: Option<&[String]>, alias: &str) -> bool {
    allowed.is_none_or(|allowed| allowed.iter().any(|one| one == alias))
}

impl Route {
    fn parted(&self) -> (Vec<Arc<Target>>, Vec<BrokenHop>) {
        let (mut targets, mut broken) = (Vec::new(), Vec::new());
        for hop in &self.hops {
            match hop {
                Hop::Works(target) => targets.push(Arc::clone(target)),
                Hop::Broken(hop) => broken.push(hop.clone()),
            }
        }
        (targets, broken)
    }
}

impl Hop {
    /// Why it gets no calls at this moment.
    pub fn broken(&self, now: Instant) -> Option<BrokenHop> {
        match self {
            Self::Broken(hop) => Some(hop.clone()),
            Self::Works(target) => {
                target.breaker.blocked(now).map(|blocked| BrokenHop::blocked(target, &blocked))
            }
        }
    }
}

impl BrokenHop {
    pub(super) fn new(target: &Target, cause: String) -> Self {
        let (provider, model) = (target.provider.clone(), target.model.clone());
        Self { provider, model, cause, retry_in: None }
    }

    pub(super) fn blocked(target: &Target, blocked: &Blocked) -> Self {
        let cause = match blocked.why {
            Some(why) => format!("is left alone for a while: it {why}"),
            None => "is left alone for a while".to_owned(),
        };
        Self { retry_in: Some(blocked.retry_in), ..Self::new(target, cause) }
    }
}

impl RouteError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotAllowed { .. } => StatusCode::NOT_FOUND,
            Self::NoDefault | Self::Broken { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Stable, for the audit line and for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoDefault => "route_missing",
            Self::NotAllowed { .. } => "model_not_found",
            Self::Broken { .. } => "route_broken",
        }
    }

    /// When it is worth another try, if anything of it cures itself.
    pub fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::Broken { hops, .. } => hops.iter().filter_map(|hop| hop.retry_in).min(),
            _ => None,
        }
    }
}

impl fmt::Display for BrokenHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.provider, self.model, self.cause)
    }
}

fn named(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Ollama => "ollama",
        Dialect::OpenAi => "openai",
        Dialect::Anthropic => "anthropic",
    }
}

fn causes(hops: &[BrokenHop]) -> String {
    hops.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
