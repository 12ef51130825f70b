//! The few words on the agent's command line: where things are, and what code may touch.

use crate::fence::Policy;
use contracts::{landlock::LandlockMode, sandbox::path};
use std::path::PathBuf;

pub(crate) enum Mode {
    Agent(Options),
    /// Look at the floor from inside, print what was found, and end.
    Probe,
    /// Return when the inference proxy answers.
    AwaitProxy,
    /// Say what Landlock the kernel has.
    Landlock,
    Version,
}

/// Where things are. The defaults are those of every container.
pub(crate) struct Options {
    pub(crate) link: PathBuf,
    pub(crate) workspace: PathBuf,
    pub(crate) job: PathBuf,
    pub(crate) tmp: PathBuf,
    pub(crate) policy: Policy,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Mode, String> {
        let mut options = Self {
            link: PathBuf::from(path::LINK_DIR).join(path::LINK_SOCKET),
            workspace: path::WORKSPACE.into(),
            job: path::JOB.into(),
            tmp: path::TMP.into(),
            policy: Policy::default(),
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "await-proxy" => return Ok(Mode::AwaitProxy),
                "landlock" => return Ok(Mode::Landlock),
                "probe" => return Ok(Mode::Probe),
                "--version" => return Ok(Mode::Version),
                "--link" => options.link = value()?.into(),
                "--root-workspace" => options.workspace = value()?.into(),
                "--root-job" => options.job = value()?.into(),
                "--root-tmp" => options.tmp = value()?.into(),
                "--landlock" => {
                    let mode = value()?;
                    let named = LandlockMode::named(&mode);
                    options.policy.mode = named.ok_or_else(|| format!("{mode:?} is no mode"))?;
                }
                "--read" => options.policy.read.push(value()?.into()),
                "--write" => options.policy.write.push(value()?.into()),
                "--cut-off" => options.policy.cut_off = true,
                other => return Err(format!("{other:?} is not an option")),
            }
        }
        Ok(Mode::Agent(options))
    }
}
