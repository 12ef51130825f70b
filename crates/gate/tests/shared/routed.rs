//! A node whose calls all go by routes, and a job that may make as many as it likes.

use contracts::inference::Caps;
use gate::{BodyPolicy, Budget, Fetching, ModelMap, Policy, Tenant, Unlisted};
use std::{sync::Arc, time::Duration};

pub(crate) fn policy() -> Policy {
    Policy {
        upstream: None,
        models: ModelMap::new([], Unlisted::Refused),
        bodies: BodyPolicy::default(),
        caps: Caps::default(),
        max_body_bytes: 64 << 10,
        body_time: Duration::from_secs(5),
    }
}

pub(crate) fn tenant() -> Tenant {
    Tenant {
        task: "t".into(),
        job: "j".into(),
        budget: Some(Budget::new(Caps::default())),
        fetching: Fetching::new(Arc::default()),
        models: None,
    }
}
