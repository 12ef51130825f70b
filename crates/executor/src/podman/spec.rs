//! From a shape and the host's facts to the container that Podman shall make: the floor as data.
//!
//! Pure, so that each line can be tested, and every option stands beside its reason. An option
//! counts only where its effect was seen from inside: the features look there.

mod sidecar;

pub(super) use sidecar::{Between, sidecar, sidecar_name};

use super::{api::Info, pod::Pod};
use crate::{Fencing, Labels, Shape};
use contracts::{
    Faults, SandboxId,
    limits::Limits,
    sandbox::{label, path},
};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// User and group inside every sandbox, agent and code alike. The image's USER is ignored.
const USER: &str = "1000:1000";
/// Ids that each sandbox's user namespace maps: what images expect of a whole system.
const USERNS_IDS: u32 = 65536;
/// Length of the scheduler's accounting period.
const CPU_PERIOD_US: u64 = 100_000;
/// Room for `/job`: a specification, a result, and the artifacts folder.
const JOB_BYTES: u64 = 64 << 20;
/// Processes per user id, as far as an rlimit counts them: half of what Podman's service itself may
/// have on an ordinary host.
const PROCESSES: u64 = 16384;
/// Most of `/dev/shm`, where threads of one program share locks.
const SHM_BYTES: u64 = 64 << 20;

/// Beyond what Podman masks by itself: what tells of the host or of its other tenants.
const MASKED: [&str; 13] = [
    "/sys/fs/cgroup",
    "/sys/kernel",
    "/sys/module",
    "/sys/power",
    "/sys/block",
    "/sys/class",
    "/sys/bus",
    "/sys/devices/virtual",
    "/proc/pressure",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/schedstat",
    "/dev/mqueue",
];

/// From which port on everybody may listen, in one network namespace.
const UNPRIVILEGED_PORTS: &str = "net.ipv4.ip_unprivileged_port_start";

const READ_ONLY: [&str; 4] = ["ro", "nosuid", "nodev", "noexec"];

/// What the runtime reads from files of ours, on the host that Podman runs on.
pub(super) struct Files {
    pub(super) seccomp_profile: PathBuf,
    pub(super) hosts: PathBuf,
    pub(super) inference_hosts: PathBuf,
    pub(super) resolver: PathBuf,
}

/// What the host is and can hold, looked at once.
pub(super) struct Host {
    pub(super) agent: PathBuf,
    pub(super) seccomp_profile: PathBuf,
    /// `localhost` and nothing else: not the image's names, and not the host's, which is Podman's way.
    pub(super) hosts: PathBuf,
    /// The same, and the name of inference.
    pub(super) inference_hosts: PathBuf,
    /// Names are asked for on the sandbox's own loopback, where a sidecar answers or nobody does, at once.
    pub(super) resolver: PathBuf,
    /// Whether each sandbox gets its own range of user ids.
    pub(super) userns_auto: bool,
    pub(super) fencing: Fencing,
    controllers: Vec<String>,
    max_open_files: Option<u64>,
    max_processes: Option<u64>,
}

impl Host {
    pub(super) fn look(info: &Info, agent: PathBuf, files: Files, fencing: Fencing) -> Self {
        Self {
            agent,
            seccomp_profile: files.seccomp_profile,
            hosts: files.hosts,
            inference_hosts: files.inference_hosts,
            resolver: files.resolver,
            // Rootless Podman is in a user namespace as it is.
            userns_auto: !info.rootless && has_subordinate_ids(),
            fencing,
            controllers: info.cgroup_controllers.clone(),
            max_open_files: getrlimit(Resource::Nofile).maximum,
            max_processes: getrlimit(Resource::Nproc).maximum,
        }
    }

