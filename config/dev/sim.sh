#!/usr/bin/env bash
# `make sim`: runs seeded worlds of the simulator in a release build; see docs/simulator.md. Exit code 0: nothing was wrong.
#
#   SEEDS=100000 FROM=5000 make sim     so many, from that one on
#   SEED=27 make sim                    one, with its trace

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo"

bash config/dev/install.sh
say "building; the first time takes some minutes"
cargo build --release --quiet --locked -p lyceum-sim || fail "the build failed; the compiler's message is above."
bin="${CARGO_TARGET_DIR:-$repo/target}/release/lyceum-sim"
if [ -n "${SEED:-}" ]; then
  exec "$bin" run --seed "$SEED" --trace "$@"
fi
exec "$bin" run --seeds "${SEEDS:-10000}" --from "${FROM:-0}" "$@"
