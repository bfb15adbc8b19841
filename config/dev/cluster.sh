#!/usr/bin/env bash
# `make cluster`: three nodes over one Postgres and one Redis, and HAProxy on http://127.0.0.1:8080 in front of them.
#
#   cluster.sh start      starts what is not running, and waits until it serves; safe to repeat, e.g. after a kill -9
#   cluster.sh restart    SIGTERM to one node after the other, each started again and ready before the next: nobody notices
#   cluster.sh stop       drains the nodes, then ends balancer and sandbox; the stores stay, `make stop` ends them
#   cluster.sh status     what runs, and what HAProxy thinks of it
#
# The nodes are n1, n2 and n3 on 127.0.0.1:8081 to 8083, and talk to each other on 7081 to 7083. Their logs and process ids lie
# in .data/dev/cluster. LYCEUM_BIN names a folder with ready-made programs instead of a build.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo"

action=${1:-start}
scripts=config/dev
bin=${LYCEUM_BIN:-${CARGO_TARGET_DIR:-$repo/target}/release}
nodes=(1 2 3)
balancer=127.0.0.1:8080
sandbox_listen=127.0.0.1:8090
sandbox_secret=sandbox-demo-secret-not-safe # providers.sandbox.secret of config/default.toml
# Longer than HAProxy takes to look away (config/dev/haproxy.cfg).
drain_notice_ms=1000
# Seconds in which a node starts or drains; a drain takes 25 at most.
patience=40

choose_data dev
state="$data/cluster"
mkdir -p "$state"

# The process of this name, if it is one of ours that runs: a pid file outlives a reboot, a command line does not.
pid_of() {
  local pid
  pid=$(cat "$state/$1.pid" 2>/dev/null) || return 1
  grep -qa "$2" "/proc/$pid/cmdline" 2>/dev/null && printf '%s\n' "$pid"
}
node_pid() { pid_of "n$1" "serve"; }

# Starts a program in a session of its own, its output in a file of its name.
launch() {
  local name=$1
  shift
  setsid "$@" >>"$state/$name.log" 2>&1 </dev/null 8>&- &
  printf '%s\n' "$!" >"$state/$name.pid"
  disown
}

# Asks an address whether it is ready; needs no tool beyond bash.
ready() {
  (
    exec 3<>"/dev/tcp/${1%:*}/${1##*:}" || exit 1
    printf 'GET /readyz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1" >&3
    read -r -t 2 _ status _ <&3
    [ "$status" = 200 ]
  ) 2>/dev/null
}

await_ready() {
  local name=$1 address=$2 began=$SECONDS
  until ready "$address"; do
    [ -d "/proc/$(cat "$state/$name.pid")" ] || fail "$name ended: $(tail -1 "$state/$name.log") (all of it in $state/$name.log)"
    [ $((SECONDS - began)) -lt "$patience" ] || fail "$name is not ready after $patience s; see $state/$name.log."
    sleep 0.1
  done
}

await_end() {
  local name=$1 pid=$2 began=$SECONDS
  while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do
    [ $((SECONDS - began)) -lt "$patience" ] || fail "$name (process $pid) has not ended after $patience s; see $state/$name.log."
    sleep 0.05
  done
  rm -f "$state/$name.pid"
}

refuse_taken() {
  if listening "$1"; then
    fail "port $1 is in use by another program; stop it first (is \`make run\` running?)."
  fi
}

start_node() {
  local address="127.0.0.1:808$1"
  launch "n$1" "$bin/lyceum" serve --node "n$1" --http "$address" --link "127.0.0.1:708$1" --join-from-database \
    --set http.proxies_trusted=1 --set "http.drain_notice_ms=$drain_notice_ms"
}

start() {
  local number started=()
  bash "$scripts/install.sh" haproxy
  if [ ! -x "$bin/lyceum" ]; then need_disk 6000; fi
  bash "$scripts/stores.sh" start dev 8>&-
  eval "$(bash "$scripts/stores.sh" env dev)"
  if [ -z "${LYCEUM_BIN:-}" ]; then
    [ -x "$bin/lyceum" ] || say "building; the first time takes some minutes"
    cargo build --release --quiet --locked -p lyceum -p lyceum-sandbox 8>&- || fail "the build failed; the compiler's message is above."
  fi

  if ! pid_of sandbox lyceum-sandbox >/dev/null; then
    refuse_taken "${sandbox_listen##*:}"
    launch sandbox "$bin/lyceum-sandbox" --listen "$sandbox_listen" --file "$data/sandbox.jsonl" --secret "$sandbox_secret"
  fi
  # Alone on purpose, before the first node: the demo takes every shard over, and nodes then claim them from it. It is refused
  # while a member lives, as those do for a second that were all ended with kill -9.
  if ! node_pid 1 >/dev/null && ! node_pid 2 >/dev/null && ! node_pid 3 >/dev/null; then
    "$bin/lyceum" migrate >"$state/migrate.log" || exit 1
    export LYCEUM__TELEMETRY__LOG_FILTER=warn
    "$bin/lyceum" demo 2>"$state/demo.log" || { sleep 3 && "$bin/lyceum" demo; } || exit 1
    unset LYCEUM__TELEMETRY__LOG_FILTER
  fi
  for number in "${nodes[@]}"; do
    if ! node_pid "$number" >/dev/null; then
      refuse_taken "808$number"
      refuse_taken "708$number"
      start_node "$number"
      started+=("$number")
    fi
  done
  for number in "${started[@]}"; do await_ready "n$number" "127.0.0.1:808$number"; done
  if ! pid_of haproxy haproxy >/dev/null; then
    refuse_taken "${balancer##*:}"
    SOCKET="$state/haproxy.sock" launch haproxy haproxy -db -f "$scripts/haproxy.cfg"
  fi
  await_ready haproxy "$balancer"
  how_to_try
}

