//! Templates of sessions: sandboxes that are furnished before anybody asks for them.
//!
//! ```text
//!   put ─► building ─► ready ◄──────┐ each sandbox is furnished by itself, in it, and used once:
//!             └──────► failed ──────┘ by the pool's keeper, or here where none shall wait
//! ```
//!
//! A name may mean another thing later. Whatever is furnished is marked with an id that never does,
//! so a claim can't find what the name meant before.

mod build;
mod template;

pub(crate) use template::{Template, why};

use crate::{JobError, Node, sandboxes::draw_bytes};
use contracts::{
    Faults, TemplateName, Version,
    template::{MAX_TEMPLATES, TemplateList, TemplateSpec, TemplateView},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use store::{Store, TemplateRow};
use time::OffsetDateTime;
use tokio::sync::watch;

pub(crate) use build::keep;

pub(crate) struct Templates {
    known: Mutex<BTreeMap<TemplateName, Arc<Template>>>,
    /// One change at a time, so that what is kept and what is known are the same.
    changing: tokio::sync::Mutex<()>,
    changed: watch::Sender<()>,
}

impl Templates {
    /// Those of earlier lives of the node.
    pub(crate) async fn load(store: &Store) -> Result<Self, JobError> {
        let mut known = BTreeMap::new();
        for row in store.templates().await? {
            let name = row.name.clone();
            match Template::new(row) {
                Ok(template) => drop(known.insert(name, Arc::new(template))),
                // Of a version with other bounds. It is there again when it is put again.
                Err(error) => tracing::warn!(template = %name, %error, "a template is left out"),
            }
        }
        let (changing, changed) = (tokio::sync::Mutex::default(), watch::Sender::new(()));
        Ok(Self { known: Mutex::new(known), changing, changed })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<TemplateName, Arc<Template>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Template>> {
        self.known().values().cloned().collect()
    }

    pub(crate) fn get(&self, name: &TemplateName) -> Option<Arc<Template>> {
        self.known().get(name).cloned()
    }

    /// The one that sandboxes with this mark are furnished by, if it is one still.
    pub(crate) fn marked(&self, mark: &str) -> Option<Arc<Template>> {
        self.known().values().find(|template| &**template.mark() == mark).cloned()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn is_changed(&self) {
        self.changed.send_replace(());
    }
}

impl Node {
    pub fn template(&self, name: &TemplateName) -> Result<TemplateView, JobError> {
        let template = self.inner.templates.get(name);
        Ok(self.view_of(&*template.ok_or(JobError::NotFound("template"))?))
    }

    pub fn templates(&self) -> TemplateList {
        let line = |template: Arc<Template>| template.line(self.waiting(&template));
        let templates = self.inner.templates.all().into_iter().map(line).collect();
        TemplateList { version: Version, templates }
    }

    /// Puts a template in the place of what the name meant before, and says whether that was nothing.
    /// The same one again changes nothing, and tries one that failed.
    pub async fn put_template(
        &self,
        name: TemplateName,
        spec: TemplateSpec,
    ) -> Result<(TemplateView, bool), JobError> {
        spec.validate().map_err(JobError::Invalid)?;
        let templates = &self.inner.templates;
        let _one_at_a_time = templates.changing.lock().await;
        let before = templates.get(&name);
        if let Some(before) = before.as_ref().filter(|before| *before.spec() == spec) {
            if before.try_again() {
                self.inner.sandboxes.pool.try_again(before.mark());
                templates.is_changed();
            }
            return Ok((self.view_of(before), false));
        }
        let id: String = draw_bytes()?.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let row = TemplateRow { name, id, spec, updated_at: OffsetDateTime::now_utc() };
        let template = Arc::new(Template::new(row.clone())?);
        self.check_room(&template, before.as_deref())?;
        // What this node can't give is told now, and not by a failure later.
        template.plan(self).await?;
        self.inner.store.save_template(row).await?;
        templates.known().insert(template.name().clone(), Arc::clone(&template));
        let is_new = before.is_none();
        before.inspect(|before| before.retire());
        templates.is_changed();
        tracing::info!(template = %template.name(), mark = %template.mark(), "a template was put");
        Ok((self.view_of(&template), is_new))
    }

    /// Sessions that were opened from it stay.
    pub async fn delete_template(&self, name: &TemplateName) -> Result<(), JobError> {
        let templates = &self.inner.templates;
        let _one_at_a_time = templates.changing.lock().await;
        let template = templates.get(name).ok_or(JobError::NotFound("template"))?;
        self.inner.store.delete_template(name.clone()).await?;
        templates.known().remove(name);
        template.retire();
        templates.is_changed();
        tracing::info!(template = %name, "a template was deleted");
        Ok(())
    }

    /// What a name in a request for a session means.
    pub(crate) fn template_asked(
        &self,
        name: Option<&TemplateName>,
    ) -> Result<Option<Arc<Template>>, JobError> {
        let Some(name) = name else { return Ok(None) };
        let known = self.inner.templates.get(name);
        known.map(Some).ok_or_else(|| refused("template", "is none of this node's"))
    }

    fn view_of(&self, template: &Template) -> TemplateView {
        template.view(self.waiting(template))
    }

    fn waiting(&self, template: &Template) -> u64 {
        self.inner.sandboxes.pool.waiting(template.mark())
    }

    fn check_room(&self, new: &Template, before: Option<&Template>) -> Result<(), JobError> {
        let all = self.inner.templates.all();
        if before.is_none() && all.len() >= MAX_TEMPLATES {
            let message = format!("this node knows {MAX_TEMPLATES} templates and takes no more");
            return Err(refused("name", message));
        }
        let config = &self.inner.config.pool;
        let configured: usize = config.shapes.iter().map(|shape| shape.min).sum();
        let others = all.iter().filter(|other| other.name() != new.name());
        let promised: usize =
            configured + others.map(|other| other.levels(config).0).sum::<usize>();
        let (min, room) = (new.levels(config).0, config.max.saturating_sub(promised));
        if min > room {
            let message = format!(
                "{min} shall always wait, and beside what is promised this node has room for {room}"
            );
            return Err(refused("pool.min", message));
        }
        Ok(())
    }
}

pub(crate) fn refused(field: &str, message: impl Into<String>) -> JobError {
    let mut faults = Faults::default();
    faults.add(field, message.into());
    JobError::Refused(faults)
}