    pub(super) fn unenforceable(&self, limits: &Limits) -> Faults {
        let mut faults = Faults::default();
        let mut needs = |controller: &str, field: &str| {
            let has = self.controllers.iter().any(|found| found == controller);
            let message = format!("can't be enforced: the host has no {controller} controller");
            faults.require(has, &format!("sandbox.limits.{field}"), message);
        };
        needs("memory", "memory_bytes");
        needs("pids", "pids");
        needs("cpu", "cpus");
        if let Some(hard) = self.max_open_files {
            let message = format!("can't be enforced: the host's own hard limit is {hard}");
            faults.require(limits.open_files <= hard, "sandbox.limits.open_files", message);
        }
        faults
    }
}

/// Podman takes the ranges of `userns=auto` from this name's.
pub(super) fn has_subordinate_ids() -> bool {
    let subordinate = fs::read_to_string("/etc/subuid").unwrap_or_default();
    subordinate.lines().any(|line| line.starts_with("containers:"))
}

pub(super) fn name(id: &SandboxId) -> String {
    format!("pinfold-{id}")
}

pub(super) fn pod_name(id: &SandboxId) -> String {
    format!("pinfold-{id}-pod")
}

/// What a sandbox sees of the host's folders.
pub(super) struct SandboxFolders<'a> {
    pub(super) link: &'a Path,
    /// The text that explains it.
    pub(super) help: PathBuf,
    /// With inference, the one that has the rest.
    pub(super) pod: Option<&'a Pod>,
}

pub(super) fn container(
    id: &SandboxId,
    node_id: &str,
    shape: &Shape,
    labels: &Labels,
    host: &Host,
    folders: &SandboxFolders<'_>,
) -> ContainerSpec {
    let limits = &shape.limits;
    let mut labels = labels.clone();
    labels.insert(label::SANDBOX.to_owned(), id.to_string());
    labels.insert(label::NODE.to_owned(), node_id.to_owned());
    ContainerSpec {
        name: name(id),
        pod: folders.pod.map(|pod| pod.name.clone()),
        // By id: a tag could be moved between the look-up and now.
        image: shape.image.id.clone(),
        labels,
        // The agent, whatever the image says its entry point is.
        entrypoint: vec![path::AGENT.to_owned()],
        command: host.fencing.in_container(),
        user: USER,
        mounts: mounts(limits, host, folders),
        // No interface but loopback, and no name service to ask.
        netns: Namespace::mode("none"),
        // The sidecar listens where HTTPS does, on a loopback that is nobody else's, and gets no
        // capability for it: none would do, since the namespace is not of its own user's.
        sysctl: folders.pod.map(|_| (UNPRIVILEGED_PORTS, "0")).into_iter().collect(),
        resource_limits: resources(limits),
        r_limits: rlimits(limits, host),
        ..floor(host)
    }
}

/// What holds for every container of ours, sandbox or sidecar.
fn floor(host: &Host) -> ContainerSpec {
    ContainerSpec {
        name: String::new(),
        pod: None,
        image: String::new(),
        labels: Labels::new(),
        entrypoint: Vec::new(),
        command: Vec::new(),
        // Not the image's: a WORKDIR under /proc is a known way out.
        work_dir: "/",
        user: USER,
        // Neither the image's nor the service's environment.
        env: BTreeMap::new(),
        unsetenvall: true,
        httpproxy: false,
        // Every capability set empty, and nothing that is executed gets one back.
        cap_drop: ["ALL"],
        no_new_privileges: true,
        privileged: false,
        seccomp_profile_path: host.seccomp_profile.clone(),
        mask: MASKED,
        read_only_filesystem: true,
        // The image's VOLUMEs would be writable disk of the host.
        image_volume_mode: "ignore",
        mounts: Vec::new(),
        idmappings: host
            .userns_auto
            .then_some(IdMappings { auto: true, options: AutoOptions { size: USERNS_IDS } }),
        // Both fields are needed: either one alone is ignored, and nothing complains.
        userns: host.userns_auto.then_some(Namespace::mode("auto")),
        netns: Namespace::mode("none"),
        sysctl: BTreeMap::new(),
        use_image_hosts: true,
        use_image_resolve_conf: true,
        hostname: "sandbox",
        // Own namespaces for the rest. IPC without Podman's own shm mount: one thing less to undo.
        ipcns: Namespace::mode("none"),
        pidns: Namespace::mode("private"),
        utsns: Namespace::mode("private"),
        cgroupns: Namespace::mode("private"),
        resource_limits: Resources::default(),
        r_limits: Vec::new(),
        // Output goes over the link; a log driver would put it on the host's disk.
        log_configuration: LogConfiguration { driver: "none" },
        // Nothing of the image's runs beside the agent.
        healthconfig: HealthConfig { test: ["NONE"] },
        systemd: "false",
        sdnotify_mode: "ignore",
        // The agent's kill is the stop; Podman shall not wait on its own.
        stop_timeout: 0,
        stop_signal: 9,
        umask: "0022",
    }
}