how_to_try() {
  cat >&2 <<TEXT

  Lyceum serves on http://$balancer from three nodes: n1, n2, n3

    see the cluster     LYCEUM_PASSWORD=lyceum-ops-7421 $bin/lyceum cluster status --username operator
    browse the API      http://$balancer/docs
    lose a node         kill -9 \$(cat $state/n2.pid)      its shards are served elsewhere within 2 s
    freeze a node       kill -STOP \$(cat $state/n3.pid)   and kill -CONT: it comes back as a new incarnation
    bring it back       make cluster
    rolling restart     bash config/dev/cluster.sh restart
    load it meanwhile   make load
    the logs            tail -f $state/n1.log

  bash config/dev/cluster.sh stop ends it; \`make stop\` also stops its Postgres and Redis.

TEXT
}

# Ends one node as an orchestrator does, and returns when it has handed everything over.
end_node() {
  local pid
  pid=$(node_pid "$1") || return 0
  kill -TERM "$pid"
  # A frozen process hears nothing.
  kill -CONT "$pid"
  await_end "n$1" "$pid"
}

restart() {
  local number began
  eval "$(bash "$scripts/stores.sh" env dev)"
  for number in "${nodes[@]}"; do
    node_pid "$number" >/dev/null || fail "n$number does not run; \`make cluster\` starts it."
  done
  for number in "${nodes[@]}"; do
    began=$SECONDS
    end_node "$number"
    start_node "$number"
    await_ready "n$number" "127.0.0.1:808$number"
    # HAProxy looks five times a second; the next node does not go before this one has been seen.
    await_seen "$number"
    say "n$number was restarted in $((SECONDS - began)) s"
  done
}

# Asks HAProxy something through its socket.
ask_haproxy() {
  python3 - "$state/haproxy.sock" "$1" <<'PYTHON'
import socket, sys
asked = socket.socket(socket.AF_UNIX)
asked.connect(sys.argv[1])
asked.sendall((sys.argv[2] + "\n").encode())
while answer := asked.recv(65536):
    sys.stdout.write(answer.decode())
PYTHON
}

await_seen() {
  local tries
  pid_of haproxy haproxy >/dev/null || return 0
  for ((tries = 0; tries < 100; tries++)); do
    if ask_haproxy 'show stat' | grep -q "^nodes,n$1,.*,UP,"; then return; fi
    sleep 0.1
  done
  fail "HAProxy does not send anything to n$1; see $state/haproxy.log."
}

stop() {
  local number name pid pids=()
  # All at once: nothing has to move where nobody stays.
  for number in "${nodes[@]}"; do
    if pid=$(node_pid "$number"); then
      kill -TERM "$pid"
      kill -CONT "$pid"
      pids+=("n$number $pid")
    fi
  done
  for name in "${pids[@]}"; do await_end ${name}; done
  for name in haproxy sandbox; do
    if pid=$(pid_of "$name" "$name"); then
      kill -TERM "$pid"
      await_end "$name" "$pid"
    fi
  done
  [ "${#pids[@]}" -eq 0 ] || say "the cluster is stopped"
}

status() {
  local number pid
  for number in "${nodes[@]}"; do
    if pid=$(node_pid "$number"); then
      printf 'n%s  process %-8s http://127.0.0.1:808%s  %s\n' "$number" "$pid" "$number" \
        "$(ready "127.0.0.1:808$number" && echo ready || echo 'not ready')"
    else
      printf 'n%s  does not run\n' "$number"
    fi
  done
  if pid_of haproxy haproxy >/dev/null; then
    ask_haproxy 'show stat' | awk -F, '$1 == "nodes" && $2 ~ /^n/ { print "haproxy sees " $2 ": " $18 }'
  else
    echo 'haproxy does not run'
  fi
}

case $action in
  start | restart | stop)
    # Two at once would start the same node twice. What is started must not inherit the lock.
    exec 8>"$state/lock"
    flock -w 120 8 || fail "another run of cluster.sh holds $state/lock."
    "$action"
    ;;
  status) status ;;
  *) fail "usage: cluster.sh start|restart|stop|status" ;;
esac
