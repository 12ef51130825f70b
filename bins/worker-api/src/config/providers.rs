//! Who may change providers and routes, and what opens the providers' keys.

use super::listen::token;
use contracts::{Faults, Hidden};
use gate::providers::KeySource;
use std::path::{Path, PathBuf};

/// The credential's name in a unit: `LoadCredentialEncrypted=pinfold-provider-key`.
const CREDENTIAL: &str = "pinfold-provider-key";
/// The node's own key, in its state folder.
const OWN_KEY: &str = "provider.key";

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Providers of models")]
pub struct Providers {
    /// The token for `/v1/providers`, `/v1/inference` and `/v1/templates`. Without one, nobody may use
    /// them.
    #[arg(long, env = "WORKER_API_ADMIN_TOKEN", hide_env_values = true)]
    worker_api_admin_token: Option<Hidden>,

    /// A file that holds the admin token, instead of the variable.
    #[arg(long, env = "WORKER_API_ADMIN_TOKEN_FILE")]
    worker_api_admin_token_file: Option<PathBuf>,

    /// A file with the 32 bytes, as hexadecimal digits or base64, that seal the providers' keys in
    /// the store. Only the node may read it. Without any key, the node makes `provider.key` in its
    /// state folder.
    #[arg(long, env = "PROVIDER_KEY_FILE")]
    provider_key_file: Option<PathBuf>,

    /// Where systemd shows credentials; `pinfold-provider-key` is taken from there if it is one.
    #[arg(long, env = "CREDENTIALS_DIRECTORY")]
    credentials_directory: Option<PathBuf>,

    /// The same 32 bytes themselves. A file or a credential is better: an environment is inherited.
    #[arg(long, env = "PROVIDER_KEY", hide_env_values = true)]
    provider_key: Option<Hidden>,

    /// Authorities to believe at providers beside the machine's, as PEM.
    #[arg(long, env = "PROVIDER_CA_FILE")]
    pub provider_ca_file: Option<PathBuf>,
}

impl Providers {
    pub(super) fn admin_token(
        &self,
        worker_token: Option<&str>,
        faults: &mut Faults,
    ) -> Option<String> {
        const NAME: &str = "WORKER_API_ADMIN_TOKEN";
        let (value, file) = (&self.worker_api_admin_token, &self.worker_api_admin_token_file);
        if value.is_none() && file.is_none() {
            return None;
        }
        let token = token(NAME, value.as_ref(), file.as_deref(), faults)?;
        let same = worker_token == Some(token.as_str());
        faults.require(!same, NAME, "must not be the worker's token");
        Some(token)
    }

    pub(super) fn key_source(&self, state_dir: &Path, faults: &mut Faults) -> KeySource {
        let shown = self.credentials_directory.as_ref().map(|folder| folder.join(CREDENTIAL));
        let file = self.provider_key_file.clone().map(KeySource::File);
        let shown = shown.filter(|path| path.exists()).map(KeySource::Credential);
        let given = self.provider_key.clone().map(KeySource::Given);
        let mut found = [file, shown, given].into_iter().flatten();
        let first = found.next();
        let more = "is given twice: as a file, as a credential or as a value, but once";
        faults.require(found.next().is_none(), "PROVIDER_KEY", more);
        first.unwrap_or_else(|| KeySource::Own(state_dir.join(OWN_KEY)))
    }
}
