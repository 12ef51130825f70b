//! The fence around each command: Landlock, with the best version that the kernel has.
//!
//! It is made once, before any code runs, and each child puts it around itself between clone and
//! exec: the agent stays outside, and can signal what is inside. A child that can't put it on does
//! not become the program.

mod baseline;

use crate::{options::Options, spawn::ABOVE_TARGETS};
use contracts::landlock::{Landlock, LandlockMode};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
};

/// All that this program knows of. What the kernel doesn't have is left out of it.
const NEWEST: ABI = ABI::V9;

/// What code may touch. Beside the baseline, and beside the three roots, which it may always write.
#[derive(Default)]
pub(crate) struct Policy {
    pub(crate) mode: LandlockMode,
    pub(crate) read: Vec<PathBuf>,
    pub(crate) write: Vec<PathBuf>,
    /// No network namespace and no pid namespace are around it: no TCP then, and no signals or
    /// abstract sockets beyond the command itself.
    pub(crate) cut_off: bool,
}

pub(crate) struct Fence {
    status: Landlock,
    mode: LandlockMode,
    cut_off: bool,
    ruleset: Option<OwnedFd>,
}

/// What a child does to itself: numbers, because it may not allocate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Putting {
    ruleset: i32,
    /// A root of the host has ways around the fence: some checks of the kernel's are not asked for
    /// whoever has certain capabilities. In a container there are none.
    gives_up_capabilities: bool,
}

impl Fence {
    pub(crate) fn build(options: &Options) -> io::Result<Self> {
        let mode = options.policy.mode;
        let status = match mode {
            LandlockMode::Off => Landlock::Off,
            LandlockMode::BestEffort | LandlockMode::Hard => of_kernel(),
        };
        let ruleset = match status {
            Landlock::Abi(_) => Some(ruleset(options).map_err(io::Error::other)?),
            Landlock::Off | Landlock::Missing(_) => None,
        };
        let ruleset = ruleset.map(above_standard_streams).transpose()?;
        Ok(Self { status, mode, cut_off: options.policy.cut_off, ruleset })
    }

    #[cfg(test)]
    pub(crate) fn off() -> Self {
        let (status, mode) = (Landlock::Off, LandlockMode::Off);
        Self { status, mode, cut_off: false, ruleset: None }
    }

    pub(crate) fn status(&self) -> Landlock {
        self.status
    }

    /// Whether a command may run behind it. The host knows, too; this is for one that doesn't listen.
    pub(crate) fn may_run(&self) -> bool {
        self.mode != LandlockMode::Hard || self.ruleset.is_some()
    }

    /// For each child, between clone and exec.
    pub(crate) fn putting(&self) -> Option<Putting> {
        let ruleset = self.ruleset.as_ref()?.as_raw_fd();
        Some(Putting { ruleset, gives_up_capabilities: self.cut_off })
    }
}

impl Putting {
    /// Restricts the calling process, for good: `no_new_privs` is set already, so that no exec brings
    /// back what is given up here. False with errno set.
    pub(crate) fn put_on(self) -> bool {
        // SAFETY: system calls on numbers and on memory of this stack frame; the descriptor is the
        // child's copy of ours.
        unsafe {
            let given_up = !self.gives_up_capabilities || {
                // Version 3 of the header, and the calling process.
                let header: [u32; 2] = [0x2008_0522, 0];
                let no_sets = [0_u32; 6];
                libc::syscall(libc::SYS_capset, header.as_ptr(), no_sets.as_ptr()) == 0
            };
            given_up && libc::syscall(libc::SYS_landlock_restrict_self, self.ruleset, 0) == 0
        }
    }
}

/// The kernel says that it has Landlock: rules that came to nothing then are no best effort. The
/// descriptor is moved out of the way of those that children get.
fn above_standard_streams(ruleset: Option<OwnedFd>) -> io::Result<OwnedFd> {
    let ruleset = ruleset.ok_or_else(|| io::Error::other("the kernel took no Landlock rules"))?;
    Ok(rustix::io::fcntl_dupfd_cloexec(ruleset, ABOVE_TARGETS)?)
}

/// What the running kernel offers.
pub(crate) fn of_kernel() -> Landlock {
    const ASK_VERSION: u32 = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: without attributes and with this flag, the call reads nothing and makes nothing.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, ASK_VERSION) };
    match u32::try_from(version) {
        Ok(version) => Landlock::Abi(version),
        Err(_) => {
            Landlock::Missing(io::Error::last_os_error().raw_os_error().unwrap_or(libc::ENOSYS))
        }
    }
}

fn ruleset(options: &Options) -> Result<Option<OwnedFd>, RulesetError> {
    let policy = &options.policy;
    let (all, read) = (AccessFs::from_all(NEWEST), AccessFs::from_read(NEWEST));
    let mut ruleset =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
    if policy.cut_off {
        ruleset =
            ruleset.handle_access(AccessNet::from_all(NEWEST))?.scope(Scope::from_all(NEWEST))?;
    }
    // A container's sockets are its own, or offered to it: the proxy's is. A host's are not.
    let reach = if policy.cut_off { read } else { read | AccessFs::ResolveUnix };
    let roots = [&options.workspace, &options.job, &options.tmp];
    let devices: BitFlags<AccessFs> = AccessFs::from_file(NEWEST) & !AccessFs::Execute;
    let ruleset = ruleset
        .create()?
        // What does not exist is left out: a system has some of these folders and not others.
        .add_rules(path_beneath_rules(baseline::READ, read))?
        .add_rules(path_beneath_rules(baseline::DEVICES, devices))?
        .add_rules(path_beneath_rules(&policy.read, reach))?
        .add_rules(path_beneath_rules(roots, all))?
        .add_rules(path_beneath_rules(&policy.write, all))?;
    Ok(ruleset.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(mode: LandlockMode) -> Options {
        let policy = Policy { mode, ..Policy::default() };
        let tmp = PathBuf::from("/tmp");
        Options { link: tmp.clone(), workspace: tmp.clone(), job: tmp.clone(), tmp, policy }
    }

    #[test]
    fn what_the_kernel_has_is_used_and_what_it_has_not_is_told() {
        let fence = Fence::build(&options(LandlockMode::BestEffort)).unwrap();
        assert_eq!(fence.status(), of_kernel());
        assert_eq!(fence.putting().is_some(), of_kernel().is_enforced());
        assert!(fence.may_run());
    }

    #[test]
    fn hard_runs_nothing_without_it_and_off_never_asks() {
        let hard = Fence::build(&options(LandlockMode::Hard)).unwrap();
        assert_eq!(hard.may_run(), of_kernel().is_enforced());
        let off = Fence::build(&options(LandlockMode::Off)).unwrap();
        assert_eq!(
            (off.status(), off.putting().is_none(), off.may_run()),
            (Landlock::Off, true, true)
        );
    }
}
