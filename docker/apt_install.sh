#!/usr/bin/env bash
# Installs the named Debian packages that are missing: as root, or through sudo, saying so; where neither is
# possible it prints the one line to run and exits with 1. Does nothing where all are there.
set -euo pipefail

missing=()
for package in "$@"; do
  [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
  run=(env)
  echo "setup: installing Debian packages: ${missing[*]}" >&2
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
  run=(sudo env)
  echo "setup: installing Debian packages through sudo: ${missing[*]}" >&2
else
  echo "setup: Debian packages are missing; run as root, then try again (or see docs/building.md, without root): apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
"${run[@]}" apt-get -qq update
# apt-get is loud on stdout even with -qq; its errors come on stderr and stay visible.
"${run[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
