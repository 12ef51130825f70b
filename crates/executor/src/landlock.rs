//! What a node asks of Landlock, as words for the agent; and the refusal where it must have it and
//! has not.

use crate::EngineError;
use contracts::landlock::{Landlock, LandlockMode};
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The step of making a sandbox in which Landlock is missing: the phase that callers read.
const STEP: &str = "landlock";

/// How code is fenced, beside what is around it anyway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fencing {
    pub mode: LandlockMode,
    /// Beside the baseline of every system. For the direct engine; a container shows its image.
    pub read: Vec<PathBuf>,
    /// Beside the sandbox's own three folders. For the direct engine.
    pub write: Vec<PathBuf>,
}

impl Fencing {
    /// The agent's words for a container: its image may be read, and what the container lets one
    /// write at all may be written. So Landlock stands behind each of the container's mounts, and
    /// closes `/proc`, `/sys` and the rest of `/dev` to writers.
    pub(crate) fn in_container(&self) -> Vec<String> {
        let words = ["--landlock", self.mode.name(), "--read", "/"];
        let write = ["/dev/shm", "/dev/pts", "/dev/ptmx", "/dev/mqueue"];
        let write = write.into_iter().flat_map(|path| ["--write", path]);
        words.into_iter().chain(write).map(str::to_owned).collect()
    }

    /// For a process of the host, where it is the only wall.
    pub(crate) fn on_host(&self, help: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> =
            vec!["--cut-off".into(), "--landlock".into(), self.mode.name().into()];
        let help = std::iter::once(help);
        for path in help.chain(self.read.iter().map(PathBuf::as_path)) {
            words.extend(["--read".into(), path.into()]);
        }
        for path in &self.write {
            words.extend(["--write".into(), path.into()]);
        }
        words
    }

    /// What the agent says of a sandbox, if that is enough.
    pub(crate) fn check(&self, landlock: Landlock) -> Result<(), EngineError> {
        match (self.mode, landlock.is_enforced()) {
            (LandlockMode::Hard, false) => {
                let message = format!("LANDLOCK=hard, and what there is: {landlock}");
                Err(EngineError::step(STEP, message))
            }
            _ => Ok(()),
        }
    }
}

/// What the kernel has, as the agent finds it: it is the agent that will use it.
pub fn of_kernel(agent: &Path) -> Result<Landlock, EngineError> {
    let ask = || -> io::Result<Landlock> {
        let asked =
            Command::new(agent).arg("landlock").env_clear().stdin(Stdio::null()).output()?;
        Ok(serde_json::from_slice(&asked.stdout)?)
    };
    ask().map_err(|e| EngineError::step("agent", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fencing(mode: LandlockMode) -> Fencing {
        Fencing { mode, read: vec!["/r".into()], write: vec!["/w".into()] }
    }

    #[test]
    fn only_hard_refuses_and_only_what_is_not_enforced() {
        for mode in LandlockMode::ALL {
            for landlock in [Landlock::Off, Landlock::Missing(38), Landlock::Abi(1)] {
                let refused = mode == LandlockMode::Hard && landlock != Landlock::Abi(1);
                let check = fencing(mode).check(landlock);
                assert_eq!(check.is_err(), refused, "{mode:?} {landlock}");
                assert!(check.err().is_none_or(|error| error.phase() == "landlock"));
            }
        }
    }

    #[test]
    fn on_a_host_code_is_cut_off_and_in_a_container_it_is_so_already() {
        let words = fencing(LandlockMode::Hard).on_host(Path::new("/help"));
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        let expected =
            ["--cut-off", "--landlock", "hard", "--read", "/help", "--read", "/r", "--write", "/w"];
        assert_eq!(words, expected);
        let words = fencing(LandlockMode::Off).in_container();
        assert_eq!(words[..4], ["--landlock", "off", "--read", "/"]);
        assert!(!words.iter().any(|word| word == "--cut-off" || word == "/r"));
    }
}
