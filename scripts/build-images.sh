#!/usr/bin/env bash
# Build the static binaries and the images.
#
# usage: scripts/build-images.sh [--only parent|minimal|base|faults|dev] [--base IMAGE] [--force]
#
#   podbay/parent:latest   FROM scratch: coordinator, agent, CA certificates, seeds
#   podbay/worker:minimal  Debian slim with git, CA certificates, ripgrep, bash, bubblewrap, less, procps
#   podbay/parent:faults   the parent with failpoints and unoptimized, for tests; only when asked for
#   podbay/parent:dev      the parent unoptimized, for scripts/dev.sh; only when asked for
#   podbay/base:bookworm   what the worker is built on where no registry is reached
#
# What is up to date is left alone: every image carries a hash of what it was made from.
#
#   --base IMAGE   build the worker on IMAGE; else on debian:bookworm-slim where that is here or can
#                  be pulled, else on podbay/base:bookworm
#   --force        build even what is up to date (newer Debian packages)
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

SLIM=debian:bookworm-slim
MAX_PARENT_MB=25
ONLY='' BASE=${PODBAY_WORKER_BASE:-} FORCE=''

while (($#)); do
  case $1 in
    --only) ONLY=${2:-}; shift ;;
    --only=*) ONLY=${1#*=} ;;
    --base) BASE=${2:-}; shift ;;
    --base=*) BASE=${1#*=} ;;
    --force) FORCE=--force ;;
    -h | --help) usage "${BASH_SOURCE[0]}"; exit 0 ;;
    *) say "unknown argument: $1"; usage "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
  shift || { usage "${BASH_SOURCE[0]}" >&2; exit 2; }
done
case $ONLY in
  '' | parent | minimal | base | faults | dev) ;;
  *) say "--only takes parent, minimal, base, faults or dev, not '$ONLY'"; exit 2 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

up_to_date() { # IMAGE HASH
  [[ -z $FORCE && $(image_inputs "$1") == "$2" ]]
}

