//! Landlock, by its effect: something that only it forbids is tried.

use super::{Section, fact};
use crate::fence;
use contracts::landlock::Landlock;
use serde_json::json;

/// A process may name itself, by this file, wherever no fence says otherwise.
const OWN_NAME: &str = "/proc/self/comm";

pub(super) fn report() -> Section {
    let kernel = fence::of_kernel();
    let abi = if let Landlock::Abi(version) = kernel { Some(version) } else { None };
    let opened = std::fs::OpenOptions::new().write(true).open(OWN_NAME);
    let fenced = opened.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
    vec![fact("landlock", json!({ "abi": abi, "fenced": fenced, "says": kernel.to_string() }))]
}
