#!/usr/bin/env bash
# An instance of the working tree, and one test by its name.
#
# usage: scripts/dev.sh [up]                start it, or put what was changed in effect in it
#        scripts/dev.sh podbay ARGUMENT...  the podbay that was built last, on that instance
#        scripts/dev.sh down [--purge]      stop it; with --purge its volume and image go as well
#        scripts/dev.sh test NAME [NEXTEST_ARGUMENT...]
#
# The binaries are unoptimized, so that building them again takes seconds. A second `up` upgrades the
# instance that runs: workers and their sessions stay. It has a name, an image and a volume of its
# own (podbay-dev, podbay/parent:dev, podbay-dev-state): no other instance is touched.
#
# `test` runs every test with NAME in its name, of whatever suite, and shows what it prints. It builds
# what those need and no more: images for tests that start containers, failpoints for faults. Tests
# that cannot run here fail and say why.
#
#   PODBAY_DEV_RELEASE=1   tests on the released binaries and images, as CI has them
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

PARENT=podbay-dev VOLUME=podbay-dev-state

# Nothing of the caller's environment may name another instance.
podbay() {
  env -u PODBAY_PARENT -u PODBAY_SOCKET -u PODBAY_HOST -u PODBAY_IMAGE -u PODBAY_VOLUME -u PODBAY_CONFIG \
    "$(static_dir debug)/podbay" --parent "$PARENT" "$@"
}

exists() { docker container inspect "$PARENT" >/dev/null 2>&1; }

images() { # parent|dev|faults: that parent's image, and the workers' where there is none
  "$ROOT/scripts/build-images.sh" --only "$1"
  [[ -n $(image_id "$WORKER_TAG") ]] || "$ROOT/scripts/build-images.sh" --only minimal
}

start_or_upgrade() {
  if exists; then
    podbay up --no-wait
    podbay upgrade "$DEV_TAG"
  fi
  podbay up --image "$DEV_TAG" --volume "$VOLUME" --pull never
}

up() {
  step "engine" "$ROOT/scripts/engine.sh"
  step "binaries and image" images dev
  step "the instance $PARENT" start_or_upgrade
  say "scripts/dev.sh podbay ls, or: docker exec -it $PARENT dashboard"
}

down() { # [--purge]
  need_docker
  if exists; then
    [[ -x $(static_dir debug)/podbay ]] || step "podbay" build_static --profile dev
    podbay down --force || docker rm --force "$PARENT" >/dev/null
  fi
  [[ ${1:-} == --purge ]] || return 0
  docker volume rm --force "$VOLUME" >/dev/null
  docker image rm "$DEV_TAG" >/dev/null 2>&1 || say "there is no image $DEV_TAG"
}

# The package of a file: what the nearest manifest above it says.
package_of() { # FILE
  local folder=$1
  until [[ -f $folder/Cargo.toml ]]; do folder=$(dirname -- "$folder"); done
  sed -n '/^\[package\]/,/^\[/s/^name = "\(.*\)"/\1/p' "$folder/Cargo.toml"
}

# Those of a package's targets that a file with tests belongs to, as arguments of cargo.
target_of() { # FILE
  case $1 in
    tests/e2e/*) echo --test e2e ;;
    tests/faults/*) echo --test faults ;;
    tests/tidy*) echo --test tidy ;;
    coordinator/bench/*) echo --bin podbay-bench ;;
    */src/* | tests/support/*) echo --lib ;;
    */tests/*/*.rs) echo --test "$(basename -- "$(dirname -- "$1")")" ;;
    tests/*.rs | */tests/*.rs) echo --test "$(basename -- "$1" .rs)" ;;
    *) fail "which test target has $1?" ;;
  esac
}

run_test() { # NAME [NEXTEST_ARGUMENT...]
  local name=$1 file flag
  local -A packages=() targets=()
  shift
  have cargo-nextest || fail "cargo-nextest is missing: cargo install cargo-nextest --locked"
  for file in $(git grep --untracked -lE "^ *(async )?fn +[a-z0-9_]*${name##*::}" -- '*.rs'); do
    grep -qE '#\[(tokio::)?test|proptest!' "$file" || continue
    packages[-p $(package_of "$file")]=1
    flag=$(target_of "$file")
    targets[$flag]=1
  done
  ((${#targets[@]})) || fail "no test has $name in its name"
  if [[ ${!targets[*]} =~ e2e|faults|cli_|workspace_mount|container ]]; then
    step "engine" "$ROOT/scripts/engine.sh"
    # Those with failpoints first: both are built in one folder.
    [[ ${!targets[*]} != *faults* ]] || step "image with failpoints" images faults
    if [[ -n ${PODBAY_DEV_RELEASE:-} ]]; then
      step "released binaries and image" images parent
    else
      step "binaries and image" images dev
      PODBAY_BIN_DIR=$(static_dir debug)
      export PODBAY_BIN_DIR PODBAY_PARENT_IMAGE=$DEV_TAG PODBAY_TEST_AGENT=$PODBAY_BIN_DIR/worker-agent
    fi
  fi
  export PODBAY_REQUIRE_ALL=1
  # shellcheck disable=SC2068 # two words each
  exec cargo nextest run --locked ${!packages[@]} ${!targets[@]} --no-capture "$@" -E "test($name)"
}

case ${1:-up} in
  up) up ;;
  down) down "${2:-}" ;;
  podbay) shift; podbay "$@" ;;
  test) shift; (($#)) || fail "which test? scripts/dev.sh test NAME"; run_test "$@" ;;
  -h | --help) usage "${BASH_SOURCE[0]}" ;;
  *) usage "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
