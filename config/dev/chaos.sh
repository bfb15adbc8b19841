#!/usr/bin/env bash
# `make chaos`: tries the promises on one node and on three, row by row: crashes, cut links, repeated keys, a full disk, hostile clients.
# `make chaos-all`: everything that can go wrong at once, for a while.
#
# Flow: release build → lyceum-chaos, which starts stores (the instances `faults` and `full`), server and sandbox, breaks them, lets
# the oracle judge, and prints the figures beside their limits. Logs are kept below .data/chaos. Exit code 0: all promises held.
#
#   ROW=13 make chaos                   one row; several as ROW="1 3"
#   SEED=7 make chaos-all               the seed that a run has printed
#   MINUTES=2 make chaos-all            instead of 10

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo"

scripts=config/dev
bin="${CARGO_TARGET_DIR:-$repo/target}/release"
command=${1:-run}
arguments=()
for row in ${ROW:-}; do arguments+=(--row "$row"); done
[ -z "${SEED:-}" ] || arguments+=(--seed "$SEED")
[ -z "${MINUTES:-}" ] || arguments+=(--minutes "$MINUTES")

bash "$scripts/install.sh" procps haproxy libfaketime
if [ ! -x "$bin/lyceum-chaos" ]; then need_disk 6000; fi
say "building; the first time takes some minutes"
# Apart, since the tools ask more of the same libraries: together they would be built for another server than that of `make run`.
for packages in '-p lyceum -p lyceum-sandbox' '-p lyceum-chaos -p lyceum-loadtest'; do
  # shellcheck disable=SC2086 # Two flags each.
  cargo build --release --quiet --locked $packages ||
    fail "the build failed; the compiler's message is above."
done

chaos=''
cleanup() {
  # A session of its own: what it has started goes with it.
  [ -z "$chaos" ] || kill -TERM -- "-$chaos" 2>/dev/null || true
  bash "$scripts/stores.sh" stop faults
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mkdir -p .data/chaos
setsid "$bin/lyceum-chaos" "$command" --lyceum "$bin/lyceum" --sandbox "$bin/lyceum-sandbox" --load "$bin/lyceum-load" --stores "$scripts/stores.sh" \
  --out .data/chaos "${arguments[@]}" </dev/null &
chaos=$!
wait "$chaos"
