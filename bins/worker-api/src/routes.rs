//! The API's index: every path, its method, and whose token is asked for.

use hyper::Method;

/// One endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Health,
    Ready,
    Metrics,
    RunJob,
    StopJob,
    SubmitJob,
    ListJobs,
    GetJob,
    JobEvents,
    JobStdin,
    CancelJob,
    JobArtifacts,
    JobArtifact,
    JobEgress,
    SetJobEgress,
    Upload,
    CreateSession,
    ListSessions,
    GetSession,
    SessionExec,
    EndSession,
    SessionEgress,
    SetSessionEgress,
    StopAll,
    NodeInfo,
    NodeStats,
    Pool,
    Containers,
    Container,
    Logs,
    CodeService,
    OpenCode,
    ListCode,
    GetCode,
    RenewCode,
    CloseCode,
    Execute,
    ExecuteOnce,
    CodeCell,
    CodeEvents,
    CodeStdin,
    OpenTerminal,
    ListTerminals,
    AttachTerminal,
    EndTerminal,
    TerminalOnce,
    InterruptCode,
    RestartCode,
    ReadFile,
    HeadFile,
    WriteFile,
    MoveFile,
    DeleteFile,
    ListProviders,
    CreateProvider,
    GetProvider,
    UpdateProvider,
    DeleteProvider,
    TestProvider,
    ListTemplates,
    GetTemplate,
    PutTemplate,
    DeleteTemplate,
    GetDefault,
    SetDefault,
    UpdateDefault,
    DeleteDefault,
    ListAliases,
    GetAlias,
    SetAlias,
    UpdateAlias,
    DeleteAlias,
    EgressPolicies,
    ReloadEgressPolicies,
}

/// Whose token an endpoint asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Anybody,
    /// Of the session server: the worker's, or none for programs on this host if that was asked for.
    Code,
    Worker,
    Admin,
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;
const HEAD: Method = Method::HEAD;

