//! Templates of sessions, as the operator put them.

use crate::{
    Store, StoreError,
    jobs::{from_json, json, micros, moment, parse},
};
use contracts::{TemplateName, template::TemplateSpec};
use rusqlite::{Row, params};
use time::OffsetDateTime;

#[derive(Debug, Clone, PartialEq)]
pub struct TemplateRow {
    pub name: TemplateName,
    /// Another one for each thing that the name has meant.
    pub id: String,
    pub spec: TemplateSpec,
    pub updated_at: OffsetDateTime,
}

impl Store {
    pub async fn templates(&self) -> Result<Vec<TemplateRow>, StoreError> {
        self.with("templates", |db| {
            let sql = "SELECT name, id, spec, updated_at FROM template ORDER BY name";
            db.prepare_cached(sql)?.query_map([], row)?.collect()
        })
        .await
    }

    pub async fn save_template(&self, row: TemplateRow) -> Result<(), StoreError> {
        self.with("template", move |db| {
            let sql = "INSERT INTO template (name, id, spec, updated_at) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT (name) DO UPDATE SET id = excluded.id, spec = excluded.spec,
                           updated_at = excluded.updated_at";
            let values =
                params![row.name.as_str(), row.id, json(&row.spec)?, micros(row.updated_at)];
            db.prepare_cached(sql)?.execute(values).map(drop)
        })
        .await
    }

    pub async fn delete_template(&self, name: TemplateName) -> Result<(), StoreError> {
        self.with("template", move |db| {
            let sql = "DELETE FROM template WHERE name = ?1";
            db.prepare_cached(sql)?.execute([name.as_str()]).map(drop)
        })
        .await
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<TemplateRow> {
    Ok(TemplateRow {
        name: parse(row, 0, TemplateName::new)?,
        id: row.get(1)?,
        spec: from_json(row, 2)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?,
        updated_at: moment(row.get(3)?),
    })
}
