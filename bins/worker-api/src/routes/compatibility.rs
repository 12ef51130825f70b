//! docs/compatibility.md names calls of this node: each is a route, and what it sends is understood.

use super::{Found, Route, find};
use contracts::{
    code::{CellInput, ExecuteRequest, KernelRequest, OpenRequest},
    job::JobRequest,
    session::{ExecRequest, RenewRequest, SessionRequest},
    terminal::TerminalRequest,
};
use hyper::Method;
use serde::de::DeserializeOwned;

const PAGE: &str = include_str!("../../../../docs/compatibility.md");

/// What is between backticks in a row's second cell: what is ours.
fn ours(row: &str) -> Vec<&str> {
    let cell = row.split(" | ").nth(1).unwrap_or_default();
    cell.split('`').skip(1).step_by(2).collect()
}

fn fault(call: &str) -> Option<String> {
    let (method, rest) = call.split_once(' ')?;
    // What begins otherwise is a field, or typed by a person.
    let method = method.parse::<Method>().ok().filter(|_| rest.starts_with('/'))?;
    let (target, body) = rest.split_once(' ').map_or((rest, None), |(t, body)| (t, Some(body)));
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let Found::Route(route, ..) = find(&method, path) else {
        return Some(format!("{call}: no such route"));
    };
    let understood = understood(route, &body?.replace("IMAGE", "localhost/image"));
    understood.err().map(|error| format!("{call}: {error}"))
}

fn understood(route: Route, body: &str) -> Result<(), String> {
    fn is<T: DeserializeOwned>(body: &str) -> Result<(), String> {
        serde_json::from_str::<T>(body).map(drop).map_err(|error| error.to_string())
    }
    match route {
        Route::OpenCode => is::<OpenRequest>(body),
        Route::Execute | Route::ExecuteOnce => is::<ExecuteRequest>(body),
        Route::RenewCode => is::<RenewRequest>(body),
        Route::InterruptCode | Route::RestartCode => is::<KernelRequest>(body),
        Route::CodeStdin => is::<CellInput>(body),
        Route::OpenTerminal => is::<TerminalRequest>(body),
        Route::CreateSession => is::<SessionRequest>(body),
        Route::SessionExec => is::<ExecRequest>(body),
        Route::RunJob | Route::SubmitJob => is::<JobRequest>(body),
        other => Err(format!("{other:?} takes no such body")),
    }
}

#[test]
fn every_call_of_ours_on_the_page_is_there_and_understood() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| "));
    let calls: Vec<&str> = rows.flat_map(ours).collect();
    let routes = calls.iter().filter(|call| call.contains(" /")).count();
    assert!(routes > 80, "{routes} calls only: the page is read wrongly");
    let faults: Vec<String> = calls.into_iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn what_is_not_there_is_found() {
    for call in ["GET /nowhere", "PUT /execute {}", "POST /sessions {\"language\":\"python\"}"] {
        assert!(fault(call).is_some(), "{call}");
    }
}
