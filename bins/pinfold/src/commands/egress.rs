//! What running sandboxes may fetch: looked at, and changed.

use super::{jobs::encoded, printed};
use crate::cli::{EgressCommand, EgressOf, Node, SetEgress};
use anyhow::Context;
use contracts::{
    Version,
    egress::{EgressPolicies, EgressSpec, EgressView, RuleSpec},
};
use hyper::Method;
use std::process::ExitCode;

pub(crate) async fn run(
    node: &Node,
    command: EgressCommand,
    json: bool,
) -> anyhow::Result<ExitCode> {
    match command {
        EgressCommand::Get(of) => {
            let view: EgressView = node.client()?.get(&path(&of)).await?;
            printed(json, &view, || page(&view))
        }
        EgressCommand::Set(set) => {
            let (path, spec) = (path(&set.of), spec(set)?);
            let view: EgressView = node.client()?.send_json(Method::PUT, &path, &spec).await?;
            printed(json, &view, || page(&view))
        }
        EgressCommand::Policies => {
            let all: EgressPolicies = node.admin()?.get("/v1/egress/policies").await?;
            printed(json, &all, || table(&all))
        }
        EgressCommand::Reload => {
            let path = "/v1/egress/policies:reload";
            let all: EgressPolicies = node.admin()?.post(path, &serde_json::json!({})).await?;
            printed(json, &all, || table(&all))
        }
    }
}

fn path(of: &EgressOf) -> String {
    let kind = if of.session { "sessions" } else { "jobs" };
    format!("/v1/worker/{kind}/{}/egress", encoded(&of.id))
}

fn spec(set: SetEgress) -> anyhow::Result<EgressSpec> {
    let mut egress = set.allow;
    if let Some(file) = set.rules {
        let name = file.display();
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {name}"))?;
        let more: Vec<RuleSpec> =
            serde_json::from_str(&text).with_context(|| format!("in {name}"))?;
        egress.extend(more);
    }
    Ok(EgressSpec { version: Version, egress, egress_policy: set.policy })
}

fn page(view: &EgressView) -> String {
    let mut lines: Vec<String> = view.spec.egress.iter().map(rule).collect();
    lines.extend(view.spec.egress_policy.iter().map(|name| format!("policy:  {name}")));
    if lines.is_empty() {
        lines.push("nothing may be fetched".to_owned());
    }
    let usage = &view.usage;
    lines.push(format!("so far:  {} allowed, {} refused", usage.allowed, usage.refused));
    lines.push(format!("bytes:   {} out, {} in", usage.bytes_out, usage.bytes_in));
    lines.join("\n")
}

fn rule(rule: &RuleSpec) -> String {
    let ports = rule.ports.clone().unwrap_or_else(|| vec![443]);
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let mut line = format!("allowed: {} port {}", rule.host, ports.join(", "));
    for (name, list) in
        [("methods", &rule.methods), ("paths", &rule.paths), ("at", &rule.allowed_ips)]
    {
        if let Some(list) = list {
            line += &format!(", {name} {}", list.join(" "));
        }
    }
    line
}

fn table(all: &EgressPolicies) -> String {
    let head = format!("{:<32} SANDBOXES", "POLICY");
    let lines = all.policies.iter().map(|(name, users)| format!("{name:<32} {users}"));
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}
