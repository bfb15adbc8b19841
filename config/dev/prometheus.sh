#!/usr/bin/env bash
# Prints the folder that holds `prometheus` and `promtool`; without one on this machine, Debian's package is unpacked.
#
# Unpacked below `.data/`, not installed: that needs no rights, and starts no service beside our private ones.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
  dirname "$(command -v promtool)"
  exit 0
fi

folder="$repo/.data/prometheus-package"
if [ ! -x "$folder/usr/bin/promtool" ]; then
  command -v apt-get >/dev/null || fail "prometheus and promtool are missing: install them (apt-get, which has them, is not here)."
  mkdir -p "$folder"
  cd "$folder"
  say "fetching prometheus"
  # A fresh machine has no package lists.
  apt-get download prometheus >apt.log 2>&1 ||
    { apt-get update >apt.log 2>&1 && apt-get download prometheus >apt.log 2>&1; } ||
    fail "apt-get could not fetch prometheus: $(grep -E '^(E|W):' apt.log | head -1) (all of it in $folder/apt.log)"
  dpkg-deb --extract prometheus_*.deb . || fail "the package of prometheus could not be unpacked."
  rm -f prometheus_*.deb
fi
printf '%s\n' "$folder/usr/bin"
