//! A look at the floor from inside: what code in this sandbox sees and what it is refused.
//!
//! It judges nothing. Each attempt is one that does no harm where it succeeds, and what could harm
//! runs in a child. The process is left as it was started, so that flags such as `no_new_privs` are
//! those of whoever started it: as PID 1 they are the container's, below the agent the agent's.

mod calls;
mod child;
mod errno;
mod identity;
mod kernel_files;
mod landlock;
mod mounts;
mod network;
mod sockets;
mod unix_sockets;

use serde_json::{Map, Value};

pub(crate) fn report() -> String {
    let mounts = mounts::read();
    let sections = [
        identity::report(),
        network::report(),
        sockets::report(),
        calls::report(),
        mounts::report(&mounts),
        unix_sockets::report(&mounts),
        kernel_files::report(),
        landlock::report(),
    ];
    let facts: Map<String, Value> = sections.into_iter().flatten().collect();
    Value::Object(facts).to_string()
}

/// A part of the report: facts with their names.
type Section = Vec<(String, Value)>;

fn fact(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.to_owned(), value.into())
}

/// A file of `/proc`, or nothing where it can't be read: that alone is an answer.
fn text(path: &str) -> String {
    std::fs::read(path)
        .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_object_with_every_section() {
        let report: Value = serde_json::from_str(&report()).unwrap();
        for name in [
            "uid",
            "no_new_privs",
            "interfaces",
            "sockets",
            "syscalls",
            "filter",
            "mounts",
            "unix_sockets",
            "kernel_files",
            "landlock",
        ] {
            assert!(report.get(name).is_some(), "{name} is missing");
        }
    }
}
