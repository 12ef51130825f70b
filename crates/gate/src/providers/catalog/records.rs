//! Providers: made, changed, tested and deleted.

use super::{
    Catalog, CatalogError, Inner, Rows,
    assembly::{self, COLUMN},
};
use crate::providers::{probe, vault::Place};
use contracts::{
    Faults, ProviderName, RouteAlias, Version,
    provider::{
        Auth, Credential, ProbeRequest, ProbeView, ProviderList, ProviderPatch, ProviderRequest,
        ProviderView,
    },
};
use relay::{Timeouts, Upstream};
use std::{sync::Arc, time::Duration};
use store::{Change, ProviderRow};
use time::OffsetDateTime;

/// Most providers of a node: bounds what a caller who goes wrong can fill.
const MAX_PROVIDERS: usize = 256;

impl Catalog {
    pub async fn providers(&self) -> ProviderList {
        let rows = self.inner.rows.lock().await;
        let providers = rows.providers.values().map(|row| view(&rows, row)).collect();
        ProviderList { version: Version, providers }
    }

    pub async fn provider(&self, name: &ProviderName) -> Result<ProviderView, CatalogError> {
        let rows = self.inner.rows.lock().await;
        rows.provider(name).map(|row| view(&rows, row))
    }

    pub async fn create_provider(
        &self,
        request: ProviderRequest,
    ) -> Result<ProviderView, CatalogError> {
        request.validate().map_err(CatalogError::Invalid)?;
        let now = OffsetDateTime::now_utc();
        let name = request.name.clone();
        let credential = self.inner.seal(&name, 1, request.credential.as_ref())?;
        let row = ProviderRow {
            spec: request.spec(),
            credential,
            sealed_for: 1,
            revision: 1,
            created_at: now,
            updated_at: now,
            name,
        };
        {
            let rows = self.inner.rows.lock().await;
            if rows.providers.contains_key(&row.name) {
                return Err(CatalogError::Exists(row.name));
            }
            if rows.providers.len() >= MAX_PROVIDERS {
                let mut faults = Faults::default();
                faults.add("name", format!("this node has {MAX_PROVIDERS} providers already"));
                return Err(CatalogError::Refused(faults));
            }
        }
        self.save(row, request.validate).await
    }

    pub async fn update_provider(
        &self,
        name: &ProviderName,
        patch: ProviderPatch,
    ) -> Result<ProviderView, CatalogError> {
        let mut row = self.inner.rows.lock().await.provider(name)?.clone();
        if patch.revision.is_some_and(|revision| revision != row.revision) {
            return Err(CatalogError::Overtaken(row.revision));
        }
        let spec = patch.apply(&row.spec, row.credential.is_some());
        row.spec = spec.map_err(CatalogError::Invalid)?;
        if patch.changes_nothing() {
            return self.provider(name).await;
        }
        row.revision += 1;
        row.updated_at = OffsetDateTime::now_utc();
        if row.spec.auth == Auth::None {
            row.credential = None;
        } else if patch.credential.is_some() {
            row.credential = self.inner.seal(name, row.revision, patch.credential.as_ref())?;
            row.sealed_for = row.revision;
        }
        self.save(row, patch.validate).await
    }

    /// With force, the routes that use it lose it at once.
    pub async fn delete_provider(
        &self,
        name: ProviderName,
        force: bool,
    ) -> Result<(), CatalogError> {
        let inner = Arc::clone(&self.inner);
        self.commit(async move {
            let mut rows = inner.rows.lock().await;
            rows.provider(&name)?;
            let routes = rows.users(&name);
            if !routes.is_empty() && !force {
                return Err(CatalogError::InUse { name, routes });
            }
            inner.store.delete_provider(name.clone()).await?;
            rows.providers.remove(&name);
            inner.swap(&mut rows);
            tracing::info!(provider = %name, force, "a provider was deleted");
            Ok(())
        })
        .await
    }

    /// A real call with the provider's key.
    pub async fn test_provider(
        &self,
        name: &ProviderName,
        request: ProbeRequest,
    ) -> Result<ProbeView, CatalogError> {
        request.validate().map_err(CatalogError::Invalid)?;
        let row = self.inner.rows.lock().await.provider(name)?.clone();
        Ok(self.inner.probe(&row, request.model.as_deref()).await)
    }

    async fn save(&self, row: ProviderRow, validate: bool) -> Result<ProviderView, CatalogError> {
        // A base URL that reads well may still name nothing that a connection can be made to.
        if assembly::location(&row.spec.base_url).is_err() {
            let mut faults = Faults::default();
            faults.add("base_url", "is no URL that can be called");
            return Err(CatalogError::Invalid(faults));
        }
        if validate {
            self.inner.passes(&row, None).await?;
        }
        let inner = Arc::clone(&self.inner);
        self.commit(async move {
            let mut rows = inner.rows.lock().await;
            if inner.store.save_provider(row.clone()).await? == Change::Overtaken {
                return Err(match rows.providers.get(&row.name) {
                    None => CatalogError::NotFound("such provider"),
                    Some(_) if row.revision == 1 => CatalogError::Exists(row.name),
                    Some(now) => CatalogError::Overtaken(now.revision),
                });
            }
            rows.providers.insert(row.name.clone(), row.clone());
            inner.swap(&mut rows);
            tracing::info!(provider = %row.name, revision = row.revision, "a provider was saved");
            Ok(view(&rows, &row))
        })
        .await
    }
}

impl Inner {
    fn seal(
        &self,
        name: &ProviderName,
        revision: u64,
        credential: Option<&Credential>,
    ) -> Result<Option<Vec<u8>>, CatalogError> {
        let place = Place { column: COLUMN, name: name.as_str(), revision };
        let seal = |key: &Credential| self.vault.seal(place, key.reveal().as_bytes());
        Ok(credential.map(seal).transpose()?)
    }

    /// Whether a provider, with this model or any, answers a real call.
    pub(super) async fn passes(
        &self,
        row: &ProviderRow,
        model: Option<&str>,
    ) -> Result<(), CatalogError> {
        match self.probe(row, model).await {
            probe if probe.ok => Ok(()),
            probe => Err(CatalogError::Probe(Box::new(probe))),
        }
    }

    async fn probe(&self, row: &ProviderRow, model: Option<&str>) -> ProbeView {
        let timeouts = Timeouts { total: Some(Duration::from_secs(30)), ..probe::TIMEOUTS };
        let made = assembly::access(row, &self.vault).and_then(|access| {
            let location = assembly::location(&row.spec.base_url)?;
            Ok((access, Upstream::new(location, self.trust.clone(), timeouts)))
        });
        match made {
            Ok((access, upstream)) => probe::probe(row, &access, &upstream, model).await,
            Err(why) => probe::unusable(row, why.to_string()),
        }
    }
}

impl Rows {
    pub(super) fn provider(&self, name: &ProviderName) -> Result<&ProviderRow, CatalogError> {
        self.providers.get(name).ok_or(CatalogError::NotFound("such provider"))
    }

    fn users(&self, name: &ProviderName) -> Vec<RouteAlias> {
        let uses = |row: &&store::RouteRow| row.spec.targets.iter().any(|t| t.provider == *name);
        self.routes.values().filter(uses).map(|row| row.alias.clone()).collect()
    }
}

fn view(rows: &Rows, row: &ProviderRow) -> ProviderView {
    ProviderView {
        version: Version,
        name: row.name.clone(),
        spec: row.spec.clone(),
        has_credential: row.credential.is_some(),
        revision: row.revision,
        created_at: row.created_at,
        updated_at: row.updated_at,
        used_by: rows.users(&row.name),
    }
}
