#!/usr/bin/env bash
# Boots Debian under QEMU, its kernel and its systemd, with Skiff in its memory,
# and prints what the checks in guest/ found: one line each, and "N passed, N
# failed".
#
#   test/vm/run.sh [REGEXP]     checks whose names match, default: all
#
# What is fetched and built is kept in test/.cache/vm, with the console of the
# last run.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=$PWD/test/.cache/vm
debs=$cache/debs
root=$cache/root

# apt works as if on a machine with nothing installed, and keeps what it fetches.
apt() {
  apt-get -y -q -o Dir::State::status="$debs/status" -o Dir::Cache::archives="$debs" -o Debug::NoLocking=1 \
    -o APT::Install-Recommends=false "$@"
}

# fetch brings packages and what they stand on. usr-is-merged stands for
# usrmerge, which would bring all of Perl.
fetch() {
  mkdir -p "$debs/partial"
  : >"$debs/status"
  apt autoclean
  apt --download-only install linux-image-cloud-amd64 systemd usr-is-merged
}

# fill makes the guest's file system of the packages, whose scripts need not run,
# and of what is to be tried.
fill() {
  rm -rf "$root"
  mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{dev,proc,sys,run,tmp,root,etc,var,newroot,skiff}
  local name
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
  for name in "$debs"/*.deb; do
    dpkg-deb --fsys-tarfile "$name" | tar -x -C "$root" --keep-directory-symlink --exclude='./usr/share/*'
  done
  mv "$root"/boot/vmlinuz-* "$cache/vmlinuz"
  cp /bin/busybox "$root/bin/"
  /bin/busybox --list | while read -r name; do [ -e "$root/bin/$name" ] || [ -e "$root/sbin/$name" ] || ln -s busybox "$root/bin/$name"; done
  chroot "$root" depmod "$(cd "$root/lib/modules" && echo *)"
  cp test/vm/init "$root/init"
  cp test/vm/guest.service "$root/etc/systemd/system/"
  cp test/vm/check.sh "$root/skiff/"
  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\n' >"$root/etc/group"
  printf 'guest\n' >"$root/etc/hostname"
  printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
  printf 'nameserver 10.0.2.3\n' >"$root/etc/resolv.conf"
  : >"$root/etc/machine-id"
  cp -r bin/skiff bin/runtime bin/images "$root/skiff/"
  CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$root/bin/guest" ./test/vm/guest
}

mkdir -p "$cache"
fetch >"$cache/apt.log" 2>&1 || { cat "$cache/apt.log" >&2; exit 1; }
fill
(cd "$root" && find . | /bin/busybox cpio -o -H newc -R 0:0 >"$cache/root.cpio" 2>/dev/null)
# No KVM: it is not everywhere, and does not always work where it seems to be.
timeout 600 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 4G \
  -kernel "$cache/vmlinuz" -initrd "$cache/root.cpio" -no-reboot \
  -append "console=ttyS0 quiet panic=-1 rdinit=/init systemd.unit=guest.service systemd.show_status=0 CHECK=$(printf %s "${1:-}" | tr ' ' .)" \
  -nic user,model=virtio-net-pci,restrict=on,ipv6=off \
  -display none -serial "file:$cache/console.log" -serial stdio </dev/null | tee "$cache/result" || true
if ! tail -n 1 "$cache/result" | grep -q ' passed, '; then
  tail -n 20 "$cache/console.log"
  echo "the checks did not come to their end (10 minutes at most); the console is in $cache/console.log"
  exit 1
fi
tail -n 1 "$cache/result" | grep -q ' 0 failed'