/// `{…}` stands for one segment, or for one before a verb as in `{…}:test`; a final `{…*}` for the
/// rest of the path. The first that fits counts.
#[rustfmt::skip]
pub(crate) const ROUTES: [(Method, &str, Route); 76] = [
    (GET,  "/healthz",                                        Route::Health),
    (GET,  "/readyz",                                         Route::Ready),
    (GET,  "/metrics",                                        Route::Metrics),

    (POST, "/v1/worker/jobs:run",                             Route::RunJob),
    (POST, "/v1/worker/jobs:stop",                            Route::StopJob),
    (POST, "/v1/worker/jobs",                                 Route::SubmitJob),
    (GET,  "/v1/worker/jobs",                                 Route::ListJobs),
    (GET,  "/v1/worker/jobs/{job}",                           Route::GetJob),
    (GET,  "/v1/worker/jobs/{job}/events",                    Route::JobEvents),
    (POST, "/v1/worker/jobs/{job}/stdin",                     Route::JobStdin),
    (POST, "/v1/worker/jobs/{job}/cancel",                    Route::CancelJob),
    (GET,  "/v1/worker/jobs/{job}/artifacts",                 Route::JobArtifacts),
    (GET,  "/v1/worker/jobs/{job}/artifacts/{path*}",         Route::JobArtifact),
    (GET,  "/v1/worker/jobs/{job}/egress",                    Route::JobEgress),
    (PUT,  "/v1/worker/jobs/{job}/egress",                    Route::SetJobEgress),
    (POST, "/v1/worker/uploads",                              Route::Upload),

    (POST, "/v1/worker/sessions",                             Route::CreateSession),
    (GET,  "/v1/worker/sessions",                             Route::ListSessions),
    (GET,  "/v1/worker/sessions/{session}",                   Route::GetSession),
    (POST, "/v1/worker/sessions/{session}/exec",              Route::SessionExec),
    (POST, "/v1/worker/sessions/{session}/end",               Route::EndSession),

    (GET,  "/v1/worker/sessions/{session}/egress",            Route::SessionEgress),
    (PUT,  "/v1/worker/sessions/{session}/egress",            Route::SetSessionEgress),

    (POST, "/v1/worker/admin/stop-all-orchestrator-directed", Route::StopAll),

    (GET,  "/v1/worker/pool",                                 Route::Pool),

    (GET,  "/v1/worker/telemetry/node:info",                  Route::NodeInfo),
    (GET,  "/v1/worker/telemetry/node:stats",                 Route::NodeStats),
    (GET,  "/v1/worker/telemetry/containers",                 Route::Containers),
    (GET,  "/v1/worker/telemetry/containers/{container}",     Route::Container),
    (GET,  "/v1/worker/telemetry/logs",                       Route::Logs),

    (GET,  "/",                                               Route::CodeService),
    (POST, "/sessions",                                       Route::OpenCode),
    (GET,  "/sessions",                                       Route::ListCode),
    (GET,  "/sessions/{session}",                             Route::GetCode),
    (DELETE, "/sessions/{session}",                           Route::CloseCode),
    (POST, "/sessions/{session}/renew",                       Route::RenewCode),
    (POST, "/sessions/{session}/execute",                     Route::Execute),
    (POST, "/sessions/{session}/interrupt",                   Route::InterruptCode),
    (POST, "/sessions/{session}/restart",                     Route::RestartCode),
    (GET,  "/sessions/{session}/cells/{cell}",                Route::CodeCell),
    (GET,  "/sessions/{session}/cells/{cell}/events",         Route::CodeEvents),
    (POST, "/sessions/{session}/cells/{cell}/stdin",          Route::CodeStdin),
    (POST, "/sessions/{session}/terminals",                   Route::OpenTerminal),
    (GET,  "/sessions/{session}/terminals",                   Route::ListTerminals),
    (GET,  "/sessions/{session}/terminals/{terminal}",        Route::AttachTerminal),
    (DELETE, "/sessions/{session}/terminals/{terminal}",      Route::EndTerminal),
    (GET,  "/sessions/{session}/terminal",                    Route::TerminalOnce),
    (GET,    "/sessions/{session}/files",                     Route::ReadFile),
    (PUT,    "/sessions/{session}/files",                     Route::WriteFile),
    (GET,    "/sessions/{session}/files/{path*}",             Route::ReadFile),
    (HEAD,   "/sessions/{session}/files/{path*}",             Route::HeadFile),
    (PUT,    "/sessions/{session}/files/{path*}",             Route::WriteFile),
    (POST,   "/sessions/{session}/files/{path*}",             Route::MoveFile),
    (DELETE, "/sessions/{session}/files/{path*}",             Route::DeleteFile),
    (POST, "/execute",                                        Route::ExecuteOnce),

    (GET,    "/v1/providers",                                 Route::ListProviders),
    (POST,   "/v1/providers",                                 Route::CreateProvider),
    (POST,   "/v1/providers/{provider}:test",                 Route::TestProvider),
    (GET,    "/v1/providers/{provider}",                      Route::GetProvider),
    (PATCH,  "/v1/providers/{provider}",                      Route::UpdateProvider),
    (DELETE, "/v1/providers/{provider}",                      Route::DeleteProvider),

    (GET,    "/v1/templates",                                 Route::ListTemplates),
    (GET,    "/v1/templates/{template}",                      Route::GetTemplate),
    (PUT,    "/v1/templates/{template}",                      Route::PutTemplate),
    (DELETE, "/v1/templates/{template}",                      Route::DeleteTemplate),

    (GET,    "/v1/inference",                                 Route::GetDefault),
    (PUT,    "/v1/inference",                                 Route::SetDefault),
    (PATCH,  "/v1/inference",                                 Route::UpdateDefault),
    (DELETE, "/v1/inference",                                 Route::DeleteDefault),
    (GET,    "/v1/inference/routes",                          Route::ListAliases),
    (GET,    "/v1/inference/routes/{route*}",                 Route::GetAlias),
    (PUT,    "/v1/inference/routes/{route*}",                 Route::SetAlias),
    (PATCH,  "/v1/inference/routes/{route*}",                 Route::UpdateAlias),
    (DELETE, "/v1/inference/routes/{route*}",                 Route::DeleteAlias),

    (GET,    "/v1/egress/policies",                           Route::EgressPolicies),
    (POST,   "/v1/egress/policies:reload",                    Route::ReloadEgressPolicies),
];

