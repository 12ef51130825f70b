//! The words for what sandboxes may fetch.

use contracts::egress::RuleSpec;
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum EgressCommand {
    /// Show the rules that a running job or session has, and what it has fetched.
    Get(Of),
    /// Give a running job or session these rules in the place of those that it has. They count from
    /// its next request on; open tunnels that they don't allow are closed.
    ///
    /// Example: pinfold egress set my-job --allow pypi.org --allow files.pythonhosted.org
    Set(SetEgress),
    /// List the node's own policies, with how many sandboxes run by each. Asks for the admin token.
    Policies,
    /// Make the node read its file of policies again, for running sandboxes too. Asks for the admin
    /// token.
    Reload,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    /// The job's id, or the session's.
    pub(crate) id: String,
    /// The id is a session's.
    #[arg(long)]
    pub(crate) session: bool,
}

#[derive(Debug, clap::Args)]
#[group(id = "what", required = true, multiple = true, args = ["allow", "rules", "policy", "nothing"])]
pub(crate) struct SetEgress {
    #[command(flatten)]
    pub(crate) of: Of,
    /// A host that may be reached by TLS, as HOST or HOST:PORT. Repeatable.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = allowed)]
    pub(crate) allow: Vec<RuleSpec>,
    /// A JSON file with a list of rules, as in a job's `egress`.
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// The node's policy of this name, as well.
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: Option<String>,
    /// No rules: nothing leaves any more.
    #[arg(long, conflicts_with_all = ["allow", "rules", "policy"])]
    pub(crate) nothing: bool,
}

/// The node says what is wrong with a host; here it is only told from its port.
pub(crate) fn allowed(text: &str) -> Result<RuleSpec, String> {
    let (host, ports) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let port = port.parse().map_err(|_| "must be HOST or HOST:PORT")?;
            (host, Some(vec![port]))
        }
        _ => (text, None),
    };
    let host = host.to_owned();
    Ok(RuleSpec { host, ports, methods: None, paths: None, allowed_ips: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_a_port() {
        for (text, host, ports) in [
            ("pypi.org", "pypi.org", None),
            ("pypi.org:8443", "pypi.org", Some(vec![8443])),
            ("[2001:db8::1]", "[2001:db8::1]", None),
            ("[2001:db8::1]:443", "[2001:db8::1]", Some(vec![443])),
        ] {
            let rule = allowed(text).unwrap();
            assert_eq!((rule.host.as_str(), rule.ports), (host, ports), "{text}");
        }
        assert!(allowed("pypi.org:https").is_err());
    }
}
