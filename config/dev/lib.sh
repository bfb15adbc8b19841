# Shared by the scripts of this folder: where things live, how a failure is told, which tools are used.
#
# Sourced, never run. Everything these scripts create lies under `.data/` (one folder for each instance: `dev`
# behind `make run`, `test` behind `make test`); the Postgres and Redis of the machine are left alone.

set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# rustup adds cargo to the PATH of shells that start later; the one it was installed from need not be left for that.
command -v cargo >/dev/null || PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

# Says what is being done, on stderr, so that a script's stdout stays its result.
say() { printf '%s\n' "lyceum: $*" >&2; }

# Ends the script with one sentence that says what to do.
fail() {
  printf '%s\n' "lyceum: $*" >&2
  exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# Runs a command as the operating system's `postgres` or `redis` user when we are root (Postgres refuses to run
# as root), else as ourselves.
as() {
  local user=$1
  shift
  if is_root; then
    (cd / && runuser -u "$user" -- "$@")
  else
    "$@"
  fi
}

# Succeeds when something accepts connections on a loopback port.
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Prints the first port from $1 upwards on which nobody listens.
free_port() {
  local port
  for ((port = $1; port < $1 + 50; port++)); do
    listening "$port" || {
      printf '%s\n' "$port"
      return
    }
  done
  fail "no free port between $1 and $port; stop something or set another port."
}

# Sets `data`, the folder of instance $1. It is `.data/<instance>`, unless we are root and the service users may
# not enter the checkout (a clone below /root): then it lies under /var/lib and `.data/<instance>` links to it.
choose_data() {
  local instance=$1 link="$repo/.data/$1" home
  mkdir -p "$repo/.data"
  if [ -L "$link" ]; then
    data=$(readlink "$link")
    mkdir -p "$data"
  elif is_root && ! as postgres test -x "$repo/.data"; then
    home="/var/lib/lyceum-dev/$(printf '%s' "$repo" | cksum | cut -d' ' -f1)/$instance"
    mkdir -p "$home"
    ln -s "$home" "$link"
    data=$home
  else
    mkdir -p "$link"
    data=$link
  fi
  sockets="$data/run"
  # A unix socket's address holds 107 bytes, `/.s.PGSQL.54329` included.
  if [ "${#sockets}" -gt 88 ]; then
    sockets="/tmp/lyceum-$(id -u)-$(printf '%s' "$data" | cksum | cut -d' ' -f1)"
  fi
}

# Sets `postgres_bin`: the newest installed version, or the one that the data folder $1 was made with.
choose_postgres() {
  local version='' candidate
  [ -f "$1/PG_VERSION" ] && version=$(cat "$1/PG_VERSION")
  postgres_bin=''
  while read -r candidate; do
    if [ -x "$candidate/postgres" ] && [ -x "$candidate/psql" ]; then postgres_bin=$candidate; fi
  done < <(compgen -G "/usr/lib/postgresql/${version:-*}/bin" | sort -V)
  [ -n "$postgres_bin" ] && return
  [ -n "$version" ] || return 1
  fail "$1 was made by Postgres $version, which is no longer installed: install postgresql-$version, or remove the folder."
}

# Whole mebibytes of memory in this machine, never more than a container may use.
memory_mib() {
  local total limit
  total=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [ "$limit" != max ] && [ $((limit / 1048576)) -lt "$total" ]; then
    total=$((limit / 1048576))
  fi
  printf '%s\n' "$total"
}

# Refuses to go on with less than $1 MiB of free disk below the checkout.
need_disk() {
  local free
  free=$(df -Pm "$repo" | awk 'NR == 2 { print $4 }')
  [ "$free" -ge "$1" ] || fail "only $free MiB of disk are free below $repo, and $1 MiB are needed."
}
