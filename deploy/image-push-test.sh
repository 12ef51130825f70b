#!/usr/bin/env bash
# Pushes the inference proxy's image to a registry of its own on this machine, pulls it back by digest, runs it, and
# reads its bill of materials there. Needs Debian's docker-registry (deploy/setup.sh --extras).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  echo "image-push-test: $*" >&2
  exit 1
}
command -v docker-registry >/dev/null || fail "docker-registry is missing: deploy/setup.sh --extras"
CONTAINERS_CONF=$(deploy/containers-conf.sh)
export CONTAINERS_CONF
unset CONTAINER_HOST

work=$(mktemp -d)
registry_pid=
names=()
tidy_up() {
  for name in "${names[@]}"; do podman rmi --force "$name" >/dev/null 2>&1 || true; done
  [[ -z $registry_pid ]] || kill "$registry_pid"
  rm -rf "$work"
}
trap tidy_up EXIT

cat >"$work/registry.yml" <<END
version: 0.1
log: { level: info }
storage: { filesystem: { rootdirectory: $work/registry } }
http: { addr: "127.0.0.1:0" }
END
docker-registry serve "$work/registry.yml" >"$work/log" 2>&1 &
registry_pid=$!
port=
for _ in {1..100}; do
  port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/log")
  [[ -z $port ]] || break
  sleep 0.1
done
[[ -n $port ]] || fail "the registry does not listen: $(cat "$work/log")"

readonly image=127.0.0.1:$port/test/inference-proxy
name=$(deploy/image-push.sh "127.0.0.1:$port/test")
version=$(podman image inspect --format '{{index .Labels "org.opencontainers.image.version"}}' "$image:latest")
names+=("$image:latest" "$image:$version")
[[ $name == "$image@sha256:"* ]] || fail "no name by digest: $name"

# From the registry and not from here.
podman rmi --force "$image:latest" "$image:$version" >/dev/null
podman pull --quiet --tls-verify=false "$name" >/dev/null
names+=("$name")
said=$(podman run --rm --network=none --read-only --cap-drop=all "$name" --version)
[[ $said == "inference-proxy $version" ]] || fail "it says: $said"
for label in version revision licenses title; do
  value=$(podman image inspect --format "{{index .Labels \"org.opencontainers.image.$label\"}}" "$name")
  [[ -n $value ]] || fail "there is no label $label"
done
size=$(podman image inspect --format '{{.Size}}' "$name")
((size <= 5 << 20)) || fail "the image has $size bytes"

readonly bill=$image:sha256-${name##*:}.sbom
podman pull --quiet --tls-verify=false "$bill" >/dev/null
names+=("$bill")
container=$(podman create "$bill" /nothing-runs)
podman cp "$container:/sbom.cdx.json" "$work/"
podman rm "$container" >/dev/null
jq --exit-status '[.components[].name] | contains(["hyper", "rustls", "relay", "std"])' "$work/sbom.cdx.json" >/dev/null ||
  fail "the bill of materials lacks what is linked"
[[ $(jq '[.components[] | select(.name | test("^(serde_derive|cucumber|tempfile)$"))] | length' "$work/sbom.cdx.json") == 0 ]] ||
  fail "the bill of materials lists what is not linked"
echo "image-push-test: $said from $name, $size bytes, $(jq '.components | length' "$work/sbom.cdx.json") components"
