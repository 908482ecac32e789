#!/usr/bin/env bash
# Make a minimal Debian image from packages, for machines that reach no image registry.
#
# usage: images/base/build.sh [--force]
#
# Result: podbay/base:bookworm, small like debian:bookworm-slim. The mirror and the proxy are those
# of this machine's apt; where that knows no Debian mirror, mmdebstrap's own default is used.
# Nothing is done when the image is there and was made from the same inputs.
#
#   PODBAY_DEBIAN_MIRROR    another mirror to install from
#   PODBAY_SECURITY_MIRROR  another mirror of the security updates
source "$(dirname -- "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

SUITE=bookworm
FORCE=''
case ${1:-} in
  '') ;;
  --force) FORCE=1 ;;
  -h | --help) usage "${BASH_SOURCE[0]}"; exit 0 ;;
  *) usage "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

# apt_mirror PATTERN: the first mirror of Debian's main component whose suite matches.
apt_mirror() {
  have apt-get || return 0
  # shellcheck disable=SC2016 # apt expands these
  apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(COMPONENT) $(REPO_URI)' \
    'Identifier: Packages' 2>/dev/null |
    awk -v pattern="$1" '$1 == "Debian" && $3 == "main" && $2 ~ pattern { print $4; exit }'
}

# The lines of the image's sources.list. None when this machine's apt has no Debian mirror.
sources() {
  local keyring='[signed-by="/usr/share/keyrings/debian-archive-keyring.gpg"]' mirror security
  mirror=${PODBAY_DEBIAN_MIRROR:-$(apt_mirror '^[a-z]+$')}
  security=${PODBAY_SECURITY_MIRROR:-$(apt_mirror '-security$')}
  [[ -n $mirror ]] || return 0
  printf 'deb %s %s %s main\n' "$keyring" "$mirror" "$SUITE"
  printf 'deb %s %s %s-updates main\n' "$keyring" "$mirror" "$SUITE"
  [[ -z $security ]] || printf 'deb %s %s %s-security main\n' "$keyring" "$security" "$SUITE"
}

main() {
  need_docker
  local lines inputs old
  lines=$(sources)
  inputs=$({ cat "${BASH_SOURCE[0]}"; printf '%s\n' "$lines" "$(uname -m)"; } | sha256sum | cut -c1-16)
  if [[ -z $FORCE && $(image_inputs "$BASE_TAG") == "$inputs" ]]; then
    say "$BASE_TAG: up to date ($(image_size "$BASE_TAG") MB)"
    return 0
  fi
  ((EUID == 0)) || fail "$BASE_TAG is made from packages, which only root can do; run: sudo $0"
  apt_install mmdebstrap debian-archive-keyring ca-certificates

  # Not local: the trap runs after this function.
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  local options=(--variant=minbase --format=tar) proxy scheme path
  # Like debian:*-slim: documentation, manuals and translations stay out, here and in what is
  # installed later. Copyright files stay, as their licences ask.
  for path in doc man info locale groff lintian; do
    options+=(--dpkgopt="path-exclude=/usr/share/$path/*")
  done
  options+=(--dpkgopt='path-include=/usr/share/doc/*/copyright')
  options+=(--dpkgopt='path-include=/usr/share/locale/locale.alias')
  for scheme in http https; do
    proxy=$(apt_proxy "$scheme")
    [[ -z $proxy ]] || options+=(--aptopt="Acquire::$scheme::Proxy \"$proxy\"")
  done
  # Else apt chooses usrmerge, and with it all of perl, over the empty usr-is-merged, which needs
  # /usr merged from the start.
  options+=(--hook-directory=/usr/share/mmdebstrap/hooks/merged-usr)
  # shellcheck disable=SC2016 # the hook's shell expands $1, the image's root
  options+=(--setup-hook='mkdir -p "$1/etc/apt/preferences.d" && printf "Package: usrmerge\nPin: release *\nPin-Priority: -1\n" >"$1/etc/apt/preferences.d/no-usrmerge"')
  # https mirrors need certificates from the first apt-get on.
  [[ $lines != *https://* ]] || options+=(--include=ca-certificates)
  # The proxy and the resolver are this machine's, not the image's.
  # shellcheck disable=SC2016 # the hook's shell expands $1, the image's root
  options+=(--customize-hook='cd "$1" && rm -rf etc/apt/preferences.d/no-usrmerge etc/apt/apt.conf.d/99mmdebstrap etc/hostname etc/resolv.conf var/lib/apt/lists/* var/cache/apt/*.bin var/cache/debconf/*-old var/log/*')

  say "making $BASE_TAG from packages"
  printf '%s\n' "$lines" >"$work/sources.list"
  local from=()
  [[ -z $lines ]] || from=("$work/sources.list")
  mkdir -p "$LOG_DIR"
  if ! mmdebstrap "${options[@]}" "$SUITE" "$work/rootfs.tar" "${from[@]}" \
    >"$LOG_DIR/base-image.log" 2>&1 </dev/null; then
    tail -n 15 "$LOG_DIR/base-image.log" | cut -c1-400 | sed 's/^/    | /' >&2
    fail "mmdebstrap could not make the root file system (log: $LOG_DIR/base-image.log)"
  fi
  old=$(image_id "$BASE_TAG")
  docker import --change 'CMD ["bash"]' --change 'ENV LANG=C.UTF-8' \
    --change "LABEL $INPUTS_LABEL=$inputs" "$work/rootfs.tar" "$BASE_TAG" >/dev/null
  drop_replaced "$BASE_TAG" "$old"
  say "$BASE_TAG: $(image_size "$BASE_TAG") MB"
}

main
