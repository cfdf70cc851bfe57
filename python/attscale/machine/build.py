"""What Caffe was built with, asked of Caffe itself: of one from elsewhere there is no record.

The functions import caffe, this module does not.
"""

import ctypes
import hashlib
import re
from pathlib import Path

#: A function that only such a build has, its own or a library's.
_FUNCTIONS = {"cuda": "_ZN5caffe16caffe_gpu_memcpyEmPKvPv", "cudnn": "cudnnCreate"}


def built_with(what):
    """Whether Caffe has "cuda" or "cudnn". To call what a CPU build lacks would end the process."""
    import caffe

    return hasattr(ctypes.CDLL(caffe._caffe.__file__), _FUNCTIONS[what])  # looked for in what it is linked with, too


def caffe_build():
    """What a run's record says of the Caffe that trains it, as JSON values.

    version; cuda, cudnn, nccl: whether it has them; library: the file with its code, and sha256 of that.
    """
    import caffe

    mapped = re.search(r"/.*/libcaffe\.so.*", Path("/proc/self/maps").read_text())
    library = Path(mapped[0] if mapped else caffe._caffe.__file__)  # which may hold all of Caffe
    return {
        "version": caffe.__version__,
        "cuda": built_with("cuda"),
        "cudnn": built_with("cudnn"),
        "nccl": caffe.has_nccl(),
        "library": str(library),
        "sha256": hashlib.sha256(library.read_bytes()).hexdigest(),
    }
