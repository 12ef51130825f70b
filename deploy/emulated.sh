# Emulated machines for tests: sourced by who says its name in `who`, in the clone's folder. Needs no KVM and no
# root, and installs nothing: packages are fetched by apt into target/emulated and unpacked there.
# shellcheck shell=bash disable=SC2154,SC2164 # what its callers set: names, and to end with what fails
home=$PWD/target/emulated
mkdir -p "$home"
# Named, because apt on Ubuntu trusts Ubuntu's keys only.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
  echo "$who: $*" >&2
  exit 1
}

# apt with lists and a cache of its own, over one release: the host's own are not touched.
apt_of() {
  local release=$1 apt=$home/apt.$1
  shift
  [[ -f $keyring ]] || fail "$keyring is missing; deploy/setup.sh installs it"
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

# Sets `qemu`, and what it needs when it is not the host's.
find_emulator() {
  qemu=$(emulator | tail -n 1)
  libraries=
  data=()
  if [[ $qemu == "$home"/* ]]; then
    libraries=$home/qemu/usr/lib/x86_64-linux-gnu:$home/qemu/lib/x86_64-linux-gnu
    data=(-L "$home/qemu/usr/share/qemu" -L "$home/qemu/usr/share/seabios")
  fi
}

# For so many seconds, with so many MiB, and whatever else qemu is told.
emulate() {
  local seconds=$1 memory=$2
  shift 2
  # One processor, and none of the 16 byte exchanges: their emulation on two has crashed a kernel's
  # allocator.
  LD_LIBRARY_PATH=$libraries timeout "$seconds" "$qemu" "${data[@]}" -M q35 -accel tcg,thread=single \
    -cpu max,-cx16 -smp 1 -m "$memory" -nodefaults -no-reboot -display none -serial stdio "$@"
}
