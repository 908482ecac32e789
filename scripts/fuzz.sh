#!/usr/bin/env bash
# Fuzz what reads bytes that somebody else wrote.
#
# usage: scripts/fuzz.sh [--seconds N] [TARGET...]
#
#   --seconds N   how long each target runs (default 600)
#   TARGET        frame attach restore config names argv engine terminal messages; all when none is named
#
# Needs a C++ compiler (libFuzzer is built from source) and no other toolchain: the targets are
# built with coverage by the compiler that is there. What is found lies in target/fuzz/TARGET/.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

SECONDS_EACH=600 TARGETS=()
while (($#)); do
  case $1 in
    --seconds) SECONDS_EACH=${2:?}; shift ;;
    -h | --help) usage "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) usage "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    *) TARGETS+=("$1") ;;
  esac
  shift
done
((${#TARGETS[@]})) || TARGETS=(frame attach restore config names argv engine terminal messages)

OUT=${CARGO_TARGET_DIR:-$ROOT/target}/fuzz
triple=$(host_triple)

build_targets() {
  # What `cargo fuzz build --sanitizer none` passes: safe code needs no address sanitizer.
  RUSTFLAGS='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=16' \
    cargo build --release --manifest-path "$ROOT/tests/fuzz/Cargo.toml" --target "$triple" \
    --target-dir "$OUT/build" "${TARGETS[@]/#/--bin=}"
}

run_target() { # TARGET
  local found=$OUT/$1
  mkdir -p "$found/corpus" "$found/findings"
  "$OUT/build/$triple/release/$1" "$found/corpus" "$ROOT/tests/fuzz/corpus/$1" \
    -max_total_time="$SECONDS_EACH" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$found/findings/" 2>"$found/log" || {
    tail -n 30 "$found/log" >&2
    fail "$1: a finding is in $found/findings"
  }
  grep -E 'stat::number_of_executed_units|stat::average_exec_per_sec' "$found/log" >&2
}

step "fuzz targets" build_targets
for target in "${TARGETS[@]}"; do
  step "fuzz $target for $SECONDS_EACH s" run_target "$target"
done
