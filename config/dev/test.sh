#!/usr/bin/env bash
# `make test`: every test of the workspace against a private Postgres and Redis of its own (`.data/test`).
#
# Tests find them in LYCEUM_TEST_DATABASE_URL and LYCEUM_TEST_REDIS_URL; the role may create databases, so each test that
# needs one makes its own. Arguments go to the test runner, e.g. `make test ARGS="-E 'test(refund)'"`.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo"

bash config/dev/install.sh procps python3-venv poppler-utils
[ -d "${CARGO_TARGET_DIR:-target}/debug" ] || need_disk 8000
bash config/dev/stores.sh start test
eval "$(bash config/dev/stores.sh env test)"

# What stands in for Stripe; so that no test waits for an installation.
bash config/dev/localstripe.sh >/dev/null

# Black-box tests start the programs themselves.
cargo build --quiet --locked --workspace --bins || fail "the build failed; the compiler's message is above."

# Starting rustdoc for packages without an example in their docs costs a minute.
if grep -rqE '^\s*//[/!] ```(rust|should_panic|no_run)' --include='*.rs' src actors; then
  cargo test --quiet --locked --workspace --doc
fi

if bash config/dev/tool.sh cargo-nextest; then
  cargo nextest run --locked --workspace "$@"
else
  say "cargo-nextest cannot be installed; running the same tests with cargo test"
  cargo test --quiet --locked --workspace --lib --bins --tests "$@"
fi
