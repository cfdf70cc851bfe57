#!/usr/bin/env bash
# Builds BVLC Caffe and pycaffe from source into build/caffe. The one recipe: `make caffe` and the Dockerfile call it.
#
#   docker/build_caffe.sh                     CPU build of Debian's source package of BVLC Caffe
#   CAFFE_SRC=~/caffe docker/build_caffe.sh   the same from a checkout of BVLC/caffe (it is copied, never changed)
#   DEVICE=cuda docker/build_caffe.sh         with CUDA 11.8 (Debian's, of its section non-free), cuDNN 8 and NCCL 2
#
# Environment:
#   DEVICE        cpu (default) | cuda
#   CAFFE_SRC     folder with the sources of BVLC Caffe, instead of Debian's source package
#   CAFFE_MIRROR  Debian mirror that still carries the suite bullseye (default: the mirror this machine uses)
#   CAFFE_PREFIX  where to put it (default: build/caffe)
#   PYTHON        interpreter that will import it; its NumPy headers are used (default: .venv/bin/python, else python3)
#   CUDA_ARCH     architectures, for DEVICE=cuda (default: 35 50 60 70 80 90; the last also as PTX, for what comes after)
#   CUDA_ROOT     another CUDA toolkit; then, too: CUDA_CXX its host compiler (default: g++), and if wanted CUDNN_ROOT and
#                 NCCL_ROOT, folders with include/ and lib/
#   JOBS          parallel compilations (default: all cores)
#
# A build that stops halfway leaves nothing under the prefix: the tree is made beside it, tried, and then renamed.
set -euo pipefail

readonly DEBIAN_VERSION=1.0.0+git20180821.99bd997
readonly TARBALL_SHA256=e0eb3f06794f7402c77b7dec8e8480273ee1a1bb192e9122b621a69d4147ad0c

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(dirname "$here")
device=${DEVICE:-cpu}
prefix=$(realpath -m "${CAFFE_PREFIX:-$repo/build/caffe}")
jobs=${JOBS:-$(nproc)}
if [ -z "${PYTHON:-}" ]; then
  PYTHON=$repo/.venv/bin/python
  [ -x "$PYTHON" ] || PYTHON=/usr/bin/python3
fi

say() { echo "caffe: $*" >&2; }
die() { say "$*"; exit 1; }

case $device in cpu | cuda) ;; *) die "DEVICE is '$device', expected cpu or cuda" ;; esac
[ -z "${CAFFE_SRC:-}" ] || [ -f "$CAFFE_SRC/src/caffe/net.cpp" ] ||
  die "CAFFE_SRC=$CAFFE_SRC is not a checkout of BVLC/caffe: it has no src/caffe/net.cpp"

# --- system packages ----------------------------------------------------------------------------------------------

packages=(cmake g++ make patch python3 python3-dev libboost-filesystem-dev libboost-python-dev libboost-regex-dev
  libboost-system-dev libboost-thread-dev libgflags-dev libgoogle-glog-dev libhdf5-dev liblmdb-dev libopenblas-dev
  libprotobuf-dev patchelf protobuf-compiler)
[ -n "${CAFFE_SRC:-}" ] || packages+=(dpkg-dev)
if [ "$device" = cuda ] && [ -z "${CUDA_ROOT:-}" ]; then packages+=(g++-11 nvidia-cuda-toolkit unzip); fi
"$here/apt_install.sh" "${packages[@]}"

# --- is it built already? -----------------------------------------------------------------------------------------

numpy=$("$PYTHON" -c 'import sys, numpy; print(f"python {sys.version_info[0]}.{sys.version_info[1]}, numpy {numpy.__version__}")') ||
  die "$PYTHON cannot import numpy, whose headers pycaffe is built against: run 'make setup', or set PYTHON"
if [ -n "${CAFFE_SRC:-}" ]; then
  origin="$(realpath "$CAFFE_SRC") $(git -C "$CAFFE_SRC" rev-parse HEAD 2>/dev/null || echo 'no git')"
else
  origin="Debian caffe $DEBIAN_VERSION sha256 $TARBALL_SHA256"
fi
archs=${CUDA_ARCH:-35 50 60 70 80 90}
[[ "$archs" =~ ^[0-9]{2,3}( [0-9]{2,3})*$ ]] || die "CUDA_ARCH is '$archs', expected numbers such as '70 80 90'"
cuda=
if [ "$device" = cuda ]; then
  others=none
  [ -n "${CUDA_ROOT:-}" ] || others="of NVIDIA's wheels"
  cuda="${CUDA_ROOT:-11.8}, architectures $archs, cuDNN ${CUDNN_ROOT:-$others}, NCCL ${NCCL_ROOT:-$others}"
