#!/usr/bin/env bash
# What the build needs from the system, by the table dependencies.txt.
#
#   docker/dependencies.sh need [NAME...]    sees to it that these are there; without names, all of the table
#   docker/dependencies.sh debian [NAME...]  prints their packages on Debian and Ubuntu
#   docker/dependencies.sh python            prints the interpreter that a libboost_python is for; else python3
#   docker/dependencies.sh libraries         prints the folders of libraries below CMAKE_PREFIX_PATH
#   docker/dependencies.sh mirrors [DIR]     prints where Debian has its packages from, by apt's lists in DIR (/etc/apt)
#
# On Debian and Ubuntu missing packages are installed by apt_install.sh. Where CMAKE_PREFIX_PATH names prefixes, folders
# with include/, lib/ and bin/, or where there is no apt, nothing is: one line says what is missing and what has it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
IFS=':;' read -ra named <<<"${CMAKE_PREFIX_PATH:-}"
all=("${named[@]}" /usr/local /usr)

# Prefix and file of the table -> where it is below that prefix, a path a line. Globs in it are the shell's.
below() {
  local name=${2#*/} folder
  local folders=("$1/${2%%/*}")
  case $2 in
    lib/*) folders+=("$1"/lib64 "$1"/lib/*-linux-gnu) ;;
    include/*) folders+=("$1"/include/*-linux-gnu) ;;
  esac
  for folder in "${folders[@]}"; do compgen -G "$folder/$name" || true; done |
    while read -r found; do [ ! -e "$found" ] || echo "$found"; done # a link may lead nowhere
}

# The last column of a row -> whether all of it is there.
there() {
  local needed file prefix any
  for needed in ${1//,/ }; do
    any=
    for file in ${needed//|/ }; do
      for prefix in "${all[@]}"; do any+=$(below "$prefix" "$file"); done
      [ "${file%%/*}" != bin ] || any+=$(command -v "${file#*/}" || true)
    done
    [ -n "$any" ] || return 1
  done
}

rows() {
  local row
  while read -r row; do
    if [ $# = 0 ] || [[ " $* " = *" ${row%% *} "* ]]; then echo "$row"; fi
  done < <(grep -v '^#' "$here/dependencies.txt")
}

debian() { rows "$@" | while read -r _ packages _; do echo "${packages//,/ }"; done; }

need() {
  local name debian fedora conda files
  local missing=() on_debian=() on_fedora=() on_conda=()
  if [ ${#named[@]} = 0 ] && command -v apt-get >/dev/null; then
    # shellcheck disable=SC2046  # a word each
    exec "$here/apt_install.sh" $(debian "$@")
  fi
  while read -r name debian fedora conda files; do
    there "$files" ||
      { missing+=("$name"); on_debian+=("${debian//,/ }"); on_fedora+=("$fedora"); on_conda+=("$conda"); }
  done < <(rows "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "setup: not found below ${named[*]} /usr/local /usr: ${missing[*]}; Debian and Ubuntu have that in" \
    "$(once "${on_debian[@]}"), Fedora in $(once "${on_fedora[@]}"), conda-forge in $(once "${on_conda[@]}")${named[*]:+; nothing is installed where CMAKE_PREFIX_PATH is set}" >&2
  return 1
}

# Words -> the same on one line, each once.
once() { printf '%s\n' "$@" | awk '!seen[$0]++' | paste -sd ' '; }

python() {
  local prefix library minor python
  for prefix in "${all[@]}"; do
    for library in $(below "$prefix" 'lib/libboost_python3*.so' | sort -rV); do
      minor=${library##*/libboost_python3}
      for python in "$prefix/bin/python3.${minor%.so}" "python3.${minor%.so}"; do
        if command -v "$python"; then return; fi
      done
    done
  done
  command -v python3
}

# Of other systems none: they have no source of Caffe. Cloud images name a file with a mirror a line.
mirrors() {
  local lists=${1:-/etc/apt} uri
  grep -qsx 'ID=debian' /etc/os-release || return 0
  cat "$lists"/sources.list "$lists"/sources.list.d/*.{sources,list} 2>/dev/null | grep -E '^(URIs:|deb )' |
    grep -oE '(https?://|mirror\+file:)[^ ]+' | while read -r uri; do
    case $uri in mirror+file:*) grep -oE '^https?://\S+' "${uri#mirror+file:}" ;; *) echo "$uri" ;; esac
  done | awk '!seen[$0]++'
}

case ${1:-} in
  need | debian | mirrors) "$@" ;;
  python) python ;;
  libraries) for prefix in "${named[@]}"; do below "$prefix" 'lib/.' | sed 's,/\.$,,'; done ;;
  *) sed -n '/^#   docker/s/^#   //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
