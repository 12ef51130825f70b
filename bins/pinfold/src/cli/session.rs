//! The words about sessions.

use contracts::{TemplateName, code::Language};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SessionOptions {
    #[command(subcommand)]
    pub(crate) command: Option<SessionCommand>,
    #[command(flatten)]
    pub(crate) repl: Repl,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum SessionCommand {
    /// Open a session and print its id. It stays until it is ended, idle for too long or too old.
    Start(StartSession),
    /// List the open sessions.
    List {
        /// Print the node's answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run code in a session, show what it prints as it comes, and end with its exit code.
    Exec(ExecCode),
    /// A terminal in a session. It stays when you leave it by Ctrl-] or lose it.
    Shell(Shell),
    /// End a session.
    End { id: String },
}

#[derive(Debug, clap::Args)]
pub(crate) struct StartSession {
    /// Python, or the template's, if it is not given.
    #[arg(short, long, value_parser = language)]
    pub(crate) lang: Option<Language>,
    /// What the node made ready under this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) template: Option<TemplateName>,
    /// A variable for the interpreter, as NAME=VALUE. Repeatable.
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = super::variable)]
    pub(crate) env: Vec<(String, String)>,
    /// It ends when it is idle for so long.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Repl {
    /// A session that is open; without it one is opened, which ends when you leave.
    pub(crate) id: Option<String>,
    /// python, javascript, typescript or bash; Python, or the template's, if it is not given.
    #[arg(short, long, value_parser = language)]
    pub(crate) lang: Option<Language>,
    /// Open one that the node made ready under this name.
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    pub(crate) template: Option<TemplateName>,
    /// Leave the session open.
    #[arg(short, long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) look: Look,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Shell {
    pub(crate) id: String,
    /// A terminal that is there already.
    #[arg(long, value_name = "TERMINAL", conflicts_with = "command")]
    pub(crate) attach: Option<String>,
    /// A command instead of a shell.
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExecCode {
    pub(crate) id: String,
    /// The code; - or nothing reads it from standard input.
    pub(crate) code: Option<String>,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// How what code shows comes to the person.
#[derive(Debug, clap::Args)]
pub(crate) struct Look {
    /// Time limit of one piece of code, with the time in which it waits for an answer.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 3600)]
    pub(crate) timeout: u64,
    /// Pass every byte of the output to the terminal. Untrusted code can then change its title, its
    /// clipboard and what stands on it already.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Where pictures are put; a folder of the session's in the state folder if it is not given.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) pictures: Option<PathBuf>,
    #[arg(long, env = "XDG_STATE_HOME", hide = true)]
    state_home: Option<PathBuf>,
    #[arg(long, env = "HOME", hide = true)]
    home: Option<PathBuf>,
    #[arg(long, env = "TERM_PROGRAM", hide = true)]
    pub(crate) term_program: Option<String>,
    #[arg(long, env = "KITTY_WINDOW_ID", hide = true)]
    pub(crate) kitty_window_id: Option<String>,
}

impl Look {
    /// Where this user's programs keep what they want to remember.
    pub(crate) fn state_folder(&self) -> Option<PathBuf> {
        let given = self.state_home.clone().filter(|path| path.is_absolute());
        let usual = || self.home.as_ref().map(|home| home.join(".local/state"));
        given.or_else(usual).map(|folder| folder.join("pinfold"))
    }
}

pub(super) fn language(text: &str) -> Result<Language, String> {
    let name = serde_json::Value::from(text);
    serde_json::from_value(name).map_err(|_| "is no language of sessions".to_owned())
}
