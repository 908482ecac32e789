#!/usr/bin/env bash
# From a fresh checkout to a real job in a warm worker, in one command.
#
# usage: scripts/quickstart.sh [--down [--purge]]
#
# Starts an engine where none answers, builds the images, starts Podbay, waits until a worker is
# warm, and runs a job on a copy-on-write view of this checkout: it reads the code, changes a file,
# adds one. Then it shows the job's diff and throws it away; the checkout is never touched. May be
# run again at any time: what is there already is left as it is.
#
#   --down    stop every worker and remove the parent; the state volume and the images stay
#   --purge   with --down: remove these, too
#
#   PODBAY_PARENT   the parent container's name (podbay-parent)
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
exec </dev/null

PARENT=${PODBAY_PARENT:-podbay-parent}
VOLUME=podbay-state
WARM_SECONDS=90
NAME=quickstart-$(date +%H%M%S)

DOWN='' PURGE=''
for argument in "$@"; do
  case $argument in
    --down) DOWN=1 ;;
    --purge) PURGE=1 ;;
    -h | --help) usage "${BASH_SOURCE[0]}"; exit 0 ;;
    *) say "unknown argument: $argument"; usage "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
done
[[ -z $PURGE || -n $DOWN ]] || { say "--purge goes with --down"; exit 2; }

on_exit() {
  local rc=$?
  if ((rc != 0)); then
    say "${RED}quickstart stopped${PLAIN} at: ${STEP:-the start}"
    say "  logs of the steps: $LOG_DIR; of the coordinator: docker logs $PARENT"
    if [[ -x $(podbay_binary) ]]; then
      say "  what is wrong, and what to do: $(podbay_binary) doctor"
    fi
  fi
}
trap on_exit EXIT

podbay_binary() { printf '%s/podbay\n' "$(static_dir release)"; }
podbay() { "$(podbay_binary)" "$@"; }

# What a coding agent would do to a checkout, small: look around, edit a file, add one. It runs in
# the worker, so it is a text here.
# shellcheck disable=SC2016
JOB='
set -eu
echo "worker:  $(cat /proc/sys/kernel/hostname), $(id -un), in $PWD"
echo "history:"
git log --oneline -n 5 2>/dev/null | sed "s/^/  /" || true
functions=$(rg --no-filename --count "fn " --type rust . | awk "{ sum += \$1 } END { print sum + 0 }")
echo "functions in Rust files: $functions; the most are in"
rg --count "fn " --type rust . | sort -t: -k2 -nr | sed -n "1,3s/^/  /p"
printf "\nChanged by a job in a Podbay worker.\n" >>README.md
{
  echo "# Notes"
  echo
  echo "$functions functions in $(rg --files --type rust | wc -l) Rust files."
} >NOTES.md
echo "changed README.md, wrote NOTES.md"
'

wait_warm() {
  local deadline=$((SECONDS + WARM_SECONDS)) pools=''
  while ((SECONDS < deadline)); do
    pools=$(podbay pool status --json 2>&1) || true
    if grep -Eq '"warm": *[1-9]' <<<"$pools"; then
      podbay pool status
      return 0
    fi
    sleep 0.5
  done
  say "no worker is warm after $WARM_SECONDS s; the pools say:"
  say "$pools"
  return 1
}

job() {
  local rc=0
  podbay spawn "$ROOT" --name "$NAME" --isolation overlay -- bash -c "$JOB" || rc=$?
  say "    exit code of the job: $rc"
  return "$rc"
}

down() {
  if [[ ! -x $(podbay_binary) ]]; then
    step "podbay" build_static
  fi
  if docker inspect "$PARENT" >/dev/null 2>&1; then
    step "podbay down" podbay down
  else
    say "there is no container $PARENT"
  fi
  if [[ -n $PURGE ]]; then
    step "remove the state volume and the images" purge
  fi
}

purge() {
  local image
  docker volume rm --force "$VOLUME" >/dev/null
  for image in "$PARENT_TAG" "$WORKER_TAG" "$BASE_TAG"; do
    docker image rm "$image" >/dev/null 2>&1 || say "    $image: not there, or still in use"
  done
}

main() {
  local start
  start=$(now_ms)
  if [[ -n $DOWN ]]; then
    need_docker
    down
    return 0
  fi
  step "engine" "$ROOT/scripts/engine.sh"
  quiet_step build "binaries and images; minutes the first time" "$ROOT/scripts/build-images.sh"
  step "podbay up" podbay up
  step "a warm worker" wait_warm
  step "the job, on a copy-on-write view of $ROOT" job
  step "what it changed (podbay diff $NAME)" podbay diff "$NAME"
  step "how long claims took (podbay pool status)" podbay pool status
  step "throw the changes away (podbay discard $NAME)" podbay discard --yes "$NAME"
  say ''
  say "${BOLD}Ready${PLAIN} after $(seconds $(($(now_ms) - start))) s. Open the dashboard:"
  say ''
  printf '  docker exec -it %s dashboard\n' "$PARENT"
  say ''
  say "The command line: $(podbay_binary). Stop it all: scripts/quickstart.sh --down"
}

main
