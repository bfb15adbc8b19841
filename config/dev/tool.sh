#!/usr/bin/env bash
# Installs a cargo tool from crates.io unless it is there: `tool.sh cargo-nextest`.
#
# Built without optimisation: a tool that is used for seconds should not take ten minutes of two cores to arrive.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tool=$1
command -v "$tool" >/dev/null && exit 0
[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/$tool" ] && exit 0
say "installing $tool (some minutes, once)"
log=$(mktemp)
if env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug "$tool" >"$log" 2>&1; then
  rm -f "$log"
  exit 0
fi
say "$tool could not be installed: $(grep -m1 -E '^error' "$log") (all of it in $log)"
exit 1