/// Sized file systems in memory for what may be written, and read-only pieces of the host: the
/// agent's binary, the folder with its socket, the names that resolve without a network, the text that
/// says what can be done here, and with inference the folders of that.
fn mounts(limits: &Limits, host: &Host, folders: &SandboxFolders<'_>) -> Vec<Mount> {
    let job_bytes = JOB_BYTES.min(limits.memory_bytes / 4);
    let shm_bytes = SHM_BYTES.min(limits.memory_bytes / 8);
    let inference = folders.pod.map(|pod| {
        let proxy = bind(pod.proxy.path(), path::INFERENCE_DIR, &READ_ONLY);
        [proxy, bind(pod.trust.path(), path::TLS_DIR, &READ_ONLY)]
    });
    let hosts = if folders.pod.is_some() { &host.inference_hosts } else { &host.hosts };
    let always = [
        tmpfs(path::WORKSPACE, limits.workspace_bytes),
        tmpfs(path::TMP, limits.tmp_bytes),
        tmpfs(path::JOB, job_bytes),
        tmpfs("/dev/shm", shm_bytes),
        bind(&host.agent, path::AGENT, &["ro", "nosuid", "nodev"]),
        bind(hosts, "/etc/hosts", &READ_ONLY),
        bind(&host.resolver, "/etc/resolv.conf", &READ_ONLY),
        bind(folders.link, path::LINK_DIR, &READ_ONLY),
        bind(&folders.help, path::HELP, &READ_ONLY),
    ];
    always.into_iter().chain(inference.into_iter().flatten()).collect()
}

/// The kernel bounds the inodes of such a mount by itself, and charges them to the sandbox's memory.
fn tmpfs(destination: &'static str, bytes: u64) -> Mount {
    let options = vec![
        format!("size={bytes}"),
        // An image may have a folder there, and the runtime then takes its owner and mode over ours:
        // so the folder is given to the sandbox's user, too.
        "mode=1777".to_owned(),
        "U".to_owned(),
        "nosuid".to_owned(),
        "nodev".to_owned(),
    ];
    Mount { destination, kind: "tmpfs", source: "tmpfs".into(), options }
}

fn bind(source: &Path, destination: &'static str, options: &[&str]) -> Mount {
    let options = options.iter().chain(&["rbind", "rprivate"]).map(|o| (*o).to_owned()).collect();
    Mount { destination, kind: "bind", source: source.to_owned(), options }
}

fn resources(limits: &Limits) -> Resources {
    // Below a hundredth of a core the kernel refuses the quota; admission asks for more.
    let quota = (limits.cpus * CPU_PERIOD_US as f64).round().max(1000.0) as u64;
    Resources {
        // Memory and swap together have the memory's limit: no swap.
        memory: MemoryLimit { limit: limits.memory_bytes, swap: limits.memory_bytes },
        // The agent is one of them.
        pids: PidsLimit { limit: limits.pids + 1 },
        cpu: CpuLimit { quota, period: CPU_PERIOD_US },
    }
}

