#!/usr/bin/env bash
# `make test-dashboards` and `make alert-drill`: a site of its own with a Prometheus of its own beside it.
#
#   observe.sh dashboards   some traffic while a second node joins and is lost, then every query of every panel must have an
#                           answer; drawn in .data/observe/
#   observe.sh drill        Postgres is away for a twentieth of the time, until PurchaseAvailabilityBurn has fired
#
# Flow: install → empty stores of the instance `faults` → release build → migrations, demo, sandbox, server, Prometheus →
# traffic. The rules are the ones that are deployed: a window that is longer than the record sees what there is, so that
# an hour's burn can be told within minutes. Whatever way it ends, every process it has started is ended by its id.
# LYCEUM_BIN names a folder with ready-made programs instead of a build.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo"

command=${1:-}
case $command in
  dashboards | drill) ;;
  *) fail "usage: observe.sh dashboards|drill" ;;
esac
command -v python3 >/dev/null || fail "python3 is missing: install it, then run this again."
command -v curl >/dev/null || fail "curl is missing: install it, then run this again."

scripts=config/dev
bin=${LYCEUM_BIN:-${CARGO_TARGET_DIR:-$repo/target}/release}
out="$repo/.data/observe"
rate=20
pids=()

mkdir -p "$repo/.data"
exec 9>"$out.lock"
flock -n 9 || fail "another run of this script is under way; the two would share their stores."

cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait "${pids[@]}" 2>/dev/null || true
  bash "$scripts/stores.sh" stop faults 9>&-
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Starts a program in the background, its output in a file of its name.
start() {
  local name=$1
  shift
  setsid "$@" >"$out/$name.log" 2>&1 </dev/null 9>&- &
  pids+=($!)
}

# Waits until a URL answers 2xx.
answers() {
  for _ in $(seq 300); do
    if curl -fsS -m 2 -o /dev/null "$1" 2>/dev/null; then return; fi
    sleep 0.1
  done
  fail "$1 does not answer within 30 s; see $out."
}

ask() { curl -fsS --get "$prometheus/api/v1/query" --data-urlencode "query=$1"; }

bash "$scripts/install.sh"
tools=$(bash "$scripts/prometheus.sh")
if [ -z "${LYCEUM_BIN:-}" ]; then
  say "building; the first time takes some minutes"
  cargo build --release --quiet --locked -p lyceum -p lyceum-sandbox || fail "the build failed; the compiler's message is above."
fi

rm -rf "$out"
mkdir -p "$out"
bash "$scripts/stores.sh" start faults 9>&-
bash "$scripts/stores.sh" reset faults 9>&-
eval "$(bash "$scripts/stores.sh" env faults)"
export LYCEUM__DATABASE__URL=$DATABASE_URL LYCEUM__REDIS__URL=$REDIS_URL LYCEUM__TELEMETRY__LOG_FILTER=warn
api_port=$(free_port 8180) operations_port=$(free_port 8280) sandbox_port=$(free_port 8380) prometheus_port=$(free_port 8480)
api=http://127.0.0.1:$api_port operations=http://127.0.0.1:$operations_port prometheus=http://127.0.0.1:$prometheus_port

"$bin/lyceum" migrate >"$out/migrate.log" || exit 1
"$bin/lyceum" demo >"$out/demo.log" || exit 1
start sandbox "$bin/lyceum-sandbox" --listen "127.0.0.1:$sandbox_port" --file "$out/sandbox.jsonl" --secret sandbox-demo-secret-not-safe

# Starts a node by its name, the ports of its listeners, and what else it is told; sets `node_pid`.
node() {
  local name=$1 port=$2 operations_port=$3
  shift 3
  # Few wrong codes, so that somebody is refused for guessing.
  start "$name" "$bin/lyceum" serve --set "http.listen=127.0.0.1:$port" --set "http.operations_listen=127.0.0.1:$operations_port" \
    --set "providers.sandbox.url=http://127.0.0.1:$sandbox_port" --set "providers.sandbox.callback_url=$api/callbacks/sandbox" \
    --set http.rate.guess.requests=10 "$@"
  node_pid=${pids[-1]}
}

