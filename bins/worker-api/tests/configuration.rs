//! docs/configuration.md says what `--help` says: it is made from the same command.
//!
//! `UPDATE_DOCS=1 cargo test -p worker-api --test configuration` writes it anew.

use clap::{CommandFactory, Parser};
use std::fmt::Write;

fn page() -> String {
    let mut page = String::from(
        "# Configuration of worker-api\n\nEvery setting is a flag and a variable. This page is made from `worker-api --help` and checked \
         against it by a test.\n",
    );
    let command = worker_api::Config::command();
    let mut heading = None;
    for argument in command.get_arguments() {
        let (Some(flag), Some(variable)) = (argument.get_long(), argument.get_env()) else {
            continue;
        };
        if heading != argument.get_help_heading() {
            heading = argument.get_help_heading();
            let title = heading.unwrap_or_default();
            write!(
                page,
                "\n## {title}\n\n| variable | flag | default | meaning |\n|---|---|---|---|\n"
            )
            .unwrap();
        }
        let default = match argument.get_id().as_str() {
            // These depend on who runs it and where.
            "state_dir" => "`/var/lib/pinfold` for root, else `$XDG_STATE_HOME/pinfold`".to_owned(),
            "agent_path" => "`sandbox-agent`, beside the program".to_owned(),
            "workspace_root" => "`$TMPDIR/cynodeai-workspaces`".to_owned(),
            _ => {
                let values: Vec<_> =
                    argument.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
                values.iter().filter(|v| !v.is_empty()).map(|v| format!("`{v}`")).collect()
            }
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let variable = variable.to_string_lossy();
        writeln!(page, "| `{variable}` | `--{flag}` | {default} | {} |", help.replace('\n', " "))
            .unwrap();
    }
    page
}

#[test]
fn the_page_says_what_the_command_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, page(), "docs/configuration.md is out of date: run with UPDATE_DOCS=1");
}

#[test]
fn a_configuration_that_is_printed_shows_no_token_and_no_key() {
    let digits = "0123456789abcdef".repeat(4);
    let config = worker_api::Config::try_parse_from([
        "worker-api",
        "--worker-api-bearer-token=planted-token",
        "--worker-api-admin-token=planted-admin",
        &format!("--provider-key={digits}"),
        "--container-runtime=direct",
        "--agent-path=/bin/true",
        "--landlock=off",
    ]);
    let config = config.unwrap();
    let text = format!("{config:?}");
    assert!(text.contains("worker_api_admin_token") && !text.contains("planted"), "{text}");
    assert!(!text.contains(&digits), "{text}");
    let checked = config.checked().unwrap();
    assert_eq!(
        (&*checked.token, checked.admin_token.as_deref()),
        ("planted-token", Some("planted-admin"))
    );
    let text = format!("{:?}", checked.provider_key);
    assert!(text.contains("Given") && !text.contains(&digits), "{text}");
}

#[test]
fn a_time_that_has_no_date_is_refused_by_name() {
    for (flag, name) in [
        ("--retention-seconds", "RETENTION_SECONDS"),
        ("--session-lifetime-seconds", "SESSION_LIFETIME_SECONDS"),
        ("--stop-grace-seconds", "STOP_GRACE_SECONDS"),
    ] {
        let config = worker_api::Config::try_parse_from([
            "worker-api",
            "--worker-api-bearer-token=t",
            "--container-runtime=direct",
            "--agent-path=/bin/true",
            "--landlock=off",
            &format!("{flag}={}", u64::MAX),
        ]);
        let faults = config.unwrap().checked().err().expect("refused");
        assert!(faults.iter().any(|fault| fault.field == name), "{flag}");
    }
}
