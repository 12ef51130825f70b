//! What programs need of any system to run at all. A policy adds to it; none takes away from it.

/// To read and execute: programs, libraries, the system's settings, and what the kernel tells.
/// `/proc` shows other processes no more than their names: behind the fence, their environment,
/// memory and descriptors are refused.
pub(super) const READ: [&str; 12] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc",
    // Where /etc/resolv.conf points to on a host with systemd.
    "/run/systemd/resolve",
    "/opt",
    "/nix/store",
    "/proc",
    // How many processors there are, which C libraries read.
    "/sys/devices/system/cpu",
];

/// To read and write, and nothing that is behind them belongs to anybody.
pub(super) const DEVICES: [&str; 6] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
