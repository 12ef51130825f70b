//! Providers and routes: what the gate needs to come up again. Keys are here as ciphertext only; the
//! store can't open them.

use crate::{
    Store, StoreError,
    jobs::{from_json, json, micros, moment, parse},
};
use contracts::{
    ProviderName, RouteAlias,
    provider::ProviderSpec,
    route::{RouteSpec, TargetSpec},
};
use rusqlite::{Row, Transaction, params};
use time::OffsetDateTime;

#[derive(Debug, Clone, PartialEq)]
pub struct ProviderRow {
    pub name: ProviderName,
    pub spec: ProviderSpec,
    /// Sealed by the gate for this name and `sealed_for`.
    pub credential: Option<Vec<u8>>,
    /// The revision that the credential came with.
    pub sealed_for: u64,
    pub revision: u64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RouteRow {
    pub alias: RouteAlias,
    pub spec: RouteSpec,
    pub revision: u64,
    pub updated_at: OffsetDateTime,
}

/// What became of a change that others may have come before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Done,
    /// The record has another revision than the change was made for, or is not there at all.
    Overtaken,
}

impl Store {
    pub async fn providers(&self) -> Result<Vec<ProviderRow>, StoreError> {
        self.with("providers", |db| {
            let sql = "SELECT name, spec, credential, sealed_for, revision, created_at, updated_at
                       FROM provider ORDER BY name";
            db.prepare_cached(sql)?.query_map([], provider)?.collect()
        })
        .await
    }

    /// Puts a provider in the place of the revision before its own; 1 takes the place of none.
    pub async fn save_provider(&self, row: ProviderRow) -> Result<Change, StoreError> {
        self.with("provider", move |db| {
            let sql = match row.revision {
                1 => {
                    "INSERT INTO provider
                         (spec, credential, sealed_for, revision, created_at, updated_at, name)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (name) DO NOTHING"
                }
                _ => {
                    "UPDATE provider SET spec = ?1, credential = ?2, sealed_for = ?3, revision = ?4,
                         created_at = ?5, updated_at = ?6
                     WHERE name = ?7 AND revision = ?4 - 1"
                }
            };
            let changed = db.prepare_cached(sql)?.execute(params![
                json(&row.spec)?,
                row.credential,
                row.sealed_for as i64,
                row.revision as i64,
                micros(row.created_at),
                micros(row.updated_at),
                row.name.as_str(),
            ])?;
            Ok(Change::of(changed))
        })
        .await
    }

    pub async fn delete_provider(&self, name: ProviderName) -> Result<Change, StoreError> {
        self.with("provider", move |db| {
            let sql = "DELETE FROM provider WHERE name = ?1";
            db.prepare_cached(sql)?.execute([name.as_str()]).map(Change::of)
        })
        .await
    }

    pub async fn routes(&self) -> Result<Vec<RouteRow>, StoreError> {
        self.with("routes", |db| {
            let sql = "SELECT alias, targets, timeouts, revision, updated_at
                       FROM route ORDER BY alias";
            db.prepare_cached(sql)?.query_map([], route)?.collect()
        })
        .await
    }

    /// Puts a route in the place of the revision before its own; 1 takes the place of none.
    pub async fn save_route(&self, row: RouteRow) -> Result<Change, StoreError> {
        self.with("route", move |db| save_route(db, &row)).await
    }

    pub async fn delete_route(&self, alias: RouteAlias) -> Result<Change, StoreError> {
        self.with("route", move |db| {
            let sql = "DELETE FROM route WHERE alias = ?1";
            db.prepare_cached(sql)?.execute([alias.as_str()]).map(Change::of)
        })
        .await
    }
}

impl Change {
    fn of(changed: usize) -> Self {
        if changed == 0 { Self::Overtaken } else { Self::Done }
    }
}

fn save_route(db: &Transaction<'_>, row: &RouteRow) -> rusqlite::Result<Change> {
    let sql = match row.revision {
        1 => {
            "INSERT INTO route (targets, timeouts, revision, updated_at, alias)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (alias) DO NOTHING"
        }
        _ => {
            "UPDATE route SET targets = ?1, timeouts = ?2, revision = ?3, updated_at = ?4
             WHERE alias = ?5 AND revision = ?3 - 1"
        }
    };
    let changed = db.prepare_cached(sql)?.execute(params![
        json(&row.spec.targets)?,
        json(&row.spec.timeouts)?,
        row.revision as i64,
        micros(row.updated_at),
        row.alias.as_str(),
    ])?;
    Ok(Change::of(changed))
}

fn provider(row: &Row<'_>) -> rusqlite::Result<ProviderRow> {
    Ok(ProviderRow {
        name: parse(row, 0, ProviderName::new)?,
        spec: from_json(row, 1)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?,
        credential: row.get(2)?,
        sealed_for: row.get::<_, i64>(3)? as u64,
        revision: row.get::<_, i64>(4)? as u64,
        created_at: moment(row.get(5)?),
        updated_at: moment(row.get(6)?),
    })
}

fn route(row: &Row<'_>) -> rusqlite::Result<RouteRow> {
    let targets: Vec<TargetSpec> =
        from_json(row, 1)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let timeouts = from_json(row, 2)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(RouteRow {
        alias: parse(row, 0, RouteAlias::new)?,
        spec: RouteSpec { targets, timeouts },
        revision: row.get::<_, i64>(3)? as u64,
        updated_at: moment(row.get(4)?),
    })
}
