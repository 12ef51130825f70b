//! From records to the table that calls read. What can't be put together is a broken hop with its
//! cause, and takes nothing else along.

use super::Rows;
use crate::{
    providers::vault::{Place, Vault},
    routes::{
        Access, Breaker, BrokenHop, Hop, RetryBudget, Route, RouteTable, Target, split, spoken,
    },
};
use contracts::{
    ProviderName, RouteAlias,
    route::{RouteTimeouts, TargetSpec},
};
use relay::{Location, Timeouts, Trust, Upstream};
use std::{collections::HashMap, sync::Arc, time::Duration};
use store::ProviderRow;

/// Where a key is sealed.
pub(super) const COLUMN: &str = "credential";

/// What outlives the tables: open connections, breakers, retries. A part that no table uses any more
/// is dropped with the next one.
#[derive(Default)]
pub(super) struct Health {
    upstreams: HashMap<(String, Timeouts), Upstream>,
    /// A provider that was changed begins anew: its faults may have been what was changed.
    breakers: HashMap<(TargetSpec, u64), Arc<Breaker>>,
    retries: HashMap<RouteAlias, Arc<RetryBudget>>,
}

/// Why a record can't be called.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("has a key that can't be opened")]
    Sealed,
    #[error("has a base URL that can't be used")]
    Url,
    #[error("can't be shown its key")]
    Header,
}

pub(super) fn assemble(
    generation: u64,
    rows: &mut Rows,
    vault: &Vault,
    trust: Option<&Trust>,
) -> RouteTable {
    let mut next = Health::default();
    let mut routes = std::collections::BTreeMap::new();
    let mut accesses: HashMap<&ProviderName, Result<Arc<Access>, String>> = HashMap::new();
    for (alias, row) in &rows.routes {
        let timeouts = timeouts(&row.spec.timeouts);
        let hops = row.spec.targets.iter().map(|spec| {
            let broken = |cause: String| {
                let (provider, model) = (spec.provider.clone(), spec.model.clone());
                Hop::Broken(BrokenHop { provider, model, cause, retry_in: None })
            };
            let Some(provider) = rows.providers.get(&spec.provider) else {
                return broken("was deleted".to_owned());
            };
            let access = accesses.entry(&provider.name).or_insert_with(|| {
                access(provider, vault).map(Arc::new).map_err(|why| why.to_string())
            });
            let upstream = next.upstream(&rows.health, &provider.spec.base_url, timeouts, trust);
            match (access, upstream) {
                (Ok(access), Ok(upstream)) => Hop::Works(Arc::new(Target::new(
                    spec.provider.clone(),
                    spec.model.clone(),
                    provider.spec.dialects.iter().map(|dialect| spoken(*dialect)).collect(),
                    (upstream, timeouts),
                    next.breaker(&rows.health, spec, provider.revision),
                    Arc::clone(access),
                ))),
                (Err(why), _) => broken(why.clone()),
                (_, Err(why)) => broken(why.to_string()),
            }
        });
        let hops = hops.collect();
        let retries = rows.health.retries.get(alias).cloned().unwrap_or_default();
        next.retries.insert(alias.clone(), Arc::clone(&retries));
        routes.insert(alias.as_str().to_owned(), Route { hops, retries });
    }
    rows.health = next;
    RouteTable::new(generation, routes)
}

/// How a provider is addressed, with its key opened.
pub(super) fn access(row: &ProviderRow, vault: &Vault) -> Result<Access, Unusable> {
    let place = Place { column: COLUMN, name: row.name.as_str(), revision: row.sealed_for };
    let open = |sealed: &Vec<u8>| vault.open(place, sealed).map_err(|_| Unusable::Sealed);
    let secret = row.credential.as_ref().map(open).transpose()?;
    Access::new(&row.spec, secret.as_ref()).map_err(|_| Unusable::Header)
}

/// The place of a base URL, without its path.
pub(super) fn location(base_url: &str) -> Result<Location, Unusable> {
    split(base_url).0.parse().map_err(|_| Unusable::Url)
}

pub(super) fn timeouts(given: &RouteTimeouts) -> Timeouts {
    let default = Timeouts::default();
    let or = |given: Option<u64>, default| given.map_or(default, Duration::from_millis);
    Timeouts {
        connect: or(given.connect_ms, default.connect),
        first_byte: or(given.first_byte_ms, default.first_byte),
        idle: or(given.idle_ms, default.idle),
        total: given.total_ms.map(Duration::from_millis).or(default.total),
        ..default
    }
}

impl Health {
    fn upstream(
        &mut self,
        last: &Self,
        base_url: &str,
        timeouts: Timeouts,
        trust: Option<&Trust>,
    ) -> Result<Upstream, Unusable> {
        let key = (split(base_url).0.to_owned(), timeouts);
        if let Some(known) = self.upstreams.get(&key).or_else(|| last.upstreams.get(&key)) {
            let known = known.clone();
            self.upstreams.insert(key, known.clone());
            return Ok(known);
        }
        let upstream = Upstream::new(location(base_url)?, trust.cloned(), timeouts);
        self.upstreams.insert(key, upstream.clone());
        Ok(upstream)
    }

    /// One per model of a provider, however many routes lead to it.
    fn breaker(&mut self, last: &Self, target: &TargetSpec, revision: u64) -> Arc<Breaker> {
        let key = (target.clone(), revision);
        let known = || last.breakers.get(&key).cloned().unwrap_or_default();
        let breaker = self.breakers.get(&key).cloned().unwrap_or_else(known);
        self.breakers.insert(key, Arc::clone(&breaker));
        breaker
    }
}
