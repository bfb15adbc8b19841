#!/usr/bin/env bash
# Private Postgres and Redis of one instance.
#
#   stores.sh start dev|test|bench|faults    starts what is not running; safe to repeat
#   stores.sh stop  dev|test|bench|faults    stops both; the data stays
#   stores.sh crash dev|test|bench|faults    stops Postgres as a crash would (immediate), for tests of recovery
#   stores.sh crash-redis …                  ends Redis with kill -9, likewise
#   stores.sh reset dev|test|bench|faults    empties both, e.g. after a migration that is still being written has changed
#   stores.sh env   dev|test|bench|faults    prints the URLs as shell exports
#   stores.sh folder …                       prints the folder of Postgres' data
#
# Flow of a start: folders, ports (remembered in `.data/<instance>/ports`), initdb once, configuration for this
# machine's size, start, role and database. Durability stays at its defaults on `dev`: fsync, full_page_writes and
# synchronous_commit on, Redis with an append-only file synced every second; `bench` is the same. The `test` instance runs with
# fsync off, since nothing there outlives the machine; a killed process loses nothing either way. Tests of crashes
# have `faults` to themselves, and `full`, whose Postgres lies on a tmpfs of 384 MiB that a test can fill; its data is gone when it
# is stopped, and mounting it needs root.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

action=${1:-} instance=${2:-dev}
case $instance in
  dev) first_postgres_port=54329 first_redis_port=63799 fsync=on ;;
  test) first_postgres_port=54429 first_redis_port=63899 fsync=off ;;
  bench) first_postgres_port=54529 first_redis_port=63999 fsync=on ;;
  faults) first_postgres_port=54629 first_redis_port=64099 fsync=on ;;
  full) first_postgres_port=54729 first_redis_port=64199 fsync=on ;;
  *) fail "stores.sh: there are the instances dev, test, bench, faults and full, not \`$instance\`." ;;
esac

choose_data "$instance"
cluster="$data/postgres"
redis_dir="$data/redis"
postgres_port='' redis_port=''
# shellcheck disable=SC1091
[ -f "$data/ports" ] && . "$data/ports"

remember_ports() {
  printf 'postgres_port=%s\nredis_port=%s\n' "$postgres_port" "$redis_port" >"$data/ports"
}

# Makes a folder that only the service's user may enter.
private_dir() {
  mkdir -p "$2"
  if is_root; then chown "$1:" "$2"; fi
  chmod 700 "$2"
}

postgres_runs() { [ -f "$cluster/postmaster.pid" ] && as postgres "$postgres_bin/pg_ctl" -D "$cluster" status >/dev/null 2>&1; }

redis_pid() {
  local pid
  pid=$(cat "$redis_dir/redis.pid" 2>/dev/null) || return 1
  # A pid file outlives a reboot; only believe it when that process is a Redis on our port.
  grep -qa "redis-server.*:$redis_port" "/proc/$pid/cmdline" 2>/dev/null && printf '%s\n' "$pid"
}

psql_admin() {
  as postgres "$postgres_bin/psql" -qAtX -v ON_ERROR_STOP=1 -h "$sockets" -p "$postgres_port" -U postgres "$@"
}

# Settings for a machine whose memory and cores are shared with the application and its callers.
write_postgres_conf() {
  local memory shared
  memory=$(memory_mib)
  shared=$((memory / 8))
  [ "$shared" -gt 2048 ] && shared=2048
  [ "$shared" -lt 64 ] && shared=64
  [ "$instance" = test ] && shared=128
  cat <<CONF | as postgres tee "$cluster/lyceum.conf" >/dev/null
# Written by config/dev/stores.sh at every start; edits here do not last.
listen_addresses = '127.0.0.1'
port = $postgres_port
unix_socket_directories = '$sockets'
unix_socket_permissions = 0700
fsync = $fsync
max_connections = $([ "$instance" = test ] && echo 300 || echo 100)
shared_buffers = ${shared}MB                # an eighth of memory: the application and the page cache need the rest
effective_cache_size = $((memory / 2))MB
work_mem = 16MB
maintenance_work_mem = $((memory > 4096 ? 256 : 64))MB
wal_buffers = 16MB
wal_compression = lz4                       # full-page images are most of the log after a checkpoint
min_wal_size = $([ "$instance" = full ] && echo 32MB || echo 256MB)
max_wal_size = $(case $instance in test) echo 512MB ;; full) echo 96MB ;; *) echo 2GB ;; esac)                      # checkpoints come by time, not by size
checkpoint_timeout = 15min
random_page_cost = 1.1                      # solid state disks
jit = off                                   # every query of ours is shorter than its compilation
log_lock_waits = on
log_min_duration_statement = 500ms
log_line_prefix = '%m [%p] %a '
CONF
}

