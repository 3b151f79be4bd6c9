#!/bin/sh
# Builds the container runtime (containerd, its runc shim, ctr, runc) into
# bin/runtime from the Go modules pinned in runtime/*/go.mod.
#
#   runtime/build.sh [DIRECTORY]    default: bin/runtime at the repository's root
#
# Does nothing when the programs there were built from the same pins, with the
# same flags, by the same Go (the stamp file says).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../bin/runtime}
containerd_version=2.4.2

mkdir -p "$out"
out=$(cd "$out" && pwd)
stamp=$out/.built-from

pins() {
	go env GOVERSION GOARCH
	cd "$here" && sha256sum build.sh containerd/go.mod containerd/go.sum containerd/main.go runc/go.mod runc/go.sum
}

whole() {
	for p in containerd containerd-shim-runc-v2 ctr runc; do
		[ -x "$out/$p" ] || return 1
	done
}

want=$(pins)
if whole && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
	exit 0
fi

# runc's default seccomp profile needs libseccomp, linked statically so that
# the program runs on any distribution and starts without a dynamic linker.
# musl is the C library of choice: glibc's start-up asks the processor for its
# caches, which traps in a virtual machine and takes 0.6 ms, and runc starts six
# times per pod. Without musl, glibc does.
if ! pkg-config --exists libseccomp 2>/dev/null; then
	echo "runtime: libseccomp's headers are missing; installing them" >&2
	if ! command -v apt-get >/dev/null; then
		echo "runtime: install libseccomp's static development files and pkg-config (Fedora: libseccomp-static, Alpine: libseccomp-static libseccomp-dev), then run this again" >&2
		exit 1
	fi
	packages="libseccomp-dev pkg-config gcc libc6-dev musl-tools"
	# A fresh machine has no list of packages yet.
	apt-get install -y -q $packages >/dev/null 2>&1 || { apt-get update -q >/dev/null && apt-get install -y -q $packages >&2; }
fi

echo "building containerd $containerd_version, its shim and runc (a minute or two at the first time)" >&2
rm -f "$stamp"
export GOFLAGS="-mod=readonly -trimpath -buildvcs=false" GOWORK=off

# no_rdt: Intel's cache allocation, which the CRI's users configure by hand.
# no_systemd: no notification of a service manager that did not start it.
tags=urfave_cli_no_docs,no_systemd,no_rdt,osusergo,netgo
mod=github.com/containerd/containerd/v2
ld="-s -w -X $mod/version.Version=$containerd_version -X $mod/version.Package=$mod"

cd "$here/containerd"
CGO_ENABLED=0 go build -tags "$tags" -ldflags "$ld" -o "$out/containerd" .
CGO_ENABLED=0 go build -tags "$tags,no_grpc,no_tracing" -ldflags "$ld" -o "$out/containerd-shim-runc-v2" $mod/cmd/containerd-shim-runc-v2
CGO_ENABLED=0 go build -tags "$tags" -ldflags "$ld" -o "$out/ctr" $mod/cmd/ctr

# runc_nocriu: no checkpoints; its protobuf packages slow every start of runc.
static=-static
if command -v musl-gcc >/dev/null; then
	# The kernel's headers and libseccomp alone are taken from the system. The
	# one symbol of glibc in libseccomp is in a text dump that runc never makes.
	lib=$(mktemp -d)
	trap 'rm -rf "$lib"' EXIT
	ln -s "$(pkg-config --variable=libdir libseccomp)/libseccomp.a" "$lib/"
	export CC=musl-gcc CGO_LDFLAGS="-L$lib" static="-static -Wl,--defsym=__fprintf_chk=abort"
	export CGO_CFLAGS="-O2 -idirafter /usr/include -idirafter /usr/include/$(gcc -print-multiarch)"
fi
cd "$here/runc"
CGO_ENABLED=1 go build -tags seccomp,runc_nocriu,urfave_cli_no_docs,osusergo,netgo \
	-ldflags "-s -w -linkmode external -extldflags '$static'" -o "$out/runc" github.com/opencontainers/runc

echo "$want" >"$stamp"
