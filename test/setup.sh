#!/usr/bin/env bash
# Installs what the tests need and the machine lacks, from Debian. Does nothing
# where all is there.
#
#   test/setup.sh [vm]     vm: also what test/vm needs
set -euo pipefail

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need diff diffutils
need curl curl
need ip iproute2
need nft nftables
need sysctl procps
need setpriv util-linux
need timeout coreutils
if [ "${1:-}" = vm ]; then need qemu-system-x86_64 qemu-system-x86; fi
# A dynamic busybox would lack its libraries in the test image.
if [ ! -x /bin/busybox ] || head -c 4096 /bin/busybox | grep -q ld-linux; then missing+=(busybox-static); fi
[ "${#missing[@]}" = 0 ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "install these first, by Debian's names: ${missing[*]}" >&2
  exit 1
fi
echo "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get install -y --no-install-recommends "${missing[@]}" || { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; }; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
