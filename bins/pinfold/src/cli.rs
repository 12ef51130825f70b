//! The words of the command line.

mod copy;
mod egress;
mod providers;
mod session;
mod template;

pub(crate) use copy::{Copy, End, Here, Place, SessionPath};
pub(crate) use egress::{EgressCommand, Of as EgressOf, SetEgress};
pub(crate) use providers::{
    CreateProvider, InferenceCommand, ProviderCommand, ProviderFields, SetRoute, UpdateProvider,
    UpdateRoute,
};

pub(crate) use session::{
    ExecCode, Look, Repl, SessionCommand, SessionOptions, Shell, StartSession,
};
pub(crate) use template::{PutTemplate, TemplateCommand};

use crate::{client::Client, dev_model::DevModelOptions, doctor::DoctorOptions};
use anyhow::Context;
use contracts::{Hidden, ImageRef, egress::RuleSpec};
use std::path::PathBuf;

/// Run untrusted code in sealed sandboxes on a Pinfold node.
#[derive(Debug, clap::Parser)]
#[command(name = "pinfold", version, about, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) node: Node,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes of `run` and `logs`: the program's own; 128+n when signal n \
ended it; 124 at its deadline; 130 when it was canceled; 125 when pinfold or the node failed.";

/// Which node, and how to be let in.
#[derive(Debug, clap::Args)]
pub(crate) struct Node {
    /// The node's address.
    #[arg(long, env = "PINFOLD_URL", default_value = "http://127.0.0.1:9190", global = true)]
    url: String,
    /// The node's token.
    #[arg(long, env = "PINFOLD_TOKEN", hide_env_values = true, global = true)]
    token: Option<Hidden>,
    /// The node's admin token, for providers, routes and templates.
    #[arg(long, env = "PINFOLD_ADMIN_TOKEN", hide_env_values = true, global = true)]
    admin_token: Option<Hidden>,
}

