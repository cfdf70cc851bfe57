"""Label maps whose values are not the classes' indices: values ignored and mapped, and classes drawn in colours."""

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from attscale.data import verify
from attscale.data.images import decode_label, palette, write_image
from attscale.data.loader import LoaderOptions
from attscale.datasets import LabelValues
from attscale.errors import DataError, UserError
from attscale.options import decode, encode
from conftest import python_layer
from helpers.archives import palette_png, saved

#: 0 and 1 are class 0, 2, 7 and 8 are class 2; 3 and 99 are ignored.
INDICES = LabelValues(ignore=(3, 99), map=((0, 0), (1, 0), (2, 2), (7, 2), (8, 2)))
DRAWN = np.array([[0, 1, 2, 7], [8, 3, 99, 255]], np.uint8)
MEANT = np.array([[0, 0, 2, 2], [2, 255, 255, 255]], np.uint8)

GREEN, RED, BLUE, BLACK, GREY = (0, 128, 0), (220, 20, 60), (1, 2, 255), (0, 0, 0), (128, 128, 128)
COLOURS = LabelValues(colours=(GREEN, RED, BLUE), ignore_colours=(BLACK, GREY))
PICTURE = np.array([[GREEN, RED, BLUE], [BLACK, GREY, GREEN]], np.uint8)
CLASSES = np.array([[0, 1, 2], [255, 255, 0]], np.uint8)


@pytest.mark.parametrize("save", [palette_png, lambda label: saved(Image.fromarray(label))], ids=["palette", "grey"])
def test_values_of_indices(save):
    assert decode_label(save(DRAWN), "a.png", INDICES).tolist() == MEANT.tolist()
    assert decode_label(save(DRAWN), "a.png").tolist() == DRAWN.tolist()


def test_a_palette_of_few_bits():
    """PNG packs up to eight pixels of a small palette into a byte."""
    image = Image.fromarray(np.array([[0, 1, 3], [1, 1, 0]], np.uint8), mode="L")
    image.putpalette(palette().tobytes())
    file = io.BytesIO()
    image.save(file, "png", bits=2)
    assert file.getvalue()[24] == 2
    assert decode_label(file.getvalue(), "a.png", INDICES).tolist() == [[0, 0, 255], [0, 0, 0]]


def test_values_are_mapped_once_not_again():
    turned = LabelValues(map=((0, 1), (1, 2), (2, 0)))
    data = saved(Image.fromarray(np.array([[0, 1, 2]], np.uint8)))
    assert decode_label(data, "a.png", turned).tolist() == [[1, 2, 0]]


@pytest.mark.parametrize(
    ("values", "drawn", "said"),
    [
        (LabelValues(map=((7, 0), (8, 1))), [7, 8, 0, 1, 1], "1 pixels have the value 0"),
        (LabelValues(map=((7, 0), (8, 1))), [7, 8, 1, 255, 1], "2 pixels have the value 1"),
        (LabelValues(map=((0, 0), (255, 1))), [0, 255, 254], "1 pixels have the value 254"),
        (LabelValues(map=((0, 0),), ignore=(1,)), [0, 1, 2], "1 pixels have the value 2"),
    ],
)
@pytest.mark.parametrize("save", [palette_png, lambda label: saved(Image.fromarray(label))], ids=["palette", "grey"])
def test_a_value_that_the_map_does_not_name_is_no_class(save, values, drawn, said):
    with pytest.raises(DataError, match=rf"^a\.png: {said}, which neither map nor ignore names$"):
        decode_label(save(np.array([drawn], np.uint8)), "a.png", values)


@pytest.mark.parametrize(
    ("values", "drawn", "meant"),
    [
        (LabelValues(map=((0, 0), (255, 1))), [0, 255, 255], [0, 1, 1]),  # as masks have it
        (LabelValues(map=((7, 0), (8, 1))), [7, 255, 8], [0, 255, 1]),
        (LabelValues(map=((7, 0), (8, 1)), ignore=(0, 1)), [0, 1, 7, 8], [255, 255, 0, 1]),
        (LabelValues(ignore=(1,)), [0, 1, 2], [0, 255, 2]),
    ],
)
def test_255_is_ignored_unless_it_is_mapped(values, drawn, meant):
    data = saved(Image.fromarray(np.array([drawn], np.uint8)))
    assert decode_label(data, "a.png", values).tolist() == [meant]


