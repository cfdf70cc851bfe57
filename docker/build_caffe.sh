#!/usr/bin/env bash
# Builds BVLC Caffe and pycaffe from source into build/caffe. The one recipe: `make caffe` and the Dockerfile call it.
#
#   docker/build_caffe.sh                     CPU build of Debian's source package of BVLC Caffe
#   CAFFE_SRC=~/caffe docker/build_caffe.sh   the same from a checkout of BVLC/caffe (it is copied, never changed)
#   DEVICE=cuda docker/build_caffe.sh         with Debian's CUDA (of its section non-free), cuDNN 8 and NCCL 2
#   CMAKE_PREFIX_PATH=~/prefix docker/build_caffe.sh   with what lies there, as conda lays it out, and without apt
#
# Where none of DEVICE, FAST, CAFFE_SRC, CUDA_ROOT and CUDA_ARCH is set, a build that is there keeps its device and
# source: `make test` after `DEVICE=cuda make caffe` tests the CUDA build. It is made again, with the settings it was
# made with, when the patches, docker/fast, Python or NumPy are others. Where one of the five is set, the others have
# their defaults: DEVICE=cpu alone asks for Debian's source on the CPU. A CAFFE_SRC that is set is built again when a
# file in it has changed. Another CMAKE_PREFIX_PATH has it made again, too, with its other settings.
#
# Environment:
#   DEVICE        cpu (default) | cuda
#   FAST          on (default) | off: without docker/fast, which makes Caffe faster on the CPU
#   CAFFE_SRC     folder with the sources of BVLC Caffe, instead of Debian's source package
#   CAFFE_MIRROR  Debian mirror that still carries the source package (default: the mirror that this machine uses, if
#                 it is one with Debian)
#   CMAKE_PREFIX_PATH  folders with include/, lib/ and bin/, where boost, protobuf, glog and so on are looked for before
#                 /usr; docker/dependencies.txt lists them. Nothing is installed then
#   CAFFE_PREFIX  where to put it (default: build/caffe)
#   PYTHON        interpreter that will import it; its NumPy headers are used (default: .venv/bin/python, else python3)
#   CUDA_ARCH     architectures, for DEVICE=cuda (default: with Debian 12's CUDA 35 50 60 70 80 90, with Debian 13's
#                 50 60 70 75 80 90, with CUDA_ROOT those of 35 50 60 70 75 80 90 100 120 that its nvcc has; the last
#                 also as PTX, for what comes after)
#   CUDA_ROOT     another CUDA toolkit; then, too: CUDA_CXX its host compiler (default: g++), and if wanted CUDNN_ROOT
#                 and NCCL_ROOT, folders with include/ and lib/ or lib64/, whose libraries are copied into the build
#   JOBS          parallel compilations (default: all cores)
#
# A build that stops halfway leaves nothing under the prefix: the tree is made beside it, tried, and then renamed.
set -euo pipefail

readonly DEBIAN_VERSION=1.0.0+git20180821.99bd997
readonly TARBALL_SHA256=e0eb3f06794f7402c77b7dec8e8480273ee1a1bb192e9122b621a69d4147ad0c
readonly DEBIAN_FILES="\
$TARBALL_SHA256  caffe_$DEBIAN_VERSION.orig.tar.gz
07cf073227494a6b07234e40cb5df91db566616593eef9baafdc4d06ad159f21  caffe_$DEBIAN_VERSION-8.debian.tar.xz"
readonly DEBIAN_POOL=pool/main/c/caffe
readonly ARCHITECTURES="35 50 60 70 75 80 90 100 120"  # code for 80 runs on 86 and 89 as well, and so on
# kept in the file BUILD
readonly SETTINGS=(DEVICE CAFFE_SRC CUDA_ROOT CUDA_ARCH CUDA_CXX CUDNN_ROOT NCCL_ROOT FAST CMAKE_PREFIX_PATH)

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(dirname "$here")
prefix=$(realpath -m "${CAFFE_PREFIX:-$repo/build/caffe}")
jobs=${JOBS:-$(nproc)}
if [ -z "${PYTHON:-}" ]; then
  PYTHON=$repo/.venv/bin/python
  [ -x "$PYTHON" ] || PYTHON=
fi

say() { echo "caffe: $*" >&2; }
die() { say "$*"; exit 1; }

# --- what is asked for, or else what is there -------------------------------------------------------------------------

