//! The sidecar of a sandbox with inference: the same floor, less of everything, and no agent.

use super::{
    ContainerSpec, CpuLimit, Host, MemoryLimit, Namespace, PidsLimit, RLimit, Resources, bind,
    floor, pod_name,
};
use crate::{PinnedImage, podman::ProxyConfig};
use contracts::{SandboxId, limits::Limits, sandbox::label};
use std::{collections::BTreeMap, path::Path};

/// The image's own, and nobody's on the host.
const USER: &str = "65532:65532";
/// What 256 connections need, several times over.
const MEMORY_BYTES: u64 = 64 << 20;
const PIDS: u64 = 8;
const CPU_PERIOD_US: u64 = 100_000;
const OPEN_FILES: u64 = 1024;
const HOUR_MS: &str = "3600000";
/// Where the sidecar finds what it shares with the node and with the sandbox.
const GATE_DIR: &str = "/run/gate";
const PROXY_DIR: &str = "/run/proxy";

pub(in crate::podman) fn sidecar_name(id: &SandboxId) -> String {
    format!("pinfold-{id}-proxy")
}

/// What a sidecar stands between.
pub(in crate::podman) struct Between<'a> {
    pub(in crate::podman) sandbox: &'a SandboxId,
    /// The sandbox's container.
    pub(in crate::podman) container: &'a str,
    pub(in crate::podman) gate: &'a Path,
    pub(in crate::podman) gate_socket: &'a str,
    pub(in crate::podman) tls_socket: &'a str,
    pub(in crate::podman) proxy: &'a Path,
    pub(in crate::podman) proxy_socket: &'a str,
}

pub(in crate::podman) fn sidecar(
    (proxy, image): (&ProxyConfig, &PinnedImage),
    node_id: &str,
    host: &Host,
    between: &Between<'_>,
) -> ContainerSpec {
    let id = between.sandbox;
    let labels = [(label::SIDECAR_OF, id.to_string()), (label::NODE, node_id.to_owned())];
    let env = [
        ("INFERENCE_PROXY_LISTEN", "127.0.0.1:11434".to_owned()),
        ("INFERENCE_PROXY_SOCKET", format!("{PROXY_DIR}/{}", between.proxy_socket)),
        ("OLLAMA_UPSTREAM_URL", format!("unix://{GATE_DIR}/{}", between.gate_socket)),
        // The gate has the certificate: what is inside TLS is none of the sidecar's business.
        ("INFERENCE_PROXY_TLS_LISTEN", "127.0.0.1:443".to_owned()),
        ("INFERENCE_PROXY_TLS_UPSTREAM", format!("unix://{GATE_DIR}/{}", between.tls_socket)),
        // Names that rules allow are on the sandbox's loopback: TLS to them comes to the address above.
        ("INFERENCE_PROXY_DNS_LISTEN", "127.0.0.1:53".to_owned()),
        // What it may forward is for the gate to say, request by request.
        ("INFERENCE_PROXY_FORWARD", "true".to_owned()),
        // The limit below has to leave room for what the runtime writes before it starts.
        ("INFERENCE_PROXY_NO_FILES", "true".to_owned()),
        // Nobody reads what it writes: the gate's audit tells more.
        ("LOG_LEVEL", "error".to_owned()),
    ];
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    ContainerSpec {
        name: sidecar_name(id),
        pod: Some(pod_name(id)),
        image: image.id.clone(),
        labels: labels.into_iter().map(owned).collect(),
        entrypoint: image.command.clone(),
        env: BTreeMap::from_iter(env.into_iter().chain(bounds(proxy)).map(owned)),
        user: USER,
        mounts: vec![
            bind(between.gate, GATE_DIR, &super::READ_ONLY),
            // To make a socket in, and no file: its first act is to give those up.
            bind(between.proxy, PROXY_DIR, &["rw", "nosuid", "nodev", "noexec"]),
        ],
        netns: Namespace::of(between.container),
        hostname: "proxy",
        resource_limits: Resources {
            memory: MemoryLimit { limit: MEMORY_BYTES, swap: MEMORY_BYTES },
            pids: PidsLimit { limit: PIDS },
            cpu: CpuLimit { quota: CPU_PERIOD_US, period: CPU_PERIOD_US },
        },
        r_limits: R_LIMITS
            .into_iter()
            .map(|(kind, value)| RLimit { kind, soft: value, hard: value })
            .collect(),
        // The socket that it makes is for the sandbox's user, who is another.
        umask: "0000",
        ..floor(host)
    }
}

/// The runtime starts it under these.
const R_LIMITS: [(&str, u64); 4] =
    [("core", 0), ("fsize", Limits::SMALLEST_FILE_BYTES), ("nofile", OPEN_FILES), ("nproc", 1024)];

/// As the gate's own, where they are for calls of models. For answers the gate has the patience, and tells when it has
/// none.
fn bounds(proxy: &ProxyConfig) -> [(&'static str, String); 4] {
    [
        ("INFERENCE_PROXY_MAX_BODY_BYTES", proxy.max_body_bytes.to_string()),
        ("INFERENCE_PROXY_REQUEST_BODY_MS", proxy.body_time.as_millis().to_string()),
        ("INFERENCE_PROXY_FIRST_BYTE_MS", HOUR_MS.to_owned()),
        ("INFERENCE_PROXY_IDLE_MS", HOUR_MS.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn crun_can_start_it() {
        let of = |name| R_LIMITS.iter().find(|(key, _)| *key == name).unwrap().1;
        assert!(of("fsize") >= Limits::SMALLEST_FILE_BYTES);
        assert!(of("nofile") >= Limits::FEWEST_OPEN_FILES);
    }

    #[test]
    fn a_sidecar_takes_the_bodies_that_the_gate_takes() {
        let image = contracts::ImageRef::new("localhost/a:latest").unwrap();
        let body_time = Duration::from_secs(300);
        let bounds = bounds(&ProxyConfig { image, max_body_bytes: 64 << 20, body_time });
        let of = |name| bounds.iter().find(|(key, _)| *key == name).unwrap().1.clone();
        assert_eq!(of("INFERENCE_PROXY_MAX_BODY_BYTES"), "67108864");
        assert_eq!(of("INFERENCE_PROXY_REQUEST_BODY_MS"), "300000");
    }
}
