#!/usr/bin/env bash
# What runs in the emulated machine of deploy/host-test.sh: as root, then by itself as the user `worker`.
# Everything is waited for by what happens, because nothing is quick here.
# shellcheck disable=SC2016 # a session's shell has its own variables
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
home=$PWD/target/pinfold
pinfold=$home/bin/pinfold
readonly url=http://127.0.0.1:9190
export PINFOLD_TOKEN=host-test

say() { echo "host-test: $*"; }
holds() {
  local what=$1
  shift
  if "$@"; then say "holds: $what"; else
    say "FAILS: $what"
    return 1
  fi
}

ready() {
  for _ in $(seq 120); do
    curl --silent --fail --max-time 5 "$url/readyz" >/dev/null && return
    sleep 1
  done
  return 1
}

call() { curl --silent --max-time 120 --header "Authorization: Bearer $PINFOLD_TOKEN" "$@"; }

says() {
  local words=$1
  shift
  "$@" >"$scratch/said" 2>&1 || true
  grep -qF -- "$words" "$scratch/said" || { cat "$scratch/said" && return 1; }
}

asks_a_model() {
  "$pinfold" run --inference localhost/pinfold/base:latest -- sh -c '
    wget -qO- --header "content-type: application/json" --post-data "{\"model\": \"dev\",
      \"messages\": [{\"role\": \"user\", \"content\": \"hello\"}]}" "$OPENAI_BASE_URL/chat/completions"'
}

session=
opens() {
  session=$(call --data '{"lang": "bash"}' "$url/sessions" | sed -n 's/.*"session_id":"\([0-9a-f]*\)".*/\1/p')
  [[ -n $session ]]
}
runs() { call --data "{\"code\": \"$1\"}" "$url/sessions/$session/execute"; }
closes() { says '"' call --request DELETE "$url/sessions/$session"; }

# One node after another, over the Podman of whoever runs this.
node() {
  local state=$scratch/state
  WORKER_API_BEARER_TOKEN=$PINFOLD_TOKEN WORKER_API_STATE_DIR=$state WORKSPACE_ROOT=$scratch/workspaces POOL_MAX=0 \
    OLLAMA_UPSTREAM_URL=http://127.0.0.1:19434 INFERENCE_MODELS=dev "$home/bin/worker-api" 2>>"$scratch/log" &
  node=$!
  ready || { cat "$scratch/log" && return 1; }
}

tries_a_node() {
  local model who
  who=$(id -un)
  deploy/podman-service.sh start
  export CONTAINER_HOST=unix://$home/podman.sock CONTAINERS_CONF=$home/containers.conf
  holds "$who has crun" grep -q 'runtime = "crun"' "$CONTAINERS_CONF"
  for image in images/*.tar; do podman load --quiet --input "$image" >/dev/null; done
  "$pinfold" dev-model --listen 127.0.0.1:19434 >/dev/null 2>&1 &
  model=$!
  node
  # What is weaker here is no failure of the node's: its exit code tells of both.
  "$pinfold" doctor >"$scratch/doctor" || true
  cat "$scratch/doctor"
  holds "$who: doctor finds nothing that fails" \
    awk '/^FAILS/ { failed = 1 } /^holds/ { held++ } END { exit failed || held < 15 }' "$scratch/doctor"
  holds "$who: a job asks a model" says 'heard: hello' asks_a_model
  holds "$who: memory is bounded" says 'killed for memory' \
    "$pinfold" run --memory 32m localhost/pinfold/base:latest -- tail /dev/zero
  holds "$who: a session opens" opens
  holds "$who: it keeps its state" says '"stdout":"42' runs 'x=41; echo $((x+1))'
  kill -KILL "$node"
  wait "$node" || true
  node
  holds "$who: also when the node is killed" says '"stdout":"43' runs 'echo $((x+2))'
  holds "$who: it closes" closes
  kill "$node" "$model"
  wait "$node" "$model" || true
  holds "$who: nothing is left" test -z "$(podman ps --all --quiet)"
  deploy/podman-service.sh stop
  unset CONTAINER_HOST CONTAINERS_CONF
}

# As the heads of the units say.
tries_the_units() {
  install -D -m 0755 -t /usr/local/lib/pinfold "$home/bin/worker-api" "$home/bin/sandbox-agent"
  install -d -m 0700 /etc/pinfold
  (umask 077 && echo "WORKER_API_BEARER_TOKEN=$PINFOLD_TOKEN" >/etc/pinfold/worker-api.env)
  install -m 0644 deploy/systemd/worker-api.service /etc/systemd/system/
  systemctl daemon-reload
  systemctl enable --quiet --now podman.socket worker-api
  holds "unit: it is ready" ready
  holds "unit: a job runs" says 'hello' "$pinfold" run localhost/pinfold/base:latest -- echo hello
  holds "unit: a session opens" opens
  holds "unit: it keeps its state" says '"stdout":"42' runs 'x=41; echo $((x+1))'
  systemctl kill --signal=KILL worker-api
  sleep 1
  holds "unit: it starts anew" ready
  holds "unit: the session is there" says '"stdout":"43' runs 'echo $((x+2))'
  holds "unit: it closes" closes
  holds "unit: Landlock can be asked for" says 'kernel_landlock=abi' journalctl --unit=worker-api --output=cat
  systemctl disable --quiet --now worker-api
}

scratch=$(mktemp -d -p "$HOME")
verdict() {
  local code=$?
  if [[ $(id -u) -eq 0 ]]; then say "verdict $code"; fi
}
trap verdict EXIT

tries_a_node
if [[ $(id -u) -eq 0 ]]; then
  holds "cgroups are of version 2" test "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs
  tries_the_units
  loginctl enable-linger worker
  chown -R worker /srv/pinfold
  runtime=/run/user/$(id -u worker)
  until [[ -S $runtime/bus ]]; do sleep 1; done
  runuser --user worker -- env HOME=/home/worker XDG_RUNTIME_DIR="$runtime" \
    DBUS_SESSION_BUS_ADDRESS="unix:path=$runtime/bus" deploy/host-test/inside.sh
fi
