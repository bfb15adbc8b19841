#!/usr/bin/env bash
# `make run`: from a fresh machine to a served demo on http://127.0.0.1:8080.
#
# Flow: install what is missing → private stores → release build → migrations → demo catalog → payment sandbox →
# serve in the foreground. Every step is safe to repeat and quick when there is nothing to do. Ctrl-C or SIGTERM
# drains the server and then stops it and the sandbox; a second one ends them at once. The stores stay up, so that the
# next start takes seconds; `make stop` ends them.
#
# Arguments go to `lyceum serve`, e.g. `make run ARGS="--set http.listen=127.0.0.1:9000"`.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo"

scripts=config/dev
bin="${CARGO_TARGET_DIR:-$repo/target}/release"
sandbox_listen=127.0.0.1:8090
sandbox_secret=sandbox-demo-secret-not-safe # providers.sandbox.secret of config/default.toml

choose_data dev
sandbox_pid=$(cat "$data/sandbox.pid" 2>/dev/null || true)
server='' sandbox='' stopping=''

address=127.0.0.1:8080
case "$*" in *http.listen=*) address=$(sed 's/.*http\.listen=\([^ ]*\).*/\1/' <<<"$*") ;; esac
refuse_taken() {
  if listening "$1"; then
    fail "port $1 is in use by another program; stop it first (is another \`make run\` running?)."
  fi
}
refuse_taken "${address##*:}"

# A sandbox that outlived its script (kill -9) is ours to end; anything else there is somebody's.
if [ -n "$sandbox_pid" ] && grep -qa lyceum-sandbox "/proc/$sandbox_pid/cmdline" 2>/dev/null; then
  kill "$sandbox_pid"
  for _ in $(seq 50); do [ -d "/proc/$sandbox_pid" ] && sleep 0.1; done
fi

refuse_taken "${sandbox_listen##*:}"

bash "$scripts/install.sh"
if [ ! -x "$bin/lyceum" ]; then need_disk 6000; fi
bash "$scripts/stores.sh" start dev
eval "$(bash "$scripts/stores.sh" env dev)"

[ -x "$bin/lyceum" ] || say "building; the first time takes some minutes"
cargo build --release --quiet --locked -p lyceum -p lyceum-sandbox || fail "the build failed; the compiler's message is above."

# Each says in one sentence what went wrong.
"$bin/lyceum" migrate >"$data/migrate.log" || exit 1
LYCEUM__TELEMETRY__LOG_FILTER=warn "$bin/lyceum" demo || exit 1

stop() {
  if [ -n "$stopping" ]; then
    kill -KILL $server $sandbox 2>/dev/null || true
  else
    stopping=yes
    [ -z "$server" ] || kill -TERM "$server" 2>/dev/null || true
  fi
}
trap stop INT TERM
stop_sandbox() {
  [ -n "$sandbox" ] || return 0
  kill "$sandbox" 2>/dev/null || true
  rm -f "$data/sandbox.pid"
}
trap stop_sandbox EXIT

# Sessions of their own: Ctrl-C reaches this script alone, which ends the server before what it depends on.
setsid "$bin/lyceum-sandbox" --listen "$sandbox_listen" --file "$data/sandbox.jsonl" --secret "$sandbox_secret" \
  >"$data/sandbox.log" 2>&1 </dev/null &
sandbox=$!
printf '%s\n' "$sandbox" >"$data/sandbox.pid"
setsid "$bin/lyceum" serve "$@" </dev/null &
server=$!

# Asks the server whether it is ready; needs no tool beyond bash.
ready() {
  (
    exec 3<>"/dev/tcp/${address%:*}/${address##*:}" || exit 1
    printf 'GET /readyz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$address" >&3
    read -r -t 2 _ status _ <&3
    [ "$status" = 200 ]
  ) 2>/dev/null
}

for _ in $(seq 600); do
  if [ -n "$stopping" ] || ! kill -0 "$server" 2>/dev/null; then break; fi
  if ready; then
    cat >&2 <<TEXT

  Lyceum serves on http://$address

    browse the API    http://$address/docs
    list courses      curl 'http://$address/v1/courses?limit=3'
    register          curl -X POST http://$address/v1/users -H 'content-type: application/json' \\
                        -d '{"username":"ada","password":"correct horse battery","email":"ada@example.com"}'
    metrics           curl http://$address/metrics
    the database      psql $DATABASE_URL

  Ctrl-C stops it; \`make stop\` also stops its Postgres and Redis.

TEXT
    break
  fi
  sleep 0.1
done

# `wait` returns early when a signal arrives; the status of a child that has ended is remembered.
while kill -0 "$server" 2>/dev/null; do
  wait "$server" || true
done
code=0
wait "$server" || code=$?
exit "$code"
