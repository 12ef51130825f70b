//! Routes: set, changed and deleted.

use super::{Catalog, CatalogError, Rows};
use crate::routes::RouteTable;
use contracts::{
    Faults, RouteAlias, Version,
    route::{RouteList, RoutePatch, RouteRequest, RouteSpec, RouteView, TargetView},
};
use std::{sync::Arc, time::Instant};
use store::{Change, RouteRow};
use time::OffsetDateTime;

/// Most routes of a node.
const MAX_ROUTES: usize = 256;

impl Catalog {
    pub async fn routes(&self) -> RouteList {
        let rows = self.inner.rows.lock().await;
        let table = self.table();
        let routes = rows.routes.values().filter_map(|row| view(row, &table)).collect();
        RouteList { version: Version, routes }
    }

    pub async fn route(&self, alias: &RouteAlias) -> Result<RouteView, CatalogError> {
        let rows = self.inner.rows.lock().await;
        view(rows.route(alias)?, &self.table()).ok_or(NO_ROUTE)
    }

    /// Sets a route, whether there was one or not.
    pub async fn set_route(
        &self,
        alias: RouteAlias,
        request: RouteRequest,
    ) -> Result<RouteView, CatalogError> {
        let spec = request.spec().map_err(CatalogError::Invalid)?;
        let revision = {
            let rows = self.inner.rows.lock().await;
            let known = rows.routes.get(&alias);
            if known.is_none() && rows.routes.len() >= MAX_ROUTES {
                let mut faults = Faults::default();
                faults.add("route", format!("this node has {MAX_ROUTES} routes already"));
                return Err(CatalogError::Refused(faults));
            }
            known.map_or(1, |row| row.revision + 1)
        };
        self.save_route(alias, spec, revision, request.validate).await
    }

    pub async fn update_route(
        &self,
        alias: RouteAlias,
        patch: RoutePatch,
    ) -> Result<RouteView, CatalogError> {
        let row = self.inner.rows.lock().await.route(&alias)?.clone();
        if patch.revision.is_some_and(|revision| revision != row.revision) {
            return Err(CatalogError::Overtaken(row.revision));
        }
        let spec = patch.apply(&row.spec).map_err(CatalogError::Invalid)?;
        if patch.changes_nothing() {
            return self.route(&alias).await;
        }
        self.save_route(alias, spec, row.revision + 1, patch.validate).await
    }

    pub async fn delete_route(&self, alias: RouteAlias) -> Result<(), CatalogError> {
        let inner = Arc::clone(&self.inner);
        self.commit(async move {
            let mut rows = inner.rows.lock().await;
            rows.route(&alias)?;
            inner.store.delete_route(alias.clone()).await?;
            rows.routes.remove(&alias);
            inner.swap(&mut rows);
            tracing::info!(route = %alias, "a route was deleted");
            Ok(())
        })
        .await
    }

    async fn save_route(
        &self,
        alias: RouteAlias,
        spec: RouteSpec,
        revision: u64,
        validate: bool,
    ) -> Result<RouteView, CatalogError> {
        let providers = self.inner.rows.lock().await.known(&spec)?;
        if validate {
            for (provider, target) in providers.iter().zip(&spec.targets) {
                self.inner.passes(provider, Some(&target.model)).await?;
            }
        }
        let inner = Arc::clone(&self.inner);
        self.commit(async move {
            let mut rows = inner.rows.lock().await;
            // One may have been deleted while the others were asked.
            rows.known(&spec)?;
            let row = RouteRow { alias, spec, revision, updated_at: OffsetDateTime::now_utc() };
            if inner.store.save_route(row.clone()).await? == Change::Overtaken {
                let now = rows.routes.get(&row.alias).map(|row| row.revision);
                return Err(now.map_or(NO_ROUTE, CatalogError::Overtaken));
            }
            rows.routes.insert(row.alias.clone(), row.clone());
            inner.swap(&mut rows);
            tracing::info!(route = %row.alias, revision, "a route was set");
            view(&row, &inner.table.borrow()).ok_or(NO_ROUTE)
        })
        .await
    }
}

const NO_ROUTE: CatalogError =
    CatalogError::NotFound("such route: `pinfold inference set` sets one");

impl Rows {
    fn route(&self, alias: &RouteAlias) -> Result<&RouteRow, CatalogError> {
        self.routes.get(alias).ok_or(NO_ROUTE)
    }

    /// The providers of a route's targets, in their order.
    fn known(&self, spec: &RouteSpec) -> Result<Vec<store::ProviderRow>, CatalogError> {
        let mut faults = Faults::default();
        let mut known = Vec::new();
        for (index, target) in spec.targets.iter().enumerate() {
            match self.providers.get(&target.provider) {
                Some(row) => known.push(row.clone()),
                None => {
                    let field = match spec.targets.len() {
                        1 => "provider".to_owned(),
                        _ => format!("targets[{index}].provider"),
                    };
                    faults.add(field, format!("{} is no provider of this node", target.provider));
                }
            }
        }
        if faults.is_empty() { Ok(known) } else { Err(CatalogError::Refused(faults)) }
    }
}

/// None for a route without targets, which no request can make.
fn view(row: &RouteRow, table: &RouteTable) -> Option<RouteView> {
    let now = Instant::now();
    let hops = table.route(row.alias.as_str()).map(|route| route.hops.as_slice());
    let mut hops = hops.unwrap_or_default().iter();
    let targets = row.spec.targets.iter().map(|target| {
        let broken = hops.next().and_then(|hop| hop.broken(now));
        TargetView { target: target.clone(), broken: broken.map(|hop| hop.cause) }
    });
    let targets: Vec<_> = targets.collect();
    let first = row.spec.targets.first()?;
    Some(RouteView {
        version: Version,
        route: row.alias.clone(),
        provider: first.provider.clone(),
        model: first.model.clone(),
        targets,
        timeouts: row.spec.timeouts,
        revision: row.revision,
        updated_at: row.updated_at,
    })
}