fi
# Everything that goes into the result; a build whose record differs is built again.
record=$(
  echo "source: $origin"
  echo "device: $device${cuda:+ $cuda}"
  echo "for: $numpy"
  (cd "$here/patches" && sha256sum ./*.patch) | sed 's/^/patch: /'
)
if [ -f "$prefix/BUILD" ] && [ "$(cat "$prefix/BUILD")" = "$record" ]; then
  say "already built in $prefix"
  exit 0
fi

# --- sources ------------------------------------------------------------------------------------------------------

work=$prefix.work
mkdir -p "$work"
exec 9>"$work/lock"
flock -n 9 || die "another build is under way in $work"
rm -rf "$prefix.new" "$work/src" "$work/build"
log=$work/log
: >"$log"

fetch_debian_source() {
  local dir=$repo/build/caffe-source tarball  # kept: the next build needs no network
  mkdir -p "$dir/lists/partial"
  tarball=$dir/caffe_$DEBIAN_VERSION.orig.tar.gz
  if ! echo "$TARBALL_SHA256  $tarball" | sha256sum --check --status 2>/dev/null; then
    local mirror=${CAFFE_MIRROR:-} opts
    [ -n "$mirror" ] || mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
    [ -n "$mirror" ] || mirror=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) { print $i; exit } }' /etc/apt/sources.list 2>/dev/null || true)
    [ -n "$mirror" ] || die "no Debian mirror found in /etc/apt: name one with CAFFE_MIRROR=, or a checkout with CAFFE_SRC="
    say "fetching Debian's source package (caffe $DEBIAN_VERSION, 8.5 MB)"
    # A source list of our own in a folder of our own: the machine's lists stay as they are.
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main contrib" >"$dir/sources.list"
    opts=(-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$dir/lists"
      -o "Dir::Cache::srcpkgcache=$dir/srcpkgcache.bin" -o "Dir::Cache::pkgcache=$dir/pkgcache.bin"
      -o APT::Sandbox::User= -o Acquire::Check-Valid-Until=false)
    rm -f "$dir"/caffe_*
    (cd "$dir" && apt-get -qq "${opts[@]}" update && apt-get -qq "${opts[@]}" source --download-only "caffe=$DEBIAN_VERSION-8") >>"$log" 2>&1 || {
      tail -n 3 "$log" >&2
      die "$mirror does not deliver the source of caffe from bullseye: name another mirror with CAFFE_MIRROR=, or a checkout with CAFFE_SRC="
    }
    echo "$TARBALL_SHA256  $tarball" | sha256sum --check --status ||
      die "$tarball has sha256 $(sha256sum "$tarball" | cut -d' ' -f1), expected $TARBALL_SHA256"
  fi
  dpkg-source -x "$dir"/caffe_"$DEBIAN_VERSION"-8.dsc "$work/src" >>"$log" 2>&1 ||
    { tail -n 3 "$log" >&2; die "the source package in $dir does not unpack: delete that folder and try again"; }
}

if [ -n "${CAFFE_SRC:-}" ]; then
  say "copying $CAFFE_SRC"
  mkdir "$work/src"
  tar -C "$CAFFE_SRC" --exclude=./build --exclude=./.git -cf - . | tar -C "$work/src" -xf -
else
  fetch_debian_source
fi

for patch in "$here"/patches/*.patch; do
  if patch -d "$work/src" -p1 --dry-run --force --silent <"$patch" >>"$log" 2>&1; then
    patch -d "$work/src" -p1 --force --silent <"$patch" >>"$log" 2>&1
  elif patch -d "$work/src" -p1 --dry-run --reverse --force --silent <"$patch" >>"$log" 2>&1; then
    say "$(basename "$patch") is in this source already"
  else
    die "$(basename "$patch") does not apply to $origin: see $log"
  fi
done

# --- CUDA's companions --------------------------------------------------------------------------------------------

# cuDNN and NCCL for CUDA 11, from the wheels that NVIDIA publishes: headers and libraries, unpacked and no more.
wheel() {
  local requirement=$1 target=$2
  mkdir -p "$target"
  say "fetching $requirement"
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$target" "$requirement" >>"$log" 2>&1 ||
    { tail -n 3 "$log" >&2; die "$requirement cannot be fetched: name folders of your own with CUDNN_ROOT and NCCL_ROOT"; }
  unzip -q "$target"/*.whl -d "$target"
  rm "$target"/*.whl
}
cudnn_root=${CUDNN_ROOT:-}
nccl_root=${NCCL_ROOT:-}
if [ "$device" = cuda ] && [ -z "${CUDA_ROOT:-}" ]; then
  rm -rf "$work/wheels"
  [ -n "$cudnn_root" ] || { wheel nvidia-cudnn-cu11==8.9.6.50 "$work/wheels/cudnn"; cudnn_root=$work/wheels/cudnn/nvidia/cudnn; }
  [ -n "$nccl_root" ] || { wheel nvidia-nccl-cu11==2.21.5 "$work/wheels/nccl"; nccl_root=$work/wheels/nccl/nvidia/nccl; }
fi

# --- build --------------------------------------------------------------------------------------------------------

python_include=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')
python_library=$("$PYTHON" -c 'import sysconfig as s; print(s.get_config_var("LIBDIR") + "/" + (s.get_config_var("MULTIARCH") or ".") + "/" + s.get_config_var("LDLIBRARY"))')
[ -f "$python_library" ] || python_library=$("$PYTHON" -c 'import sysconfig as s; print(s.get_config_var("LIBDIR") + "/" + s.get_config_var("LDLIBRARY"))')

options=(-DCMAKE_BUILD_TYPE=Release -DBLAS=Open -DUSE_OPENCV=OFF -DUSE_LEVELDB=OFF -DUSE_LMDB=ON
  -DBUILD_docs=OFF -Dpython_version=3 "-DPYTHON_EXECUTABLE=$PYTHON" "-DPYTHON_INCLUDE_DIR=$python_include"
  "-DPYTHON_LIBRARY=$python_library")
if [ "$device" = cpu ]; then
  options+=(-DCPU_ONLY=ON)
else
  host=${CUDA_CXX:-/usr/bin/g++-11}
  [ -z "${CUDA_ROOT:-}" ] || host=${CUDA_CXX:-$(command -v g++)}
  options+=(-DCPU_ONLY=OFF -DCUDA_ARCH_NAME=Manual "-DCUDA_ARCH_BIN=$archs" "-DCUDA_ARCH_PTX=${archs##* }"
    "-DCUDA_HOST_COMPILER=$host")
  [ -z "${CUDA_ROOT:-}" ] || options+=("-DCUDA_TOOLKIT_ROOT_DIR=$CUDA_ROOT")
  library() { find "$1/lib" -maxdepth 1 -name "$2.so*" | sort | head -n 1; }
  if [ -n "$cudnn_root" ]; then
    options+=(-DUSE_CUDNN=ON "-DCUDNN_INCLUDE=$cudnn_root/include" "-DCUDNN_LIBRARY=$(library "$cudnn_root" libcudnn)")
  else
    options+=(-DUSE_CUDNN=OFF)
  fi
  if [ -n "$nccl_root" ]; then
    options+=(-DUSE_NCCL=ON "-DNCCL_INCLUDE_DIR=$nccl_root/include" "-DNCCL_LIBRARIES=$(library "$nccl_root" libnccl)")
  fi
fi

failed() {
  grep -E '(error|Error|CMake Error)' "$log" | head -n 5 >&2 || tail -n 5 "$log" >&2
  die "the build failed: the whole log is $log"
}
say "configuring ($device)"
cmake -S "$work/src" -B "$work/build" "${options[@]}" >>"$log" 2>&1 || failed
minutes=3
[ "$device" = cpu ] || minutes=15
say "compiling with $jobs jobs (about $minutes minutes on two cores; log: $log)"
set +e
make -C "$work/build" -j"$jobs" caffe pycaffe caffe.bin 2>&1 | tee -a "$log" |
  awk 'match($0, /^\[ *[0-9]+%\]/) { p = substr($0, 2, 3) + 0; if (p >= next_p) { printf "caffe: %3d %%\n", p; fflush(); next_p = p - p % 10 + 10 } }' >&2
status=${PIPESTATUS[0]}
set -e
[ "$status" = 0 ] || failed

# --- assemble, try, rename ----------------------------------------------------------------------------------------

new=$prefix.new
mkdir -p "$new/lib" "$new/bin" "$new/python"
cp -a "$work"/build/lib/libcaffe.so* "$new/lib/"
cp "$work/build/tools/caffe" "$new/bin/caffe"
cp -r "$work/src/python/caffe" "$new/python/caffe"
rm -rf "$new/python/caffe/_caffe.so" "$new/python/caffe/_caffe.cpp" "$new/python/caffe/test" "$new/python/caffe/imagenet"
cp "$work/build/lib/_caffe.so" "$new/python/caffe/_caffe.so"
cp "$work/src/src/caffe/proto/caffe.proto" "$work/src/LICENSE" "$new/"
for library in "$cudnn_root"/lib/libcudnn{,_ops_infer,_ops_train,_cnn_infer,_cnn_train}.so.8 "$nccl_root"/lib/libnccl.so.2; do
  [ ! -f "$library" ] || cp "$library" "$new/lib/"
done
# The libraries find each other by place, so that the whole folder can be moved or copied into an image.
# shellcheck disable=SC2016  # $ORIGIN is for the dynamic linker
patchelf --set-rpath '$ORIGIN'"${CUDA_ROOT:+:$CUDA_ROOT/lib64}" "$(realpath "$new/lib/libcaffe.so")"
# shellcheck disable=SC2016
patchelf --set-rpath '$ORIGIN/../lib' "$new/bin/caffe"
# shellcheck disable=SC2016
patchelf --set-rpath '$ORIGIN/../../lib' "$new/python/caffe/_caffe.so"
GLOG_minloglevel=2 PYTHONPATH="$new/python" "$PYTHON" -B -c 'import caffe; assert "Python" in caffe.layer_type_list()' >>"$log" 2>&1 ||
  { tail -n 3 "$log" >&2; die "it compiled, but '$PYTHON' cannot import it: the whole log is $log"; }
echo "$record" >"$new/BUILD"
rm -rf "$prefix"
mv "$new" "$prefix"
rm -rf "$work/src" "$work/build" "$work/wheels"
say "built in $prefix"