impl Route {
    pub(crate) fn access(self) -> Access {
        match self {
            Self::Health | Self::Ready | Self::CodeService => Access::Anybody,
            Self::OpenCode
            | Self::ListCode
            | Self::GetCode
            | Self::RenewCode
            | Self::CloseCode
            | Self::Execute
            | Self::ExecuteOnce
            | Self::CodeCell
            | Self::CodeEvents
            | Self::CodeStdin
            | Self::OpenTerminal
            | Self::ListTerminals
            | Self::AttachTerminal
            | Self::EndTerminal
            | Self::TerminalOnce
            | Self::InterruptCode
            | Self::RestartCode
            | Self::ReadFile
            | Self::HeadFile
            | Self::WriteFile
            | Self::MoveFile
            | Self::DeleteFile => Access::Code,
            Self::ListProviders
            | Self::CreateProvider
            | Self::GetProvider
            | Self::UpdateProvider
            | Self::DeleteProvider
            | Self::TestProvider
            | Self::ListTemplates
            | Self::GetTemplate
            | Self::PutTemplate
            | Self::DeleteTemplate
            | Self::GetDefault
            | Self::SetDefault
            | Self::UpdateDefault
            | Self::DeleteDefault
            | Self::ListAliases
            | Self::GetAlias
            | Self::SetAlias
            | Self::UpdateAlias
            | Self::DeleteAlias
            | Self::EgressPolicies
            | Self::ReloadEgressPolicies => Access::Admin,
            _ => Access::Worker,
        }
    }
}

/// What a path leads to.
pub(crate) enum Found {
    /// The route, its pattern for the log, and the segments that the pattern left open, as sent.
    Route(Route, &'static str, Vec<String>),
    /// The path exists with other methods.
    OtherMethods(String),
    Nothing,
}

pub(crate) fn find(method: &Method, path: &str) -> Found {
    let mut others = Vec::new();
    for (wanted, pattern, route) in &ROUTES {
        let Some(open) = matches(pattern, path) else {
            continue;
        };
        if wanted == method {
            return Found::Route(*route, pattern, open);
        }
        others.push(wanted.as_str());
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others.join(", ")) }
}

fn matches(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut open = Vec::new();
    let mut rest = path.split('/');
    for part in pattern.split('/') {
        if part.ends_with("*}") {
            let tail: Vec<&str> = rest.collect();
            return (!tail.is_empty() && !tail[0].is_empty()).then(|| {
                open.push(tail.join("/"));
                open
            });
        }
        let segment = rest.next()?;
        if let Some((_, verb)) = part.strip_prefix('{').and_then(|part| part.split_once('}')) {
            let name = segment.strip_suffix(verb).filter(|name| !name.is_empty())?;
            open.push(name.to_owned());
        } else if part != segment {
            return None;
        }
    }
    rest.next().is_none().then_some(open)
}

#[cfg(test)]
mod compatibility;

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, path: &str) -> Option<(Route, Vec<String>)> {
        match find(&method, path) {
            Found::Route(route, _, open) => Some((route, open)),
            _ => None,
        }
    }

    #[test]
    fn paths_lead_where_the_index_says() {
        assert_eq!(route(POST, "/v1/worker/jobs:run"), Some((Route::RunJob, vec![])));
        assert_eq!(route(GET, "/v1/worker/jobs/a"), Some((Route::GetJob, vec!["a".into()])));
        assert_eq!(
            route(GET, "/v1/worker/jobs/a/artifacts/x/y.png"),
            Some((Route::JobArtifact, vec!["a".into(), "x/y.png".into()]))
        );
        let files = |path: &str| vec!["s".to_owned(), path.to_owned()];
        assert_eq!(route(PUT, "/sessions/s/files/a/b"), Some((Route::WriteFile, files("a/b"))));
        assert_eq!(route(GET, "/sessions/s/files"), Some((Route::ReadFile, vec!["s".into()])));
        let name = || vec!["a.b".to_owned()];
        assert_eq!(route(POST, "/v1/providers/a.b:test"), Some((Route::TestProvider, name())));
        assert_eq!(route(GET, "/v1/providers/a.b"), Some((Route::GetProvider, name())));
        for nowhere in [
            "//",
            "/v1",
            "/v1/inference/routes/",
            "/v1/worker/jobs/",
            "/v1/worker/jobs//events",
            "/healthz/",
        ] {
            assert_eq!(route(GET, nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn a_known_path_with_another_method_says_which_it_has() {
        let Found::OtherMethods(methods) = find(&Method::DELETE, "/v1/worker/jobs") else {
            panic!("the path is known")
        };
        assert_eq!(methods, "POST, GET");
    }
}
