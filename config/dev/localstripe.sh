#!/usr/bin/env bash
# Installs localstripe, a stand-in for Stripe's API that its authors maintain on PyPI, into a Python environment of its own
# under `.data/localstripe`, and prints where its program is. Safe to repeat and to run several times at once.
#
# It is software under the GPL that tests talk to over HTTP; nothing of it becomes part of the product.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=1.15.10
folder="$repo/.data/localstripe"
program="$folder/venv/bin/localstripe"
done="$folder/installed-$version"

mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ ! -f "$done" ] || [ ! -x "$program" ]; then
  command -v python3 >/dev/null || fail "localstripe needs python3, which is not installed."
  rm -rf "$folder/venv"
  python3 -m venv "$folder/venv" >"$folder/install.log" 2>&1 ||
    fail "python3 makes no environment (on Debian, install python3-venv): $(tail -1 "$folder/install.log")"
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "localstripe==$version" >>"$folder/install.log" 2>&1 ||
    fail "localstripe cannot be installed from PyPI: $(tail -1 "$folder/install.log")"
  touch "$done"
fi
printf '%s\n' "$program"
