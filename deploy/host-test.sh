#!/usr/bin/env bash
# What most hosts are and the machine of the tests may not be: systemd, cgroup version 2 and crun, as root and
# rootless. A Debian 12 of its packages is booted in qemu's software emulation, and deploy/host-test/inside.sh
# runs in it, with the programs of `just build`. Needs root to make its disk; installs nothing. Ten minutes.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly who=host-test
source deploy/emulated.sh

readonly limit_s=1800
readonly contents=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,udev,dbus,dbus-user-session,libpam-systemd,kmod,podman,conmon,crun,catatonit,slirp4netns,fuse-overlayfs,iptables,uidmap,login,procps,curl,openssl
run=$PWD/target/pinfold/bin
work=$home/host

[[ $(id -u) -eq 0 ]] || fail "root makes the disk of the emulated machine"
for program in worker-api sandbox-agent pinfold; do
  [[ -x $run/$program ]] || fail "$run/$program is missing; run this by \`just host-test\`"
done
for tool in mmdebstrap mke2fs podman; do
  PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || fail "$tool is missing: it comes with mmdebstrap, e2fsprogs or podman"
done

# Its packages are fetched once.
packed() {
  [[ -e $home/host.tar ]] && return
  echo "host-test: fetching a Debian"
  mmdebstrap --quiet --variant=minbase --keyring="$keyring" --include="$contents" \
    --aptopt='Apt::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$home/new.host.tar"
  mv "$home/new.host.tar" "$home/host.tar"
}

disk() {
  local root=$work/root pinfold=$work/root/srv/pinfold image file
  mkdir -p "$root"
  tar --extract --file="$home/host.tar" --directory="$root"
  mkdir -p "$pinfold/target/pinfold/bin" "$pinfold/images"
  cp -r deploy "$pinfold/"
  install -m 755 "$run"/{worker-api,sandbox-agent,pinfold} "$pinfold/target/pinfold/bin"
  deploy/images.sh base
  for image in base inference-proxy; do
    podman save --quiet --format=docker-archive --output="$pinfold/images/$image.tar" "localhost/pinfold/$image:latest"
  done
  chmod 755 "$pinfold/images" && chmod 644 "$pinfold"/images/*

  echo pinfold-host >"$root/etc/hostname"
  echo '127.0.0.1 localhost pinfold-host' >"$root/etc/hosts"
  rm -f "$root/etc/resolv.conf"
  printf '/dev/vda / ext4 rw 0 1\ntmpfs /tmp tmpfs mode=1777 0 0\n' >"$root/etc/fstab"
  for file in subuid subgid; do echo 'containers:2147483647:2147483648' >>"$root/etc/$file"; done
  chroot "$root" /usr/sbin/useradd --create-home --shell /bin/bash worker
  install -m 644 deploy/host-test/host-test.service "$root/etc/systemd/system/"
  mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
  ln -s ../host-test.service "$root/etc/systemd/system/multi-user.target.wants/"
  for file in apt-daily.timer apt-daily-upgrade.timer getty@tty1.service serial-getty@ttyS0.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$file"
  done
  cp "$root"/boot/vmlinuz-* "$work/kernel"
  cp "$root"/boot/initrd.img-* "$work/initrd"
  truncate --size=4G "$work/disk"
  PATH=$PATH:/usr/sbin mke2fs -q -F -t ext4 -d "$root" "$work/disk"
  rm -rf "$root"
}

trap 'rm -rf "$work"' EXIT
rm -rf "$work"
packed
disk
find_emulator
log=$home/log.host
began=$SECONDS
emulate "$limit_s" 4096 -kernel "$work/kernel" -initrd "$work/initrd" \
  -drive "file=$work/disk,format=raw,if=virtio" -device virtio-rng-pci \
  -append "console=ttyS0 root=/dev/vda rw quiet panic=-1 systemd.show_status=0" </dev/null 2>&1 |
  tr -d '\r' | tee "$log" | grep --line-buffered '^host-test: ' || true
grep -qx 'host-test: verdict 0' "$log" || fail "failed; its log is $log"
echo "host-test: passed in $((SECONDS - began)) s"
