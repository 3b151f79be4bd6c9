#!/usr/bin/env bash
# Boots Debian's kernel under QEMU with Skiff in its memory and prints what the
# checks in guest/ found: one line each, and "N passed, N failed".
#
#   test/vm/run.sh [REGEXP]     checks whose names match, default: all
#
# What is fetched and built is kept in test/.cache/vm, the console and the
# server's log of the last run with it.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=$PWD/test/.cache/vm
mkdir -p "$cache"

# kernel: the newest package that Debian offers, unpacked into $kernel.
kernel() {
  local package
  package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
  [ -n "$package" ] || { echo "Debian's package lists do not name linux-image-cloud-amd64: run apt-get update" >&2; exit 1; }
  kernel=$cache/$package
  [ -e "$kernel/done" ] && return
  rm -rf "$kernel"
  mkdir -p "$kernel"
  (cd "$kernel" && apt-get download -q "$package" >"$cache/apt.log" 2>&1) || { cat "$cache/apt.log" >&2; exit 1; }
  dpkg-deb -x "$kernel"/*.deb "$kernel"
  touch "$kernel/done"
}

# root: the guest's files, as an archive that the kernel unpacks into memory.
root() {
  local root=$cache/root version
  version=$(basename "$kernel"/lib/modules/*)
  rm -rf "$root"
  mkdir -p "$root"/{bin,sbin,dev,proc,sys,run,tmp,root,etc,newroot,skiff,var/lib} "$root/lib/modules/$version/kernel/drivers"
  cp test/vm/init "$root/init"
  cp /bin/busybox "$root/bin/"
  /bin/busybox --list | while read -r name; do [ "$name" = busybox ] || ln -s busybox "$root/bin/$name"; done
  ln -s ../bin/busybox "$root/sbin/modprobe" # where the kernel looks for it
  (cd "$kernel/lib/modules/$version/kernel" && cp -r --parents arch crypto fs lib net drivers/net drivers/virtio drivers/block "$root/lib/modules/$version/kernel/")
  cp "$kernel/lib/modules/$version"/modules.{builtin,order} "$root/lib/modules/$version/"
  /bin/busybox depmod -b "$root" "$version"
  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
  printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
  printf 'nameserver 10.0.2.3\n' >"$root/etc/resolv.conf"
  cp bin/skiff "$root/skiff/"
  cp -r bin/runtime bin/images "$root/skiff/"
  CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$root/bin/guest" ./test/vm/guest
  (cd "$root" && find . | /bin/busybox cpio -o -H newc -R 0:0 >"$cache/root.cpio" 2>/dev/null)
}

kernel
root
# No KVM: it is not everywhere, and does not always work where it seems to be.
timeout 600 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 4G \
  -kernel "$kernel"/boot/vmlinuz-* -initrd "$cache/root.cpio" \
  -append "console=ttyS0 quiet panic=-1 rdinit=/init -- $*" -no-reboot \
  -nic user,model=virtio-net-pci,restrict=on,ipv6=off \
  -display none -serial "file:$cache/console.log" -serial stdio </dev/null | tee "$cache/result"
grep -q ' 0 failed' "$cache/result"
