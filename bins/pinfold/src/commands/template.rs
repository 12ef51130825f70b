//! Templates of sessions: put, shown and deleted.

use super::{jobs::encoded, printed, run::input_file};
use crate::{
    cli::{PutTemplate, TemplateCommand},
    client::Client,
};
use contracts::{
    Version,
    limits::LimitsRequest,
    template::{
        TemplateLine, TemplateList, TemplatePool, TemplateSpec, TemplateState, TemplateStatus,
        TemplateView,
    },
};
use hyper::Method;
use std::{process::ExitCode, time::Duration};

const PATH: &str = "/v1/templates";
/// Between two looks at one that is built.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn run(
    client: &Client,
    command: TemplateCommand,
    json: bool,
) -> anyhow::Result<ExitCode> {
    match command {
        TemplateCommand::Put(put) => {
            let (path, wait) = (path(put.name.as_str()), put.wait);
            let mut view: TemplateView = client.send_json(Method::PUT, &path, &spec(*put)?).await?;
            while wait && view.state.status == TemplateStatus::Building {
                tokio::time::sleep(LOOK_EVERY).await;
                view = client.get(&path).await?;
            }
            printed(json, &view, || page(&view))?;
            let failed = wait && view.state.status == TemplateStatus::Failed;
            Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        TemplateCommand::List => {
            let list: TemplateList = client.get(PATH).await?;
            printed(json, &list, || table(&list))
        }
        TemplateCommand::Get { name } => {
            let view: TemplateView = client.get(&path(name.as_str())).await?;
            printed(json, &view, || page(&view))
        }
        TemplateCommand::Delete { name } => {
            client.delete(&path(name.as_str())).await?;
            printed(json, &serde_json::json!({"deleted": name}), || format!("deleted {name}"))
        }
    }
}

fn path(name: &str) -> String {
    format!("{PATH}/{}", encoded(name))
}

fn spec(put: PutTemplate) -> anyhow::Result<TemplateSpec> {
    let files = put.files.iter().map(|file| input_file(file)).collect::<Result<_, _>>()?;
    Ok(TemplateSpec {
        version: Version,
        lang: put.lang,
        image: put.image,
        libraries: put.libraries,
        files,
        env: put.env.into_iter().collect(),
        limits: LimitsRequest {
            memory_bytes: put.memory,
            cpus: put.cpus,
            pids: put.pids,
            workspace_bytes: put.workspace_size,
            ..LimitsRequest::default()
        },
        pool: put.min.map(|min| TemplatePool { min, max: put.max }),
    })
}

fn page(view: &TemplateView) -> String {
    let TemplateView { name, state, spec } = view;
    let mut lines = vec![
        format!("name:      {name}"),
        format!("language:  {}", spec.lang.name()),
        format!(
            "image:     {}",
            spec.image.as_ref().map_or("the node's own", |image| image.as_str())
        ),
        format!("libraries: {}", listed(&spec.libraries)),
        format!("status:    {}", told(state)),
        format!("waiting:   {}", state.waiting),
    ];
    lines.extend(spec.files.iter().map(|file| format!("file:      {}", file.path)));
    lines.extend(spec.env.keys().map(|name| format!("variable:  {name}")));
    lines.join("\n")
}

fn table(list: &TemplateList) -> String {
    let head =
        format!("{:<24} {:<11} {:>7}  {:<32} STATUS", "NAME", "LANGUAGE", "WAITING", "LIBRARIES");
    let line = |line: &TemplateLine| {
        let TemplateLine { name, state, lang, libraries, .. } = line;
        let libraries = listed(libraries);
        format!(
            "{name:<24} {:<11} {:>7}  {libraries:<32} {}",
            lang.name(),
            state.waiting,
            told(state)
        )
    };
    std::iter::once(head).chain(list.templates.iter().map(line)).collect::<Vec<_>>().join("\n")
}

/// The words of a client are an install's, and so anybody's: no control character of theirs counts.
fn told(state: &TemplateState) -> String {
    let status = state.status.name();
    match &state.why {
        Some(why) => format!("{status}: {}", why.escape_debug()),
        None => status.to_owned(),
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}
