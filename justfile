# What people and CI do with this checkout. `just` lists it.

run := justfile_directory() / "target/pinfold"
musl := arch() + "-unknown-linux-musl"

export CONTAINER_HOST := "unix://" + run / "podman.sock"
export CONTAINERS_CONF := run / "containers.conf"

_default:
    @just --list

# Install what is missing on this machine.
setup *args:
    deploy/setup.sh {{args}}

# Release builds of every program, into target/pinfold/bin; the inference proxy is the one that its image has.
build:
    cargo build --release --quiet --workspace --bins
    cargo build --release --quiet --package sandbox-agent --target {{musl}}
    mkdir -p {{run}}/bin
    cd target/release && install -m 755 worker-api pinfold bench {{run}}/bin
    install -m 755 target/{{musl}}/release/sandbox-agent {{run}}/bin
    deploy/proxy-image.sh
    install -m 755 target/{{musl}}/sidecar/inference-proxy {{run}}/bin

# Run a node in the foreground, on 127.0.0.1:9190 with the token `dev`.
node: build
    deploy/podman-service.sh start
    WORKER_API_BEARER_TOKEN=dev WORKER_API_STATE_DIR={{run}}/state WORKSPACE_ROOT={{run}}/workspaces \
        {{run}}/bin/worker-api

# Start a node, run a first job on it, show what it printed, and stop.
first-job: build
    deploy/first-job.sh

# The programs as the features use them, into target/pinfold/test: quick to build, with all checks in.
programs:
    cargo build --quiet --package worker-api --package pinfold
    cargo build --release --quiet --package sandbox-agent --target {{musl}}
    mkdir -p {{run}}/test
    cd target/debug && install -m 755 worker-api pinfold {{run}}/test
    install -m 755 target/{{musl}}/release/sandbox-agent {{run}}/test
    deploy/proxy-image.sh

# Everything that must hold: format, lints, unit and integration tests, then the features on Podman.
test: programs
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --quiet -- -D warnings
    cargo test --workspace --exclude features --lib --bins --tests --quiet
    deploy/landlock-test.sh
    deploy/features.sh

# The agent's Landlock under kernels that are emulated; fetches qemu and two kernels once (docs/landlock.md).
landlock-test:
    deploy/landlock-test.sh

# A node under systemd, cgroup version 2 and crun, as root and rootless, in an emulated Debian (docs/hosts.md); needs root.
host-test: build
    deploy/host-test.sh

# The features alone; arguments go to the runner, as in `just features --name hello`.
features *args: programs
    deploy/features.sh {{args}}

# Measure, and write docs/benchmarks/NAME.md: jobs, burst and soak against plain Podman; sessions against llm-sandbox; proxy against nginx.
bench name *args: build
    {{ if name == "proxy" { "" } else { "deploy/podman-service.sh start" } }}
    {{ if name == "sessions" { "deploy/llm-sandbox.sh" } else { "" } }}
    {{run}}/bin/bench {{name}} {{args}}

# Fuzz what parses hostile bytes: one target or all of them, each for so many seconds (docs/fuzzing.md).
fuzz target="all" seconds="60":
    deploy/fuzz.sh {{target}} {{seconds}}

# `just image push REGISTRY`: the inference proxy's image with its bill of materials; `just image test` tries it here.
image action registry="":
    deploy/image-{{ if action == "test" { "push-test" } else { action } }}.sh {{registry}}

# Check licences, sources and advisories of the dependencies (needs cargo-deny).
deny:
    cargo deny check

# Stop what runs and remove what was built for it.
clean:
    deploy/podman-service.sh stop
    rm -rf {{run}}
