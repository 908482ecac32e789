#!/usr/bin/env bash
# Everything that CI runs, in its order.
#
# usage: scripts/test.sh [--fast | --faults] [NEXTEST_ARGUMENT...]
#
#   --fast     no engine, no images, no end-to-end tests: what needs a compiler only
#   --faults   only the tests of faults, each fault as often as tests/README.md says: two hours
#
# As root on a bare Debian with Rust it installs what is missing. The test runner's summary is the
# last thing printed; a check that could not be made is said with its reason, above it.
#
#   PODBAY_INSTALL_DENY=1   build cargo-deny where it is missing (minutes)
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
export CARGO_TERM_PROGRESS_WHEN=never
# Nothing here may wait for an answer.
exec </dev/null

FAST='' FAULTS='' EXTRA=()
while (($#)); do
  case $1 in
    --fast) FAST=1 ;;
    --faults) FAULTS=1 ;;
    -h | --help) usage "${BASH_SOURCE[0]}"; exit 0 ;;
    *) EXTRA+=("$1") ;;
  esac
  shift
done
if [[ -n $FAST && -n $FAULTS ]]; then
  say "--fast and --faults exclude each other"
  exit 2
fi

# A file, since steps run in subshells.
mkdir -p "$LOG_DIR"
SKIPPED=$LOG_DIR/skipped.txt
: >"$SKIPPED"
skip() {
  printf 'skipped: %s\n' "$*" >>"$SKIPPED"
  say "    skipped: $*"
}

# What the end-to-end tests drive: a terminal, real full-screen programs, a static shell, small disks
# and networks of their own.
test_tools() {
  apt_install bash busybox-static e2fsprogs git htop iproute2 less man-db procps tmux vim
  if ! have shellcheck && ((EUID == 0)) && is_debian_like; then
    (apt_install shellcheck) || true
  fi
}

lint_scripts() {
  if ! have shellcheck; then
    skip "shellcheck is not installed"
    return 0
  fi
  # Paths are git's, and none has a blank in it.
  # shellcheck disable=SC2046
  shellcheck -x -P SCRIPTDIR -P "$ROOT/scripts" .ci/run $(git ls-files 'scripts/*.sh' 'images/*.sh')
}

deny() {
  if ! have cargo-deny && [[ ${PODBAY_INSTALL_DENY:-} == 1 ]]; then
    cargo install cargo-deny --locked
  fi
  if ! have cargo-deny; then
    skip "cargo-deny is not installed (PODBAY_INSTALL_DENY=1 builds it)"
    return 0
  fi
  cargo deny --log-level error check licenses bans sources
  # The advisories are fetched; a machine that cannot reach them is no fault of the checkout.
  local log=$LOG_DIR/advisories.log
  if timeout 120 cargo deny --log-level error fetch db >"$log" 2>&1; then
    cargo deny --log-level error check advisories
  else
    skip "the advisory database cannot be fetched: $(grep -v '^ *$' "$log" | tail -n 1 | cut -c1-200)"
  fi
}

rustdoc() { RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --workspace; }

# The binaries and images that tests of faults run on. The worker image and the released parent
# are needed as well: some faults are an upgrade.
fault_images() {
  step "binaries and images" "$ROOT/scripts/build-images.sh"
  step "parent image with failpoints" "$ROOT/scripts/build-images.sh" --only faults
}

only_faults() {
  have cargo-nextest || fail "cargo-nextest is missing: cargo install cargo-nextest --locked"
  fault_images
  # The figures are of this run.
  rm -f "${CARGO_TARGET_DIR:-$ROOT/target}"/faults/row-*.txt
  say "${BOLD}==> faults${PLAIN}"
  PODBAY_FAULTS=full exec cargo nextest run --locked -p e2e --test faults ${CI:+--profile ci} "${EXTRA[@]}"
}

# Runs the tests. Where nothing may be skipped it replaces this shell, so that the summary closes the
# output; elsewhere what was skipped follows, with the reasons.
run_tests() {
  local before code=0
  if [[ -n ${PODBAY_REQUIRE_ALL:-} ]]; then
    exec "$@"
  fi
  before=$(wc -l <"$SKIPPED")
  "$@" || code=$?
  tail -n "+$((before + 1))" "$SKIPPED" >&2
  return "$code"
}

main() {
  local filter=() start
  have cargo || fail "cargo is missing; install Rust (https://rustup.rs)"
  start=$(now_ms)

  if [[ -z $FAST ]]; then
    step "engine" "$ROOT/scripts/engine.sh"
    step "tools of the tests" test_tools
  fi
  if [[ -n $FAULTS ]]; then
    only_faults
  fi
  step "format" cargo fmt --all --check
  step "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
  step "documentation" rustdoc
  step "scripts" lint_scripts
  step "licences and advisories" deny
  if [[ -z $FAST ]]; then
    fault_images
    # The faults that take longest even a few times: `--faults`.
    filter=(-E 'not (binary(faults) and (test(engine::events::) or test(engine::calls::row_06)))')
  else
    # What starts containers.
    filter=(-E 'not (binary(e2e) or binary(faults) or binary(cli_relay) or binary(cli_up) or binary(workspace_mount)
      or binary(container) or test(any_bytes_pass_both_ways))')
  fi
  # Compiled in for tests of faults only, so the whole run below does not have it.
  step "failpoints" cargo test --locked --quiet -p podbay-failpoints --features faults
  step "documentation tests" cargo test --locked --doc --workspace --quiet

  if [[ -z $FAST ]] && ((EUID == 0)); then
    # Everything is there that a test may need: what is missing all the same is a failure.
    export PODBAY_REQUIRE_ALL=1
  fi
  # Where something may be missing, tests say here what they could not do, and why.
  export PODBAY_SKIPPED=$SKIPPED

  say "everything before the tests: $(seconds $(($(now_ms) - start))) s"
  cat "$SKIPPED" >&2
  say "${BOLD}==> tests${PLAIN}"
  # Last, so that its summary closes the output. In place of this shell, so that its exit code is
  # this script's.
  if have cargo-nextest; then
    run_tests cargo nextest run --locked --workspace ${CI:+--profile ci} "${filter[@]}" "${EXTRA[@]}"
    return
  fi
  say "cargo-nextest is not installed: running cargo test, one test at a time"
  if [[ -n $FAST ]]; then
    run_tests cargo test --locked --workspace --lib --bins --test tidy "${EXTRA[@]}"
    return
  fi
  run_tests cargo test --locked --workspace --lib --bins --tests "${EXTRA[@]}" -- --test-threads=1
}

main