def test_classes_drawn_in_colours():
    assert decode_label(saved(Image.fromarray(PICTURE)), "a.png", COLOURS).tolist() == CLASSES.tolist()


def test_what_is_transparent_has_its_colour():
    alpha = np.array([[255, 0, 128], [255, 255, 7]], np.uint8)[..., None]
    data = saved(Image.fromarray(np.concatenate([PICTURE, alpha], axis=2), mode="RGBA"))
    assert decode_label(data, "a.png", COLOURS).tolist() == CLASSES.tolist()


def test_indices_are_indices_where_classes_have_colours(tmp_path):
    """Colours are those of predictions, too: a set that names them may hold label maps of indices."""
    label = np.array([[0, 1, 2, 255]], np.uint8)
    for data in (palette_png(label), saved(Image.fromarray(label))):
        assert decode_label(data, "a.png", COLOURS).tolist() == label.tolist()


def with_palette(label, *colours):
    """An index PNG with these colours, and no more, as its palette."""
    image = Image.fromarray(np.array([label], np.uint8), mode="L")
    image.putpalette([part for colour in colours for part in colour])
    return saved(image)


STRANGE = (9, 9, 9)


@pytest.mark.parametrize(
    ("colours", "drawn", "meant"),
    [
        ((GREEN, RED, BLUE), [0, 1, 2], [0, 1, 2]),
        ((BLUE, GREEN, RED), [0, 1, 2], [2, 0, 1]),
        ((BLACK, BLUE, RED, GREY), [0, 1, 2, 3, 1], [255, 2, 1, 255, 2]),
        ((RED, STRANGE, GREEN), [0, 2, 2], [1, 0, 0]),  # what no pixel has says nothing
        ((BLUE, STRANGE, GREEN), [0, 1, 2], [0, 1, 2]),
        ((GREEN, RED), [1, 0, 1], [1, 0, 1]),
        ((RED, RED, GREEN), [0, 1, 2], [1, 1, 0]),
    ],
    ids=["in order", "turned", "with ignored", "strange unused", "strange used", "few", "one twice"],
)
def test_a_palette_of_the_classes_colours_goes_by_them(colours, drawn, meant):
    """Whatever numbers a program gave them; palettes of other colours are for the eye alone."""
    assert decode_label(with_palette(drawn, *colours), "a.png", COLOURS).tolist() == [meant]


def test_colours_of_a_palette_are_not_mapped_as_well():
    """`map` and `ignore` are of values: they hold for a palette of other colours."""
    values = LabelValues(colours=(GREEN, RED), map=((0, 1), (1, 0)), ignore=(2,))
    assert decode_label(with_palette([0, 1, 1], GREEN, RED), "a.png", values).tolist() == [[0, 1, 1]]
    assert decode_label(with_palette([0, 1, 2], BLUE, RED, GREY), "a.png", values).tolist() == [[1, 0, 255]]


def test_a_palette_says_nothing_where_classes_have_no_colours():
    values = LabelValues(ignore_colours=(GREEN, RED))
    assert decode_label(with_palette([0, 1, 1], GREEN, RED), "a.png", values).tolist() == [[0, 1, 1]]


def test_a_colour_that_nobody_named_is_told_with_its_pixels():
    picture = np.tile(np.array(RED, np.uint8), (5, 4, 1))
    picture[1:3, :2] = (220, 20, 61)  # as a JPEG, or a brush with soft edges, leaves them
    picture[4, 3] = (9, 9, 9)
    said = r"^a\.png: 4 pixels have the colour \[220, 20, 61\], which is neither that of a class nor ignored$"
    with pytest.raises(DataError, match=said):
        decode_label(saved(Image.fromarray(picture)), "a.png", COLOURS)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 0, 0)])
def test_no_colour_is_near_enough(colour):
    """Darker than all, brighter than all, and the first class's with red and green exchanged."""
    values = LabelValues(colours=(GREEN, RED))
    with pytest.raises(DataError, match="1 pixels have the colour"):
        decode_label(saved(Image.fromarray(np.array([[colour, GREEN]], np.uint8))), "a.png", values)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (cv2.imencode(".png", DRAWN.astype(np.uint16))[1].tobytes(), "this one is grey with 16 bits"),
        (cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes(), "must be a PNG, this file is not"),
        (saved(Image.fromarray(PICTURE)), "this one is colour"),
        (saved(Image.fromarray(PICTURE).convert("RGBA")), "this one is colour"),
        (saved(Image.fromarray(PICTURE).convert("LA")), "this one is colour"),
        (saved(Image.fromarray(PICTURE).convert("1")), "this one is grey with 1 bits"),
    ],
    ids=["16 bits", "jpeg", "colour", "rgba", "grey and alpha", "1 bit"],
)
def test_what_is_no_label_map(data, said):
    """None of them with values of indices alone; those without colour not with colours either."""
    with pytest.raises(DataError, match=said):
        decode_label(data, "a.png", INDICES)
    if "colour" not in said:
        with pytest.raises(DataError, match=said):
            decode_label(data, "a.png", COLOURS)


