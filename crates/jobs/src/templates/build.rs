//! Building ahead where no sandbox shall wait: one is made, and removed when it is known how that
//! went. Those of which some wait are built by the pool's keeper.

use super::{Template, why};
use crate::{Node, chain, pool};
use std::{collections::HashSet, sync::Arc};
use tokio::task::JoinSet;

/// At a time: sessions and the pool come first.
const MOST_BUILDING: usize = 2;

pub(crate) async fn keep(node: Node) {
    let mut changed = node.inner.templates.watch();
    let mut building: JoinSet<Arc<str>> = JoinSet::new();
    let mut begun: HashSet<Arc<str>> = HashSet::new();
    loop {
        for template in unbuilt(&node) {
            if building.len() < MOST_BUILDING && begun.insert(Arc::clone(template.mark())) {
                building.spawn(build(node.clone(), template));
            }
        }
        tokio::select! {
            () = node.inner.leaving.cancelled() => break,
            _ = changed.changed() => {}
            Some(built) = building.join_next() => {
                if let Ok(mark) = built {
                    begun.remove(&mark);
                }
            }
        }
    }
    while building.join_next().await.is_some() {}
}

fn unbuilt(node: &Node) -> Vec<Arc<Template>> {
    let config = &node.inner.config.pool;
    let all = node.inner.templates.all().into_iter();
    all.filter(|template| template.levels(config).0 == 0 && template.is_unbuilt()).collect()
}

async fn build(node: Node, template: Arc<Template>) -> Arc<str> {
    match template.plan(&node).await {
        // It tells the template what goes wrong.
        Ok(plan) => match pool::make_ready(&node, &template.shape(&plan), Vec::new()).await {
            Ok(made) => {
                node.inner.sandboxes.release(made.sandbox);
                template.tell(Ok(()));
            }
            Err(error) => tracing::debug!(error = %chain(&error), "none of a template"),
        },
        Err(error) => template.tell(Err(why(&error))),
    }
    Arc::clone(template.mark())
}
