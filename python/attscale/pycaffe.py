"""Which Caffe is used, and what is wrong with one that cannot be.

CAFFE_ROOT names a checkout of BVLC Caffe that was built, or a folder that one was installed into: its pycaffe is in
python/. Without it, Python finds one by itself, usually that in build/caffe.
"""

import importlib.machinery
import os
import re
import sys
from pathlib import Path

from attscale.errors import UserError, one_line

ROOT = "CAFFE_ROOT"
_BOOST = re.compile(r"libboost_python(?:-py)?(\d)(\d+)")
_NUMPY = re.compile(r"numpy|_ARRAY_API|initialization of _caffe raised")


def root():
    """The folder that CAFFE_ROOT names; None where it names none."""
    named = os.environ.get(ROOT)
    return Path(named).resolve() if named else None


def watch():
    """Has `import caffe` take the Caffe that CAFFE_ROOT names, and raise UserError where a Caffe cannot be used.

    For this process; those that it starts do the same by the variable that they inherit.
    """
    if named := root():
        os.environ[ROOT] = str(named)  # they may run in other folders
    sys.meta_path.insert(0, _Finder)


def tell(argv):
    """Prints the Caffe in use. Raises UserError where it cannot be used."""
    import caffe

    print(f"caffe: {Path(caffe.__file__).parent}, version {caffe.__version__}, is used as it is")


class _Finder:
    """Python's own way to a module, for `caffe` alone."""

    @staticmethod
    def find_spec(name, path, target=None):
        if name != "caffe":
            return None
        named = root()
        spec = importlib.machinery.PathFinder.find_spec(name, [str(named / "python")] if named else None)
        if spec is None or spec.origin is None:  # or a folder of that name which is no package
            if named:
                built = "a checkout of BVLC Caffe that was built (make pycaffe), or a folder that it was installed into"
                raise UserError(f"{ROOT}={named}: has no python/caffe/__init__.py; expected {built}")
            raise UserError(f"{sys.executable} finds no caffe: make caffe builds one, {ROOT}=DIR names one")
        spec.loader = _Loader(name, spec.origin)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module):
        folder = Path(self.path).parent
        try:
            super().exec_module(module)
        except Exception as error:
            raise UserError(f"{folder}: this Caffe cannot be imported: {_cause(error, folder)}") from error
        if "Python" not in module.layer_type_list():
            how = "build it with WITH_PYTHON_LAYER := 1 in Makefile.config, or cmake -DBUILD_python_layer=ON"
            raise UserError(f"{folder}: this Caffe has no layers in Python, which every net here needs; {how}")


def _cause(error, folder):
    """Why the package in `folder` does not load, in words that say what to build anew where that can be told."""
    said = one_line(error)
    here = ".".join(map(str, sys.version_info[:2]))
    libraries = [path.name for path in sorted(folder.glob("_caffe*.so"))]
    if not libraries:
        return "it has no _caffe.so: make pycaffe in its checkout"
    if not {f"_caffe{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES} & {*libraries}:
        return f"{', '.join(libraries)} is for another Python than this, {here}"
    if "PyInit__caffe" in said:
        return f"it was built for Python 2, and this is {here} ({said})"
    if (boost := _BOOST.search(said)) and f"{boost[1]}.{boost[2]}" != here:
        return f"it was built for Python {boost[1]}.{boost[2]}, and this is {here} ({said})"
    if _NUMPY.search(said):
        import numpy

        return f"it was built with the headers of another NumPy than this, {numpy.__version__} ({said})"
    return said