kept=    # yes, where the settings are those of the build under the prefix
remedy=  # what to do where they can no longer be built

# Line of the record under the prefix, by its name -> its value.
recorded() { sed -n "s/^$1: //p" "$prefix/BUILD"; }

# Takes the settings of the build under the prefix, whether or not they can still be built.
recall() {
  local name
  for name in "${SETTINGS[@]}"; do declare -g "$name=${!name:-$(recorded "$name")}"; done
  kept=yes
  remedy="; so $prefix cannot be built again as it was: set DEVICE, and CAFFE_SRC or CUDA_ROOT if wanted"
}
if [ -z "${DEVICE:-}${FAST:-}${CAFFE_SRC:-}${CUDA_ROOT:-}${CUDA_ARCH:-}" ] && [ -f "$prefix/BUILD" ]; then
  if [ -n "$(recorded DEVICE)" ]; then
    recall
  elif grep -q '^device: cuda' "$prefix/BUILD"; then
    die "$prefix was built for CUDA by an earlier version, whose settings are not read: DEVICE=cuda make caffe builds it anew"
  else
    say "$prefix/BUILD is not of this version's form, which has a line DEVICE: building anew, on the CPU"
  fi
fi
DEVICE=${DEVICE:-cpu}
FAST=${FAST:-on}

# Folder and name of a library -> the file that is linked, of lib/ or lib64/, with or without a version; fails without.
library() {
  local file
  for file in "$1"/lib/"$2".so "$1"/lib64/"$2".so "$1"/lib/"$2".so.[0-9]* "$1"/lib64/"$2".so.[0-9]*; do
    [ ! -f "$file" ] || { echo "$file"; return; }
  done
  return 1
}

# Variable, header and library -> stops where the variable names a folder that lacks one of them.
check_companion() {
  local folder=${!1:-}
  [ -n "$folder" ] || return 0
  [ -f "$folder/include/$2" ] || die "$1=$folder has no include/$2$remedy"
  library "$folder" "$3" >/dev/null || die "$1=$folder has no $3.so, nor $3.so.N, in lib/ or lib64/$remedy"
}

check_settings() {
  case $DEVICE in cpu | cuda) ;; *) die "DEVICE is '$DEVICE', expected cpu or cuda$remedy" ;; esac
  case $FAST in on | off) ;; *) die "FAST is '$FAST', expected on or off$remedy" ;; esac
  [ -z "${CAFFE_SRC:-}" ] || [ -f "$CAFFE_SRC/src/caffe/net.cpp" ] ||
    die "CAFFE_SRC=$CAFFE_SRC is not a checkout of BVLC/caffe: it has no src/caffe/net.cpp$remedy"
  [ -z "${CUDA_ARCH:-}" ] || [[ "$CUDA_ARCH" =~ ^[0-9]{2,3}( [0-9]{2,3})*$ ]] ||
    die "CUDA_ARCH is '$CUDA_ARCH', expected numbers such as '70 80 90'$remedy"
  [ "$DEVICE" = cuda ] || return 0
  [ -z "${CUDA_ROOT:-}" ] || [ -x "$CUDA_ROOT/bin/nvcc" ] ||
    die "CUDA_ROOT=$CUDA_ROOT is not a CUDA toolkit: it has no bin/nvcc$remedy"
  check_companion CUDNN_ROOT cudnn.h libcudnn
  check_companion NCCL_ROOT nccl.h libnccl
}
[ -n "$kept" ] || check_settings

# --- system packages ----------------------------------------------------------------------------------------------

