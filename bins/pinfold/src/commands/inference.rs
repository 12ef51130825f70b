//! Routes: where a sandbox's calls go.

use super::{jobs::encoded, printed};
use crate::{
    cli::{InferenceCommand, SetRoute, UpdateRoute},
    client::Client,
};
use contracts::{
    RouteAlias, Version,
    route::{RouteList, RoutePatch, RouteRequest, RouteTimeouts, RouteView, TargetSpec},
};
use hyper::Method;
use std::process::ExitCode;

pub(crate) async fn run(
    client: &Client,
    command: InferenceCommand,
    json: bool,
) -> anyhow::Result<ExitCode> {
    match command {
        InferenceCommand::Set(set) => {
            let path = path(&set.route);
            let view: RouteView = client.send_json(Method::PUT, &path, &request(set)).await?;
            printed(json, &view, || page(&view))
        }
        InferenceCommand::Get { route } => {
            let view: RouteView = client.get(&path(&route)).await?;
            printed(json, &view, || page(&view))
        }
        InferenceCommand::Update(update) => {
            let path = path(&update.route);
            let view: RouteView = client.send_json(Method::PATCH, &path, &patch(update)).await?;
            printed(json, &view, || page(&view))
        }
        InferenceCommand::List => {
            let list: RouteList = client.get("/v1/inference/routes").await?;
            printed(json, &list, || table(&list))
        }
        InferenceCommand::Delete { route } => {
            client.delete(&path(&route)).await?;
            printed(json, &serde_json::json!({"deleted": route}), || format!("deleted {route}"))
        }
    }
}

fn path(route: &RouteAlias) -> String {
    match route.as_str() {
        RouteAlias::DEFAULT => "/v1/inference".to_owned(),
        alias => format!("/v1/inference/routes/{}", encoded(alias)),
    }
}

fn request(set: SetRoute) -> RouteRequest {
    let SetRoute { provider, model, fallbacks, first_byte_ms, no_validate, .. } = set;
    let timeouts = RouteTimeouts { first_byte_ms, ..RouteTimeouts::default() };
    let first = TargetSpec { provider, model };
    RouteRequest {
        version: Version,
        provider: None,
        model: None,
        targets: std::iter::once(first).chain(fallbacks).collect(),
        timeouts,
        validate: !no_validate,
    }
}

fn patch(update: UpdateRoute) -> RoutePatch {
    let UpdateRoute { provider, model, if_version, no_validate, .. } = update;
    RoutePatch {
        version: Version,
        provider,
        model,
        targets: None,
        timeouts: None,
        revision: if_version,
        validate: !no_validate,
    }
}

fn page(view: &RouteView) -> String {
    let mut lines = vec![
        format!("route:    {}", view.route),
        format!("provider: {}", view.provider),
        format!("model:    {}", view.model),
        format!("version:  {}", view.revision),
    ];
    for target in view.targets.iter().skip(1) {
        lines.push(format!("then:     {} {}", target.target.provider, target.target.model));
    }
    for target in &view.targets {
        if let Some(broken) = &target.broken {
            let TargetSpec { provider, model } = &target.target;
            lines.push(format!("broken:   {provider} ({model}) {broken}"));
        }
    }
    lines.join("\n")
}

fn table(list: &RouteList) -> String {
    let head =
        format!("{:<24} {:<24} {:<40} {:>7}  STATE", "ROUTE", "PROVIDER", "MODEL", "VERSION");
    let line = |view: &RouteView| {
        let broken = view.targets.iter().filter(|target| target.broken.is_some()).count();
        let state = match (broken, view.targets.len()) {
            (0, 1) => "ok".to_owned(),
            (0, all) => format!("ok, {all} targets"),
            (broken, all) => format!("{broken} of {all} broken"),
        };
        let RouteView { route, provider, model, revision, .. } = view;
        format!("{route:<24} {provider:<24} {model:<40} {revision:>7}  {state}")
    };
    std::iter::once(head).chain(list.routes.iter().map(line)).collect::<Vec<_>>().join("\n")
}