hash_of() { # FOLDER: of its files' names and contents
  (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-16
}

# --- parent -----------------------------------------------------------------------------------

host_certificates() {
  local file
  for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt \
    /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    if [[ -n $file && -s $file ]]; then
      printf '%s\n' "$file"
      return 0
    fi
  done
  fail "no CA certificates on this machine; on Debian: apt-get install ca-certificates"
}

# The same input gives the same archive, byte for byte.
make_rootfs() { # BINARIES_DIR TARGET_TAR
  local root=$work/rootfs bin=$1 certificates
  certificates=$(host_certificates)
  install -d "$root"/{bin,etc/ssl/certs,proc,sys,dev,run,var/run,var/lib/podbay,usr/share/podbay}
  install -d -m 1777 "$root/tmp"
  install -m 755 "$bin/podbay" "$bin/worker-agent" "$root/bin/"
  ln -s podbay "$root/bin/dashboard"
  install -m 644 "$certificates" "$root/etc/ssl/certs/ca-certificates.crt"
  printf 'root:x:0:0:root:/:/bin/podbay\nnobody:x:65534:65534:nobody:/:/bin/podbay\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
  # Only what is meant: an editor's leftovers are no seeds.
  (cd "$ROOT/volumes" && find . -type f ! -name README.md ! -name '.*' ! -name '*~' -print0 |
    tar --null --files-from=- --create --file=-) |
    tar --extract --no-same-owner --directory "$root/usr/share/podbay"
  chmod -R u=rwX,go=rX "$root/usr/share/podbay"
  tar --create --file "$2" --directory "$root" --sort=name --mtime=@0 --owner=0 --group=0 \
    --numeric-owner --format=gnu .
}

build_parent() { # TAG BINARIES_DIR
  local tag=$1 context=$work/parent inputs old
  install -d "$context"
  cp "$ROOT/images/parent/Dockerfile" "$context/"
  make_rootfs "$2" "$context/rootfs.tar"
  inputs=$(hash_of "$context")
  if up_to_date "$tag" "$inputs"; then
    say "$tag: up to date ($(image_size "$tag") MB)"
    return 0
  fi
  old=$(image_id "$tag")
  docker_build --label "$INPUTS_LABEL=$inputs" -t "$tag" "$context" </dev/null
  drop_replaced "$tag" "$old"
  say "$tag: $(image_size "$tag") MB"
}

check_parent_size() {
  local bytes
  bytes=$(docker image inspect --format '{{.Size}}' "$PARENT_TAG")
  if ((bytes > MAX_PARENT_MB * 1000000)); then
    fail "$PARENT_TAG is larger than $MAX_PARENT_MB MB"
  fi
}

# --- worker -----------------------------------------------------------------------------------

have_image() { docker image inspect "$1" >/dev/null 2>&1; }

# Sets BASE. A registry is asked once: from then on one of the two images is here.
choose_base() {
  if [[ -z $BASE ]]; then
    if have_image "$SLIM"; then
      BASE=$SLIM
    elif have_image "$BASE_TAG"; then
      BASE=$BASE_TAG
    elif timeout "${PODBAY_PULL_TIMEOUT:-60}" docker pull --quiet "$SLIM" >"$work/pull.log" 2>&1; then
      BASE=$SLIM
    else
      say "$SLIM cannot be pulled ($(tail -n 1 "$work/pull.log")); using Debian packages instead"
      BASE=$BASE_TAG
    fi
  fi
  if [[ $BASE == "$BASE_TAG" ]]; then
    "$ROOT/images/base/build.sh" ${FORCE:+"$FORCE"}
  fi
}

build_worker() {
  choose_base
  local context=$work/worker inputs old name proxy args=()
  install -d "$context"
  cp -r "$ROOT/images/worker/Dockerfile" "$ROOT/images/worker/ca" "$context/"
  find /usr/local/share/ca-certificates -maxdepth 1 -name '*.crt' -exec cp -L {} "$context/ca/" \; 2>/dev/null || true
  image_id "$BASE" >"$context/base"
  inputs=$(hash_of "$context")
  rm -f "$context/base"
  if up_to_date "$WORKER_TAG" "$inputs"; then
    say "$WORKER_TAG: up to date ($(image_size "$WORKER_TAG") MB)"
    return 0
  fi
  for name in http https; do
    proxy=$(apt_proxy "$name")
    [[ -z $proxy ]] || args+=(--build-arg "${name}_proxy=$proxy")
  done
  [[ -z ${no_proxy:-} ]] || args+=(--build-arg "no_proxy=$no_proxy")
  [[ -z $FORCE ]] || args+=(--no-cache)
  old=$(image_id "$WORKER_TAG")
  # The host's network: an engine's bridge may reach nothing, and a proxy may be on loopback.
  docker_build --network=host --target minimal --build-arg "BASE=$BASE" "${args[@]}" \
    --label "$INPUTS_LABEL=$inputs" -t "$WORKER_TAG" "$context" </dev/null
  drop_replaced "$WORKER_TAG" "$old"
  say "$WORKER_TAG: $(image_size "$WORKER_TAG") MB"
}

# --- all --------------------------------------------------------------------------------------

need_docker
case $ONLY in
  base) step "base image" "$ROOT/images/base/build.sh" ${FORCE:+"$FORCE"} ;;
  minimal) step "worker image" build_worker ;;
  faults)
    step "binaries with failpoints" build_static --features coordinator/faults,worker-agent/faults
    step "parent image with failpoints" build_parent "$FAULTS_TAG" "$(static_dir debug)"
    ;;
  dev)
    step "unoptimized binaries" build_static --profile dev
    step "parent image of them" build_parent "$DEV_TAG" "$(static_dir debug)"
    ;;
  parent)
    step "static binaries" build_static
    step "parent image" build_parent "$PARENT_TAG" "$(static_dir release)"
    step "parent image's size" check_parent_size
    ;;
  '')
    step "static binaries" build_static
    step "parent image" build_parent "$PARENT_TAG" "$(static_dir release)"
    step "parent image's size" check_parent_size
    step "worker image" build_worker
    ;;
esac
