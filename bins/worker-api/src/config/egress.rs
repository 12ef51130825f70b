//! What sandboxes may fetch: the policies that jobs can name, the bounds of all, names of the house.

use contracts::{Faults, egress::PolicySpec};
use gate::{
    Outside,
    egress::{Host, Name, Policy},
};
use jobs::EgressConfig;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Egress")]
pub struct Egress {
    /// A JSON file of policies that jobs may name in `egress_policy`: an object of
    /// `{"version":1,"rules":[{"host":…}]}`, by name. Read at the start, and when an admin asks for it.
    #[arg(long, env = "EGRESS_POLICIES")]
    egress_policies: Option<PathBuf>,

    /// Names whose addresses are these and not what the node's resolver says, separated by commas:
    /// `name=address`, once more for each further address. The rules judge them as any other.
    #[arg(long, env = "EGRESS_HOSTS", value_delimiter = ',')]
    egress_hosts: Vec<String>,

    /// Bytes that one job or session may send by egress rules.
    #[arg(long, env = "EGRESS_MAX_BYTES_OUT")]
    egress_max_bytes_out: Option<u64>,

    /// Bytes that one job or session may receive by egress rules.
    #[arg(long, env = "EGRESS_MAX_BYTES_IN")]
    egress_max_bytes_in: Option<u64>,

    /// For a name's addresses, in milliseconds.
    #[arg(long, env = "EGRESS_RESOLVE_MS", default_value_t = 5_000)]
    egress_resolve_ms: u64,

    /// For a connection to an allowed host, in milliseconds.
    #[arg(long, env = "EGRESS_CONNECT_MS", default_value_t = 10_000)]
    egress_connect_ms: u64,

    /// For the TLS hello behind a CONNECT, in milliseconds.
    #[arg(long, env = "EGRESS_HELLO_MS", default_value_t = 10_000)]
    egress_hello_ms: u64,

    /// For an allowed host to begin its plain answer, in milliseconds.
    #[arg(long, env = "EGRESS_FIRST_BYTE_MS", default_value_t = 120_000)]
    egress_first_byte_ms: u64,

    /// For silence on both sides of a tunnel, and within a plain answer, in milliseconds.
    #[arg(long, env = "EGRESS_IDLE_MS", default_value_t = 300_000)]
    egress_idle_ms: u64,
}

impl Egress {
    pub(super) fn outside(&self, faults: &mut Faults) -> Outside {
        for (name, value) in [
            ("EGRESS_RESOLVE_MS", self.egress_resolve_ms),
            ("EGRESS_CONNECT_MS", self.egress_connect_ms),
            ("EGRESS_HELLO_MS", self.egress_hello_ms),
            ("EGRESS_FIRST_BYTE_MS", self.egress_first_byte_ms),
            ("EGRESS_IDLE_MS", self.egress_idle_ms),
        ] {
            let sane = (1..=u64::from(u32::MAX)).contains(&value);
            faults.require(sane, name, format!("must be between 1 and {}", u32::MAX));
        }
        Outside {
            hosts: self.hosts(faults),
            resolve: Duration::from_millis(self.egress_resolve_ms),
            connect: Duration::from_millis(self.egress_connect_ms),
            hello: Duration::from_millis(self.egress_hello_ms),
            first_byte: Duration::from_millis(self.egress_first_byte_ms),
            idle: Duration::from_millis(self.egress_idle_ms),
            ..Outside::default()
        }
    }

    pub(super) fn read(&self, faults: &mut Faults) -> EgressConfig {
        let policies = self.egress_policies.as_deref().map(|path| policies(path, faults));
        EgressConfig {
            policies: policies.unwrap_or_default(),
            max_bytes_out: self.egress_max_bytes_out,
            max_bytes_in: self.egress_max_bytes_in,
        }
    }

    /// The policies as their file has them now.
    pub(crate) fn policies(&self) -> Result<BTreeMap<String, Policy>, Faults> {
        let mut faults = Faults::default();
        match self.egress_policies.as_deref() {
            Some(path) => {
                let policies = policies(path, &mut faults);
                faults.into_result().map(|()| policies)
            }
            None => {
                faults.add("EGRESS_POLICIES", "is not set, so there is nothing to read");
                Err(faults)
            }
        }
    }

    fn hosts(&self, faults: &mut Faults) -> BTreeMap<Name, Vec<IpAddr>> {
        let mut hosts: BTreeMap<Name, Vec<IpAddr>> = BTreeMap::new();
        for entry in &self.egress_hosts {
            match host(entry) {
                Some((name, address)) => hosts.entry(name).or_default().push(address),
                None => faults.add("EGRESS_HOSTS", format!("{entry:?} is not name=address")),
            }
        }
        hosts
    }
}

fn host(entry: &str) -> Option<(Name, IpAddr)> {
    let (name, address) = entry.trim().split_once('=')?;
    match (Host::read(name.as_bytes()), address.parse()) {
        (Ok(Host::Name(name)), Ok(address)) => Some((name, address)),
        _ => None,
    }
}

fn policies(path: &Path, faults: &mut Faults) -> BTreeMap<String, Policy> {
    let mut policies = BTreeMap::new();
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let specs = text.and_then(|text| {
        serde_json::from_str::<BTreeMap<String, PolicySpec>>(&text).map_err(|e| e.to_string())
    });
    match specs {
        Err(error) => faults.add("EGRESS_POLICIES", error),
        Ok(specs) => {
            for (name, spec) in specs {
                match Policy::of(&spec) {
                    Ok(policy) => drop(policies.insert(name, policy)),
                    Err(wrong) => {
                        for fault in wrong.iter() {
                            let message = format!("{name}: {}: {}", fault.field, fault.message);
                            faults.add("EGRESS_POLICIES", message);
                        }
                    }
                }
            }
        }
    }
    policies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_addresses_that_the_operator_says() {
        let (name, address) = host("Wiki.Corp.example.=10.1.0.5").unwrap();
        assert_eq!((name.as_str(), address), ("wiki.corp.example", [10, 1, 0, 5].into()));
        assert!(host("wiki.corp.example=fd00::5").is_some());
        for bad in ["wiki", "wiki=", "=10.1.0.5", "10.1.0.4=10.1.0.5", "wiki=there", "w_i=10.0.0.1"]
        {
            assert!(host(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_broken_file_of_policies_tells_all_its_faults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policies.json");
        let rules = |host: &str| format!(r#"{{"version":1,"rules":[{{"host":"{host}"}}]}}"#);
        let faults_of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let mut faults = Faults::default();
            let names: Vec<_> = policies(&path, &mut faults).into_keys().collect();
            (names, faults.iter().count())
        };
        let good = format!(r#"{{"code":{}}}"#, rules("github.com"));
        assert_eq!(faults_of(&good), (vec!["code".to_owned()], 0));
        let bad = format!(r#"{{"a":{},"b":{}}}"#, rules("*.com"), rules("localhost"));
        assert_eq!(faults_of(&bad), (vec![], 2));
        assert_eq!(faults_of("{").1, 1);
    }
}
