//! The version that every JSON body carries. There is one, and another is refused.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Version 1 of the wire. The type can hold nothing else, so a parsed body is a checked one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Version),
            other => Err(serde::de::Error::custom(format!(
                "version {other} is not supported, this node speaks version 1"
            ))),
        }
    }
}