export CMAKE_PREFIX_PATH=${CMAKE_PREFIX_PATH:-}
"$here/dependencies.sh" need
if [ "$DEVICE" = cuda ] && [ -z "${CUDA_ROOT:-}" ]; then
  # shellcheck disable=SC1091
  # Debian's toolkit, the newest g++ that it takes, and NVIDIA's wheels for it, with their sha256 for x86_64 Linux.
  case ${CMAKE_PREFIX_PATH:+beside }$(. /etc/os-release && echo "$ID ${VERSION_ID:-}") in
    "debian 12") # CUDA 11.8
      compiler=g++-11 architectures="35 50 60 70 80 90"
      cudnn_wheel="nvidia-cudnn-cu11==8.9.6.50 319a8f7ca3d65139f1b69998595c7076ae0e4271a325e5dfde50a3ca31f55584"
      nccl_wheel="nvidia-nccl-cu11==2.21.5 49d8350629c7888701d1fd200934942671cb5c728f49acc5a0b3a768820bed29" ;;
    "debian 13") # CUDA 12.4
      compiler=g++-13 architectures="50 60 70 75 80 90"
      cudnn_wheel="nvidia-cudnn-cu12==8.9.7.29 adf4f59ed7a1341103822ed8df6e144f4d47ea8b10d9bf0ea0047ba738fd7b02"
      nccl_wheel="nvidia-nccl-cu12==2.21.5 8579076d30a8c24988834445f8d633c697d42397e92ffc3f63fa26766d25e0a0" ;;
    *) die "CUDA is installed on Debian 12 and 13 alone, and not beside CMAKE_PREFIX_PATH: name a toolkit with CUDA_ROOT=" ;;
  esac
  "$here/apt_install.sh" "$compiler" nvidia-cuda-toolkit
fi
IFS=':;' read -ra folders <<<"$CMAKE_PREFIX_PATH"
for folder in "${folders[@]}"; do PATH+=:$folder/bin; done  # cmake, patchelf and others
PYTHON=${PYTHON:-$("$here/dependencies.sh" python)}

# --- is it built already? -----------------------------------------------------------------------------------------

numpy=$("$PYTHON" -c 'import sys, numpy; print(f"python {sys.version_info[0]}.{sys.version_info[1]}, numpy {numpy.__version__}")') ||
  die "$PYTHON cannot import numpy, whose headers pycaffe is built against: run 'make setup', or set PYTHON"
