#!/usr/bin/env bash
# Build the wheel once, then for each interpreter: a fresh environment, the wheel with its extras, every test.
# The lint, type and layer checks, and the tests marked `once`, run on the first interpreter. The others run beside it,
# for most of a test is waiting; what they said comes after. Arguments: interpreters (default: python3).
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

suite() {
  local venv="$venvs/test-$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  "$1" -m venv --clear "$venv"
  pip "$venv/bin/python" install 'pip>=25.1'
  pip "$venv/bin/python" install --group test "dist/$(ls dist)[demo]"
  echo "== $("$venv/bin/python" --version), the built wheel"
  export COVERAGE_FILE="$PWD/$venv/.coverage"
  rm -f "$COVERAGE_FILE" "$COVERAGE_FILE".*
  # Real processes, kills and daemons on a shared machine: what fails once is run once more, and named either way.
  local cache="cache_dir=$PWD/$venv/pytest" choice=()
  [ "$1" = "$first" ] || choice=(-m "not once")
  if ! "$venv/bin/coverage" run "$venv/bin/pytest" -o "$cache" -q "${choice[@]}"; then
    echo "== once more, what failed"
    "$venv/bin/coverage" run "$venv/bin/pytest" -o "$cache" -q "${choice[@]}" --last-failed --last-failed-no-failures none
  fi
  "$venv/bin/coverage" combine -q
  "$venv/bin/coverage" report --skip-covered --skip-empty >"$venv/coverage.txt" || true
  tail -1 "$venv/coverage.txt"
}

first="${1:-python3}"
build "$first"
lint
[ -n "${LINT_ONLY:-}" ] && exit 0
beside=() logs=()
for interpreter in "${@:2}"; do
  log="$venvs/suite-${#logs[@]}.log"
  suite "$interpreter" >"$log" 2>&1 &
  beside+=($!) logs+=("$log")
done
failed=0
suite "$first" & # in a process of its own: behind `||` bash would forget to stop at the first error
wait $! || failed=1
for i in "${!beside[@]}"; do
  wait "${beside[$i]}" || failed=1
  cat "${logs[$i]}"
done
exit "$failed"
