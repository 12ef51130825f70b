//! Terminals in a sandbox, as their user sees them.

pub use crate::link::TerminalEvent;
use crate::{LinkError, Sandbox};
use contracts::{
    TerminalId,
    link::{
        Command, MAX_CHUNK_BYTES, ToAgent,
        terminal::{Size, TerminalStatus, ToTerminals},
    },
};
use tokio::sync::mpsc;

/// What comes from one terminal. It closes when the link is lost or the terminal was ended.
pub type TerminalEvents = mpsc::Receiver<TerminalEvent>;

impl Sandbox {
    /// The terminals of an earlier life of the node, once. Their output begins where the status says.
    pub fn adopted_terminals(&self) -> Vec<(TerminalStatus, TerminalEvents)> {
        std::mem::take(&mut self.adopted().terminals)
    }

    /// Starts a program on a terminal. Whether it could be started, its end tells.
    pub async fn start_terminal(
        &self,
        terminal: TerminalId,
        command: Command,
        size: Size,
    ) -> Result<TerminalEvents, LinkError> {
        let new = TerminalStatus { terminal: terminal.clone(), from: 0, given: 0, taken: 0, size };
        if self.is_lost() {
            return Err(LinkError::Lost);
        }
        let events = self.link().with_terminals(|terminals| terminals.expect(&new))?;
        self.tell(ToTerminals::Start { terminal, command, size }).await?;
        Ok(events)
    }

    /// Input, of which no more than `INPUT_BYTES` may be under way.
    pub async fn type_into(&self, terminal: &TerminalId, data: &[u8]) -> Result<(), LinkError> {
        let bytes = data.len() as u64;
        self.link().with_terminals(|terminals| terminals.gave(terminal, bytes));
        for piece in data.chunks(MAX_CHUNK_BYTES) {
            let (terminal, data) = (terminal.clone(), piece.to_vec());
            self.tell(ToTerminals::Input { terminal, data }).await?;
        }
        Ok(())
    }

    pub async fn resize_terminal(&self, id: &TerminalId, size: Size) -> Result<(), LinkError> {
        self.tell(ToTerminals::Resize { terminal: id.clone(), size }).await
    }

    pub async fn signal_terminal(&self, id: &TerminalId, signal: i32) -> Result<(), LinkError> {
        self.tell(ToTerminals::Signal { terminal: id.clone(), signal }).await
    }

    /// Lets output go on behind what was seen.
    pub async fn seen_of_terminal(&self, id: &TerminalId, to: u64) -> Result<(), LinkError> {
        self.link().with_terminals(|terminals| terminals.seen(id, to));
        self.tell(ToTerminals::Seen { terminal: id.clone(), to }).await
    }

    /// Kills what runs on a terminal, and forgets it.
    pub async fn end_terminal(&self, id: &TerminalId) -> Result<(), LinkError> {
        let told = self.tell(ToTerminals::End { terminal: id.clone() }).await;
        self.link().with_terminals(|terminals| terminals.forget(id));
        told
    }

    async fn tell(&self, message: ToTerminals) -> Result<(), LinkError> {
        self.link().send(ToAgent::Terminals(message)).await
    }
}