def test_a_damaged_picture_of_colours_is_refused():
    data = bytearray(saved(Image.fromarray(PICTURE)))
    data[data.index(b"IDAT") + 6] ^= 1
    with pytest.raises(DataError, match=r"a\.png: a damaged PNG"):
        decode_label(bytes(data), "a.png", COLOURS)


def options(folder, values, **changes):
    given = {"source": "list.txt", "classes": 3, "crop_size": 33, "batch_size": 1, "mean": (0.0, 0.0, 0.0)} | changes
    return LoaderOptions(root=str(folder), values=values, **given)


@pytest.mark.parametrize("values", [None, INDICES, COLOURS, LabelValues(ignore=(11,))])
def test_the_layer_gets_them_as_text_and_reads_the_same(values, tmp_path):
    there = options(tmp_path, values)
    assert decode(LoaderOptions, encode(there)) == there
    assert ("values" in json.loads(encode(there))) == (values is not None)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ignored": [1]}, "LabelValues: unknown key 'ignored'"),
        ({"map": [[1]]}, r"map is \[1\], expected \[int, int\]"),
        ({"colours": [[1, 2]]}, r"colours is \[1, 2\], expected \[int, int, int\]"),
        ([1], r"values is \[1\], expected a table of keys and values"),
    ],
)
def test_what_a_layer_cannot_be_told(values, said, tmp_path):
    text = json.dumps(json.loads(encode(options(tmp_path, None))) | {"values": values})
    with pytest.raises(UserError, match=said):
        decode(LoaderOptions, text)


@pytest.mark.parametrize(
    ("values", "picture", "expected"),
    [(INDICES, DRAWN, MEANT), (COLOURS, PICTURE, CLASSES)],
    ids=["indices", "colours"],
)
def test_a_training_net_sees_classes(values, picture, expected, tmp_path, make_net):
    """Caffe's own blob; what is beyond the image is ignored."""
    height, width = expected.shape
    write_image(tmp_path / "a.jpg", np.zeros((height, width, 3), np.uint8))
    (tmp_path / "a.png").write_bytes(saved(Image.fromarray(picture)))
    (tmp_path / "list.txt").write_text("/a.jpg /a.png\n")
    net = make_net(python_layer("SegData", (), ("data", "label"), encode(options(tmp_path, values))))
    net.forward()
    label = net.blobs["label"].data[0, 0]
    assert label.shape == (33, 33)
    assert label[:height, :width].tolist() == expected.tolist()
    assert (label[height:] == 255).all()
    assert (label[:, width:] == 255).all()


def test_pixels_are_counted_as_what_they_mean(tmp_path):
    pairs = []
    for name, picture in (("a", DRAWN), ("b", np.full((2, 4), 5, np.uint8))):
        write_image(tmp_path / f"{name}.jpg", np.zeros((2, 4, 3), np.uint8))
        (tmp_path / f"{name}.png").write_bytes(saved(Image.fromarray(picture)))
        pairs.append((tmp_path / f"{name}.jpg", tmp_path / f"{name}.png"))
    report = verify.check(pairs, 3, values=INDICES)
    assert {value: count for value, count in enumerate(report.pixels) if count} == {0: 2, 2: 3, 255: 3}
    (fault,) = report.faults.values()
    assert fault == f"{tmp_path}/b.png: 8 pixels have the value 5, which neither map nor ignore names"


def test_the_colours_of_what_is_written(tmp_path):
    """Those of the classes, then VOC's: of 8 bit 3 is set, which is bit 6 of red."""
    colours = palette((GREEN, RED))
    assert colours[:2].tolist() == [[*GREEN], [*RED]]
    assert colours[2].tolist() == [0, 128, 0]
    assert colours[8].tolist() == [64, 0, 0]
    assert colours.shape == (256, 3)