# Puts the cluster of `full` on a disk of its own.
mount_small_disk() {
  [ "$instance" = full ] || return 0
  if mountpoint -q "$cluster"; then return; fi
  is_root || fail "a Postgres on a small disk needs root, to mount a tmpfs."
  mkdir -p "$cluster"
  mount -t tmpfs -o size=384m,mode=700 lyceum-full "$cluster" 2>/dev/null ||
    fail "a Postgres on a small disk needs root with the right to mount a tmpfs, which this container does not give."
}

start_postgres() {
  mount_small_disk
  choose_postgres "$cluster" || fail "Postgres is not installed; run \`make run\`, which installs it."
  if postgres_runs; then return; fi
  need_disk 1024
  private_dir postgres "$cluster"
  private_dir postgres "$sockets"
  if [ ! -f "$cluster/PG_VERSION" ]; then
    say "creating a private Postgres in ${cluster#"$repo"/}"
    as postgres "$postgres_bin/initdb" -D "$cluster" -U postgres --encoding=UTF8 --locale=C.UTF-8 \
      --auth-local=trust --auth-host=scram-sha-256 --no-instructions >"$data/initdb.log" 2>&1 ||
      { rm -rf "${cluster:?}"; fail "initdb failed: $(tail -1 "$data/initdb.log") (all of it in $data/initdb.log)"; }
    # The superuser is reachable through the socket alone, whose folder only this user may enter.
    printf '%s\n' 'local all all trust' 'host all lyceum,lyceum_read 127.0.0.1/32 scram-sha-256' |
      as postgres tee "$cluster/pg_hba.conf" >/dev/null
    echo "include_if_exists = 'lyceum.conf'" | as postgres tee -a "$cluster/postgresql.conf" >/dev/null
  fi
  postgres_port=$(free_port "${postgres_port:-$first_postgres_port}")
  remember_ports
  write_postgres_conf
  as postgres "$postgres_bin/pg_ctl" -D "$cluster" -l "$cluster/server.log" -w -t 120 start >/dev/null 2>&1 ||
    fail "Postgres does not start: $(tail -1 "$cluster/server.log") (all of it in $cluster/server.log)"
  say "Postgres listens on 127.0.0.1:$postgres_port"
}

# Creates the application's role and database and a role that may only read. Repeating it changes nothing.
# The password is known to everybody: the instance listens on the loopback interface and holds demo data.
ensure_database() {
  [ -f "$data/provisioned" ] && [ "$data/provisioned" -nt "$cluster/PG_VERSION" ] && return
  local create_database_right=NOCREATEDB
  [ "$instance" != dev ] && create_database_right=CREATEDB
  psql_admin -d postgres >"$data/provision.log" 2>&1 <<SQL || fail "role and database could not be created: $(tail -1 "$data/provision.log")"
SELECT 'CREATE ROLE lyceum LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lyceum') \gexec
SELECT 'CREATE ROLE lyceum_read LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lyceum_read') \gexec
ALTER ROLE lyceum PASSWORD 'lyceum' $create_database_right;
ALTER ROLE lyceum_read PASSWORD 'lyceum';
ALTER ROLE lyceum SET statement_timeout = '5s';
ALTER ROLE lyceum SET lock_timeout = '2s';
ALTER ROLE lyceum SET idle_in_transaction_session_timeout = '5s';
ALTER ROLE lyceum_read SET default_transaction_read_only = on;
ALTER ROLE lyceum_read SET statement_timeout = '60s';
GRANT pg_read_all_data, pg_monitor TO lyceum_read;
SELECT 'CREATE DATABASE lyceum OWNER lyceum' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'lyceum') \gexec
SQL
  : >"$data/provisioned"
}

# Drops what tests that were killed have left behind. No test lives for an hour, and whoever lives is connected.
drop_leftovers() {
  case $instance in test | faults) ;; *) return 0 ;; esac
  psql_admin -d postgres >>"$data/provision.log" 2>&1 <<'SQL' || say "some databases of former tests could not be dropped; see $data/provision.log"