impl Node {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let token = self.token.clone().context("no token: set PINFOLD_TOKEN or give --token")?;
        Client::new(&self.url, token)
    }

    pub(crate) fn admin(&self) -> anyhow::Result<Client> {
        let token = self.admin_token.clone();
        let token =
            token.context("no admin token: set PINFOLD_ADMIN_TOKEN or give --admin-token")?;
        Client::new(&self.url, token)
    }
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run a command in a sandbox, and show what it prints as it comes.
    ///
    /// Example: pinfold run localhost/pinfold/base:latest -- sh -c 'echo hello'
    Run(Box<Run>),
    /// List jobs, newest first.
    Jobs(JobsQuery),
    /// Show one job with its result.
    Job { job_id: String },
    /// Stop a job: TERM, a grace period, then KILL.
    Cancel { job_id: String },
    /// Show what a job prints, from its start until its end.
    Logs { job_id: String },
    /// Type code into an interpreter in a sandbox, which keeps what it knows.
    ///
    /// Without a subcommand: a prompt, in a session that is open or in a new one. Code from a pipe
    /// is run without one.
    Session(Box<SessionOptions>),
    /// Copy files and folders into a session or out of it.
    ///
    /// Examples: pinfold cp data.csv 8f0c…:  ·  pinfold cp 8f0c…:out/. results  ·  pinfold cp 8f0c…:log -
    ///
    /// Paths in a session begin at its workspace. A folder to - is its tar. Ends with 0 when all was
    /// copied, with 1 when something was left out (links that may lead out, pipes, devices), and
    /// with 125 when it failed.
    Cp(Copy),
    /// Show the sandboxes that wait for work, by shape.
    Pool(PoolOptions),
    /// Make providers of models known to the node, with their keys.
    Provider {
        #[command(subcommand)]
        command: ProviderCommand,
        /// Print the node's answer as JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Say which provider and model serves the calls from sandboxes.
    Inference {
        #[command(subcommand)]
        command: InferenceCommand,
        /// Print the node's answer as JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Make sessions ready ahead, with libraries and files in them, under a name.
    ///
    /// Such a session is opened by `pinfold session --template NAME`.
    Template {
        #[command(subcommand)]
        command: TemplateCommand,
        /// Print the node's answer as JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Say what a running job or session may fetch from now on.
    Egress {
        #[command(subcommand)]
        command: EgressCommand,
        /// Print the node's answer as JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Check this host for running sandboxes: its versions, its settings, and the floor from inside
    /// a real sandbox. Ends with 0 when all holds, 1 when something is weaker here, 2 when something
    /// fails.
    Doctor(DoctorOptions),
    /// Serve a stand-in for a model's server, for first runs and tests. It is NOT a language model:
    /// it echoes what it hears, in the ways of Ollama, OpenAI and Anthropic, and fails on demand.
    DevModel(DevModelOptions),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The image to run in.
    pub(crate) image: ImageRef,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
    /// A variable for the program, as NAME=VALUE. Repeatable.
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Time limit, in seconds.
    #[arg(short, long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Memory, with everything that the program writes: 64m, 1g, or bytes.
    #[arg(short, long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// Cores, as in 0.5.
    #[arg(long)]
    pub(crate) cpus: Option<f64>,
    /// Processes and threads.
    #[arg(long)]
    pub(crate) pids: Option<u64>,
    /// Size of /workspace.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) workspace_size: Option<u64>,
    /// Size of /tmp.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) tmp_size: Option<u64>,
    /// A file to put into /workspace, as PATH or PATH:NAME-INSIDE. Repeatable.
    #[arg(short, long = "file", value_name = "PATH[:NAME]")]
    pub(crate) files: Vec<String>,
    /// A glob in /workspace; what matches at the end is kept as an artifact. Repeatable.
    #[arg(short, long = "artifact", value_name = "GLOB")]
    pub(crate) artifacts: Vec<String>,
    /// Where to put the artifacts. Without it they stay on the node until they are fetched.
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Pass our standard input to the program.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Let the program use models, by the clients' usual variables.
    #[arg(long)]
    pub(crate) inference: bool,
    /// A model that it may use; without any, all that the node offers. Repeatable.
    #[arg(long = "model", value_name = "NAME", requires = "inference")]
    pub(crate) models: Vec<String>,
    /// A host that the program may reach by TLS, as HOST or HOST:PORT. Repeatable.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = egress::allowed)]
    pub(crate) allow: Vec<RuleSpec>,
    /// Rules of the node's own that the program may fetch by.
    #[arg(long, value_name = "NAME")]
    pub(crate) egress_policy: Option<String>,
    /// The job's id; drawn if it is not given. The same id with the same job joins it.
    #[arg(long)]
    pub(crate) job_id: Option<String>,
    /// The task that the job belongs to.
    #[arg(long, default_value = "pinfold-cli")]
    pub(crate) task_id: String,
    /// Print the job's result as one JSON document, and nothing else on standard output.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the job's id and don't wait for it.
    #[arg(long, conflicts_with_all = ["json", "stdin", "out"])]
    pub(crate) detach: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct JobsQuery {
    /// Only jobs in this state: queued, running or ended.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Only jobs of this task.
    #[arg(long)]
    pub(crate) task_id: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PoolOptions {
    /// Show it again every so many seconds, until it is interrupted.
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) watch: Option<u64>,
    /// Print the node's answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err("must be bytes, or end in k, m or g".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "must be a number".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_ours_on_the_page_for_newcomers_is_one() {
        let page = include_str!("../../../docs/compatibility.md");
        let spans = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let commands: Vec<&str> = spans.filter(|span| span.starts_with("pinfold ")).collect();
        assert!(commands.len() > 5, "{commands:?}");
        for command in commands {
            let command = command.replace("IMAGE", "localhost/image");
            if let Err(error) = Cli::try_parse_from(command.split(' ')) {
                panic!("{command}: {error}");
            }
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("64m"), Ok(64 << 20));
        assert_eq!(size("10"), Ok(10));
        assert!(size("m").is_err());
        assert!(size("1x").is_err());
        assert!(size("99999999999g").is_err());
    }
}
