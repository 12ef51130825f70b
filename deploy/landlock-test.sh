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

home=$PWD/target/landlock
# Named, because apt on Ubuntu trusts Ubuntu's keys only.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$home"

fail() {
  echo "landlock-test: $*" >&2
  exit 1
}

# Where it can't be, the rest of `just test` still counts; this says that a part of it did not run.
for tool in apt-get dpkg-deb; do
  if [[ $(uname -m) != x86_64 ]] || ! command -v "$tool" >/dev/null; then
    echo "landlock-test: NOT RUN: it needs x86_64 and Debian's package tools" >&2
    exit
  fi
done
command -v busybox >/dev/null || fail "busybox is missing; deploy/setup.sh installs it"
[[ -f $keyring ]] || fail "$keyring is missing; deploy/setup.sh installs it"

# apt with lists and a cache of its own, over one release: the host's own are not touched.
apt_of() {
  local release=$1 apt=$home/apt.$1
  shift
  mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial "$apt"/status.d
  [[ -e $apt/status ]] || : >"$apt/status"
  echo "deb [signed-by=$keyring] ${PINFOLD_DEBIAN_MIRROR:-http://deb.debian.org/debian} $release main" >"$apt/sources.list"
  local command=$1
  shift
  "$command" -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- \
    -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/status" \
    -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root -o APT::Install-Recommends=false -qq "$@"
}

# Fetches and unpacks; a folder that is complete has its mark.
unpacked() {
  local release=$1 folder=$2 packages=$3
  [[ -e $folder/.complete ]] && return
  rm -rf "$folder"
  mkdir -p "$folder/debs"
  (
    cd "$folder/debs"
    # shellcheck disable=SC2086 # several packages
    apt_of "$release" apt-get download $packages
    for deb in *.deb; do dpkg-deb -x "$deb" "$folder"; done
  )
  rm -rf "$folder/debs"
  touch "$folder/.complete"
}

kernel() {
  local release=$1 folder=$home/kernel.$1 package
  if [[ ! -e $folder/.complete ]]; then
    apt_of "$release" apt-get update
    package=$(apt_of "$release" apt-cache depends linux-image-cloud-amd64 | sed -n 's/ *Depends: //p' | head -n 1)
    unpacked "$release" "$folder" "$package"
  fi
  ls "$folder"/boot/vmlinuz-*
}

# The emulator: the host's, or one that is unpacked with whatever of its libraries the host has not.
emulator() {
  if command -v qemu-system-x86_64; then return; fi
  local folder=$home/qemu packages
  if [[ ! -e $folder/.complete ]]; then
    apt_of bookworm apt-get update
    packages=$(apt_of bookworm apt-get install --print-uris qemu-system-x86 | sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p" |
      grep -vxE 'libc6|libc-bin|libgcc-s1|libcrypt1|debconf|perl.*|dpkg|tar')
    unpacked bookworm "$folder" "$packages"
  fi
  echo "$folder/usr/bin/qemu-system-x86_64"
}

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
qemu=$(emulator | tail -n 1)
libraries=
data=()
if [[ $qemu == "$home"/* ]]; then
  libraries=$home/qemu/usr/lib/x86_64-linux-gnu:$home/qemu/lib/x86_64-linux-gnu
  data=(-L "$home/qemu/usr/share/qemu" -L "$home/qemu/usr/share/seabios")
fi
for case in "${cases[@]}"; do
  read -r release words landlock <<<"$case"
  image=$(kernel "$release")
  log=$home/log.$release.$landlock
  began=$SECONDS
  # One processor, and none of the 16 byte exchanges: their emulation on two has crashed a kernel's
  # allocator.
  LD_LIBRARY_PATH=$libraries timeout "$limit_s" "$qemu" "${data[@]}" -M q35 -accel tcg,thread=single \
    -cpu max,-cx16 -smp 1 -m 1024 -nodefaults -no-reboot -display none -serial stdio -kernel "$image" \
    -initrd "$home/initramfs.gz" \
    -append "console=ttyS0 quiet panic=-1 ${words/#-/} pinfold.landlock=$landlock" </dev/null >"$log" 2>&1 || true
  if ! tr -d '\r' <"$log" | grep -qx 'landlock-test: verdict 0'; then
    tail -n 60 "$log" >&2
    fail "failed with $release, Landlock $landlock; its log is $log"
  fi
  echo "landlock-test: $(tr -d '\r' <"$log" | sed -n 's/landlock-test: \(.*\), Landlock.*/\1/p'), Landlock $landlock:" \
    "$(tr -d '\r' <"$log" | sed -n 's/^test result: ok. \([0-9]* passed\).*/\1/p') in $((SECONDS - began)) s"
done
