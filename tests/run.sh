#!/usr/bin/env bash
# Build the wheel once, then for each interpreter: a fresh environment, the wheel with its extras, every test.
# The lint, type and layer checks run beside the first interpreter. The second counts the coverage: from 3.12 on counting
# lines costs nothing, before it takes half as long again. Tests marked `once` are dealt out: each runs on one of the interpreters. The others run beside the
# first, for much of a test is waiting; what they said comes after. Arguments: interpreters (default: python3).
set -euo pipefail
cd "$(dirname "$0")/.."
venvs=.venvs
pip() { "$1" -m pip --disable-pip-version-check --quiet "${@:2}"; }

build() {
  rm -rf dist
  "$1" -m venv --clear "$venvs/build"
  pip "$venvs/build/bin/python" install 'pip>=25.1' build
  "$venvs/build/bin/python" -m build --wheel --outdir dist . >/dev/null
}

lint() {
  pip "$venvs/build/bin/python" install --group lint "dist/$(ls dist)[cli,service]" hypothesis pytest
  "$venvs/build/bin/ruff" check .
  "$venvs/build/bin/ruff" format --check .
  "$venvs/build/bin/mypy"
  "$venvs/build/bin/lint-imports" --no-cache
}

suite() { # interpreter, its number, how many there are
  local venv="$venvs/test-$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  "$1" -m venv --clear "$venv"
  pip "$venv/bin/python" install 'pip>=25.1'
  local groups=(--group test)
  [ "$2" = 1 ] && groups+=(--group first)
  pip "$venv/bin/python" install "${groups[@]}" "dist/$(ls dist)[demo,geoclue]"
  echo "== $("$venv/bin/python" --version), the built wheel, part $2 of $3 of what runs once"
  export COVERAGE_FILE="$PWD/$venv/.coverage" KALOS_ONCE="$2/$3"
  rm -f "$COVERAGE_FILE" "$COVERAGE_FILE".*
  # Real processes, kills and daemons on a shared machine: what fails once is run once more, and named either way.
  local run=("$venv/bin/pytest") counts=$(($3 > 1 ? 2 : 1))
  [ "$2" = "$counts" ] && run=("$venv/bin/coverage" run "$venv/bin/pytest")
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' && export COVERAGE_CORE=sysmon
  run+=(-o "cache_dir=$PWD/$venv/pytest" -q)
  if ! "${run[@]}"; then
    echo "== once more, what failed"
    "${run[@]}" --last-failed --last-failed-no-failures none
  fi
  [ "$2" = "$counts" ] || return 0
  "$venv/bin/coverage" combine -q
  "$venv/bin/coverage" report --skip-covered --skip-empty >"$venv/coverage.txt" || true
  tail -1 "$venv/coverage.txt"
}

logs=() running=()
beside() { # a name, a command: what it says comes when everything is over
  local log="$venvs/$1.log"
  "${@:2}" >"$log" 2>&1 &
  logs+=("$log") running+=($!)
}

first="${1:-python3}"
build "$first"
[ -n "${LINT_ONLY:-}" ] && { lint; exit 0; }
beside lint lint
for interpreter in "${@:2}"; do
  beside "suite-${#logs[@]}" suite "$interpreter" "$((${#logs[@]} + 1))" "$#"
done
failed=0
suite "$first" 1 "$(($# > 1 ? $# : 1))" & # in a process of its own: behind `||` bash would forget to stop at the first error
wait $! || failed=1
for i in "${!running[@]}"; do
  wait "${running[$i]}" || failed=1
  cat "${logs[$i]}"
done
exit "$failed"
