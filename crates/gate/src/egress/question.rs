//! Which DNS questions of a sandbox are answered: for addresses of hosts that rules name. Every
//! other question, asked of the world, would itself be a way out.

use super::{Denial, Host, Name, Policy, Reason, Way};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionType {
    A,
    Aaaa,
    /// Also HTTPS and SVCB, whose answers tell clients to hide the server's name.
    Other,
}

impl QuestionType {
    pub fn of_code(code: u16) -> Self {
        match code {
            1 => Self::A,
            28 => Self::Aaaa,
            _ => Self::Other,
        }
    }
}

/// The name to answer for, in the form in which it is resolved: letters are folded, so that their
/// case carries nothing.
pub fn question(policy: &Policy, name: &[u8], kind: QuestionType) -> Result<Name, Denial> {
    let unread = |reason| Denial::unread(reason, Way::Question, name);
    // On the wire a name is ASCII; anything else is not what a stub resolver asks.
    if !name.is_ascii() {
        return Err(unread(Reason::NotText));
    }
    let host = Host::read(name).map_err(unread)?;
    policy.check_host(&host, Way::Question, || host.to_string())?;
    match host {
        Host::Address(_) => Err(unread(Reason::BadName)),
        Host::Name(name) if kind == QuestionType::Other => {
            Err(Denial::new(Reason::QuestionType, Way::Question, name))
        }
        Host::Name(name) => Ok(name),
    }
}
