#!/usr/bin/env bash
# The Gherkin features on real Podman, with a service of their own. Called by `just test`.
set -euo pipefail
cd "$(dirname "$0")/.."
trap 'deploy/podman-service.sh stop' EXIT
# By Podman itself: the service below does not run yet.
env -u CONTAINER_HOST deploy/images.sh
env -u CONTAINER_HOST deploy/images.sh polyglot java
deploy/real-model.sh
deploy/podman-service.sh start
export PINFOLD_BIN_DIR=$PWD/target/pinfold/test
cargo test --package features --test features --quiet -- "$@"
