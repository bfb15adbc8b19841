#!/usr/bin/env bash
# `make bench`: reads beside bare hyper, durable purchases, entities and start-up, over a Postgres and a Redis of its own.
# `make bench-peers`: purchases beside the systems people use instead.
# `make bench-recommend`: the recommender on a data set of courses that learners took up.
#
# Flow: release build → empty stores of the instance `bench`, so that a running demo is untouched → lyceum-bench, which
# seeds, measures and prints → stores stopped. Results are kept as .data/bench/*.json. Whatever way it ends, every
# process it has started is ended by its id.
#
# Arguments go to lyceum-bench, e.g. `make bench ARGS="--only reads"`.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo"

scripts=config/dev
bin="${CARGO_TARGET_DIR:-$repo/target}/release"
peers="$repo/../shared/peers"
choose_data bench

command=run
if [ "${1:-}" = --peers ]; then
  shift
  command=peers
  if [ ! -d "$peers/actix-pg" ]; then
    say "skipped: the other systems are not in ../shared/peers, so there is nothing to measure beside."
    exit 0
  fi
fi

packages=(-p lyceum -p lyceum-sandbox -p lyceum-bench)
if [ "${1:-}" = --recommend ]; then
  shift
  command=recommend
  dataset="${DATA:-$repo/../shared/data/recommend/coco}"
  if [ ! -f "$dataset/train.tsv" ]; then
    say "skipped: there is no data set in $dataset; DATA names another folder with items.tsv and train.tsv."
    exit 0
  fi
  packages=(-p lyceum-bench)
  set -- --data "$dataset" "$@"
fi

need_disk 8000
say "building; the first time takes some minutes"
cargo build --release --quiet --locked "${packages[@]}" ||
  fail "the build failed; the compiler's message is above."
if [ "$command" = peers ]; then
  # Their folder may be read-only and is not ours to build in; the copy must not count as a member of our workspace.
  mkdir -p "$data/peers"
  cp -r --preserve=timestamps --no-preserve=mode "$peers/actix-pg" "$peers/schema.sql" "$data/peers/"
  printf '\n[workspace]\n' >>"$data/peers/actix-pg/Cargo.toml"
  (cd "$data/peers/actix-pg" && CARGO_TARGET_DIR="$data/peers/target" cargo build --release --quiet --locked) ||
    fail "the peer could not be built; the compiler's message is above."
  set -- --peer "$data/peers/target/release/peer-actix-pg" --schema "$data/peers/schema.sql" "$@"
fi

bench=''
cleanup() {
  # The bench is a session of its own: what it has started goes with it.
  [ -z "$bench" ] || kill -TERM -- "-$bench" 2>/dev/null || true
  bash "$scripts/stores.sh" stop bench
}
trap cleanup EXIT
trap 'exit 130' INT TERM

bash "$scripts/install.sh" procps
bash "$scripts/stores.sh" start bench
bash "$scripts/stores.sh" reset bench
eval "$(bash "$scripts/stores.sh" env bench)"

setsid "$bin/lyceum-bench" "$command" --lyceum "$bin/lyceum" --sandbox "$bin/lyceum-sandbox" --out "$data" "$@" </dev/null &
bench=$!
wait "$bench"
