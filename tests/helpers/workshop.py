"""A place to build Caffe in without compiling it: docker/build_caffe.sh with quick tools."""

import os
import shutil
import subprocess
import sys

from conftest import REPO

SCRIPT = REPO / "docker" / "build_caffe.sh"
SETTINGS = ("DEVICE", "CAFFE_SRC", "CAFFE_PREFIX", "CUDA_ARCH", "CUDA_ROOT", "CUDA_CXX", "CUDNN_ROOT", "NCCL_ROOT")
CLEAN = {name: value for name, value in os.environ.items() if name not in (*SETTINGS, "CMAKE_PREFIX_PATH")}

# They stand for cmake and make: settings are noted, and what is "compiled" is the Caffe that is here.
CMAKE = """#!/bin/sh
printf '%s\\n' "$@" >"$NOTES"
while [ "$1" != -B ]; do shift; done
mkdir -p "$2/lib" "$2/tools"
"""
MAKE = f"""#!/bin/sh
cp -P {REPO}/build/caffe/lib/libcaffe.so* {REPO}/build/caffe/python/caffe/_caffe.so "$2/lib/"
cp {REPO}/build/caffe/bin/caffe "$2/tools/caffe"
"""


def write(path, content, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    return path


def run(script, **environment):
    return subprocess.run(
        [script], env={**CLEAN, **environment}, capture_output=True, text=True, timeout=300, cwd=script.parent
    )


class Workshop:
    """A copy of the recipe with one patch of its own, and quick tools: all else is the real one."""

    def __init__(self, folder):
        self.folder = folder
        self.script = folder / "repo/docker/build_caffe.sh"
        self.prefix = folder / "repo/build/caffe"
        self.record = self.prefix / "BUILD"
        self.patch = write(
            self.script.parent / "patches/0001-a.patch", "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-old\n+new\n"
        )
        self.fast = write(
            self.script.parent / "fast/patches/0101-b.patch", "--- a/b.txt\n+++ b/b.txt\n@@ -1 +1 @@\n-slow\n+fast\n"
        )
        for kind in ("include", "src"):
            write(self.script.parent / f"fast/{kind}/caffe/fast/{kind}.txt", "ours\n")
        for name in (SCRIPT.name, "dependencies.sh", "dependencies.txt"):
            shutil.copy(SCRIPT.parent / name, self.script.parent)
        write(self.script.parent / "apt_install.sh", "#!/bin/sh\n", 0o755)
        write(folder / "bin/cmake", CMAKE, 0o755)
        write(folder / "bin/make", MAKE, 0o755)
        write(folder / "bin/apt-get", "#!/bin/sh\nexit 1\n", 0o755)  # a mirror that does not answer

    def build(self, **environment):
        paths = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "PYTHON": sys.executable}
        settings = {"NOTES": str(self.folder / "notes"), "CAFFE_MIRROR": "http://nowhere.invalid"} | environment
        return run(self.script, **paths, **settings)

    def source(self, name="source"):
        """A checkout without git, of what the recipe takes from one."""
        source = self.folder / name
        write(source / "src/caffe/net.cpp", "int main() {}\n")
        write(source / "a.txt", "old\n")
        write(source / "b.txt", "slow\n")
        write(source / "LICENSE", "BSD\n")
        (source / "src/caffe/proto").mkdir()
        shutil.copy(REPO / "build/caffe/caffe.proto", source / "src/caffe/proto")
        shutil.copytree(REPO / "build/caffe/python/caffe", source / "python/caffe")
        return source

    def options(self):
        return (self.folder / "notes").read_text().splitlines()


def failure(done):
    """The one line with which a build stops before it has begun."""
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr
