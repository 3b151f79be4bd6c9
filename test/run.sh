#!/usr/bin/env bash
# All tests, as CI runs them: vet, unit tests, and those on real clusters.
# One line per package; a failure is printed in full. "make test" builds what
# it needs first.
#
#   test/run.sh [PACKAGE...]     default: everything
set -uo pipefail
cd "$(dirname "$0")/.."

passed=0
failed=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# As "make build" builds, so that nothing is compiled twice.
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:--buildvcs=false} -trimpath"
# Modules of their own, but for upstream's conformance suite, which has no tests
# of ours and takes half an hour to build.
modules=$(git ls-files 'test/*go.mod' | grep -v '^test/conformance/')

# step NAME COMMAND...: one line if it succeeds, everything if not.
step() {
  local name=$1 began=$SECONDS
  shift
  if "$@" >"$log" 2>&1; then
    printf 'ok    %-44s %4ds\n' "$name" $((SECONDS - began))
    passed=$((passed + 1))
  else
    printf 'FAIL  %-44s %4ds\n' "$name" $((SECONDS - began))
    cat "$log"
    failed+=("$name")
  fi
}

# packages DIRECTORY PATTERN...: runs the tests of a module's packages and
# prints go's own line per package. Lines of packages without tests are left
# out.
packages() {
  local dir=$1 line status=0
  shift
  while IFS= read -r line; do
    case $line in
    "ok  "*) passed=$((passed + 1)) ;;
    *"[no test files]"*) continue ;;
    FAIL$'\t'*)
      failed+=("$(cut -f2 <<<"$line")")
      status=1
      ;;
    esac
    printf '%s\n' "$line"
  done < <(cd "$dir" && timeout 1000 go test -timeout 900s "$@" 2>&1; echo "exit $?" >"$log")
  # A build that fails or a timeout has no line of its own.
  if [ "$status" = 0 ] && ! grep -qx "exit 0" "$log"; then
    failed+=("$dir $* ($(cat "$log"))")
  fi
}

test/setup.sh || exit 1

if [ $# -gt 0 ]; then
  packages . "$@"
else
  step "gofmt" sh -c 'out=$(gofmt -l $(git ls-files "*.go")); [ -z "$out" ] || { echo "run gofmt -w on:"; echo "$out"; exit 1; }'
  step "go vet" go vet ./...
  packages . $(go list ./... | grep -v '/test/')
  # Clusters one after the other: they share the machine.
  for module in $modules; do
    step "go vet $(dirname "$module")" sh -c "cd $(dirname "$module") && go vet ./..."
  done
  packages . -p 1 -count=1 ./test/...
  for module in $modules; do
    packages "$(dirname "$module")" -p 1 -count=1 ./...
  done
fi

echo
for name in "${failed[@]+"${failed[@]}"}"; do echo "failed: $name"; done
echo "$passed passed, ${#failed[@]} failed, ${SECONDS}s"
[ "${#failed[@]}" = 0 ]
