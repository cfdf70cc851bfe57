"""Images that are whole are read, whatever their kind; JPEGs whose damage shows are refused."""

import io
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from attscale.data.images import SUFFIXES, decode_image, decode_label, image_size, orientation, read_image
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


def tagged(tag, kind="JPEG"):
    """The bytes of an image file with that EXIF orientation, or none."""
    tags = Image.Exif()
    if tag is not None:
        tags[0x0112] = tag
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, kind, exif=tags)
    return file.getvalue()


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("tag", "expected"), [(None, 1), *((tag, tag) for tag in range(1, 9)), (0, 1), (9, 1)]
)  # no other number means anything
def test_the_orientation_of_an_image(kind, tag, expected, tmp_path):
    path = tmp_path / "a.x"
    path.write_bytes(tagged(tag, kind=kind))
    assert orientation(path) == expected


@pytest.mark.parametrize("kind", ["BMP", "PPM"])
def test_formats_without_exif_are_upright(kind, tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.x", kind)
    assert orientation(tmp_path / "a.x") == 1


def test_broken_exif_turns_nothing_and_says_nothing(tmp_path, capfd, recwarn):
    """Each of its bytes as a program may have left it: an orientation, or none; never an error."""
    whole, path = tagged(6), tmp_path / "a.jpg"
    start = whole.index(b"Exif")
    for place in range(start + 6, start + 34):
        for byte in (0, 255, whole[place] ^ 8):
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            assert orientation(path) in range(1, 9)
    path.write_bytes(b"no image")
    assert orientation(path) == 1
    assert not recwarn.list
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("read", [orientation, image_size])
def test_the_header_of_what_is_not_there(read, tmp_path):
    with pytest.raises(DataError, match=r"a\.jpg: no such file"):
        read(tmp_path / "a.jpg")


def test_the_size_of_what_is_no_image(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"^.*/a\.jpg: cannot be read: cannot identify image file"):
        image_size(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_suffix_is_one_of_images_that_are_read(suffix, tmp_path):
    Image.new("RGB", (30, 20), (200, 100, 50)).save(tmp_path / f"a{suffix}")
    image = read_image(tmp_path / f"a{suffix}")
    assert image.shape == (*image_size(tmp_path / f"a{suffix}"), 3) == (20, 30, 3)
    assert abs(image.astype(int) - (50, 100, 200)).max() <= 3  # JPEG's and WebP's rounding


def test_an_image_of_absurd_size_is_refused_in_one_line(capfd):
    size = (1 << 20).to_bytes(4, "little")
    data = bytearray(cv2.imencode(".bmp", np.zeros((2, 2, 3), np.uint8))[1].tobytes())
    data[18:26] = size + size
    with pytest.raises(DataError, match=r"^a\.bmp: not ") as refused:
        decode_image(bytes(data), "a.bmp")
    assert "\n" not in str(refused.value)
