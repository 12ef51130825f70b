#!/usr/bin/env bash
# Podman's API for development and tests, on a socket of this clone: start, stop or status.
# A node in production uses the host's podman.socket instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

home=$PWD/target/pinfold
socket=$home/podman.sock
pidfile=$home/podman.pid
log=$home/podman.log

fail() {
  echo "podman-service: $*" >&2
  exit 1
}

# The pid of our service if it runs. A pid is used again by the kernel: the command line decides.
running() {
  local pid
  pid=$(cat "$pidfile" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "unix://$socket" || return 1
  echo "$pid"
}

answers() {
  curl --silent --fail --max-time 2 --output /dev/null --unix-socket "$socket" http://d/_ping
}

start() {
  local pid
  if pid=$(running) && answers; then
    echo "podman-service: runs already as $pid on unix://$socket"
    return
  fi
  stop >/dev/null
  # The kernel's room for a socket's path. Podman would fail later with a message about "bind".
  ((${#socket} <= 107)) || fail "$socket is longer than the 107 bytes of a socket's path; use a shorter folder"
  mkdir -p "$home"
  rm -f "$socket"
  deploy/containers-conf.sh >/dev/null

  # A clean environment, because an image can name variables that Podman fills in from its own.
  # A session of its own, so that Ctrl-C in a terminal reaches the node and not what it stands on.
  local keep=("PATH=$PATH:/usr/sbin:/sbin" "HOME=$HOME" "CONTAINERS_CONF=$home/service.conf") name
  for name in XDG_RUNTIME_DIR XDG_DATA_HOME DBUS_SESSION_BUS_ADDRESS CONTAINERS_STORAGE_CONF; do
    [[ -z ${!name:-} ]] || keep+=("$name=${!name}")
  done
  # In its own folder: the containers' monitors leave small files where the service was started.
  setsid env -i -C "$home" "${keep[@]}" podman system service --time=0 "unix://$socket" \
    </dev/null >"$log" 2>&1 &
  pid=$!
  echo "$pid" >"$pidfile"

  for _ in $(seq 100); do
    if answers; then
      echo "podman-service: $pid on unix://$socket"
      return
    fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 5 "$log" >&2
  stop >/dev/null
  fail "Podman's API does not answer; its log is $log"
}

stop() {
  local pid
  if pid=$(running); then
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 50); do
      running >/dev/null || break
      sleep 0.1
    done
    # Containers live on under conmon: nothing is lost with a service that does not want to go.
    if running >/dev/null; then kill -KILL "$pid" 2>/dev/null || true; fi
    echo "podman-service: stopped $pid"
  else
    echo "podman-service: does not run"
  fi
  rm -f "$pidfile" "$socket"
}

status() {
  local pid
  if pid=$(running) && answers; then
    echo "podman-service: $pid on unix://$socket"
  else
    echo "podman-service: does not run"
    return 1
  fi
}

case ${1:-} in
  start | stop | status) "$1" ;;
  *) fail "usage: deploy/podman-service.sh start|stop|status" ;;
esac
