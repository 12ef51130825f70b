#!/usr/bin/env bash
# A node, one job on it, its output, and nothing left behind. Called by `just first-job`.
set -euo pipefail
cd "$(dirname "$0")/.."
run=$PWD/target/pinfold
state=$(mktemp -d)
node=

finish() {
    if [ -n "$node" ]; then
        kill "$node" 2>/dev/null || true
        wait "$node" 2>/dev/null || true
    fi
    deploy/podman-service.sh stop
    rm -rf "$state"
}
trap finish EXIT

deploy/podman-service.sh start
export WORKER_API_BEARER_TOKEN PINFOLD_TOKEN PINFOLD_URL=http://127.0.0.1:19190
WORKER_API_BEARER_TOKEN=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
PINFOLD_TOKEN=$WORKER_API_BEARER_TOKEN
LISTEN_ADDR=127.0.0.1:19190 WORKER_API_STATE_DIR=$state WORKSPACE_ROOT=$state/workspaces \
    "$run/bin/worker-api" 2>"$state/node.log" &
node=$!
for _ in $(seq 100); do
    curl --silent --fail "$PINFOLD_URL/readyz" >/dev/null 2>&1 && break
    kill -0 "$node" 2>/dev/null || { cat "$state/node.log" >&2; exit 1; }
    sleep 0.1
done

echo "A node is running. Its first job:"
echo
echo "  \$ pinfold run localhost/pinfold/base:latest -- sh -c 'echo hello from a sealed sandbox; …'"
"$run/bin/pinfold" run localhost/pinfold/base:latest -- sh -c '
    echo hello from a sealed sandbox
    echo "I am user $(id -u), my network is:" $(tail -n +3 /proc/net/dev | cut -d: -f1)'
