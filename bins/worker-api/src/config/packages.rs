//! Where packages come from, and how much of them the node keeps.

use contracts::Faults;
use gate::{PackagesConfig, packages::BaseUrl};
use relay::{Timeouts, Trust};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Packages")]
pub struct PackagesSettings {
    /// The index of Python packages, PyPI's or a mirror's (PEP 503 or 691). Empty: none is served.
    #[arg(long, env = "PACKAGES_PYPI_URL", default_value = "https://pypi.org/simple")]
    packages_pypi_url: String,

    /// Hosts that the index may have its files at beside its own, separated by commas.
    #[arg(
        long,
        env = "PACKAGES_PYPI_FILES",
        value_delimiter = ',',
        default_value = "https://files.pythonhosted.org"
    )]
    packages_pypi_files: Vec<String>,

    /// The registry of npm or a mirror, which has its files too. Empty: none is served.
    #[arg(long, env = "PACKAGES_NPM_URL", default_value = "https://registry.npmjs.org")]
    packages_npm_url: String,

    /// A mirror of Debian's archive. Empty: none is served.
    #[arg(long, env = "PACKAGES_DEBIAN_URL", default_value = "https://deb.debian.org/debian")]
    packages_debian_url: String,

    /// A mirror of Debian's security archive. Empty: none is served.
    #[arg(
        long,
        env = "PACKAGES_DEBIAN_SECURITY_URL",
        default_value = "https://deb.debian.org/debian-security"
    )]
    packages_debian_security_url: String,

    /// A PEM file of authorities to believe about registries beside the machine's.
    #[arg(long, env = "PACKAGES_CA_FILE")]
    pub packages_ca_file: Option<PathBuf>,

    /// Bytes of packages that are kept on disk; what was not used for longest goes.
    #[arg(long, env = "PACKAGES_CACHE_BYTES", default_value_t = 8 << 30)]
    packages_cache_bytes: u64,

    /// Files and pages that are kept.
    #[arg(long, env = "PACKAGES_CACHE_ENTRIES", default_value_t = 100_000)]
    packages_cache_entries: usize,

    /// Bytes of one file; a larger one is not fetched.
    #[arg(long, env = "PACKAGES_MAX_FILE_BYTES", default_value_t = 1 << 30)]
    packages_max_file_bytes: u64,

    /// For a connection to a registry, in milliseconds.
    #[arg(long, env = "PACKAGES_CONNECT_MS", default_value_t = 5_000)]
    packages_connect_ms: u64,

    /// For a registry to begin its answer, and for silence within it, in milliseconds.
    #[arg(long, env = "PACKAGES_IDLE_MS", default_value_t = 30_000)]
    packages_idle_ms: u64,
}

/// Addresses that can be asked.
#[derive(Debug, Clone)]
pub struct Registries {
    pypi: Option<BaseUrl>,
    pypi_files: Vec<BaseUrl>,
    npm: Option<BaseUrl>,
    debian: Option<BaseUrl>,
    debian_security: Option<BaseUrl>,
}

impl PackagesSettings {
    pub(super) fn read(&self, faults: &mut Faults) -> Registries {
        for (name, value) in [
            ("PACKAGES_CONNECT_MS", self.packages_connect_ms),
            ("PACKAGES_IDLE_MS", self.packages_idle_ms),
        ] {
            let sane = (1..=u64::from(u32::MAX)).contains(&value);
            faults.require(sane, name, format!("must be between 1 and {}", u32::MAX));
        }
        let files = self.packages_pypi_files.iter();
        let files: Vec<_> = files.map(|file| url("PACKAGES_PYPI_FILES", file, faults)).collect();
        Registries {
            pypi: url("PACKAGES_PYPI_URL", &self.packages_pypi_url, faults),
            pypi_files: files.into_iter().flatten().collect(),
            npm: url("PACKAGES_NPM_URL", &self.packages_npm_url, faults),
            debian: url("PACKAGES_DEBIAN_URL", &self.packages_debian_url, faults),
            debian_security: url(
                "PACKAGES_DEBIAN_SECURITY_URL",
                &self.packages_debian_security_url,
                faults,
            ),
        }
    }

    pub(crate) fn config(
        &self,
        registries: Registries,
        state_dir: &Path,
        trust: Option<Trust>,
    ) -> PackagesConfig {
        let Registries { pypi, pypi_files, npm, debian, debian_security } = registries;
        let idle = Duration::from_millis(self.packages_idle_ms);
        PackagesConfig {
            pypi,
            pypi_files,
            npm,
            debian,
            debian_security,
            folder: state_dir.join("packages"),
            max_bytes: self.packages_cache_bytes,
            max_entries: self.packages_cache_entries,
            max_file_bytes: self.packages_max_file_bytes,
            trust,
            timeouts: Timeouts {
                connect: Duration::from_millis(self.packages_connect_ms),
                request_body: idle,
                first_byte: idle,
                idle,
                total: None,
            },
        }
    }
}

fn url(name: &str, text: &str, faults: &mut Faults) -> Option<BaseUrl> {
    if text.is_empty() {
        return None;
    }
    text.parse().map_err(|error| faults.add(name, format!("{text:?} {error}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        packages: PackagesSettings,
    }

    fn read(options: &[&str]) -> (Registries, Faults) {
        let all = ["test"].iter().chain(options);
        let mut faults = Faults::default();
        let registries = Only::try_parse_from(all).unwrap().packages.read(&mut faults);
        (registries, faults)
    }

    #[test]
    fn the_public_registries_are_usual_and_none_is_forced() {
        let (registries, faults) = read(&[]);
        assert!(faults.is_empty());
        assert!(registries.pypi.is_some() && registries.npm.is_some());
        let (registries, faults) = read(&["--packages-npm-url=", "--packages-pypi-files="]);
        assert!(faults.is_empty() && registries.npm.is_none() && registries.pypi_files.is_empty());
    }

    #[test]
    fn what_is_no_address_is_told() {
        for url in ["pypi.org", "ftp://pypi.org", "https://me:secret@pypi.org", "unix:///a"] {
            let (_, faults) = read(&[&format!("--packages-pypi-url={url}")]);
            assert_eq!(faults.iter().count(), 1, "{url}");
        }
    }
}
