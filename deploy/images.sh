#!/usr/bin/env bash
# Builds localhost/pinfold/base, python, python-data, node, installers, sdk-python and sdk-node, or those
# that are named:
#   deploy/images.sh [--fresh] [base|python|python-data|node|installers|polyglot|java|sdk-python|sdk-node]…
# The bases come from the distribution's packages, because a registry may be out of reach. What
# went into an image is hashed into a label, and the same input is not built twice; --fresh builds
# all the same, which is how security updates of Debian get in. BASE=… takes a base from a registry.
# polyglot and java are large and made only when they are named. The two sdk images are for tests.
# Packages of Python and npm come by the host's own pip and npm, pinned.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CONTAINERS_CONF=$(deploy/containers-conf.sh)
export CONTAINERS_CONF
export PATH=$PATH:/usr/sbin:/sbin
readonly suite=bookworm
readonly label=io.pinfold.image.inputs

say() { echo "images: $*"; }
fail() {
  echo "images: $*" >&2
  exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A root of two static programs: busybox with all its names, and bash for `bash -lc`.
base_root() {
  local root=$work/base name
  mkdir -p "$root"/{bin,etc}
  install -m 0755 /bin/busybox "$root/bin/busybox"
  install -m 0755 /bin/bash-static "$root/bin/bash"
  for name in $(/bin/busybox --list); do
    [[ $name == busybox || $name == bash ]] || ln -s busybox "$root/bin/$name"
  done
  ln -s bin "$root/sbin"
  mkdir -p "$root/usr"
  ln -s ../bin "$root/usr/bin"
  ln -s ../bin "$root/usr/sbin"
  echo 'root:x:0:0::/:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
  tar --create --file "$work/base.tar" --directory "$root" --numeric-owner --owner=0 --group=0 \
    --sort=name --mtime=@0 .
}

# A Debian of its essential packages and those that are named. Documentation and caches are of no
# use to a job.
debian_root() {
  local image=$1 packages=$2 keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [[ -f $keyring ]] || fail "$keyring is missing: install debian-archive-keyring"
  # Java's packages link manuals that are left out, into a folder that must be there for it.
  mmdebstrap --quiet --variant=essential --include="$packages" --keyring="$keyring" \
    --essential-hook='mkdir -p "$1/usr/share/man/man1"' \
    --aptopt='Apt::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$suite" "$work/$image.tar"
}

python_root() { debian_root python python3,ca-certificates; }
python-data_root() { debian_root python-data python3,ca-certificates,libstdc++6; }
node_root() { debian_root node nodejs,ca-certificates; }
polyglot_root() {
  debian_root polyglot g++,golang-go,ruby,r-base-core,rustc,ca-certificates
}
java_root() { debian_root java openjdk-17-jre-headless,ca-certificates; }
installers_root() {
  debian_root installers python3,python3-pip,nodejs,apt,debian-archive-keyring,ca-certificates
}
sdk-python_root() { debian_root sdk-python python3,ca-certificates,curl; }
sdk-node_root() { debian_root sdk-node nodejs,ca-certificates; }

# The host's pip fetches wheels for the image's Python, whatever its own version is: what runs here
# has the host's certificates and mirrors, and the image needs no pip.
wheels() {
  local image=$1 base=$2 into=$3 version platform platforms=()
  python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing: install python3-pip"
  version=$(podman run --rm --network=none "$base" \
    python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  for platform in manylinux2014 manylinux_2_17 manylinux_2_28; do
    platforms+=(--platform "${platform}_$(uname -m)")
  done
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
    --no-deps --no-compile --only-binary=:all: --implementation=cp --python-version="$version" \
    "${platforms[@]}" --target="$into" --requirement="deploy/images/$image/requirements.txt"
}

sdk-python_packages() { wheels sdk-python "$@"; }
python-data_packages() { wheels python-data "$@"; }

locked() {
  local image=$1 into=$2
  command -v npm >/dev/null || fail "npm is missing: install npm"
  cp "deploy/images/$image"/package{,-lock}.json "$into"
  npm ci --prefix="$into" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
}

sdk-node_packages() { locked sdk-node "$2"; }
installers_packages() { locked installers "$2"; }
node_packages() { locked node "$2"; }

inputs() {
  {
    cat deploy/images/"$1"/* deploy/images.sh
    echo "${BASE:-}"
    if [[ $1 == base ]]; then cat /bin/busybox /bin/bash-static; fi
  } | sha256sum | cut -d' ' -f1
}

build() {
  local name=$1 image=localhost/pinfold/$1:latest root=localhost/pinfold/$1-root:latest
  local hash found base=${BASE:-} context=deploy/images/$1
  [[ -f deploy/images/$name/Containerfile ]] || fail "there is no deploy/images/$name"
  hash=$(inputs "$name")
  found=$(podman image inspect --format "{{index .Labels \"$label\"}}" "$image" 2>/dev/null || true)
  if [[ $found == "$hash" && -z $fresh ]]; then
    say "$image is up to date"
    return
  fi

  if [[ -z $base ]]; then
    say "$image: making a root from the distribution's packages"
    "${name}_root"
    podman import --quiet "$work/$name.tar" "$root" >/dev/null
    base=$root
  fi
  if declare -F "${name}_packages" >/dev/null; then
    say "$image: fetching its packages"
    context=$work/$name
    mkdir -p "$context/packages"
    "${name}_packages" "$base" "$context/packages"
  fi
  say "$image: building on $base"
  # Nothing in the build needs a network, so it gets none.
  podman build --quiet --network=none --build-arg "BASE=$base" --label "$label=$hash" \
    --tag "$image" --file "deploy/images/$name/Containerfile" "$context" >/dev/null
  say "$image: $(podman image inspect --format '{{.Size}}' "$image") bytes"
}

fresh=
names=()
for argument in "$@"; do
  case $argument in
    --fresh) fresh=yes ;;
    base | python | python-data | node | installers | polyglot | java | sdk-python | sdk-node) names+=("$argument") ;;
    *) fail "usage: deploy/images.sh [--fresh] [base|python|python-data|node|installers|polyglot|java|sdk-python|sdk-node]…" ;;
  esac
done
((${#names[@]})) || names=(base python python-data node installers sdk-python sdk-node)
if [[ -n ${BASE:-} && ${#names[@]} -ne 1 ]]; then
  fail "BASE is the base of one image: name it"
fi
for name in "${names[@]}"; do build "$name"; done
