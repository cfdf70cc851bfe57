#!/usr/bin/env bash
# On Debian and Ubuntu without root: unpacks the libraries that Caffe needs below a folder, from the packages that apt
# knows, and arranges them so that the build finds them there. Compiler, make, cmake, patch, xz and Python, with its
# headers and venv (python3-dev, python3-venv), have to be there.
#
#   docker/unpack_debian.sh ~/prefix && export CMAKE_PREFIX_PATH=~/prefix/usr && make setup
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${1:?name a folder}"
prefix=$(realpath "$1")
read -ra wanted < <("$here/dependencies.sh" debian boost-{filesystem,system,thread,python} protobuf protoc glog \
  gflags HDF5 LMDB OpenBLAS patchelf | paste -sd ' ')

# What apt would install with them
simulated=$(apt-get --simulate --no-install-recommends install "${wanted[@]}") ||
  { echo "apt does not know these packages: has 'apt-get update' been run, as root?" >&2; exit 1; }
mapfile -t packages < <(awk '$1 == "Inst" { print $2 }' <<<"$simulated")
[ ${#packages[@]} -gt 0 ] || { echo "all of these packages are installed: CMAKE_PREFIX_PATH is not needed" >&2; exit 1; }
mkdir -p "$prefix/packages"
cd "$prefix/packages"
apt-get -qq download "${packages[@]}"
for package in *.deb; do dpkg-deb --extract "$package" "$prefix"; done
rm -r "$prefix/packages"

# Where a library is installed and its headers are not, these came alone, with a link to nothing
cd "$prefix"
find . -xtype l | while read -r link; do
  target=$(readlink -m "$link")
  [ ! -e "${target#"$prefix"}" ] || { mkdir -p "${target%/*}"; ln -sf "${target#"$prefix"}" "$target"; }
done
shopt -s nullglob
rm -rf usr/include/python3*  # of python3-dev, where an interpreter in /usr does not look
libraries=$prefix/usr/lib/$(uname -m)-linux-gnu
mkdir -p usr/include "$libraries"  # where only programs were missing, there are none
cd usr/include
for header in ./*-linux-gnu/openblas-pthread/*.h hdf5/serial/*.h; do ln -sf "$header" .; done  # as installing does
cd "$libraries"
for library in openblas-pthread/libopenblas.so*; do ln -sf "$library" .; done
for library in libhdf5_serial*.so; do ln -sf "$library" "${library/_serial/}"; done
rm -f ../../bin/h5cc  # it would say where HDF5 is when installed
PATH+=:$prefix/usr/bin
[ ! -e ../../bin/protoc ] ||
  LD_LIBRARY_PATH=$PWD patchelf --force-rpath --set-rpath "$PWD" "$(realpath ../../bin/protoc)"
