//! The words about templates.

use contracts::{ImageRef, TemplateName, code::Language};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum TemplateCommand {
    /// Put a template in the place of what the name meant before. Sessions of then stay as they are;
    /// sandboxes that waited are replaced.
    ///
    /// Example: pinfold template put data --library numpy --library pandas --file helpers.py --wait
    Put(Box<PutTemplate>),
    /// List the templates, with what became of each.
    List,
    /// Show one template.
    Get { name: TemplateName },
    /// Delete a template. Sessions that were opened from it stay.
    Delete { name: TemplateName },
}

#[derive(Debug, clap::Args)]
pub(crate) struct PutTemplate {
    pub(crate) name: TemplateName,
    /// The language of its sessions.
    #[arg(short, long, default_value = "python", value_parser = super::session::language)]
    pub(crate) lang: Language,
    /// The image; the node's own for the language if it is not given.
    #[arg(long)]
    pub(crate) image: Option<ImageRef>,
    /// A package to install, as NAME or with its version. Repeatable.
    #[arg(long = "library", value_name = "NAME")]
    pub(crate) libraries: Vec<String>,
    /// A file to put into /workspace, as PATH or PATH:NAME-INSIDE. Repeatable.
    #[arg(short, long = "file", value_name = "PATH[:NAME]")]
    pub(crate) files: Vec<String>,
    /// A variable for the interpreter, as NAME=VALUE. Repeatable.
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = super::variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Memory, with everything that is installed and written: 64m, 1g, or bytes.
    #[arg(short, long, value_name = "SIZE", value_parser = super::size)]
    pub(crate) memory: Option<u64>,
    /// Cores, as in 0.5.
    #[arg(long)]
    pub(crate) cpus: Option<f64>,
    /// Processes and threads.
    #[arg(long)]
    pub(crate) pids: Option<u64>,
    /// Size of /workspace, with what is installed.
    #[arg(long, value_name = "SIZE", value_parser = super::size)]
    pub(crate) workspace_size: Option<u64>,
    /// Sandboxes that always wait, with everything in them.
    #[arg(long, value_name = "COUNT")]
    pub(crate) min: Option<u64>,
    /// Sandboxes that wait when the demand is there.
    #[arg(long, value_name = "COUNT", requires = "min")]
    pub(crate) max: Option<u64>,
    /// Wait until it is built, and end with 1 if that fails.
    #[arg(short, long)]
    pub(crate) wait: bool,
}
