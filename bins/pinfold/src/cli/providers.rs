//! The words for providers and routes.

use super::variable;
use contracts::{
    ProviderName, RouteAlias,
    provider::{Auth, Dialect, ProviderType},
    route::TargetSpec,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ProviderCommand {
    /// Make a provider known to the node. It is asked for its models first, with its key.
    ///
    /// Example: pinfold provider create --name nvidia-build --type nvidia --from-existing
    Create(CreateProvider),
    /// List the providers.
    List,
    /// Show one provider. Its key is never shown.
    Get { name: ProviderName },
    /// Change what is given, and leave the rest. Calls follow the change from the next one on.
    Update(UpdateProvider),
    /// Delete a provider that no route uses.
    Delete {
        name: ProviderName,
        /// Even if routes use it: they lose it at once.
        #[arg(long)]
        force: bool,
    },
    /// Make a real call with the provider's key. Ends with 1 if the provider does not answer well.
    Test {
        name: ProviderName,
        /// Ask this model for a few tokens, instead of the provider for its models.
        #[arg(long)]
        model: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateProvider {
    #[arg(long)]
    pub(crate) name: ProviderName,
    /// openai, anthropic, nvidia, ollama, openai-compatible or anthropic-compatible.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: ProviderType,
    #[command(flatten)]
    pub(crate) fields: ProviderFields,
    /// Read the key, and the base URL if there is one, from the variables that the provider's own
    /// clients read.
    #[arg(long, conflicts_with_all = ["credential_env", "credential_stdin"])]
    pub(crate) from_existing: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpdateProvider {
    pub(crate) name: ProviderName,
    #[command(flatten)]
    pub(crate) fields: ProviderFields,
    /// Only if the provider still has this version.
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ProviderFields {
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Read the key from this variable. A key is never an argument: those are for all to see.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) credential_env: Option<String>,
    /// Read the key from standard input.
    #[arg(long, conflicts_with = "credential_env")]
    pub(crate) credential_stdin: bool,
    /// How the key is shown: bearer, none, or header:NAME.
    #[arg(long, value_parser = auth)]
    pub(crate) auth: Option<Auth>,
    /// A header to send with every call, as NAME=VALUE. Repeatable; no secrets, they are shown.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) headers: Vec<(String, String)>,
    /// What the provider speaks: openai, anthropic or ollama. Repeatable.
    #[arg(long = "dialect", value_name = "DIALECT", value_parser = dialect)]
    pub(crate) dialects: Vec<Dialect>,
    /// Save it without asking the provider first.
    #[arg(long)]
    pub(crate) no_validate: bool,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum InferenceCommand {
    /// Set where calls go: the default route, or one by its name. The model is asked first.
    ///
    /// Example: pinfold inference set --provider nvidia-build --model meta/llama-3.1-8b-instruct
    Set(SetRoute),
    /// Show the default route, or one by its name.
    Get {
        #[arg(long, default_value = RouteAlias::DEFAULT)]
        route: RouteAlias,
    },
    /// Change the provider or the model, and leave the rest.
    Update(UpdateRoute),
    /// List the routes.
    List,
    /// Delete a route. Without the default one, calls for names without a route are refused.
    Delete {
        #[arg(long, default_value = RouteAlias::DEFAULT)]
        route: RouteAlias,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetRoute {
    #[arg(long)]
    pub(crate) provider: ProviderName,
    #[arg(long)]
    pub(crate) model: String,
    /// The name that sandboxes call it by.
    #[arg(long, default_value = RouteAlias::DEFAULT)]
    pub(crate) route: RouteAlias,
    /// Where a call goes that the targets before could not begin to answer. Repeatable, in order.
    #[arg(long = "fallback", value_name = "PROVIDER=MODEL", value_parser = target)]
    pub(crate) fallbacks: Vec<TargetSpec>,
    /// Longest wait for the first byte of an answer, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) first_byte_ms: Option<u64>,
    /// Save it without asking the model first.
    #[arg(long)]
    pub(crate) no_validate: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpdateRoute {
    #[arg(long, required_unless_present = "model")]
    pub(crate) provider: Option<ProviderName>,
    #[arg(long)]
    pub(crate) model: Option<String>,
    #[arg(long, default_value = RouteAlias::DEFAULT)]
    pub(crate) route: RouteAlias,
    /// Only if the route still has this version.
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<u64>,
    /// Save it without asking the model first.
    #[arg(long)]
    pub(crate) no_validate: bool,
}

fn auth(text: &str) -> Result<Auth, String> {
    match text {
        "bearer" => Ok(Auth::Bearer),
        "none" => Ok(Auth::None),
        _ => match text.strip_prefix("header:") {
            Some(name) if !name.is_empty() => Ok(Auth::Header(name.to_owned().into())),
            _ => Err("must be bearer, none or header:NAME".to_owned()),
        },
    }
}

fn dialect(text: &str) -> Result<Dialect, String> {
    let known = [Dialect::Ollama, Dialect::Openai, Dialect::Anthropic];
    let found = known.into_iter().find(|dialect| dialect.to_string() == text);
    found.ok_or_else(|| "must be openai, anthropic or ollama".to_owned())
}

fn target(text: &str) -> Result<TargetSpec, String> {
    let (provider, model) = text.split_once('=').ok_or("must be PROVIDER=MODEL")?;
    let provider = ProviderName::new(provider).map_err(|error| format!("the provider {error}"))?;
    Ok(TargetSpec { provider, model: model.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        assert_eq!(auth("header:X-Key"), Ok(Auth::Header("X-Key".into())));
        assert!(auth("header:").is_err() && auth("basic").is_err());
        assert_eq!(dialect("openai"), Ok(Dialect::Openai));
        assert!(dialect("OpenAI").is_err());
        assert_eq!(target("p=a/b:c=d").unwrap().model, "a/b:c=d");
        assert!(target("p").is_err() && target("../p=m").is_err());
    }
}
