//! What was understood can be said again and is understood alike, and passes or fails validation alike.

use contracts::Faults;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

pub(crate) fn survives<T>(json: &[u8], validate: impl Fn(&T) -> Result<(), Faults>)
where
    T: Serialize + DeserializeOwned + Debug + PartialEq,
{
    let Ok(value) = serde_json::from_slice::<T>(json) else { return };
    let text = serde_json::to_string(&value).expect("what came as JSON is JSON");
    let again: T = serde_json::from_str(&text).expect("what was said is understood");
    assert_eq!(value, again);
    assert_eq!(validate(&value).is_ok(), validate(&again).is_ok());
}