fn rlimits(limits: &Limits, host: &Host) -> Vec<RLimit> {
    let rlimit = |kind, value| RLimit { kind, soft: value, hard: value };
    let mut rlimits = vec![
        rlimit("core", 0),
        rlimit("fsize", limits.file_size_bytes),
        rlimit("nofile", limits.open_files),
    ];
    // Counted per user over all sandboxes where ranges are shared, so the cgroup does the work. It
    // is stated because Podman's own default can be more than the host lets it set.
    rlimits.push(rlimit("nproc", host.max_processes.map_or(PROCESSES, |hard| hard.min(PROCESSES))));
    rlimits
}

/// The body of a container's creation, as far as we use it.
#[derive(Debug, Serialize)]
pub(super) struct ContainerSpec {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    image: String,
    labels: Labels,
    entrypoint: Vec<String>,
    command: Vec<String>,
    work_dir: &'static str,
    user: &'static str,
    env: BTreeMap<String, String>,
    unsetenvall: bool,
    httpproxy: bool,
    cap_drop: [&'static str; 1],
    no_new_privileges: bool,
    privileged: bool,
    seccomp_profile_path: PathBuf,
    mask: [&'static str; MASKED.len()],
    read_only_filesystem: bool,
    image_volume_mode: &'static str,
    mounts: Vec<Mount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idmappings: Option<IdMappings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    userns: Option<Namespace>,
    netns: Namespace,
    sysctl: BTreeMap<&'static str, &'static str>,
    use_image_hosts: bool,
    use_image_resolve_conf: bool,
    hostname: &'static str,
    ipcns: Namespace,
    pidns: Namespace,
    utsns: Namespace,
    cgroupns: Namespace,
    resource_limits: Resources,
    r_limits: Vec<RLimit>,
    log_configuration: LogConfiguration,
    healthconfig: HealthConfig,
    systemd: &'static str,
    #[serde(rename = "sdnotifyMode")]
    sdnotify_mode: &'static str,
    stop_timeout: u64,
    stop_signal: u8,
    umask: &'static str,
}

#[derive(Debug, Serialize)]
struct Mount {
    destination: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    source: PathBuf,
    options: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Namespace {
    nsmode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl Namespace {
    pub(super) fn mode(nsmode: &'static str) -> Self {
        Self { nsmode, value: None }
    }

    /// The namespace that another container has.
    pub(super) fn of(container: &str) -> Self {
        Self { nsmode: "container", value: Some(container.to_owned()) }
    }
}

/// The size of the range that `userns: auto` takes.
#[derive(Debug, Serialize)]
struct IdMappings {
    #[serde(rename = "AutoUserNs")]
    auto: bool,
    #[serde(rename = "AutoUserNsOpts")]
    options: AutoOptions,
}

#[derive(Debug, Serialize)]
struct AutoOptions {
    #[serde(rename = "Size")]
    size: u32,
}

#[derive(Debug, Default, Serialize)]
struct Resources {
    memory: MemoryLimit,
    pids: PidsLimit,
    cpu: CpuLimit,
}

#[derive(Debug, Default, Serialize)]
struct MemoryLimit {
    limit: u64,
    swap: u64,
}

#[derive(Debug, Default, Serialize)]
struct PidsLimit {
    limit: u64,
}

#[derive(Debug, Default, Serialize)]
struct CpuLimit {
    quota: u64,
    period: u64,
}

#[derive(Debug, Serialize)]
struct RLimit {
    #[serde(rename = "type")]
    kind: &'static str,
    soft: u64,
    hard: u64,
}

#[derive(Debug, Serialize)]
struct LogConfiguration {
    driver: &'static str,
}

#[derive(Debug, Serialize)]
struct HealthConfig {
    #[serde(rename = "Test")]
    test: [&'static str; 1],
}
