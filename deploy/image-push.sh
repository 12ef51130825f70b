#!/usr/bin/env bash
# Builds the inference proxy's image with its bill of materials, and pushes both:
#   deploy/image-push.sh REGISTRY[/PATH]      as in ghcr.io/someone, or 127.0.0.1:5000
# It prints the image's name by digest at the end, and nothing else, on standard output. Credentials are Podman's own:
# `podman login`. The bill (CycloneDX) is in target/dist, and in the registry beside the image under the tag
# sha256-DIGEST.sbom, as an image with that one file: Podman 4 can't push other artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "image-push: $*" >&2; }
(($# == 1)) || { say "usage: deploy/image-push.sh REGISTRY[/PATH]"; exit 64; }
readonly registry=${1%/}

CONTAINERS_CONF=$(deploy/containers-conf.sh)
export CONTAINERS_CONF
unset CONTAINER_HOST
readonly target=$(uname -m)-unknown-linux-musl
readonly program=target/$target/sidecar/inference-proxy
readonly image=$registry/inference-proxy

# Only a registry on this very machine may do without TLS.
tls=true
[[ $registry == 127.0.0.1:* || $registry == localhost:* ]] && tls=false

say "building the program"
cargo build --quiet --locked --profile sidecar --package inference-proxy --target "$target"
version=$(cargo pkgid --package inference-proxy | sed 's/.*[#@]//')
revision=$(git rev-parse HEAD)
[[ -z $(git status --porcelain) ]] || revision+=-dirty
# The time of the commit and not of the build: the same input makes the same image.
moment=$(git log -1 --format=%ct)
readonly version revision moment

# What is linked into the program: no build scripts, no macros' compilers, no tests.
readonly dist=target/dist
readonly bill=$dist/inference-proxy-$version.cdx.json
mkdir -p "$dist"
checksums=$(awk -F' = ' '
  { gsub(/"/, "") }
  $1 == "name" { name = $2 } $1 == "version" { version = $2 }
  $1 == "checksum" { print name "\t" version "\t" $2 }' Cargo.lock)
cargo tree --locked --package inference-proxy --target "$target" --edges normal,no-proc-macro --prefix none \
  --no-dedupe --format '{p}	{l}' | sed 's/ v/\t/; s/ ([^\t]*)//' | sort -u |
  jq --raw-input --null-input --arg version "$version" --arg revision "$revision" \
    --arg time "$(date --utc --date "@$moment" +%FT%TZ)" --arg rust "$(rustc --version | cut -d' ' -f2)" \
    --arg sum "$(sha256sum "$program" | cut -d' ' -f1)" --arg checksums "$checksums" '
    ($checksums | split("\n") | map(split("\t") | {key: "\(.[0]) \(.[1])", value: .[2]}) | from_entries) as $sums |
    [inputs | split("\t") | {name: .[0], version: .[1], license: .[2]}] |
    map(select(.name != "inference-proxy") | $sums["\(.name) \(.version)"] as $sum |
      {type: "library", name, version, licenses: [{expression: (.license | gsub("/"; " OR "))}]} +
      if $sum then {purl: "pkg:cargo/\(.name)@\(.version)", hashes: [{alg: "SHA-256", content: $sum}]} else {} end) |
    {bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
     metadata: {timestamp: $time, component: {
       type: "application", name: "inference-proxy", version: $version,
       licenses: [{expression: "Apache-2.0"}], hashes: [{alg: "SHA-256", content: $sum}],
       properties: [{name: "io.pinfold.revision", value: $revision}]}},
     components: (. + [{type: "library", name: "std", version: $rust, purl: "pkg:generic/rust-std@\($rust)",
       description: "The standard library of Rust, with the C library musl that its target brings",
       licenses: [{expression: "MIT OR Apache-2.0"}]}])}' >"$bill"
say "$bill: $(jq '.components | length' "$bill") components"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
install -m 755 "$program" "$work/inference-proxy"
podman build --quiet --network=none --timestamp "$moment" --build-arg "VERSION=$version" \
  --label "org.opencontainers.image.revision=$revision" --label "org.opencontainers.image.vendor=Pinfold" \
  --tag "$image:$version" --tag "$image:latest" \
  --file deploy/images/inference-proxy/Containerfile "$work" >/dev/null
podman push --quiet --tls-verify=$tls --digestfile "$work/digest" "$image:$version"
podman push --quiet --tls-verify=$tls "$image:latest"
digest=$(<"$work/digest")

mkdir "$work/bill"
cp "$bill" "$work/bill/sbom.cdx.json"
printf 'FROM scratch\nCOPY sbom.cdx.json /sbom.cdx.json\n' >"$work/bill/Containerfile"
readonly bill_image=$image:${digest/:/-}.sbom
podman build --quiet --network=none --timestamp "$moment" --label "io.pinfold.sbom.of=$image@$digest" \
  --tag "$bill_image" "$work/bill" >/dev/null
podman push --quiet --tls-verify=$tls "$bill_image"
podman rmi "$bill_image" >/dev/null
say "pushed $image:$version, :latest and $bill_image"
echo "$image@$digest"
