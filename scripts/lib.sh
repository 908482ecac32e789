#!/usr/bin/env bash
# Shared by the scripts of this folder. Sourced, never run.
#
# Owns: strict mode, messages, timed steps, and the few facts that several scripts need (where the
# checkout is, the target triple, which builder works). Starts nothing and changes nothing itself.
set -euo pipefail

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export ROOT

PARENT_TAG=${PODBAY_PARENT_IMAGE:-podbay/parent:latest}
WORKER_TAG=${PODBAY_WORKER_IMAGE:-podbay/worker:minimal}
FAULTS_TAG=${PODBAY_FAULTS_IMAGE:-podbay/parent:faults}
DEV_TAG=podbay/parent:dev
BASE_TAG=${PODBAY_BASE_IMAGE:-podbay/base:bookworm}
INPUTS_LABEL=dev.podbay.image.inputs
export PARENT_TAG WORKER_TAG BASE_TAG FAULTS_TAG DEV_TAG INPUTS_LABEL

# Logs of steps whose output is only interesting when they fail.
LOG_DIR=${PODBAY_LOG_DIR:-${TMPDIR:-/tmp}/podbay-$(id -u)}
export LOG_DIR

if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
  BOLD='' RED='' PLAIN=''
fi

# Messages go to stderr, so that stdout stays what a script is asked for.
say() { printf '%s\n' "$*" >&2; }
fail() {
  printf '%serror:%s %s\n' "$RED" "$PLAIN" "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# usage FILE: the comment block at the top of a script is its help.
usage() { sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$1"; }

now_ms() { date +%s%3N; }
# seconds MS: 1234 -> 1.2
seconds() { printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100)); }

# What is under way, for whoever reports a failure.
STEP=''

_begin() {
  STEP=$1
  STEP_START=$(now_ms)
  say "${BOLD}==> $1${PLAIN}"
}

_end() { # EXIT_CODE
  local spent
  spent=$(seconds $(($(now_ms) - STEP_START)))
  if (($1 == 0)); then
    say "    ${BOLD}ok${PLAIN} ($spent s)"
  else
    say "    ${RED}failed${PLAIN} after $spent s (exit code $1): $STEP"
  fi
}

# step TITLE CMD...: run CMD with its output shown, print its time; its failure ends the script.
# CMD runs in a subshell: variables it sets are gone after it.
step() {
  local rc
  _begin "$1"
  shift
  # Not `"$@" || rc=$?`: that would switch errexit off inside a function given as CMD.
  set +e
  (set -e; "$@")
  rc=$?
  set -e
  _end "$rc"
  ((rc == 0)) || exit "$rc"
}

# quiet_step LOGNAME TITLE CMD...: as step, but the output goes to a log of which only the end is
# shown, and only when CMD fails.
quiet_step() {
  local log=$LOG_DIR/$1.log rc
  mkdir -p "$LOG_DIR"
  _begin "$2 (log: $log)"
  shift 2
  set +e
  (set -e; "$@") >"$log" 2>&1
  rc=$?
  set -e
  _end "$rc"
  if ((rc != 0)); then
    tail -n 25 "$log" | sed 's/^/    | /' >&2
    exit "$rc"
  fi
}

# --- the engine -------------------------------------------------------------------------------

