#!/usr/bin/env bash
# Writes target/pinfold/containers.conf and prints its path: what Podman needs to know about this
# host to run sandboxes at all. Only our own Podman calls read it, by way of CONTAINERS_CONF;
# /etc/containers belongs to the host's owner and stays as it is. Beside it goes service.conf, the
# same with a lighter monitor, for the Podman service that a node uses and for nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The smaller of what we would like and what this host allows. Podman asks for more than the hard
# limit by default, and where no limit may be raised every container then fails to start.
within() {
  local hard=$1 wish=$2
  if [[ $hard == unlimited || $hard -gt $wish ]]; then
    echo "$wish"
  else
    echo "$hard"
  fi
}

# crun is the better runtime where it runs: it refuses cgroup version 1 and the hybrid layout.
runtime() {
  local layout
  layout=$(stat -fc %T /sys/fs/cgroup)
  if [[ $layout == cgroup2fs ]] && PATH=$PATH:/usr/sbin:/sbin command -v crun >/dev/null; then
    echo crun
  else
    echo runc
  fi
}

mkdir -p target/pinfold
conf=$PWD/target/pinfold/containers.conf
nofile=$(within "$(ulimit -Hn)" 4096)
nproc=$(within "$(ulimit -Hu)" 4096)
cat >"$conf.new" <<CONF
# Written by deploy/containers-conf.sh for this host; changes are overwritten.
[containers]
default_ulimits = ["nofile=$nofile:$nofile", "nproc=$nproc:$nproc"]
# Podman would hand the host's proxy variables, credentials included, to every container.
http_proxy = false

[engine]
runtime = "$(runtime)"
CONF
mv "$conf.new" "$conf"
service=$PWD/target/pinfold/service.conf
{ cat "$conf" && echo "conmon_path = [\"$PWD/deploy/conmon\"]"; } >"$service.new"
mv "$service.new" "$service"
echo "$conf"
