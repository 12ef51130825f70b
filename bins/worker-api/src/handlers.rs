//! From a route to its answer. Each handler takes its request apart, asks the node once, and puts
//! the answer; which one runs is decided here and nowhere else.

mod code;
mod egress;
mod files;
mod health;
mod inference;
mod jobs;
mod providers;
mod sessions;
mod telemetry;
mod templates;
mod terminals;

pub(crate) use health::Readiness;

use crate::{
    problem::{Answer, ApiError, json},
    request::decode,
    routes::Route,
    server::Front,
};
use contracts::{RouteAlias, file::check_path};
use hyper::{Request, StatusCode, body::Incoming};
use std::sync::Arc;

pub(crate) async fn handle(
    front: &Arc<Front>,
    route: Route,
    open: &[String],
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    match route {
        Route::Health => Ok(health::live()),
        Route::Ready => health::ready(front).await,
        Route::Metrics => health::metrics(front),
        Route::RunJob => jobs::run(front, request).await,
        Route::StopJob => jobs::stop(front, request).await,
        Route::SubmitJob => jobs::submit(front, request).await,
        Route::ListJobs => jobs::list(front, &request).await,
        Route::GetJob => jobs::get(front, id(open)?).await,
        Route::JobEvents => jobs::events(front, id(open)?, &request).await,
        Route::JobStdin => jobs::stdin(front, id(open)?, request).await,
        Route::CancelJob => jobs::cancel(front, id(open)?).await,
        Route::JobArtifacts => jobs::artifacts(front, id(open)?).await,
        Route::JobArtifact => jobs::artifact(front, id(open)?, &segment(open, 1)?).await,
        Route::JobEgress => egress::of_job(front, id(open)?).await,
        Route::SetJobEgress => egress::set_of_job(front, id(open)?, request).await,
        Route::SessionEgress => egress::of_session(front, id(open)?).await,
        Route::SetSessionEgress => egress::set_of_session(front, id(open)?, request).await,
        Route::EgressPolicies => Ok(egress::policies(front)),
        Route::ReloadEgressPolicies => egress::reload(front),
        Route::Upload => jobs::upload(front, request).await,
        Route::CreateSession => sessions::create(front, request).await,
        Route::ListSessions => sessions::list(front).await,
        Route::GetSession => sessions::get(front, id(open)?).await,
        Route::SessionExec => sessions::exec(front, id(open)?, request).await,
        Route::EndSession => sessions::end(front, id(open)?).await,
        Route::StopAll => jobs::stop_all(front).await,
        Route::Pool => Ok(json(StatusCode::OK, &front.node.pool())),
        Route::NodeInfo => telemetry::info(front),
        Route::NodeStats => telemetry::stats(front).await,
        Route::Containers => telemetry::containers(front, &request).await,
        Route::Container => telemetry::container(front, &segment(open, 0)?).await,
        Route::Logs => telemetry::logs(front, &request),
        Route::CodeService => Ok(code::service()),
        Route::OpenCode => code::open(front, request).await,
        Route::ListCode => Ok(code::list(front)),
        Route::GetCode => code::get(front, id(open)?).await,
        Route::RenewCode => code::renew(front, id(open)?, request).await,
        Route::CloseCode => code::close(front, id(open)?).await,
        Route::Execute => code::execute(front, id(open)?, request).await,
        Route::ExecuteOnce => code::execute_once(front, request).await,
        Route::CodeCell => code::cell(front, id(open)?, id_at(open, 1)?).await,
        Route::CodeEvents => code::events(front, id(open)?, id_at(open, 1)?, &request).await,
        Route::CodeStdin => code::stdin(front, id(open)?, id_at(open, 1)?, request).await,
        Route::OpenTerminal => terminals::open(front, id(open)?, request).await,
        Route::ListTerminals => terminals::list(front, id(open)?).await,
        Route::AttachTerminal => {
            terminals::attach(front, id(open)?, id_at(open, 1)?, request).await
        }
        Route::EndTerminal => terminals::end(front, id(open)?, id_at(open, 1)?).await,
        Route::TerminalOnce => terminals::once(front, id(open)?, request).await,
        Route::InterruptCode => code::interrupt(front, id(open)?, request).await,
        Route::RestartCode => code::restart(front, id(open)?, request).await,
        Route::ReadFile => files::read(front, id(open)?, path(open)?, request).await,
        Route::HeadFile => files::head(front, id(open)?, path(open)?, &request).await,
        Route::WriteFile => files::write(front, id(open)?, path(open)?, request).await,
        Route::MoveFile => files::move_to(front, id(open)?, path(open)?, &request).await,
        Route::DeleteFile => files::delete(front, id(open)?, path(open)?, &request).await,
        Route::ListProviders => providers::list(front).await,
        Route::CreateProvider => providers::create(front, request).await,
        Route::GetProvider => providers::get(front, id(open)?).await,
        Route::UpdateProvider => providers::update(front, id(open)?, request).await,
        Route::DeleteProvider => providers::delete(front, id(open)?, &request).await,
        Route::TestProvider => providers::test(front, id(open)?, request).await,
        Route::ListTemplates => Ok(templates::list(front)),
        Route::GetTemplate => templates::get(front, &id(open)?),
        Route::PutTemplate => templates::put(front, id(open)?, request).await,
        Route::DeleteTemplate => templates::delete(front, &id(open)?).await,
        Route::GetDefault => inference::get(front, RouteAlias::default_route()).await,
        Route::SetDefault => inference::set(front, RouteAlias::default_route(), request).await,
        Route::UpdateDefault => {
            inference::update(front, RouteAlias::default_route(), request).await
        }
        Route::DeleteDefault => inference::delete(front, RouteAlias::default_route()).await,
        Route::ListAliases => inference::list(front).await,
        Route::GetAlias => inference::get(front, id(open)?).await,
        Route::SetAlias => inference::set(front, id(open)?, request).await,
        Route::UpdateAlias => inference::update(front, id(open)?, request).await,
        Route::DeleteAlias => inference::delete(front, id(open)?).await,
    }
}

/// A path in a session: what is behind its files, or nothing for the workspace itself.
fn path(open: &[String]) -> Result<String, ApiError> {
    let path = if open.len() > 1 { segment(open, 1)? } else { String::new() };
    let path = path.strip_suffix('/').unwrap_or(&path);
    if !path.is_empty() || open.len() > 1 {
        check_path(path).map_err(|why| ApiError::Malformed(format!("the path {why}")))?;
    }
    Ok(path.to_owned())
}

fn segment(open: &[String], index: usize) -> Result<String, ApiError> {
    let text = open.get(index).and_then(|text| decode(text));
    text.ok_or_else(|| ApiError::Malformed("the path is not percent-encoded text".to_owned()))
}

/// The first open segment as an id of whatever kind the handler wants.
fn id<T>(open: &[String]) -> Result<T, ApiError>
where
    T: TryFrom<String, Error: std::fmt::Display>,
{
    id_at(open, 0)
}

fn id_at<T>(open: &[String], index: usize) -> Result<T, ApiError>
where
    T: TryFrom<String, Error: std::fmt::Display>,
{
    let text = segment(open, index)?;
    T::try_from(text).map_err(|error| ApiError::Malformed(format!("the id in the path {error}")))
}
