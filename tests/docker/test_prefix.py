"""docker/unpack_debian.sh: libraries below a folder, by an ordinary user, where some are installed without headers."""

import subprocess

import pytest

from conftest import REPO
from helpers.containers import container, require_engine

pytestmark = pytest.mark.docker

#: As on a cluster: tools to compile with, and what other programs have brought.
INSTALLED = (
    *("g++", "make", "cmake", "patch", "xz-utils", "python3-dev", "python3-venv"),
    *("libboost-thread1.74.0", "libprotobuf32", "protobuf-compiler", "libopenblas0-pthread"),
)
MAIN = """
#include <boost/thread.hpp>
#include <cblas.h>
#include <glog/logging.h>
#include <google/protobuf/message.h>
#include <lmdb.h>
#include <hdf5_hl.h>
int main() {
  GOOGLE_PROTOBUF_VERIFY_VERSION;
  LOG(INFO) << openblas_get_num_threads() << mdb_strerror(0) << boost::this_thread::get_id();
  return H5LTfind_attribute(0, "") > 0;
}
"""
LIBRARIES = ("boost_thread", "openblas", "glog", "protobuf", "lmdb", "hdf5", "hdf5_hl")


@pytest.fixture(scope="module")
def inside():
    """Runs a line of a shell as the user 4321, or another, in a container of Debian 12 with our folder docker/."""
    require_engine()
    with container("debian:bookworm") as name:

        def run(line, user="4321"):
            command = ["docker", "exec", "--user", user, "--workdir", "/home", name, "bash", "-c", line]
            return subprocess.run(command, capture_output=True, text=True, timeout=900)

        subprocess.run(["docker", "cp", REPO / "docker", f"{name}:/home/docker"], check=True, capture_output=True)
        install = "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"
        done = run(f"chmod 777 /home; apt-get -qq update && {install} {' '.join(INSTALLED)} >/dev/null", user="root")
        assert done.returncode == 0, done.stderr
        yield run


def test_headers_of_libraries_that_are_installed_without(inside):
    done = inside("docker/unpack_debian.sh prefix")
    assert done.returncode == 0, done.stderr
    assert inside("find prefix -name '*.so' -xtype l").stdout == ""
    done = inside("CMAKE_PREFIX_PATH=/home/prefix/usr docker/dependencies.sh need")
    assert done.returncode == 0, done.stderr


def test_a_program_is_compiled_linked_and_run_with_them(inside):
    place = "prefix/usr/lib/x86_64-linux-gnu"
    flags = f"-I prefix/usr/include -L {place} -Wl,--disable-new-dtags,-rpath,$PWD/{place}"
    libraries = " ".join(f"-l{name}" for name in LIBRARIES)
    done = inside(f"cat >a.cpp <<'END'\n{MAIN}\nEND\ng++ {flags} a.cpp -o a {libraries} && GLOG_logtostderr=1 ./a")
    assert done.returncode == 0, done.stderr


def test_where_apt_knows_no_packages(inside):
    """Its own words, and what to do."""
    assert inside("mv /var/lib/apt/lists /var/lib/apt/away", user="root").returncode == 0
    try:
        done = inside("docker/unpack_debian.sh other")
    finally:
        inside("mv /var/lib/apt/away /var/lib/apt/lists", user="root")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "apt does not know these packages: has 'apt-get update' been run, as root?"
