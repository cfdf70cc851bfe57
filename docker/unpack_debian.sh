#!/usr/bin/env bash
# On Debian and Ubuntu without root: unpacks the libraries that Caffe needs below a folder, from the packages that apt
# knows, and arranges them so that the build finds them there. Compiler, make, cmake, patch, xz and Python with its
# headers have to be there.
#
#   docker/unpack_debian.sh ~/prefix && export CMAKE_PREFIX_PATH=~/prefix/usr && make setup
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${1:?name a folder}"
prefix=$(realpath "$1")
read -ra wanted < <("$here/dependencies.sh" debian boost-{filesystem,regex,system,thread,python} protobuf protoc glog \
  gflags HDF5 LMDB OpenBLAS patchelf | paste -sd ' ')

# What apt would install with them, of which the machine may have some, but without their headers
mkdir -p "$prefix/packages"
cd "$prefix/packages"
mapfile -t packages < <(apt-get --simulate --no-install-recommends install "${wanted[@]}" | awk '$1 == "Inst" { print $2 }')
apt-get -qq download "${packages[@]}"
for package in *.deb; do dpkg-deb --extract "$package" "$prefix"; done
rm -r "$prefix/packages"

cd "$prefix/usr/include"
ln -sf ./*-linux-gnu/openblas-pthread/*.h hdf5/serial/*.h .  # OpenBLAS's are linked when it is installed
cd "$prefix/usr/lib"/*-linux-gnu
ln -sf openblas-pthread/libopenblas.so* .
for library in libhdf5_serial*.so; do ln -sf "$library" "${library/_serial/}"; done
rm -f ../../bin/h5cc  # it would say where HDF5 is when installed
PATH+=:$prefix/usr/bin
LD_LIBRARY_PATH=$PWD patchelf --force-rpath --set-rpath "$PWD" "$(realpath ../../bin/protoc)"
