//! Bodies that callers send, and those that nodes answer with: the first byte chooses which, the rest is JSON.

use crate::understood::survives;
use contracts::{
    job::{JobRequest, JobResult, StopRequest},
    session::{ExecRequest, SessionRequest},
};

pub(crate) fn check(data: &[u8]) {
    let Some((choice, json)) = data.split_first() else { return };
    match choice % 5 {
        0 => survives(json, JobRequest::validate),
        1 => survives(json, SessionRequest::validate),
        2 => survives(json, ExecRequest::validate),
        3 => survives(json, |_: &StopRequest| Ok(())),
        _ => survives(json, |_: &JobResult| Ok(())),
    }
}
