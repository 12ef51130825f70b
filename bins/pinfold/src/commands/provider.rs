//! Providers of models: made known, shown, changed, tested and deleted.

use super::{environment, jobs::encoded, printed};
use crate::{
    cli::{CreateProvider, ProviderCommand, ProviderFields, UpdateProvider},
    client::Client,
    out,
};
use anyhow::{Context, bail};
use contracts::{
    Version,
    provider::{
        Credential, ProbeRequest, ProbeView, Profile, ProviderList, ProviderPatch, ProviderRequest,
        ProviderView,
    },
};
use hyper::Method;
use std::{collections::BTreeMap, io::Read, process::ExitCode};

const PATH: &str = "/v1/providers";
/// Far above any key, far below what would hurt.
const MAX_STDIN_BYTES: u64 = 64 << 10;

pub(crate) async fn run(
    client: &Client,
    command: ProviderCommand,
    json: bool,
) -> anyhow::Result<ExitCode> {
    match command {
        ProviderCommand::Create(create) => {
            let view: ProviderView = client.post(PATH, &request(create)?).await?;
            printed(json, &view, || page(&view))
        }
        ProviderCommand::List => {
            let list: ProviderList = client.get(PATH).await?;
            printed(json, &list, || table(&list))
        }
        ProviderCommand::Get { name } => {
            let view: ProviderView = client.get(&path(name.as_str())).await?;
            printed(json, &view, || page(&view))
        }
        ProviderCommand::Update(update) => {
            let path = path(update.name.as_str());
            let view: ProviderView =
                client.send_json(Method::PATCH, &path, &patch(update)?).await?;
            printed(json, &view, || page(&view))
        }
        ProviderCommand::Delete { name, force } => {
            let query = if force { "?force=true" } else { "" };
            client.delete(&format!("{}{query}", path(name.as_str()))).await?;
            printed(json, &serde_json::json!({"deleted": name}), || format!("deleted {name}"))
        }
        ProviderCommand::Test { name, model } => {
            let path = format!("{}:test", path(name.as_str()));
            let asked = ProbeRequest { version: Version, model };
            let view: ProbeView = client.post(&path, &asked).await?;
            printed(json, &view, || verdict(&view))?;
            Ok(if view.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn path(name: &str) -> String {
    format!("{PATH}/{}", encoded(name))
}

fn request(create: CreateProvider) -> anyhow::Result<ProviderRequest> {
    let CreateProvider { name, kind, fields, from_existing } = create;
    let mut credential = credential(&fields)?;
    let mut base_url = fields.base_url;
    if from_existing {
        let found = existing(kind.profile(), base_url.is_some(), &environment::variable)?;
        for variable in &found.read {
            out::note(format_args!("read {variable}"));
        }
        credential = found.credential;
        base_url = base_url.or(found.base_url);
    }
    Ok(ProviderRequest {
        version: Version,
        name,
        kind,
        base_url,
        auth: fields.auth,
        headers: headers(fields.headers),
        dialects: (!fields.dialects.is_empty()).then_some(fields.dialects),
        credential,
        validate: !fields.no_validate,
    })
}

fn patch(update: UpdateProvider) -> anyhow::Result<ProviderPatch> {
    let UpdateProvider { fields, if_version, .. } = update;
    let patch = ProviderPatch {
        version: Version,
        credential: credential(&fields)?,
        base_url: fields.base_url,
        auth: fields.auth,
        headers: headers(fields.headers),
        dialects: (!fields.dialects.is_empty()).then_some(fields.dialects),
        revision: if_version,
        validate: !fields.no_validate,
    };
    if patch.changes_nothing() {
        bail!("nothing to change: give a key, --base-url, --auth, --header or --dialect");
    }
    Ok(patch)
}

fn headers(pairs: Vec<(String, String)>) -> Option<BTreeMap<String, String>> {
    (!pairs.is_empty()).then(|| pairs.into_iter().collect())
}

/// The key, from wherever it is said to be.
fn credential(fields: &ProviderFields) -> anyhow::Result<Option<Credential>> {
    if let Some(name) = &fields.credential_env {
        let value = environment::variable(name);
        let value = value.with_context(|| format!("the variable {name} is not set, or empty"))?;
        return Ok(Some(Credential::new(value)));
    }
    if fields.credential_stdin {
        let mut text = String::new();
        let read = std::io::stdin().take(MAX_STDIN_BYTES).read_to_string(&mut text);
        read.context("the key can't be read from standard input")?;
        return Ok(Some(Credential::new(text)));
    }
    Ok(None)
}

/// What the environment holds for a type's own clients.
#[derive(Default)]
struct Existing {
    credential: Option<Credential>,
    base_url: Option<String>,
    /// The names of the variables that were used.
    read: Vec<&'static str>,
}

fn existing(
    profile: &Profile,
    has_url: bool,
    variable: &impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Existing> {
    let mut found = Existing::default();
    let first = |names: &'static [&'static str]| {
        names.iter().find_map(|name| variable(name).map(|value| (*name, value)))
    };
    if let Some((name, value)) = first(profile.key_variables) {
        found.credential = Some(Credential::new(value));
        found.read.push(name);
    }
    if let Some((name, value)) = first(profile.url_variables).filter(|_| !has_url) {
        found.base_url = Some(as_url(&value));
        found.read.push(name);
    }
    let needed = profile.auth != contracts::provider::Auth::None;
    if needed && found.credential.is_none() {
        bail!("no key is there: {} is not set", profile.key_variables.join(", "));
    }
    if profile.base_url.is_none() && found.base_url.is_none() && !has_url {
        bail!("no base URL is there: {} is not set", profile.url_variables.join(", "));
    }
    Ok(found)
}

/// Ollama's variable may leave the scheme and the port out, and name the address that a server
/// listens on.
fn as_url(value: &str) -> String {
    let value = value.trim();
    if value.contains("://") {
        return value.to_owned();
    }
    let value = match value.strip_prefix("0.0.0.0") {
        Some(rest) => format!("127.0.0.1{rest}"),
        None => value.to_owned(),
    };
    match value.contains(':') {
        true => format!("http://{value}"),
        false => format!("http://{value}:11434"),
    }
}

fn page(view: &ProviderView) -> String {
    let spec = &view.spec;
    let mut lines = vec![
        format!("name:     {}", view.name),
        format!("type:     {}", spec.kind),
        format!("base url: {}", spec.base_url),
        format!("auth:     {}", spec.auth),
        format!("key:      {}", if view.has_credential { "set" } else { "none" }),
        format!("dialects: {}", listed(spec.dialects.iter())),
        format!("version:  {}", view.revision),
        format!("used by:  {}", listed(view.used_by.iter())),
    ];
    for (name, value) in &spec.headers {
        lines.push(format!("header:   {name}={value}"));
    }
    lines.join("\n")
}

fn table(list: &ProviderList) -> String {
    let head = format!(
        "{:<24} {:<21} {:<4} {:>7}  {:<20} BASE URL",
        "NAME", "TYPE", "KEY", "VERSION", "USED BY"
    );
    let line = |view: &ProviderView| {
        let key = if view.has_credential { "yes" } else { "no" };
        let used = listed(view.used_by.iter());
        let ProviderView { name, spec, revision, .. } = view;
        format!("{name:<24} {:<21} {key:<4} {revision:>7}  {used:<20} {}", spec.kind, spec.base_url)
    };
    std::iter::once(head).chain(list.providers.iter().map(line)).collect::<Vec<_>>().join("\n")
}

fn verdict(view: &ProbeView) -> String {
    let answer = match (&view.cause, view.status) {
        (Some(cause), _) => cause.clone(),
        (None, Some(status)) => format!("answered {status}"),
        (None, None) => "answered".to_owned(),
    };
    let word = if view.ok { "ok" } else { "failed" };
    format!("{word}: {} {answer} ({}, {} ms)", view.provider, view.call, view.latency_ms)
}

fn listed<T: ToString>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::provider::ProviderType;

    #[test]
    fn what_exists_is_read_by_the_profile_and_named() {
        let of = |kind: ProviderType, set: &[(&str, &str)]| {
            let variable = |name: &str| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            existing(kind.profile(), false, &variable)
        };
        let found = of(ProviderType::Nvidia, &[("NVIDIA_API_KEY", "k"), ("OPENAI_API_KEY", "x")]);
        let found = found.unwrap();
        assert_eq!(found.credential.unwrap().reveal(), "k");
        assert_eq!((found.read, found.base_url), (vec!["NVIDIA_API_KEY"], None));
        let found = of(ProviderType::Ollama, &[("OLLAMA_HOST", "0.0.0.0")]).unwrap();
        assert!(found.credential.is_none());
        assert_eq!(found.base_url.as_deref(), Some("http://127.0.0.1:11434"));
        let error = of(ProviderType::Openai, &[]).err().unwrap().to_string();
        assert!(error.contains("OPENAI_API_KEY"), "{error}");
        assert!(of(ProviderType::OpenaiCompatible, &[("OPENAI_API_KEY", "k")]).is_err());
    }

    #[test]
    fn ollamas_host_becomes_a_url() {
        for (value, url) in [
            ("http://a:1", "http://a:1"),
            ("a:1", "http://a:1"),
            ("0.0.0.0:11434", "http://127.0.0.1:11434"),
            ("a", "http://a:11434"),
        ] {
            assert_eq!(as_url(value), url);
        }
    }
}
