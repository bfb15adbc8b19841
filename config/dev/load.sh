#!/usr/bin/env bash
# `make load`: loads what `make run` serves with the default scenario, two minutes, and writes a report.
#
# Flow: is anything served → release build → lyceum-load, whose exit code is this script's: 0 passed, 99 a threshold did
# not hold, 98 the generator fell short. Results and the users that are remembered from run to run lie in `.data/load`.
#
# SCENARIO names another one of loadtest/scenarios; arguments go to lyceum-load, e.g.
# `make load SCENARIO=reads ARGS="--workers 2 --scale 3"`.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo"

bin="${CARGO_TARGET_DIR:-$repo/target}/release"
scenario="loadtest/scenarios/${SCENARIO:-default}.toml"

[ -f "$scenario" ] || fail "there is no $scenario."
case "$*" in
  *--target*) ;;
  *) listening 8080 || fail "nothing serves at http://127.0.0.1:8080: start it first with \`make run\`." ;;
esac

[ -x "$bin/lyceum-load" ] || say "building; the first time takes some minutes"
cargo build --release --quiet --locked -p lyceum-loadtest || fail "the build failed; the compiler's message is above."
mkdir -p .data/load
exec "$bin/lyceum-load" run "$scenario" --out .data/load "$@"
