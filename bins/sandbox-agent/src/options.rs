//! The few words on the agent's command line. In a container there are none.

use contracts::sandbox::path;
use std::path::PathBuf;

pub(crate) enum Mode {
    Agent(Options),
    /// Look at the floor from inside, print what was found, and end.
    Probe,
    /// Return when the inference proxy answers.
    AwaitProxy,
    Version,
}

/// Where things are. The defaults are those of every container.
pub(crate) struct Options {
    pub(crate) link: PathBuf,
    pub(crate) workspace: PathBuf,
    pub(crate) job: PathBuf,
    pub(crate) tmp: PathBuf,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Mode, String> {
        let mut options = Self {
            link: PathBuf::from(path::LINK_DIR).join(path::LINK_SOCKET),
            workspace: path::WORKSPACE.into(),
            job: path::JOB.into(),
            tmp: path::TMP.into(),
        };
        while let Some(word) = words.next() {
            let place = match word.as_str() {
                "await-proxy" => return Ok(Mode::AwaitProxy),
                "probe" => return Ok(Mode::Probe),
                "--version" => return Ok(Mode::Version),
                "--link" => &mut options.link,
                "--root-workspace" => &mut options.workspace,
                "--root-job" => &mut options.job,
                "--root-tmp" => &mut options.tmp,
                other => return Err(format!("{other:?} is not an option")),
            };
            *place = words.next().ok_or_else(|| format!("{word} needs a path"))?.into();
        }
        Ok(Mode::Agent(options))
    }
}
