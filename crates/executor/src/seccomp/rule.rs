//! The profile's format: what Podman and the runtimes read, as types.

use serde::{Serialize, Serializer, ser::SerializeMap};

pub(super) const SUCCESS: u16 = 0;
pub(super) const EPERM: u16 = 1;
pub(super) const ENOSYS: u16 = 38;

/// An `int` argument: the kernel looks at the lower half of the register only. A comparison of
/// the whole register could be passed by setting a bit in the upper half.
const INT: u64 = 0xffff_ffff;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    default_action: &'static str,
    default_errno_ret: u16,
    arch_map: [Architecture; 2],
    pub(super) syscalls: Vec<Rule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Architecture {
    architecture: &'static str,
    /// Always empty: each would open a second ABI.
    sub_architectures: [&'static str; 0],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Errno(u16),
}

/// One line of the profile: it applies when all of `args` hold. Several lines for one call are
/// alternatives.
#[derive(Debug, Serialize)]
pub(super) struct Rule {
    pub(super) names: &'static [&'static str],
    #[serde(flatten, serialize_with = "action_and_errno")]
    pub(super) action: Action,
    /// No index twice: the runtimes read that as alternatives, not as a conjunction.
    pub(super) args: Vec<Arg>,
    #[serde(rename = "comment")]
    pub(super) why: &'static str,
}

/// Holds when the argument, under `mask`, is `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Arg {
    pub(super) index: u8,
    /// The format's name for the mask of a masked comparison is `value`.
    #[serde(rename = "value")]
    pub(super) mask: u64,
    #[serde(rename = "valueTwo")]
    pub(super) value: u64,
    op: &'static str,
}

impl Profile {
    /// Refuses with `errno` what no rule answers.
    pub(super) fn refusing(errno: u16, syscalls: Vec<Rule>) -> Self {
        let only = |architecture| Architecture { architecture, sub_architectures: [] };
        Self {
            default_action: "SCMP_ACT_ERRNO",
            default_errno_ret: errno,
            arch_map: [only("SCMP_ARCH_X86_64"), only("SCMP_ARCH_AARCH64")],
            syscalls,
        }
    }
}

impl Rule {
    pub(super) fn new(action: Action, names: &'static [&'static str], why: &'static str) -> Self {
        Self { names, action, args: Vec::new(), why }
    }

    pub(super) fn allow(names: &'static [&'static str], why: &'static str) -> Self {
        Self::new(Action::Allow, names, why)
    }

    pub(super) fn when(mut self, args: impl Into<Vec<Arg>>) -> Self {
        self.args = args.into();
        self
    }
}

impl Arg {
    pub(super) const fn int(index: u8, value: u32) -> Self {
        Self::masked(index, INT, value as u64)
    }

    pub(super) const fn masked(index: u8, mask: u64, value: u64) -> Self {
        Self { index, mask, value, op: "SCMP_CMP_MASKED_EQ" }
    }
}

fn action_and_errno<S: Serializer>(action: &Action, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    match action {
        Action::Allow => map.serialize_entry("action", "SCMP_ACT_ALLOW")?,
        Action::Errno(errno) => {
            map.serialize_entry("action", "SCMP_ACT_ERRNO")?;
            map.serialize_entry("errnoRet", errno)?;
        }
    }
    map.end()
}
