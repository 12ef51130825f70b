//! One call about a session's files: orders go out, news comes in, and dropping it ends it.

use super::{Routes, lock};
use crate::LinkError;
use contracts::link::{
    RequestId, ToAgent,
    files::{FileNews, FileOrder},
};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

pub(crate) struct Call {
    request: RequestId,
    news: mpsc::Receiver<FileNews>,
    outbox: mpsc::Sender<ToAgent>,
    ended: mpsc::UnboundedSender<RequestId>,
    routes: Arc<Mutex<Routes>>,
}

impl Call {
    pub(super) fn new(
        request: RequestId,
        news: mpsc::Receiver<FileNews>,
        outbox: mpsc::Sender<ToAgent>,
        ended: mpsc::UnboundedSender<RequestId>,
        routes: Arc<Mutex<Routes>>,
    ) -> Self {
        Self { request, news, outbox, ended, routes }
    }

    pub(crate) async fn send(&self, order: FileOrder) -> Result<(), LinkError> {
        let message = ToAgent::Files { request: self.request, order };
        self.outbox.send(message).await.map_err(|_| LinkError::Lost)
    }

    pub(crate) async fn next(&mut self) -> Result<FileNews, LinkError> {
        self.news.recv().await.ok_or(LinkError::Lost)
    }

    /// What was told already, without waiting for more.
    pub(crate) fn told(&mut self) -> Option<FileNews> {
        self.news.try_recv().ok()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        lock(&self.routes).end_call(self.request);
        // A link that is lost has nobody to tell.
        let _lost = self.ended.send(self.request);
    }
}