debian="Debian caffe $DEBIAN_VERSION sha256 $TARBALL_SHA256"
ours=$(
  echo "for: $numpy"
  (cd "$here/patches" && sha256sum ./*.patch) | sed 's/^/patch: /'
  [ "$FAST" = off ] || (cd "$here" && find fast -type f | LC_ALL=C sort | xargs sha256sum) | sed 's/^/patch: /'
)
if [ -n "$kept" ]; then
  if [ "$(grep -E '^(for|patch): ' "$prefix/BUILD")" = "$ours" ] &&
    { [ -n "${CAFFE_SRC:-}" ] || [ "$(recorded source)" = "$debian" ]; } &&
    [ "$(recorded CMAKE_PREFIX_PATH)" = "$CMAKE_PREFIX_PATH" ]; then
    say "already built in $prefix (device $DEVICE)"
    exit 0
  fi
  check_settings
  say "the patches, Python, NumPy, CMAKE_PREFIX_PATH or Debian's source are not those of the build in $prefix: building it again as it was"
fi

# The files of the checkout that are built, as an archive; options of tar may follow.
checkout() { tar -C "$CAFFE_SRC" --exclude=./build --exclude=./.git "$@" -cf - .; }

if [ -n "${CAFFE_SRC:-}" ]; then
  CAFFE_SRC=$(realpath "$CAFFE_SRC")
  content=$(checkout --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner | sha256sum | cut -d' ' -f1)
  origin="$CAFFE_SRC $(git -C "$CAFFE_SRC" rev-parse HEAD 2>/dev/null || echo 'no git') sha256 $content"
else
  origin=$debian
fi

# Those of the default architectures that the toolkit's compiler has: CUDA 12 begins at 50, CUDA 13 at 75.
supported() {
  local list arch found=()
  list=$("$CUDA_ROOT/bin/nvcc" --list-gpu-arch) ||
    die "$CUDA_ROOT/bin/nvcc does not list its architectures (--list-gpu-arch): name them with CUDA_ARCH="
  for arch in $ARCHITECTURES; do
    ! grep -qx "compute_$arch" <<<"$list" || found+=("$arch")
  done
  [ ${#found[@]} -gt 0 ] ||
    die "$CUDA_ROOT/bin/nvcc has none of the architectures $ARCHITECTURES: name others with CUDA_ARCH="
  echo "${found[*]}"
}
if [ "$DEVICE" = cuda ]; then
  if [ -n "${CUDA_ROOT:-}" ]; then
    CUDA_ROOT=$(realpath "$CUDA_ROOT")
    CUDA_CXX=${CUDA_CXX:-$(command -v g++)}
    if [ -z "${CUDA_ARCH:-}" ]; then
      CUDA_ARCH=$(supported)
      [ "$CUDA_ARCH" = "$ARCHITECTURES" ] ||
        say "of the architectures $ARCHITECTURES, $CUDA_ROOT/bin/nvcc has $CUDA_ARCH: those are built"
    fi
  fi
  CUDA_CXX=${CUDA_CXX:-/usr/bin/$compiler}
  CUDA_ARCH=${CUDA_ARCH:-$architectures}
  [ -z "${CUDNN_ROOT:-}" ] || CUDNN_ROOT=$(realpath "$CUDNN_ROOT")
  [ -z "${NCCL_ROOT:-}" ] || NCCL_ROOT=$(realpath "$NCCL_ROOT")
else
  unset CUDA_ROOT CUDA_ARCH CUDA_CXX CUDNN_ROOT NCCL_ROOT
fi
# Everything that goes into the result, a line each; a build whose record differs is built again.
record=$(
  for name in "${SETTINGS[@]}"; do [ -z "${!name:-}" ] || echo "$name: ${!name}"; done
  echo "source: $origin"
  echo "$ours"
)
if [ -f "$prefix/BUILD" ] && [ "$(cat "$prefix/BUILD")" = "$record" ]; then
  say "already built in $prefix"
  exit 0
fi

# --- sources ------------------------------------------------------------------------------------------------------

work=$prefix.work
mkdir -p "$work"
exec 9>"$work/lock"
flock -n -E 75 9 ||
  { [ $? = 75 ] && die "another build is under way in $work"; die "no file can be locked in $work: CAFFE_PREFIX=DIR builds in another folder, and CAFFE_ROOT=DIR make setup uses that"; }
rm -rf "$prefix.new" "$work/src" "$work/build"
log=$work/log
: >"$log"

# Mirror and folder -> the two files of the source package in it; else why not, on standard output.
fetch_from() {
  local name wrong
  rm -f "$2"/caffe_*
  while read -r _ name; do
    "$PYTHON" -c 'import shutil, sys, urllib.request as r; shutil.copyfileobj(r.urlopen(sys.argv[1]), open(sys.argv[2], "wb"))' \
      "${1%/}/$DEBIAN_POOL/$name" "$2/$name" >>"$log" 2>&1 || {
      echo "$1 does not deliver the source of caffe ($(tail -n 1 "$log"))"
      return 1
    }
  done <<<"$DEBIAN_FILES"
  wrong=$(cd "$2" && LC_ALL=C sha256sum --check --quiet <<<"$DEBIAN_FILES" 2>/dev/null) || {
    echo "$1 delivers other files than expected, by their sha256, into $2: ${wrong//$'\n'/, }"
    return 1
  }
}

fetch_debian_source() {
  local dir=$repo/build/caffe-source mirror why=  # kept: the next build needs no network
  mkdir -p "$dir"
  if ! (cd "$dir" && sha256sum --check --status <<<"$DEBIAN_FILES" 2>/dev/null); then
    local mirrors=("${CAFFE_MIRROR:-}")
    [ -n "${CAFFE_MIRROR:-}" ] || mapfile -t mirrors < <("$here/dependencies.sh" mirrors)
    [ ${#mirrors[@]} -gt 0 ] || die "no Debian mirror found in /etc/apt: name one with CAFFE_MIRROR=, or a checkout with CAFFE_SRC="
    say "fetching Debian's source package (caffe $DEBIAN_VERSION, 8.5 MB)"
    for mirror in "${mirrors[@]}"; do
      ! why=$(fetch_from "$mirror" "$dir") || break
    done
    [ -z "$why" ] || die "$why: name another mirror with CAFFE_MIRROR=, or a checkout with CAFFE_SRC="
  fi
  # as dpkg-source does it, which other systems lack
  mkdir "$work/src"
  {
    tar -C "$work/src" -xzf "$dir/caffe_$DEBIAN_VERSION.orig.tar.gz" &&
      tar -C "$work/src" -xJf "$dir/caffe_$DEBIAN_VERSION-8.debian.tar.xz" &&
      while read -r name; do patch -d "$work/src" -p1 --force --silent <"$work/src/debian/patches/$name"; done \
        <"$work/src/debian/patches/series"
  } >>"$log" 2>&1 || { tail -n 3 "$log" >&2; die "the source package in $dir does not unpack: delete that folder and try again"; }
}

if [ -n "${CAFFE_SRC:-}" ]; then
  say "copying $CAFFE_SRC"
  mkdir "$work/src"
  checkout | tar -C "$work/src" -xf -
else
  fetch_debian_source
fi

patches=("$here"/patches/*.patch)
if [ "$FAST" = on ]; then
  cp -r "$here/fast/include" "$here/fast/src" "$work/src/"
  patches+=("$here"/fast/patches/*.patch)
fi
for patch in "${patches[@]}"; do
  if patch -d "$work/src" -p1 --dry-run --force --silent <"$patch" >>"$log" 2>&1; then
    patch -d "$work/src" -p1 --force --silent <"$patch" >>"$log" 2>&1
  elif patch -d "$work/src" -p1 --dry-run --reverse --force --silent <"$patch" >>"$log" 2>&1; then
    say "$(basename "$patch") is in this source already"
  else
    without=
    [[ "$patch" != */fast/* ]] || without="; FAST=off builds without it"
    die "$(basename "$patch") does not apply to $origin: see $log$without"
  fi
done

# --- CUDA's companions --------------------------------------------------------------------------------------------

# cuDNN and NCCL for Debian's CUDA, from the wheels that NVIDIA publishes: headers and libraries, unpacked and no more.
# Requirement, sha256 of its wheel, and where to -> the folders of the wheel.
wheel() {
  local requirement=$1 digest=$2 target=$3
  mkdir -p "$target"
  say "fetching $requirement"
  echo "$requirement --hash=sha256:$digest" >"$target/requirement"
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --dest "$target" --requirement "$target/requirement" >>"$log" 2>&1 ||
    { tail -n 3 "$log" >&2; die "$requirement cannot be fetched: name folders of your own with CUDNN_ROOT and NCCL_ROOT"; }
  "$PYTHON" -m zipfile -e "$target"/*.whl "$target"
  rm "$target"/*.whl
}
cudnn_root=${CUDNN_ROOT:-}
nccl_root=${NCCL_ROOT:-}
if [ "$DEVICE" = cuda ] && [ -z "${CUDA_ROOT:-}" ]; then
  rm -rf "$work/wheels"
  # shellcheck disable=SC2086  # requirement and digest
  {
    [ -n "$cudnn_root" ] || { wheel $cudnn_wheel "$work/wheels/cudnn"; cudnn_root=$work/wheels/cudnn/nvidia/cudnn; }
    [ -n "$nccl_root" ] || { wheel $nccl_wheel "$work/wheels/nccl"; nccl_root=$work/wheels/nccl/nvidia/nccl; }
  }
fi

# --- build --------------------------------------------------------------------------------------------------------

# The shared library, even where the interpreter itself has a static one in it, as conda's has.
read -r python_version python_include python_library < <("$PYTHON" - <<'END'
import pathlib, sysconfig
value = sysconfig.get_config_var
version = value("VERSION")
folders = [pathlib.Path(value("LIBDIR"), value("MULTIARCH") or "."), pathlib.Path(value("LIBDIR"))]
found = [folder / f"libpython{version}.so" for folder in folders if (folder / f"libpython{version}.so").exists()]
print(version, sysconfig.get_path("include"), found[0] if found else folders[0] / value("LDLIBRARY"))
END
)
options=(-DCMAKE_BUILD_TYPE=Release -DBLAS=Open -DUSE_OPENCV=OFF -DUSE_LEVELDB=OFF -DUSE_LMDB=ON
  -DBUILD_docs=OFF "-Dpython_version=$python_version" "-DPYTHON_EXECUTABLE=$PYTHON" "-DPYTHON_INCLUDE_DIR=$python_include"
  "-DPYTHON_LIBRARY=$python_library" -DCMAKE_POLICY_VERSION_MINIMUM=3.5)  # cmake 4 asks for the last
[ "$FAST" = off ] || options+=(-DUSE_OPENMP=ON)
# Libraries beside a bin/ that is on PATH, Anaconda's say, would come before those in /usr.
echo 'set(CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH OFF)' >"$work/find.cmake"
options+=("-DCMAKE_PROJECT_INCLUDE=$work/find.cmake")
if [ "$DEVICE" = cpu ]; then
  # Most of the time goes into reading headers: a dozen files at a time is half the work.
  options+=(-DCPU_ONLY=ON -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=12)
else
  options+=(-DCPU_ONLY=OFF -DCUDA_ARCH_NAME=Manual "-DCUDA_ARCH_BIN=$CUDA_ARCH" "-DCUDA_ARCH_PTX=${CUDA_ARCH##* }"
    "-DCUDA_HOST_COMPILER=$CUDA_CXX")
  [ -z "${CUDA_ROOT:-}" ] || options+=("-DCUDA_TOOLKIT_ROOT_DIR=$CUDA_ROOT")
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
  ! grep -q "No rule to make target 'pycaffe'" "$log" ||
    die "no libboost_python is for $PYTHON (${numpy%,*}); 'docker/dependencies.sh python' names the interpreter that one is for: set PYTHON"
  # What compilers, the linker, nvcc and cmake say; a function's name may have Error in it.
  grep -E '([Ee]rror ?:|fatal +:|undefined reference|CMake Error)' "$log" | head -n 5 >&2 || tail -n 5 "$log" >&2
  die "the build failed: the whole log is $log"
}
say "configuring ($DEVICE)"
cmake -S "$work/src" -B "$work/build" "${options[@]}" >>"$log" 2>&1 || failed
minutes=2
[ "$DEVICE" = cpu ] || minutes=15
say "compiling with $jobs jobs (about $minutes minutes on two cores; log: $log)"
next=0
set +e
make -C "$work/build" -j"$jobs" caffe pycaffe caffe.bin 2>&1 | tee -a "$log" |
  while IFS= read -r line; do
    [[ $line =~ ^\[\ *([0-9]+)%\] ]] || continue
    percent=${BASH_REMATCH[1]}
    [ "$percent" -lt "$next" ] || { printf 'caffe: %3d %%\n' "$percent" >&2; next=$((percent - percent % 10 + 10)); }
  done
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
# Copies a linked library, under the name by which it is loaded, and the parts that it loads itself: libcudnn.so.9 has
# libcudnn_ops.so.9 and others.
copy_companion() {
  local linked=$1 name part
  name=$(patchelf --print-soname "$linked")
  cp "$linked" "$new/lib/$name"
  for part in "$(dirname "$linked")/${name%%.so.*}"_*.so."${name##*.so.}"; do
    case $part in *_adv_infer.so.8 | *_adv_train.so.8) continue ;; esac # recurrent nets, 240 MB that Caffe never calls
    [ ! -f "$part" ] || cp "$part" "$new/lib/"
  done
}
if [ "$DEVICE" = cuda ]; then
  [ -z "$cudnn_root" ] || copy_companion "$(library "$cudnn_root" libcudnn)"
  [ -z "$nccl_root" ] || copy_companion "$(library "$nccl_root" libnccl)"
fi
# The libraries find each other by place, so that the whole folder can be moved or copied into an image. What comes from
# other folders is found there, by what needs it in turn, too: that is the older kind of entry, which --force-rpath makes.
elsewhere=$("$here/dependencies.sh" libraries | sed 's/^/:/' | tr -d '\n')
if [ "$DEVICE" = cuda ] && [ -n "${CUDA_ROOT:-}" ]; then elsewhere=:$CUDA_ROOT/lib64:$CUDA_ROOT/lib$elsewhere; fi
kind=()
[ -z "$elsewhere" ] || kind=(--force-rpath)
# shellcheck disable=SC2016  # $ORIGIN is for the dynamic linker
{
  patchelf "${kind[@]}" --set-rpath '$ORIGIN'"$elsewhere" "$(realpath "$new/lib/libcaffe.so")"
  patchelf "${kind[@]}" --set-rpath '$ORIGIN/../lib'"$elsewhere" "$new/bin/caffe"
  patchelf "${kind[@]}" --set-rpath '$ORIGIN/../../lib'"$elsewhere" "$new/python/caffe/_caffe.so"
}
GLOG_minloglevel=2 PYTHONPATH="$new/python" "$PYTHON" -B -c 'import caffe; assert "Python" in caffe.layer_type_list()' >>"$log" 2>&1 ||
  { tail -n 3 "$log" >&2; die "it compiled, but '$PYTHON' cannot import it: the whole log is $log"; }
"$new/bin/caffe" --version >>"$log" 2>&1 ||
  { tail -n 3 "$log" >&2; die "it compiled, but its program does not start: the whole log is $log"; }
echo "$record" >"$new/BUILD"
rm -rf "$prefix"
mv "$new" "$prefix"
rm -rf "$work/src" "$work/build" "$work/wheels"
say "built in $prefix"
