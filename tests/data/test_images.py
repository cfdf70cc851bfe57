"""Images that are whole are read, whatever their kind; JPEGs whose damage shows are refused."""

import io
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from attscale.data.images import decode_image, decode_label, read_image
from attscale.errors import DataError
from helpers.archives import palette_png, saved

KINDS = {
    "baseline": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 4},
    "grey": {"mode": "L"},
    "cmyk": {"mode": "CMYK"},
}


def jpeg(mode="RGB", **options):
    """A picture of 500x375 pixels, neither flat nor mere noise, as a JPEG's bytes."""
    rng = np.random.default_rng(0)
    pixels = cv2.resize(rng.uniform(40, 215, (47, 62, 3)), (500, 375)) + rng.normal(0, 6, (375, 500, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def exif():
    tags = Image.Exif()
    tags[0x0112] = 1
    tags[0x010E] = "a description"
    return tags


SOUND = {
    **{kind: jpeg(**options) for kind, options in KINDS.items()},
    "exif": jpeg(exif=exif()),
    "trailing bytes": jpeg() + b"left over by a camera" * 9,
    "trailing picture": jpeg() + jpeg(progressive=True),
    "zeros before the end": jpeg()[:-2] + b"\0\0\xff\xd9",
}


@pytest.mark.parametrize("data", SOUND.values(), ids=SOUND)
def test_sound_jpegs_are_read(tmp_path, capfd, data):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    image = read_image(path)
    assert image.shape == (375, 500, 3)
    assert np.array_equal(image, cv2.imread(str(path)))
    assert capfd.readouterr().err == ""


def cut(data, where):
    return data[: int(len(data) * where)] + b"\xff\xd9"


@pytest.mark.parametrize("where", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_jpeg_is_refused(tmp_path, capfd, kind, where):
    """Ended as if it were whole: OpenCV itself lets it pass."""
    path = tmp_path / "a.jpg"
    path.write_bytes(cut(jpeg(**KINDS[kind]), where))
    assert cv2.imread(str(path)).shape == (375, 500, 3)
    capfd.readouterr()
    with pytest.raises(DataError, match=r"a\.jpg: a damaged JPEG: libjpeg says 'Corrupt JPEG data: premature end"):
        read_image(path)
    assert capfd.readouterr().err == ""


def is_refused(path):
    try:
        read_image(path)
    except DataError:
        return True
    return False


@pytest.mark.parametrize("kind", ["baseline", "restarts"])
def test_a_jpeg_overwritten_inside_is_refused_but_for_rare_ones(tmp_path, kind):
    """200 bytes of garbage; none is 255, with which a marker would begin, so that OpenCV itself lets the file pass.

    At quality 90 hardly one in a hundred makes a whole JPEG of another picture, which nothing can tell.
    """
    data, path, refused = jpeg(**KINDS[kind]), tmp_path / "a.jpg", 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        start = int(len(data) * rng.uniform(0.2, 0.8))
        garbage = rng.integers(0, 255, 200, np.uint8).tobytes()
        path.write_bytes(data[:start] + garbage + data[start + 200 :])
        assert cv2.imread(str(path)).shape == (375, 500, 3)
        refused += is_refused(path)
    assert refused >= 36


def test_what_is_said_of_something_else_is_passed_on(tmp_path, capfd):
    """libjpeg warns of a header that says version 3.01 of JFIF, and reads the picture all the same."""
    data = jpeg()
    assert data[6:13] == b"JFIF\0\1\1"
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:11] + b"\3\1" + data[13:])
    assert read_image(path).shape == (375, 500, 3)
    assert "unknown JFIF revision number 3.01" in capfd.readouterr().err


def test_damage_is_heard_where_the_standard_error_is_closed(tmp_path):
    (tmp_path / "good.jpg").write_bytes(jpeg())
    (tmp_path / "bad.jpg").write_bytes(cut(jpeg(), 0.5))
    code = (
        "from attscale.data.images import read_image\n"
        "from attscale.errors import DataError\n"
        "print(read_image('good.jpg').shape)\n"
        "try:\n    read_image('bad.jpg')\n"
        "except DataError as error:\n    print(error)\n"
    )
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    shape, said = done.stdout.splitlines()
    assert shape == "(375, 500, 3)"
    assert said.startswith("bad.jpg: a damaged JPEG")


LABEL = np.random.default_rng(0).choice(np.array([0, 1, 2, 15, 255], np.uint8), (9, 11))


def read_or_none(decode, data):
    try:
        return decode(data, "a.png")
    except DataError:
        return None


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (decode_label, palette_png(LABEL)),
        (decode_label, saved(Image.fromarray(LABEL))),
        (decode_image, saved(Image.fromarray(LABEL))),
        (decode_image, palette_png(LABEL)),
    ],
    ids=["palette", "grey", "image", "image with a palette"],
)
def test_no_flipped_bit_of_a_png_makes_other_pixels(decode, data, capfd):
    """Pillow decodes past a PNG's checksums: one bit of the compressed data, and what follows are other classes."""
    whole = decode(data, "a.png")
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        got = read_or_none(decode, bytes(flipped))
        assert got is None or np.array_equal(got, whole), bit


def test_an_image_of_absurd_size_is_refused_in_one_line(capfd):
    size = (1 << 20).to_bytes(4, "little")
    data = bytearray(cv2.imencode(".bmp", np.zeros((2, 2, 3), np.uint8))[1].tobytes())
    data[18:26] = size + size
    with pytest.raises(DataError, match=r"^a\.bmp: not ") as refused:
        decode_image(bytes(data), "a.bmp")
    assert "\n" not in str(refused.value)
