//! Bodies that callers send, and those that nodes answer with: the first byte chooses which, the rest is JSON.
//!
//! What was understood can be said again and is understood alike, and passes or fails validation alike.

use contracts::{
    Faults,
    job::{JobRequest, JobResult, StopRequest},
    session::{ExecRequest, SessionRequest},
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

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

fn survives<T>(json: &[u8], validate: impl Fn(&T) -> Result<(), Faults>)
where
    T: Serialize + DeserializeOwned + Debug + PartialEq,
{
    let Ok(value) = serde_json::from_slice::<T>(json) else { return };
    let text = serde_json::to_string(&value).expect("what came as JSON is JSON");
    let again: T = serde_json::from_str(&text).expect("what was said is understood");
    assert_eq!(value, again);
    assert_eq!(validate(&value).is_ok(), validate(&again).is_ok());
}
