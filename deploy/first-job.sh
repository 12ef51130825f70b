#!/usr/bin/env bash
# A node, one job on it, its output, and nothing left behind. Called by `just first-job`.
set -euo pipefail
cd "$(dirname "$0")/.."
run=$PWD/target/pinfold
state=$(mktemp -d)
node=
model=

finish() {
    for started in $node $model; do
        kill "$started" 2>/dev/null || true
        wait "$started" 2>/dev/null || true
    done
    deploy/podman-service.sh stop
    rm -rf "$state"
}
trap finish EXIT

deploy/podman-service.sh start
export WORKER_API_BEARER_TOKEN PINFOLD_TOKEN PINFOLD_URL=http://127.0.0.1:19190
WORKER_API_BEARER_TOKEN=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
PINFOLD_TOKEN=$WORKER_API_BEARER_TOKEN
"$run/bin/pinfold" dev-model --listen 127.0.0.1:19434 >/dev/null 2>"$state/model.log" &
model=$!
OLLAMA_UPSTREAM_URL=http://127.0.0.1:19434 INFERENCE_MODELS=dev \
    LISTEN_ADDR=127.0.0.1:19190 WORKER_API_STATE_DIR=$state WORKSPACE_ROOT=$state/workspaces \
    "$run/bin/worker-api" 2>"$state/node.log" &
node=$!
for _ in $(seq 100); do
    curl --silent --fail "$PINFOLD_URL/readyz" >/dev/null 2>&1 && break
    kill -0 "$node" 2>/dev/null || { cat "$state/node.log" >&2; exit 1; }
    sleep 0.1
done

shown='echo hello from a sealed sandbox; …; wget … $OPENAI_BASE_URL/chat/completions'
echo "A node is running, with an echo in place of a model. Its first job:"
echo
echo "  \$ pinfold run --inference localhost/pinfold/base:latest -- sh -c '$shown'"
"$run/bin/pinfold" run --inference localhost/pinfold/base:latest -- sh -c '
    echo hello from a sealed sandbox
    echo "I am user $(id -u), my network is:" $(tail -n +3 /proc/net/dev | cut -d: -f1)
    echo "A model answers, and no key is here:"
    wget -qO- --header "content-type: application/json" --post-data "{\"model\": \"dev\",
        \"messages\": [{\"role\": \"user\", \"content\": \"hello from inside\"}]}" \
        "$OPENAI_BASE_URL/chat/completions" | sed "s/.*\"content\":\"\([^\"]*\)\".*/\1/"
    echo'
