//! From what was written to what is applied: every fault of every rule is named in one go.

use super::{
    Faults, HTTPS_PORT, Host, HostPattern, IpNet, MAX_LIST, MAX_RULES, Pattern, REFUSED_METHODS,
    Reason, Rule, RuleSpec, address, check_range,
};
use std::net::IpAddr;

/// Checks and compiles a list of rules that stands in the field of this name.
pub(in crate::egress) fn rules(field: &str, specs: &[RuleSpec]) -> Result<Vec<Rule>, Faults> {
    let mut faults = Faults::default();
    if specs.len() > MAX_RULES {
        faults.add(field, format!("holds more than {MAX_RULES} rules"));
    }
    let specs = specs.iter().take(MAX_RULES).enumerate();
    let rules = specs
        .filter_map(|(index, spec)| rule(&format!("{field}[{index}]"), spec, &mut faults))
        .collect();
    faults.into_result().map(|()| rules)
}

fn rule(field: &str, spec: &RuleSpec, faults: &mut Faults) -> Option<Rule> {
    let name = |part: &str| format!("{field}.{part}");
    let host = read_host(&spec.host).map_err(|message| faults.add(name("host"), message)).ok();
    let ports = list(&name("ports"), spec.ports.as_deref(), faults, |&port| match port {
        0 => Err("is not a port".to_owned()),
        port => Ok(port),
    });
    let methods = list(&name("methods"), spec.methods.as_deref(), faults, |text| read_method(text));
    let paths = list(&name("paths"), spec.paths.as_deref(), faults, |text| {
        Pattern::read(text).map_err(str::to_owned)
    });
    let allowed_ips =
        list(&name("allowed_ips"), spec.allowed_ips.as_deref(), faults, |text| read_range(text));
    let rule = Rule {
        host: host?,
        ports: ports.unwrap_or_else(|| vec![HTTPS_PORT]),
        methods,
        paths,
        allowed_ips: allowed_ips.unwrap_or_default(),
    };
    check_whole(field, &rule, spec, faults);
    Some(rule)
}

/// What only the fields together can tell: a rule that nothing could ever meet.
fn check_whole(field: &str, rule: &Rule, spec: &RuleSpec, faults: &mut Faults) {
    if spec.allowed_ips.is_none() && !rule.opens_tunnels() {
        let message = "is needed by methods and paths: plain HTTP goes to listed addresses only";
        faults.add(format!("{field}.allowed_ips"), message);
    } else if let HostPattern::Exact(Host::Address(host)) = &rule.host
        && address::check(*host, &rule.allowed_ips).is_err()
    {
        let message = format!("does not open the rule's own host {host}");
        faults.add(format!("{field}.allowed_ips"), message);
    }
}

/// None where the list is absent. The caller looks at the faults before it uses what is left.
fn list<T, R>(
    field: &str,
    items: Option<&[T]>,
    faults: &mut Faults,
    read: impl Fn(&T) -> Result<R, String>,
) -> Option<Vec<R>> {
    let items = items?;
    if items.is_empty() {
        faults.add(field, "must not be empty: leave it out for its default");
    }
    if items.len() > MAX_LIST {
        faults.add(field, format!("holds more than {MAX_LIST} entries"));
    }
    let mut list = Vec::new();
    for (index, item) in items.iter().take(MAX_LIST).enumerate() {
        match read(item) {
            Ok(item) => list.push(item),
            Err(message) => faults.add(format!("{field}[{index}]"), message),
        }
    }
    Some(list)
}

fn read_host(text: &str) -> Result<HostPattern, String> {
    let host = |text: &str| match text.parse() {
        // A lone v6 address needs its brackets only where a port follows.
        Ok(IpAddr::V6(address)) => Ok(Host::Address(address.into())),
        _ => Host::read(text.as_bytes()).map_err(|reason: Reason| reason.to_string()),
    };
    let Some(suffix) = text.strip_prefix("*.") else {
        return match host(text)? {
            Host::Name(name) if name.is_local() => {
                Err("is a name of the machine itself".to_owned())
            }
            host => Ok(HostPattern::Exact(host)),
        };
    };
    match host(suffix)? {
        Host::Address(_) => Err("has nothing beneath an address".to_owned()),
        Host::Name(name) if name.is_local() => Err("is beneath the machine itself".to_owned()),
        Host::Name(name) if is_public_suffix(name.as_str()) => {
            Err(format!("is too wide: anybody may own a name beneath {name}"))
        }
        Host::Name(name) => Ok(HostPattern::Beneath(name)),
    }
}

/// Also true of a name of one label that no list has, such as `internal`.
fn is_public_suffix(name: &str) -> bool {
    psl::domain_str(name).is_none()
}

fn read_method(text: &str) -> Result<String, String> {
    let is_method = !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !is_method {
        return Err("is not a method in capitals".to_owned());
    }
    if REFUSED_METHODS.contains(&text) {
        return Err("is never forwarded".to_owned());
    }
    Ok(text.to_owned())
}

fn read_range(text: &str) -> Result<IpNet, String> {
    let range = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| "is not an address or a range as in 10.0.0.0/8")?,
    };
    check_range(range).map_err(str::to_owned)?;
    Ok(range)
}