# The engine's socket when it is a local one, else nothing.
engine_socket() {
  local host=${DOCKER_HOST:-unix:///var/run/docker.sock}
  [[ $host == unix://* ]] && printf '%s\n' "${host#unix://}"
}

# Whether an engine answers. What it said when it does not is in ENGINE_SAID.
engine_answers() {
  ENGINE_SAID=''
  if have docker; then
    ENGINE_SAID=$(timeout 10 docker version --format '{{.Server.Version}}' 2>&1) && return 0
    return 1
  fi
  local socket
  socket=$(engine_socket) || return 1
  [[ -S $socket ]] || { ENGINE_SAID="no socket at $socket"; return 1; }
  have curl || { ENGINE_SAID='neither docker nor curl is installed'; return 1; }
  ENGINE_SAID=$(curl -sS --max-time 10 --unix-socket "$socket" http://engine/_ping 2>&1) &&
    [[ $ENGINE_SAID == OK ]]
}

need_docker() {
  have docker || fail "the docker command is missing; on Debian: apt-get install docker.io"
  engine_answers || fail "no engine answers (${ENGINE_SAID:-no reason given}); run scripts/engine.sh"
}

# docker build with whatever builder is there. BuildKit of a current client needs the buildx plugin.
docker_build() {
  if [[ -z ${DOCKER_BUILDKIT:-} ]] && ! docker buildx version >/dev/null 2>&1; then
    # The old builder warns on stderr that it is old; that helps nobody here.
    DOCKER_BUILDKIT=0 docker build "$@" 2> >(grep -v -e '^DEPRECATED: The legacy builder' \
      -e '^ *Install the buildx component' -e '^ *BuildKit is currently disabled' \
      -e '^ *environment-variable' -e '^ *https://docs.docker.com/go/buildx' -e '^$' >&2)
  else
    docker build "$@"
  fi
}

# image_inputs IMAGE: the hash of the inputs it was built from; nothing when there is no such image.
image_inputs() {
  docker image inspect --format "{{index .Config.Labels \"$INPUTS_LABEL\"}}" "$1" 2>/dev/null || true
}

image_id() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null || true; }

# drop_replaced IMAGE OLD_ID: remove what IMAGE was before; what containers still use stays.
drop_replaced() {
  if [[ -n $2 && $(image_id "$1") != "$2" ]]; then
    docker image rm "$2" >/dev/null 2>&1 || true
  fi
}

image_size() { # MB, one decimal
  docker image inspect --format '{{.Size}}' "$1" | awk '{printf "%.1f", $1 / 1e6}'
}

# --- apt --------------------------------------------------------------------------------------

is_debian_like() { have apt-get && have dpkg; }

# apt_install [--recommends] PACKAGE...: those that are not installed yet; says how when it may not.
apt_install() {
  local recommends=--no-install-recommends
  if [[ $1 == --recommends ]]; then
    recommends=--install-recommends
    shift
  fi
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  is_debian_like || fail "missing: ${missing[*]}; this is no Debian-like system, install them yourself"
  ((EUID == 0)) || fail "missing: ${missing[*]}; run as root: apt-get install ${missing[*]}"
  say "    installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local log=$LOG_DIR/apt.log
  mkdir -p "$LOG_DIR"
  if ! { apt-get update && apt-get install -y "$recommends" "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" | sed 's/^/    | /' >&2
    fail "apt-get could not install ${missing[*]} (log: $log)"
  fi
}

# apt_proxy http|https: the proxy of the environment or of apt's configuration, if any.
apt_proxy() {
  local name=${1}_proxy value
  value=${!name:-}
  if [[ -z $value ]] && have apt-config; then
    eval "$(apt-config shell value "Acquire::${1}::Proxy" 2>/dev/null)"
  fi
  [[ $value == DIRECT ]] && value=''
  printf '%s\n' "$value"
}

# --- building ---------------------------------------------------------------------------------

# The triple static binaries are built for: the host's, with glibc linked in.
host_triple() {
  have rustc || fail "rustc is missing; install Rust (https://rustup.rs)"
  rustc -vV | sed -n 's/^host: //p'
}

# Where the static release binaries are.
static_dir() { # release|debug
  printf '%s/%s/%s\n' "${CARGO_TARGET_DIR:-$ROOT/target}" "$(host_triple)" "$1"
}

# Relative relocations packed (DT_RELR) are 0.7 MB less of `podbay`: where the C library that is
# linked in can read them, glibc 2.36 and later.
packed_relocations() {
  local version
  version=$(ldd --version 2>/dev/null | sed -n '1s/.* 2\.\([0-9]*\).*/\1/p')
  if ((${version:-0} >= 36)); then printf '%s' '-C link-arg=-Wl,-z,pack-relative-relocs'; fi
}

# The programs of the product; another one is named by --bin NAME.
build_static() { # [CARGO_ARGUMENT...]: of the release profile unless told otherwise
  local triple
  triple=$(host_triple)
  (($#)) || set -- --release
  (cd "$ROOT" && RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static $(packed_relocations)" \
    cargo build "$@" --locked --target "$triple" -p coordinator -p worker-agent \
    --bin podbay --bin worker-agent) </dev/null
}