SELECT format('DROP DATABASE IF EXISTS %I', datname) FROM pg_database
WHERE datname ~ '^(it|oracle|runtime)_'
  AND (pg_stat_file(format('base/%s/PG_VERSION', oid), true)).modification < now() - interval '1 hour'
  AND NOT EXISTS (SELECT FROM pg_stat_activity AS held WHERE held.datname = pg_database.datname) \gexec
SQL
}

start_redis() {
  command -v redis-server >/dev/null || fail "Redis is not installed; run \`make run\`, which installs it."
  if [ -n "$redis_port" ] && redis_pid >/dev/null; then return; fi
  private_dir redis "$redis_dir"
  redis_port=$(free_port "${redis_port:-$first_redis_port}")
  remember_ports
  # Every key family has an expiry or a rebuild path, so under pressure the stalest of what expires goes first.
  as redis redis-server --daemonize yes --bind 127.0.0.1 --port "$redis_port" --dir "$redis_dir" \
    --pidfile "$redis_dir/redis.pid" --logfile "$redis_dir/server.log" --save '' \
    --appendonly yes --appendfsync everysec --maxmemory "$(($(memory_mib) / 16))mb" --maxmemory-policy volatile-lru \
    >/dev/null 2>&1 || fail "Redis does not start: $(tail -1 "$redis_dir/server.log")"
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    if [ "$(redis-cli -p "$redis_port" ping 2>/dev/null)" = PONG ]; then
      say "Redis listens on 127.0.0.1:$redis_port"
      return
    fi
    sleep 0.1
  done
  fail "Redis does not answer within 10 s: $(tail -1 "$redis_dir/server.log") (all of it in $redis_dir/server.log)"
}

reset_stores() {
  choose_postgres "$cluster" && postgres_runs || fail "Postgres of $instance does not run: \`stores.sh start $instance\` first."
  psql_admin -d postgres -c 'DROP DATABASE IF EXISTS lyceum WITH (FORCE)' >/dev/null 2>&1
  rm -f "$data/provisioned" "$data/sandbox.jsonl"
  ensure_database
  redis-cli -p "$redis_port" flushall >/dev/null
}

stop_postgres() {
  choose_postgres "$cluster" || return 0
  postgres_runs || return 0
  as postgres "$postgres_bin/pg_ctl" -D "$cluster" -m "$1" -w stop >/dev/null 2>&1 ||
    fail "Postgres does not stop; see $cluster/server.log."
  say "Postgres of $instance is stopped"
}

stop_redis() {
  local pid tries
  pid=$(redis_pid) || return 0
  kill "-${1:-TERM}" "$pid"
  for ((tries = 0; tries < 100; tries++)); do
    [ -d "/proc/$pid" ] || { say "Redis of $instance is stopped"; return; }
    sleep 0.1
  done
  fail "Redis (process $pid) does not stop; see $redis_dir/server.log."
}

print_env() {
  [ -n "$postgres_port" ] && [ -n "$redis_port" ] || fail "the $instance instance was never started."
  local prefix=''
  [ "$instance" = test ] && prefix=LYCEUM_TEST_
  printf 'export %sDATABASE_URL=postgres://lyceum:lyceum@127.0.0.1:%s/lyceum\n' "$prefix" "$postgres_port"
  printf 'export %sREDIS_URL=redis://127.0.0.1:%s/0\n' "$prefix" "$redis_port"
  if [ "$instance" = dev ]; then
    printf 'export LYCEUM__DATABASE__URL=$DATABASE_URL LYCEUM__REDIS__URL=$REDIS_URL\n'
  fi
}

case $action in
  start)
    # Two starts at once would both see free ports and no cluster. The servers must not inherit the lock.
    exec 9>"$data/lock"
    flock -w 180 9 || fail "another start of the $instance instance holds $data/lock."
    start_postgres 9>&-
    ensure_database 9>&-
    drop_leftovers 9>&-
    start_redis 9>&-
    ;;
  stop)
    stop_redis
    stop_postgres fast
    if [ "$instance" = full ] && mountpoint -q "$cluster"; then umount "$cluster"; fi
    ;;
  crash) stop_postgres immediate ;;
  crash-redis) stop_redis KILL ;;
  reset) reset_stores ;;
  env) print_env ;;
  folder) printf '%s\n' "$cluster" ;;
  *) fail "usage: stores.sh start|stop|crash|crash-redis|reset|env|folder dev|test|bench|faults|full" ;;
esac
