#!/usr/bin/env bash
# Installs what the project needs and this machine lacks: Postgres, Redis, a C compiler and the font of invoices, through apt; and the packages
# that are named as arguments, each after the command it brings.
#
# Does nothing, in a few milliseconds, when all of it is there. Rust is not installed from here: how it gets onto a
# machine is its owner's choice, and rustup then follows rust-toolchain.toml by itself.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v cargo >/dev/null || fail "Rust is missing: install it from https://rustup.rs, then run this again."

packages=()
choose_postgres /nonexistent || packages+=(postgresql)
command -v redis-server >/dev/null || packages+=(redis-server)
command -v cc >/dev/null || packages+=(gcc libc6-dev)
# What invoices are printed in; `billing.font_file` names it.
[ -f /usr/share/fonts/truetype/wqy/wqy-microhei.ttc ] || packages+=(fonts-wqy-microhei)
there() {
  case $1 in
    # The shell has a `kill` of its own; programs need the other one.
    procps) type -P kill >/dev/null ;;
    # A library that is loaded before a program, no command either.
    libfaketime) compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null ;;
    # Brings a part of Python and no command.
    python3-venv) python3 -c 'import ensurepip' 2>/dev/null ;;
    poppler-utils) command -v pdftotext >/dev/null && command -v pdftoppm >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}
for named in "$@"; do
  there "$named" || packages+=("$named")
done
[ "${#packages[@]}" -gt 0 ] || exit 0

command -v apt-get >/dev/null ||
  fail "missing: ${packages[*]} — install them with this system's package manager (apt-get is not here)."

if is_root; then
  apt() { DEBIAN_FRONTEND=noninteractive apt-get "$@"; }
else
  command -v sudo >/dev/null || fail "missing: ${packages[*]} — ask an administrator to install them (there is no sudo)."
  sudo -n true 2>/dev/null || [ -t 0 ] ||
    fail "missing: ${packages[*]} — run \`sudo apt-get install ${packages[*]}\` (sudo asks for a password here)."
  apt() { sudo DEBIAN_FRONTEND=noninteractive apt-get "$@"; }
fi

say "installing ${packages[*]}"
log=$(mktemp)
# A fresh machine has no package lists, one that has them need not fetch them again.
install() { apt install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "${packages[@]}" >"$log" 2>&1; }
install || { apt update >"$log" 2>&1 && install; } ||
  fail "apt-get could not install ${packages[*]}: $(grep -E '^(E|W):' "$log" | head -1) (all of it in $log)"
rm -f "$log"
