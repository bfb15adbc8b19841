#!/usr/bin/env bash
# `make test-contract`: schemathesis tries every operation of /openapi.json, with right and with wrong data, as a learner, a creator
# and an operator of the demo, and compares every answer with the description.
#
# Flow: a Python environment of its own below .data/contract (pinned by tests/contract/requirements.txt) → a server over an empty
# database of the instance `faults` → the demo's content → one run for each caller, with one seed. Exit code 0: no check failed.
#
#   SEED=7 EXAMPLES=100 make test-contract      the seed that a run has printed; more examples for each operation
#
# LYCEUM_BIN names a folder with ready-made programs instead of a build.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo"

scripts=config/dev
bin=${LYCEUM_BIN:-${CARGO_TARGET_DIR:-$repo/target}/release}
seed=${SEED:-$RANDOM$RANDOM}
examples=${EXAMPLES:-20}
choose_data faults
work="$repo/.data/contract"
venv="$work/venv"
wanted=tests/contract/requirements.txt
mkdir -p "$work"

# The environment is made again whenever the pinned versions change.
if ! cmp -s "$wanted" "$venv/installed.txt"; then
  command -v python3 >/dev/null || fail "python3 is missing: \`apt-get install python3 python3-venv\` brings it."
  say "installing schemathesis into .data/contract"
  rm -rf "$venv"
  python3 -m venv "$venv" >"$work/install.log" 2>&1 ||
    fail "a Python environment cannot be made: $(tail -1 "$work/install.log") (\`apt-get install python3-venv\` brings what is missing)"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" >"$work/install.log" 2>&1 ||
    fail "schemathesis cannot be installed: $(grep -m1 -i error "$work/install.log") (all of it in $work/install.log)"
  cp "$wanted" "$venv/installed.txt"
fi

bash "$scripts/install.sh"
if [ -z "${LYCEUM_BIN:-}" ]; then
  if [ ! -x "$bin/lyceum" ]; then need_disk 6000; fi
  say "building; the first time takes some minutes"
  cargo build --release --quiet --locked -p lyceum -p lyceum-sandbox || fail "the build failed; the compiler's message is above."
fi

server='' sandbox=''
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  [ -z "$sandbox" ] || kill "$sandbox" 2>/dev/null || true
  wait
  bash "$scripts/stores.sh" stop faults
}
trap cleanup EXIT
trap 'exit 130' INT TERM

bash "$scripts/stores.sh" start faults
bash "$scripts/stores.sh" reset faults
eval "$(bash "$scripts/stores.sh" env faults)"
export LYCEUM__DATABASE__URL=$DATABASE_URL LYCEUM__REDIS__URL=$REDIS_URL LYCEUM__TELEMETRY__LOG_FILTER=warn
"$bin/lyceum" migrate >"$work/migrate.log" || exit 1
logins=$("$bin/lyceum" demo) || exit 1

port=$(free_port 28080)
sandbox_port=$(free_port 28180)
rm -f "$work/sandbox.jsonl"
"$bin/lyceum-sandbox" --listen "127.0.0.1:$sandbox_port" --file "$work/sandbox.jsonl" --secret sandbox-demo-secret-not-safe \
  >"$work/sandbox.log" 2>&1 </dev/null &
sandbox=$!
# One address logs in thousands of times.
"$bin/lyceum" serve --set "http.listen=127.0.0.1:$port" --set "providers.sandbox.url=http://127.0.0.1:$sandbox_port" \
  --set "providers.sandbox.callback_url=http://127.0.0.1:$port/callbacks/sandbox" --set http.rate.credentials.requests=0 \
  >"$work/lyceum.log" 2>&1 </dev/null &
server=$!

say "seed $seed, $examples examples for each operation"
failed=''
for caller in learner creator operator; do
  read -r name password _ < <(grep -m1 -w "$caller" <<<"$logins") || fail "the demo printed no login of a $caller."
  say "as the $caller $name"
  # Its configuration and hooks are found beside it; what was generated before must not change what is generated now.
  (cd tests/contract && PYTHONDONTWRITEBYTECODE=1 CONTRACT_USERNAME=$name CONTRACT_PASSWORD=$password \
    "$venv/bin/schemathesis" run "http://127.0.0.1:$port/openapi.json" --wait-for-schema 30 \
    --seed "$seed" --max-examples "$examples" --generation-database none) 2>&1 | tee "$work/$caller.log" || failed+=" $caller"
  kill -0 "$server" 2>/dev/null || fail "the server has ended; $work/lyceum.log says why."
done
if grep -q panicked "$work/lyceum.log"; then fail "the server panicked; see $work/lyceum.log."; fi
[ -z "$failed" ] || fail "the answers differ from the description for:$failed (seed $seed; reports in $work)."
say "no check failed as learner, creator and operator; seed $seed"