# One of a cluster for the panels; alone for the drill, which is about the store.
member=()
if [ "$command" = dashboards ]; then
  second_port=$(free_port $((api_port + 1))) second_operations_port=$(free_port $((operations_port + 1)))
  link_port=$(free_port 8580) second_link_port=$(free_port $((link_port + 1)))
  member=(--node n1 --link "127.0.0.1:$link_port" --join-from-database)
fi
node n1 "$api_port" "$operations_port" "${member[@]}"
answers "$operations/readyz"

# Its own list of nodes beside the deployed configuration and rules.
cp -r config/observability/prometheus.yml config/observability/rules "$out/"
printf -- '- targets: ["127.0.0.1:%s"%s]\n' "$operations_port" "${second_operations_port:+, \"127.0.0.1:$second_operations_port\"}" >"$out/targets.yml"
start prometheus "$tools/prometheus" --config.file="$out/prometheus.yml" --storage.tsdb.path="$out/samples" \
  --web.listen-address="127.0.0.1:$prometheus_port" --log.level=warn
answers "$prometheus/-/ready"

busy() { start traffic python3 "$scripts/traffic.py" --api "$api" --rate "$rate" --seconds "$1"; }

dashboards() {
  local traffic
  busy 100
  traffic=${pids[-1]}
  say "a hundred seconds of traffic; a second node joins, and is lost after a while"
  # Shards are handed over within a second: what is counted before the first scrapes has no rate.
  sleep 15
  node n2 "$second_port" "$second_operations_port" --node n2 --link "127.0.0.1:$second_link_port" --join-from-database
  answers "http://127.0.0.1:$second_operations_port/readyz"
  sleep 45
  kill -9 "$node_pid"
  wait "$node_pid" 2>/dev/null || true
  wait "$traffic" || fail "the traffic failed; see $out/traffic.log."
  python3 "$scripts/panels.py" --prometheus "$prometheus" --out "$out" --seconds 100
}

# Stops Postgres as a crash would, starts it again, and sets `outage_ms`, the time until the server is ready.
outage() {
  local began
  began=$(date +%s%3N)
  bash "$scripts/stores.sh" crash faults 2>/dev/null
  bash "$scripts/stores.sh" start faults 2>/dev/null 9>&-
  answers "$operations/readyz"
  outage_ms=$(($(date +%s%3N) - began))
}

firing() { ask 'ALERTS{alertname="PurchaseAvailabilityBurn", alertstate="firing", severity="page"}' | grep -q '"value"'; }

drill() {
  local cycle waited
  # How long it takes here decides how long the peace has to be.
  outage
  busy 3600
  for cycle in 1 2 3; do
    say "$((outage_ms * 19 / 1000)) s of peace"
    sleep "$((outage_ms * 19 / 1000))"
    if [ "$cycle" = 1 ] && firing; then fail "the page fires before anything has failed; see $out."; fi
    outage
    say "Postgres was away for $outage_ms ms"
    for ((waited = 0; waited < 40; waited++)); do
      if firing; then
        say "PurchaseAvailabilityBurn fires. Since the start, this share of the purchases was answered 5xx:"
        ask 'sum(http_server_requests_total{route="/v1/orders", code_class="5xx"}) / sum(http_server_requests_total{route="/v1/orders"})' |
          python3 -c 'import json, sys; print("{:.1%}".format(float(json.load(sys.stdin)["data"]["result"][0]["value"][1])))'
        curl -fsS "$prometheus/api/v1/alerts" | python3 -c 'import json, sys
for alert in json.load(sys.stdin)["data"]["alerts"]:
    print(alert["state"], alert["labels"]["severity"], alert["labels"]["alertname"], "-", alert["annotations"]["description"])'
        return
      fi
      sleep 0.5
    done
  done
  fail "the page never fired; see $out."
}

"$command"
