#!/usr/bin/env bash
# The test of the fence (bins/sandbox-agent/tests/landlock.rs) under kernels of Debian that have another
# Landlock than this host, booted in qemu's software emulation: one without it, an old and a newer
# version. Needs no KVM and no root, and installs nothing: packages are fetched by apt into target/ and
# unpacked there.
set -euo pipefail
# Otherwise a download that fails inside of $(…) is marked as complete.
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Kernel's Debian release, what is added to its command line, and what the agent must find.
readonly cases=(
  "trixie lsm=lockdown none"
  "bookworm - 2"
  "trixie - 6"
)
# A machine that is emulated on a busy host takes its time; one that hangs is ended.
readonly limit_s=300

readonly who=landlock-test
source deploy/emulated.sh

# Where it can't be, the rest of `just test` still counts; this says that a part of it did not run.
for tool in apt-get dpkg-deb; do
  if [[ $(uname -m) != x86_64 ]] || ! command -v "$tool" >/dev/null; then
    echo "landlock-test: NOT RUN: it needs x86_64 and Debian's package tools" >&2
    exit
  fi
done
command -v busybox >/dev/null || fail "busybox is missing; deploy/setup.sh installs it"

# The test as cargo builds it, the agent where the test looks for it, busybox, and the libraries that
# both name. The emulated machine sees nothing else.
initramfs() {
  local root=$home/initramfs test agent file
  test=$(cargo test --quiet --package sandbox-agent --test landlock --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*deps\/landlock-[^"]*\)".*/\1/p' | tail -n 1)
  [[ -x $test ]] || fail "the test was not built"
  agent=$PWD/target/debug/sandbox-agent
  rm -rf "$root"
  mkdir -p "$root"/{bin,dev,proc,sys,tmp,etc,usr/lib,usr/bin,root}
  cp "$(command -v busybox)" "$root/bin/busybox"
  cp "$root/bin/busybox" "$root/usr/bin/busybox"
  cp deploy/landlock-init.sh "$root/init"
  cp "$test" "$root/test"
  install -D "$agent" "$root$agent"
  chmod 755 "$root/init"
  echo "nameserver 127.0.0.1" >"$root/etc/resolv.conf"
  for file in $(ldd "$test" "$agent" | grep -oE '/[^ ]+\.so[^ ]*' | sort -u); do
    install -D "$file" "$root$file"
  done
  (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$home/initramfs.gz"
}

initramfs
find_emulator
for case in "${cases[@]}"; do
  read -r release words landlock <<<"$case"
  image=$(kernel "$release")
  log=$home/log.$release.$landlock
  began=$SECONDS
  emulate "$limit_s" 1024 -kernel "$image" -initrd "$home/initramfs.gz" \
    -append "console=ttyS0 quiet panic=-1 ${words/#-/} pinfold.landlock=$landlock" </dev/null >"$log" 2>&1 || true
  if ! tr -d '\r' <"$log" | grep -qx 'landlock-test: verdict 0'; then
    tail -n 60 "$log" >&2
    fail "failed with $release, Landlock $landlock; its log is $log"
  fi
  echo "landlock-test: $(tr -d '\r' <"$log" | sed -n 's/landlock-test: \(.*\), Landlock.*/\1/p'), Landlock $landlock:" \
    "$(tr -d '\r' <"$log" | sed -n 's/^test result: ok. \([0-9]* passed\).*/\1/p') in $((SECONDS - began)) s"
done
