//! The programs that run cells, by language, and how they are started.

use super::Env;
use contracts::{ImageRef, code::Language, link::Command};
use executor::Places;

const PYTHON: &str = include_str!("../../drivers/python.py");
const NODE: &str = include_str!("../../drivers/node.js");
const BASH: &str = include_str!("../../drivers/bash.sh");
const ONCE: &str = include_str!("../../drivers/once.sh");

pub(crate) struct Driver {
    /// Languages of one family share a kernel.
    pub(crate) family: &'static str,
    /// What must be in the image.
    pub(crate) program: &'static str,
    options: &'static [&'static str],
    source: &'static str,
    /// It is told its name and the image.
    knows_where: bool,
}

impl Driver {
    pub(crate) fn of(lang: Language) -> Self {
        match lang {
            Language::Python => Self {
                family: "python",
                program: "python3",
                options: &["-c"],
                source: PYTHON,
                knows_where: false,
            },
            Language::JavaScript | Language::TypeScript => Self {
                family: "javascript",
                program: "node",
                options: &["--no-warnings", "-e"],
                source: NODE,
                knows_where: false,
            },
            Language::Bash => Self {
                family: "bash",
                program: "bash",
                options: &["--norc", "--noprofile", "-c"],
                source: BASH,
                knows_where: false,
            },
            // Nothing of a cell stays but its files: one driver serves them all, and is told of each
            // cell what it is written in.
            Language::Go
            | Language::Cpp
            | Language::Java
            | Language::Ruby
            | Language::R
            | Language::Rust => Self {
                family: "once",
                program: "bash",
                options: &["--norc", "--noprofile", "-c"],
                source: ONCE,
                knows_where: true,
            },
        }
    }

    /// The driver is an argument and not a file: code can't change what the next kernel starts from.
    pub(crate) fn command(
        &self,
        name: &str,
        image: &ImageRef,
        env: Env,
        places: &Places,
    ) -> Command {
        let mut argv = [&[self.program][..], self.options, &[self.source]].concat();
        if self.knows_where {
            argv.extend(["pinfold", name, image.as_str()]);
        }
        Command {
            argv: argv.into_iter().map(str::to_owned).collect(),
            env,
            cwd: places.workspace.clone(),
            stdin: false,
            output_bytes: 0,
            flood_bytes: 0,
            sole: false,
            backstop_ms: 0,
        }
    }
}
