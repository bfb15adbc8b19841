#!/usr/bin/env bash
# `make lint`: format, lints, licences, sources and duplicate dependencies; the first failure ends it.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$repo"

cargo fmt --all --check || fail "the format differs; \`cargo fmt\` puts it right."
cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
# Advisories are not among the checks: their database is a git repository on GitHub, which not every machine that
# runs this reaches. `cargo deny check advisories` adds them where it does.
if bash config/dev/tool.sh cargo-deny; then
  cargo deny --locked --log-level warn check bans licenses sources
else
  [ -z "${CI:-}" ] || fail "cargo-deny is required here."
  say "cargo-deny is not available: licences and sources were not checked"
fi
