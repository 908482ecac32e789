#!/usr/bin/env bash
# Make sure that a container engine answers.
#
# usage: scripts/engine.sh
#
# Does nothing where one does. Otherwise, as root on a Debian-like system, installs docker.io and
# iptables from the distribution's packages and starts the daemon: through systemd where that runs,
# else by hand, detached, with its log in /var/log/podbay-dockerd.log.
#
#   DOCKER_HOST           the engine to look for; only a local unix:// one can be started
#   PODBAY_DOCKERD_ARGS   further arguments for dockerd, separated by spaces
#   PODBAY_DOCKERD_LOG    where its log goes
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

READY_SECONDS=60

case ${1:-} in
  '') ;;
  -h | --help) usage "${BASH_SOURCE[0]}"; exit 0 ;;
  *) usage "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

wait_ready() { # [PID]: until the engine answers, PID is gone, or the time is over
  local pid=${1:-} deadline=$((SECONDS + READY_SECONDS))
  while ((SECONDS < deadline)); do
    engine_answers && return 0
    [[ -z $pid ]] || kill -0 "$pid" 2>/dev/null || return 1
    sleep 0.2
  done
  return 1
}

show_log() {
  say "    last lines of $1:"
  tail -n 20 "$1" 2>/dev/null | sed 's/^/    | /' >&2
}

start_by_hand() {
  local log=${PODBAY_DOCKERD_LOG:-/var/log/podbay-dockerd.log} socket pid args=()
  socket=$(engine_socket)
  { : >>"$log"; } 2>/dev/null || log=${TMPDIR:-/tmp}/podbay-dockerd.log
  [[ -z ${DOCKER_HOST:-} ]] || args+=(-H "unix://$socket")
  # shellcheck disable=SC2206 # split on purpose
  args+=(${PODBAY_DOCKERD_ARGS:-})
  say "starting dockerd (log: $log)"
  # A session of its own, so that it outlives this script and its terminal.
  setsid dockerd "${args[@]}" >"$log" 2>&1 </dev/null &
  pid=$!
  if ! wait_ready "$pid"; then
    show_log "$log"
    if kill -0 "$pid" 2>/dev/null; then
      fail "dockerd (process $pid) runs, but does not answer within $READY_SECONDS s; see $log"
    fi
    fail "dockerd ended before it was ready; see $log"
  fi
}

main() {
  if engine_answers; then
    say "engine: answers ($ENGINE_SAID)"
    return 0
  fi

  local socket
  if [[ ${ENGINE_SAID,,} == *"permission denied"* ]]; then
    fail "the engine's socket refuses user $(id -un). Either run this as root, or join its group:
    sudo usermod -aG docker $(id -un), then log in again"
  fi
  socket=$(engine_socket) || fail "the engine at DOCKER_HOST=$DOCKER_HOST does not answer: $ENGINE_SAID"

  ((EUID == 0)) || fail "no engine answers at $socket, and only root can install or start one; run: sudo $0"

  if ! have dockerd; then
    is_debian_like || fail "no engine, and this is no Debian-like system: install Docker (or a compatible
    engine) yourself, start it, and run this again"
    say "no engine: installing docker.io and iptables"
    apt_install --recommends docker.io iptables
    have dockerd || fail "docker.io is installed, but there is no dockerd in PATH ($PATH)"
  fi
  have docker || apt_install docker-cli

  if [[ -d /run/systemd/system && -z ${DOCKER_HOST:-} ]]; then
    systemctl start docker || fail "systemd could not start docker; see: journalctl -u docker"
    wait_ready || fail "docker.service does not answer within $READY_SECONDS s; see: journalctl -u docker"
  elif [[ -z ${DOCKER_HOST:-} ]] && pgrep -x dockerd >/dev/null 2>&1; then
    say "dockerd runs already; waiting for it"
    wait_ready || fail "the dockerd that runs does not answer within $READY_SECONDS s: $ENGINE_SAID"
  else
    start_by_hand
  fi
  say "engine: answers ($ENGINE_SAID)"
}

main
