//! What callers of sessions, terminals, rules and providers send, and what a kernel shows: the first
//! byte chooses which, the rest is JSON.

use crate::understood::survives;
use contracts::{
    code::{CellInput, ExecuteRequest, KernelRequest, OpenRequest, Rich},
    egress::PolicySpec,
    terminal::{TerminalControl, TerminalRequest},
};

pub(crate) fn check(data: &[u8]) {
    let Some((choice, json)) = data.split_first() else { return };
    match choice % 8 {
        0 => survives(json, TerminalControl::validate),
        1 => survives(json, TerminalRequest::validate),
        2 => survives(json, ExecuteRequest::validate),
        3 => survives(json, CellInput::validate),
        4 => survives(json, OpenRequest::validate),
        5 => survives(json, |_: &KernelRequest| Ok(())),
        6 => survives(json, |_: &PolicySpec| Ok(())),
        _ => is_understood_again(json),
    }
}

/// A result may hold any number, and one that is read twice need not be the same to its last bit.
fn is_understood_again(json: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Rich>(json) else { return };
    let text = serde_json::to_string(&value).expect("what came as JSON is JSON");
    serde_json::from_str::<Rich>(&text).expect("what was said is understood");
}
