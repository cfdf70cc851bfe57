"""Shared by the tests of prepare_data: miniature archives in the official ones' exact formats, and the command."""

import io
import tarfile
import zipfile

import cv2
import numpy as np
import scipy.io
from PIL import Image

from attscale.data.images import voc_palette
from conftest import one_line_error

H, W = 20, 30


def jpeg(seed=0, size=(H, W)):
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def palette_png(label):
    image = Image.fromarray(label, mode="L")
    image.putpalette(voc_palette().tobytes())
    return saved(image)


def saved(image):
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def label(*values, size=(H, W)):
    """Columns of equal width, a value each."""
    return np.repeat(np.array(values, np.uint8), -(-size[1] // len(values)))[None, : size[1]].repeat(size[0], axis=0)


def mat(**values):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, values, do_compression=True)
    return buffer.getvalue()


def tar(path, members, mode="w", links=()):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, kind in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)


def zipped(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def prepared(tool, name, *arguments):
    done = tool("prepare_data", name, "--root", "root", "--archives", ".", *arguments)
    assert done.returncode == 0, done.stderr
    return done


def refused(tool, name, *said, arguments=("--any-count",)):
    one_line_error(tool("prepare_data", name, "--root", "root", "--archives", ".", *arguments), *said)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
