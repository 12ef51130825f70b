#!/usr/bin/env bash
# Builds localhost/pinfold/inference-proxy: the static program and nothing else. What went in is
# hashed into a label, and the same program is not put into an image twice.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Built by Podman itself: a service, which others may have set, need not run yet.
unset CONTAINER_HOST
CONTAINERS_CONF=$(deploy/containers-conf.sh)
export CONTAINERS_CONF
readonly image=localhost/pinfold/inference-proxy:latest
readonly label=io.pinfold.image.inputs
readonly files=deploy/images/inference-proxy/Containerfile
target=$(uname -m)-unknown-linux-musl
readonly target

cargo build --quiet --profile sidecar --package inference-proxy --target "$target"
folder=target/$target/sidecar
hash=$(cat "$files" "$folder/inference-proxy" | sha256sum | cut -d' ' -f1)
found=$(podman image inspect --format "{{index .Labels \"$label\"}}" "$image" 2>/dev/null || true)
if [[ $found == "$hash" ]]; then
  echo "proxy-image: $image is up to date"
  exit
fi
# Of the folder, only the program is the build's business.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$folder/inference-proxy" "$context"
podman build --quiet --network=none --label "$label=$hash" --tag "$image" --file "$files" \
  "$context" >/dev/null
echo "proxy-image: $image: $(podman image inspect --format '{{.Size}}' "$image") bytes"
