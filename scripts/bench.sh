#!/usr/bin/env bash
# Measure Podbay on this machine, in an instance of its own.
#
# usage: scripts/bench.sh [--keep] [--output FILE] [BENCH_ARGUMENT...]
#
#   --keep          leave the instance running
#   --output FILE   where the JSON goes (target/bench.json)
#
# The numbers are this machine's at this hour: compare runs of one machine only, and look at the
# load printed with them.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
exec </dev/null

PARENT=podbay-bench
VOLUME=podbay-bench-state
KEEP='' OUTPUT=${CARGO_TARGET_DIR:-$ROOT/target}/bench.json EXTRA=()
while (($#)); do
  case $1 in
    --keep) KEEP=1 ;;
    --output) OUTPUT=${2:?--output needs a file}; shift ;;
    -h | --help) usage "${BASH_SOURCE[0]}"; exit 0 ;;
    *) EXTRA+=("$1") ;;
  esac
  shift
done

podbay() { "$(static_dir release)/podbay" --parent "$PARENT" "$@"; }

up() { podbay up --volume "$VOLUME"; }

down() {
  podbay down || docker rm --force "$PARENT" >/dev/null 2>&1 || true
  docker volume rm --force "$VOLUME" >/dev/null
}

# shellcheck disable=SC2329 # the trap runs it
on_exit() {
  local rc=$?
  if [[ -z $KEEP ]]; then
    down >"$LOG_DIR/bench-down.log" 2>&1 || say "could not clean up; see $LOG_DIR/bench-down.log"
  fi
  exit "$rc"
}

machine() {
  say "    $(nproc) processors, $(awk '/MemTotal/ { printf "%.1f GB", $2 / 1e6 }' /proc/meminfo)," \
    "kernel $(uname -r), engine $(docker version --format '{{.Server.Version}}')," \
    "load $(cut -d' ' -f1-3 /proc/loadavg)"
}

# The one that writes the JSON, and the one that prints it as a table.
bench() { "$(static_dir release)/podbay-bench" "$@"; }
measure() { bench --parent "$PARENT" all --json "${EXTRA[@]}" >"$OUTPUT"; }
table() { bench table "$OUTPUT"; }

main() {
  mkdir -p "$LOG_DIR" "$(dirname -- "$OUTPUT")"
  step "engine" "$ROOT/scripts/engine.sh"
  quiet_step build "binaries and images" "$ROOT/scripts/build-images.sh"
  quiet_step build-bench "the bench" build_static --release --bin podbay-bench
  trap on_exit EXIT
  step "an instance for the bench" up
  step "machine" machine
  step "measure" measure
  step "results ($OUTPUT)" table
}

main
