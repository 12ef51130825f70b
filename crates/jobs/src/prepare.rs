//! What a sandbox is given before its command starts: environment, input files, job specification.

use crate::{JobError, live::Plan, uploads};
use contracts::{
    Faults, SessionId, TaskId,
    link::{Command, FileError, Root},
    sandbox::{SandboxSpec, env},
};
use executor::{LinkError, Places, Sandbox};
use std::{collections::BTreeMap, time::Duration};

/// The agent's own deadline comes so long after the host's, which it only backs.
const BACKSTOP: Duration = Duration::from_secs(30);

/// The names that the node sets, with their values.
pub(crate) type Reserved = Vec<(&'static str, String)>;

/// What of the world there is a way to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ways {
    inference: bool,
    egress: bool,
}

impl Ways {
    /// Of a sandbox that nobody has claimed yet: what its warm-up runs may want a harmless key.
    pub(crate) fn of_door(door: bool) -> Self {
        Self { inference: door, egress: false }
    }

    pub(crate) fn of(spec: &SandboxSpec) -> Self {
        Self { inference: spec.use_inference, egress: spec.has_egress() }
    }
}

/// Image first, then the ways out, then the request, then the node: who comes later wins.
pub(crate) fn environment(
    image: &[(String, String)],
    ways: Ways,
    asked: &BTreeMap<String, String>,
    reserved: &Reserved,
    places: &Places,
) -> Vec<(String, String)> {
    let mut env: BTreeMap<&str, &str> = BTreeMap::new();
    env.insert("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    env.insert("HOME", &places.tmp);
    env.extend(image.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    if ways.inference {
        env.extend(env::INFERENCE);
        env.extend(env::TRUST);
    }
    if ways.egress {
        env.extend(env::EGRESS);
    }
    env.extend(asked.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    // One that the node does not set for this sandbox is not the caller's to set either.
    env.retain(|name, _| !env::RESERVED.contains(name));
    env.extend(reserved.iter().map(|(name, value)| (*name, value.as_str())));
    env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What a kernel that waited for anybody must still be told of its session's ways out.
pub(crate) fn ways_out(spec: &SandboxSpec) -> BTreeMap<String, String> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    if spec.has_egress() { env::EGRESS.into_iter().map(owned).collect() } else { BTreeMap::new() }
}

pub(crate) fn session_ids(task: &TaskId, session: &SessionId) -> Vec<(&'static str, String)> {
    vec![(env::TASK_ID, task.to_string()), (env::SESSION_ID, session.to_string())]
}

pub(crate) fn reserved(places: &Places, ids: Vec<(&'static str, String)>) -> Reserved {
    let mut reserved = ids;
    reserved.push((env::WORKSPACE_DIR, places.workspace.clone()));
    reserved.push((env::ARTIFACTS_DIR, format!("{}/artifacts", places.job)));
    reserved.push((env::HELP, places.help.clone()));
    reserved
}

pub(crate) fn job_command(
    spec: &SandboxSpec,
    plan: &Plan,
    reserved: &Reserved,
    places: &Places,
    flood_bytes: u64,
) -> Command {
    let argv = match spec.command.is_empty() {
        true => plan.image.command.clone(),
        false => spec.command.clone(),
    };
    Command {
        argv,
        env: environment(&plan.image.env, Ways::of(spec), &spec.env, reserved, places),
        cwd: places.workspace.clone(),
        stdin: spec.stdin.is_some() || spec.stdin_open,
        output_bytes: plan.limits.output_bytes,
        flood_bytes,
        sole: true,
        backstop_ms: (plan.timeout + BACKSTOP).as_millis() as u64,
    }
}

/// Puts everything in its place inside. A full disk there is the request's fault, not ours.
pub(crate) async fn files(
    sandbox: &Sandbox,
    spec: &SandboxSpec,
    config: &crate::NodeConfig,
) -> Result<(), JobError> {
    if let Some(id) = &spec.upload_id {
        for file in uploads::take(config, id).await? {
            put(sandbox, Root::Workspace, &file.path, file.executable, &file.data).await?;
        }
    }
    for file in &spec.files {
        put(sandbox, Root::Workspace, &file.path, file.executable, &file.bytes()).await?;
    }
    if let Some(text) = &spec.job_spec_json {
        put(sandbox, Root::Job, "job.json", false, text.as_bytes()).await?;
    }
    Ok(())
}

async fn put(
    sandbox: &Sandbox,
    root: Root,
    path: &str,
    executable: bool,
    data: &[u8],
) -> Result<(), JobError> {
    let refused = |message: &str| {
        let mut faults = Faults::default();
        faults.add("sandbox.files", format!("{path:?} {message}"));
        JobError::Refused(faults)
    };
    match sandbox.put(root, path, executable, data).await {
        Err(LinkError::File(FileError::NoSpace)) => Err(refused("does not fit into the workspace")),
        Err(LinkError::File(FileError::TooLarge)) => Err(refused("is above file_size_bytes")),
        Err(LinkError::File(FileError::Path | FileError::NotFound)) => {
            Err(refused("can't be written there: another file is in its way"))
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
        env.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_nodes_names_win_and_other_names_of_the_callers_pass() {
        let asked =
            [("CYNODE_TASK_ID", "mine"), ("CYNODE_PROMPT", "hi"), ("CYNODE_SESSION_ID", "x")];
        let asked = asked.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let places = Places::default();
        let reserved = reserved(&places, vec![(env::TASK_ID, "t".to_owned())]);
        let image = [("PATH".to_owned(), "/image".to_owned())];
        let env = environment(&image, Ways::default(), &asked, &reserved, &places);
        assert_eq!(value(&env, "CYNODE_TASK_ID"), Some("t"));
        assert_eq!(value(&env, "CYNODE_PROMPT"), Some("hi"));
        assert_eq!(value(&env, "CYNODE_SESSION_ID"), None);
        assert_eq!(value(&env, "CYNODE_WORKSPACE_DIR"), Some("/workspace"));
        assert_eq!(value(&env, "PATH"), Some("/image"));
        assert_eq!(value(&env, "OPENAI_BASE_URL"), None);
    }

    #[test]
    fn with_inference_the_clients_find_their_way_and_a_caller_may_know_better() {
        let asked = [("OPENAI_API_KEY".to_owned(), "mine".to_owned())].into();
        let ways = Ways { inference: true, egress: false };
        let image = [("OLLAMA_HOST".to_owned(), "http://elsewhere".to_owned())];
        let env = environment(&image, ways, &asked, &Vec::new(), &Places::default());
        assert_eq!(value(&env, "OLLAMA_BASE_URL"), Some("http://localhost:11434"));
        assert_eq!(value(&env, "OLLAMA_HOST"), Some("http://localhost:11434"));
        assert_eq!(value(&env, "OPENAI_API_KEY"), Some("mine"));
    }

    #[test]
    fn with_egress_rules_clients_find_the_proxy_in_both_cases() {
        let ways = Ways { inference: false, egress: true };
        let env = environment(&[], ways, &BTreeMap::new(), &Vec::new(), &Places::default());
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
            assert_eq!(value(&env, name), Some("http://127.0.0.1:11434"), "{name}");
        }
        for name in ["NO_PROXY", "no_proxy"] {
            assert_eq!(value(&env, name), Some("localhost,127.0.0.1,::1"), "{name}");
        }
        assert_eq!(value(&env, "OPENAI_BASE_URL"), None);
    }
}
