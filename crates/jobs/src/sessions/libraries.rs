//! A session with libraries: installed when it is opened, before anybody has it.

use super::{LiveSession, busy::Busy};
use crate::{
    JobError, Node,
    libraries::{Libraries, Place},
};
use contracts::{SessionId, session::SessionEnd};
use executor::Sandbox;
use std::sync::Arc;

impl Node {
    /// Whether there is anything to open in a sandbox.
    pub(super) fn has_way(&self, sandbox: &Sandbox) -> bool {
        self.inner.sandboxes.door(sandbox.id()).is_some_and(|door| door.is_open())
    }

    /// A session that lacks what it was opened for is none. Who stops waiting does not stop it.
    pub(super) async fn furnish(
        &self,
        id: &SessionId,
        libraries: Libraries,
        is_new: bool,
    ) -> Result<(), JobError> {
        let session = self.code_session(id).await?;
        let node = self.clone();
        let furnished = self.inner.tasks.spawn(async move {
            let furnished = furnish(&node, &session, &libraries, is_new).await;
            if furnished.is_err() {
                session.end(SessionEnd::Requested).await;
            }
            furnished
        });
        furnished.await.map_err(|e| JobError::fault("libraries", e))?
    }
}

async fn furnish(
    node: &Node,
    session: &Arc<LiveSession>,
    libraries: &Libraries,
    is_new: bool,
) -> Result<(), JobError> {
    let _busy = Busy::begin(session).await?;
    let (sandbox, image) = (&session.sandbox, &session.plan.image);
    let place = Place { node, sandbox, image, is_new, template: None };
    place.install(libraries).await?.map_err(JobError::Libraries)?;
    session.kernels.furnish(libraries.env(&session.sandbox.places()));
    Ok(())
}
