#!/usr/bin/env bash
# Installs what Pinfold needs on Debian 12 or newer, or Ubuntu: Podman with its runtime, the tools to
# build, the images. Run it as often as you like: it does what is missing and says what it does.
# With --extras also what `just bench proxy` and the test of `just image push` need: both come as services that
# Debian starts.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

if ! command -v apt-get >/dev/null; then
    echo "setup: this script knows Debian and Ubuntu; elsewhere install Podman, runc or crun, just, a C compiler and busybox (static) by hand" >&2
    exit 1
fi
if ! command -v cargo >/dev/null; then
    echo "setup: Rust is not there; install rustup first (rustup.rs)" >&2
    exit 1
fi

packages=(
    podman conmon runc netavark aardvark-dns catatonit fuse-overlayfs iptables uidmap # runs sandboxes
    mmdebstrap debian-archive-keyring busybox-static bash-static                      # makes images
    gcc libc6-dev make musl-tools pkg-config curl ca-certificates jq unzip            # builds and tries
)
# What the benchmarks compare with, and what the tests push images to. Neither runs as a service for us.
extras=(nginx-light docker-registry)
case ${1:-} in
    "") ;;
    --extras) packages+=("${extras[@]}") ;;
    *) echo "usage: deploy/setup.sh [--extras]" >&2 && exit 64 ;;
esac
# The features run the SDKs of others in sandboxes, and these fetch them.
command -v npm >/dev/null || packages+=(npm)
python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    root apt-get update -qq
    root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# The toolchain that rust-toolchain.toml names, and the target of the static agent.
target=$(uname -m)-unknown-linux-musl
if ! rustup target list --installed | grep -qx "$target"; then
    say "adding the Rust target $target"
    rustup target add "$target" >/dev/null
fi
for component in clippy rustfmt; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done

bin=${CARGO_HOME:-$HOME/.cargo}/bin
if ! command -v just >/dev/null; then
    if apt-cache show just >/dev/null 2>&1 && root apt-get install -y -qq just >/dev/null 2>&1; then
        say "installed just from the distribution"
    elif command -v python3 >/dev/null && wheel=$(mktemp -d) &&
        python3 -m pip download --quiet --no-deps --dest "$wheel" rust-just 2>/dev/null; then
        unzip -q -o "$wheel"/*.whl -d "$wheel"
        install -m 755 "$(find "$wheel" -type f -name just | head -n 1)" "$bin/just"
        rm -rf "$wheel"
        say "installed just into $bin"
    else
        say "building just (takes two minutes)"
        cargo install --quiet --locked just
    fi
fi

# Each sandbox gets a range of user ids of its own; Podman takes them from this name's.
if [ "$(id -u)" -eq 0 ]; then
    for file in /etc/subuid /etc/subgid; do
        if ! grep -q '^containers:' "$file" 2>/dev/null; then
            say "giving containers a range of ids in $file"
            echo 'containers:2147483647:2147483648' >>"$file"
        fi
    done
elif ! grep -q "^$(id -un):" /etc/subuid; then
    say "you have no subordinate ids in /etc/subuid: rootless Podman needs them (usermod --add-subuids)" >&2
fi

deploy/containers-conf.sh
export CONTAINERS_CONF=$PWD/target/pinfold/containers.conf
deploy/images.sh base python

if ! said=$(podman run --rm --network=none localhost/pinfold/base:latest echo works 2>&1); then
    echo "setup: Podman can't run a container here: $said" >&2
    exit 1
fi
say "Podman $(podman version --format '{{.Client.Version}}') runs containers; ready"
