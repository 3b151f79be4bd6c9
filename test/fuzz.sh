#!/usr/bin/env bash
# Runs every Fuzz function of the repository for TIME (default 30s each), one
# after the other. A crash leaves its input under testdata/fuzz: commit it, and
# "make test" runs it from then on.
#
#   test/fuzz.sh [TIME]
set -uo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}
ran=0 failed=0
while IFS=: read -r file name; do
  dir=./$(dirname "$file")
  ran=$((ran + 1))
  printf '%-60s ' "$dir $name"
  if out=$(go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$dir" 2>&1); then
    echo "ok"
  else
    failed=$((failed + 1))
    echo "FAIL"
    echo "$out"
  fi
done < <(git ls-files '*_test.go' | xargs grep -oE '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/')
echo "$ran fuzz tests of $time each, $failed failed"
[ "$failed" = 0 ]
