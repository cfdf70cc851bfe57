"""One's own set: lists out of two folders, and lists that somebody wrote."""

import pytest
from PIL import Image

from attscale import datasets
from attscale.data import verify
from attscale.data.lists import read_list
from attscale.errors import DataError
from attscale.inference import sources
from attscale.prepare import own, sets
from conftest import one_line_error
from helpers.archives import files, jpeg, label, palette_png

CLASSES = 'classes = ["ground", "ball", "sky"]\n'
NAMES = ("a.jpg", "b.JPEG", "c.png", "d.bmp", "e.tif", "f.tiff", "g.webp", "h.ppm", "i-1.jpg", "j.2.jpg")


def made(folder, text="[folders]\n", names=NAMES, images="images", labels="labels"):
    """(DataSet, root) of data/photos below `folder`, with empty files of these names, and their label maps'."""
    root = folder / "data/photos"
    for sub in (images, labels):
        (root / sub).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / images / name).touch()
        (root / labels / f"{name.rpartition('.')[0]}.png").touch()
    (root / datasets.FILE).write_text(CLASSES + text)
    return datasets.find("photos", folder / "data"), root


def lists(root, *names):
    return {
        name: [image.name for image, _ in read_list(root, f"list/{name}.txt")] for name in names or ("train", "val")
    }


def test_every_image_is_in_one_of_the_lists_with_its_label_map(tmp_path):
    dataset, root = made(tmp_path)
    assert own.make_lists(dataset, root) == {"train": 8, "val": 2}
    found = lists(root)
    assert sorted(found["train"] + found["val"]) == sorted(NAMES)
    assert found["train"] == sorted(found["train"])
    for split in found:
        for line in (root / f"list/{split}.txt").read_text().splitlines():
            image, of = line.split()
            assert (image.split("/")[:2], of.split("/")[:2]) == (["", "images"], ["", "labels"])
            assert of.split("/")[2] == f"{image.split('/')[2].rpartition('.')[0]}.png"


def test_what_lists_take_is_predicted_by_name_too(tmp_path):
    _, root = made(tmp_path)
    assert [path.name for path in sources.find_images([root / "images"])] == sorted(NAMES)


def test_the_seed_decides_which_are_for_validation(tmp_path):
    found = []
    for seed in (0, 0, 1, 2, 3):
        dataset, root = made(tmp_path / f"{len(found)}", f"[folders]\nseed = {seed}\nval = 0.4\n")
        own.make_lists(dataset, root)
        found.append(tuple(lists(root)["val"]))
    assert found[0] == found[1]
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    ("share", "number", "expected"),
    [(0.2, 10, 2), (0.5, 10, 5), (0.01, 10, 1), (0.99, 10, 9), (0.2, 2, 1), (0.9, 2, 1), (0.25, 3, 1)],
)
def test_neither_list_is_empty(share, number, expected, tmp_path):
    dataset, root = made(tmp_path, f"[folders]\nval = {share}\n", [f"{n}.jpg" for n in range(number)])
    assert own.make_lists(dataset, root) == {"train": number - expected, "val": expected}


def test_folders_and_lists_of_other_names(tmp_path):
    text = """
train = "most"
val = "rest"
folders = { images = "a/photographs", labels = "./maps/" }
splits = { most = { list = "lists/most.txt" }, rest = { list = "rest.txt" } }
"""
    dataset, root = made(tmp_path, text, ("1.jpg", "2.jpg"), "a/photographs", "maps")
    assert own.make_lists(dataset, root) == {"most": 1, "rest": 1}
    lines = sorted((root / "lists/most.txt").read_text().splitlines() + (root / "rest.txt").read_text().splitlines())
    assert lines == ["/a/photographs/1.jpg /maps/1.png", "/a/photographs/2.jpg /maps/2.png"]


def test_what_is_no_image_is_passed_over(tmp_path):
    dataset, root = made(tmp_path, names=("a.jpg", "b.jpg", "notes.txt", ".DS_Store", "Thumbs.db"))
    (root / "images/more.jpg").mkdir()
    (root / "images/._a.jpg").touch()  # as macOS leaves them on other disks
    own.make_lists(dataset, root)
    assert sorted(map(tuple, lists(root).values())) == [("a.jpg",), ("b.jpg",)]


def unlabelled(root):
    (root / "labels/a.png").unlink()


def three_unlabelled(root):
    for name in ("b", "a", "d"):
        (root / f"labels/{name}.png").unlink()


def no_images(root):
    for path in (root / "images").iterdir():
        path.unlink()


def one_image(root):
    no_images(root)
    (root / "images/a.jpg").touch()


def no_folder(root):
    no_images(root)
    (root / "images").rmdir()


def twice(root):
    (root / "images/a.png").touch()


def a_space(root):
    (root / "images/my cat.jpg").touch()
    (root / "labels/my cat.png").touch()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (unlabelled, r"images/a\.jpg has no label map .*data/photos/labels/a\.png$"),
        (three_unlabelled, r"images/a\.jpg has no label map .*labels/a\.png, nor have 2 more$"),
        (no_images, r"data/photos/images: has 0 images \(\.bmp, \.jpeg, .*\.webp\), expected 2 or more"),
        (one_image, r"data/photos/images: has 1 images"),
        (no_folder, r"data/photos/images: no such folder, of images"),
        (twice, r"images/a\.png and .*images/a\.jpg would have the same label map, a\.png"),
        (a_space, r"images/my cat\.jpg: has a space in its name, which a list cannot hold; rename it"),
    ],
)
def test_nothing_is_written_of_folders_that_do_not_fit(spoil, said, tmp_path):
    dataset, root = made(tmp_path)
    spoil(root)
    with pytest.raises(DataError, match=said):
        own.make_lists(dataset, root)
    assert not (root / "list").exists()


def test_a_folder_with_a_space(tmp_path):
    dataset, root = made(tmp_path, 'folders = { images = "my photos" }\n', ("a.jpg", "b.jpg"), "my photos")
    with pytest.raises(DataError, match=r"my photos/a\.jpg: has a space in its name"):
        own.make_lists(dataset, root)


def written(folder, text="", **names):
    """(DataSet, root) of a set without folders whose lists name a, b, ... as said."""
    dataset, root = made(folder, text, ())
    for name in sorted({name for of in names.values() for name in of}):
        (root / f"images/{name}.jpg").write_bytes(jpeg())
        (root / f"labels/{name}.png").write_bytes(palette_png(label(0, 1, 2)))
    (root / "list").mkdir(exist_ok=True)
    for split, of in names.items():
        (root / f"list/{split}.txt").write_text("".join(f"/images/{n}.jpg /labels/{n}.png\n" for n in of))
    return dataset, root


def test_lists_that_somebody_wrote_are_checked(tmp_path, tool):
    _, root = written(tmp_path, train="abc", val="d")
    done = tool("prepare_data", "photos")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if "pairs" in line] == [
        "data/photos/list/train.txt: 3 pairs",
        "data/photos/list/val.txt: 1 pairs",
    ]
    assert "  1 ball                                600  33.3333%" in done.stdout  # a third of 3 x 20 x 30
    (root / "labels/b.png").write_bytes(palette_png(label(0, 3)))
    for arguments in ((), ("--verify",)):
        done = tool("prepare_data", "photos", *arguments)
        one_line_error(done, "data/photos: 1 faulty pairs")
        fault = "fault: data/photos/labels/b.png: 300 pixels have the value 3, expected a class from 0 to 2 or 255"
        assert fault in done.stdout


def test_a_list_that_nobody_wrote(tmp_path, tool):
    written(tmp_path, train="ab")
    said = "data/photos/list/val.txt: no such list file: write it, an image and its label map a line, or name two"
    for command in (["prepare_data", "photos"], ["prepare_data", "photos", "--verify"]):
        one_line_error(tool(*command), said, "[folders] in dataset.toml")


def test_a_list_that_the_command_makes(tmp_path, tool):
    made(tmp_path)
    said = "data/photos/list/train.txt: no such list file: make it with python tools/prepare_data.py photos"
    for command in (["prepare_data", "photos", "--verify"], ["train", "photos_largefov_narrow"]):
        one_line_error(tool(*command), said)


WITH_TEST = "[splits]\n" + "".join(f'{name} = {{ list = "list/{name}.txt" }}\n' for name in ("train", "val", "test"))


def test_a_test_list_beside_folders_need_not_be_there(tmp_path, tool):
    """Nothing makes it: to tell somebody to run the command again would be a circle."""
    _, root = made(tmp_path, "[folders]\nval = 0.5\n" + WITH_TEST, ())
    for name in "abcd":
        (root / f"images/{name}.jpg").write_bytes(jpeg())
        (root / f"labels/{name}.png").write_bytes(palette_png(label(0, 1, 2)))
    for arguments in ((), ("--verify",)):
        done = tool("prepare_data", "photos", *arguments)
        assert done.returncode == 0, done.stderr
        assert [line.split(":")[0] for line in done.stdout.splitlines() if "pairs" in line] == [
            "data/photos/list/train.txt",
            "data/photos/list/val.txt",
        ]
    done = tool("train", "photos_largefov_narrow_test")
    one_line_error(done, "list/test.txt: no such list file: write it, an image and its label map a line")
    assert "prepare_data" not in done.stderr
    (root / "list/test.txt").write_text("/images/a.jpg /labels/a.png\n")
    assert "data/photos/list/test.txt: 1 pairs" in tool("prepare_data", "photos").stdout


def test_a_test_list_of_a_set_without_folders_has_to_be_there(tmp_path):
    dataset, root = written(tmp_path, WITH_TEST, train="ab", val="c")
    with pytest.raises(DataError, match=r"list/test\.txt: no such list file: write it"):
        sets.check_own(dataset, root)


SPLITS = '[splits]\ntrain = { list = "list/train.txt", images = 3 }\nval = { list = "list/val.txt" }\n'


def test_a_list_of_another_length_than_was_said(tmp_path):
    dataset, root = written(tmp_path, SPLITS, train="ab", val="c")
    with pytest.raises(DataError, match=r"list/train\.txt: names 2 images, dataset\.toml says 3 \(--any-count\)"):
        sets.check_own(dataset, root)
    sets.check_own(dataset, root, any_count=True)
    dataset, root = written(tmp_path, SPLITS, train="abd", val="c")
    sets.check_own(dataset, root)


def test_a_test_list_without_label_maps_is_no_fault(tmp_path, tool):
    _, root = written(tmp_path, WITH_TEST, train="ab", val="c", test="d")
    assert "list/test.txt: 1 pairs" in tool("prepare_data", "photos").stdout
    (root / "list/test.txt").write_text("/images/d.jpg\n")
    done = tool("prepare_data", "photos")
    assert done.returncode == 0, done.stderr
    assert "list/test.txt" not in done.stdout
    (root / "list/test.txt").write_text("/images/c.jpg /labels/c.png\n/images/d.jpg\n")
    one_line_error(
        tool("prepare_data", "photos"), "list/test.txt:2: '/images/d.jpg': expected an image and a label map"
    )


def test_the_command_makes_lists_and_checks_them(tmp_path, tool):
    _, root = made(tmp_path, "[folders]\nval = 0.5\n", ())
    for name in "abcd":
        (root / f"images/{name}.jpg").write_bytes(jpeg())
        (root / f"labels/{name}.png").write_bytes(palette_png(label(0, 1)))
    done = tool("prepare_data", "photos")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["data/photos: train 2, val 2 images", "data/photos/list/train.txt: 2 pairs"]
    (root / "images/e.jpg").write_bytes(jpeg())
    one_line_error(tool("prepare_data", "photos"), "data/photos/images/e.jpg has no label map")
    assert files(root / "list") == ["train.txt", "val.txt"]


def turned(path, tag):
    """Gives an image file that EXIF orientation, as a phone does."""
    image, tags = Image.open(path), Image.Exif()
    tags[0x0112] = tag
    image.save(path, exif=tags)


@pytest.mark.parametrize(("tag", "text"), [(3, ""), (6, "[folders]\nval = 0.5\n")], ids=["lists", "folders"])
def test_a_photograph_that_is_stored_turned(text, tag, tmp_path, tool):
    """Of 3, upside down, its size tells nothing; of 6 the label map that was drawn on it upright has another."""
    _, root = written(tmp_path, text, train="ab", val="cd")
    turned(root / "images/b.jpg", tag)
    if tag == 6:
        (root / "labels/b.png").write_bytes(palette_png(label(0, 1, size=(30, 20))))
    for arguments in ((), ("--verify",)):
        done = tool("prepare_data", "photos", *arguments)
        one_line_error(done, "data/photos: 1 faulty pairs")
        assert f"fault: data/photos/images/b.jpg: has the EXIF orientation {tag}; save it upright" in done.stdout


def test_a_set_in_the_folder_of_a_built_in_one_is_read_as_its_own_file_says(tmp_path, tool):
    """VOC's lists, in data/VOC2012, have the same names; but not these three classes."""
    _, root = written(tmp_path, train="ab", val="cd")
    root.rename(root.with_name("VOC2012"))
    done = tool("prepare_data", "VOC2012", "--verify")
    assert done.returncode == 0, done.stderr
    assert "  1 ball  " in done.stdout
    assert "aeroplane" not in done.stdout


def remarks(dataset, root):
    """What is said of a set that has no faults."""
    return list(own.remarks(dataset, root, {path: report for path, _, report in verify.check_lists(root, [dataset])}))


TOO_LARGE = (
    "; nets of full width may not take it at test time (of Attention to Refine more than 1249x1249, of Attention to "
    "Scale more than 1921x1921): make it and its label map smaller"
)


# A net sees sides of 32k + 1 pixels. 1249 is 39 x 32 + 1, the next is 1281; 1249^2 is 1,560,001.
@pytest.mark.parametrize(
    ("width", "height", "said"),
    [
        (31, 20, ""),
        (1249, 1249, ""),
        (1250, 1240, TOO_LARGE),  # 1,550,000 pixels, but 1281 x 1249 = 1,599,969 for a net
        (3000, 400, ""),  # 3009 x 417 = 1,254,753
        (600, 3000, TOO_LARGE),  # 609 x 3009 = 1,832,481
        (4032, 3024, TOO_LARGE),
    ],
)
@pytest.mark.parametrize("where", ["train", "test"])
def test_the_largest_image_is_named(where, width, height, said, tmp_path):
    """In whichever list, with label map or without."""
    dataset, root = written(tmp_path, WITH_TEST, train="abe", val="c", test="d")
    (root / "list/test.txt").write_text("/images/d.jpg\n")
    for name in "abcde":
        Image.new("RGB", (30, 20)).save(root / f"images/{name}.jpg")
    name = {"train": "b", "test": "d"}[where]
    Image.new("RGB", (width, height)).save(root / f"images/{name}.jpg")
    (root / f"labels/{name}.png").write_bytes(palette_png(label(0, 1, 2, size=(height, width))))
    assert remarks(dataset, root) == [f"largest image: {root}/images/{name}.jpg, {width}x{height} pixels{said}"]


HINT = "; where 255 stands for a class, dataset.toml has to say so: map = { 255 = 1, 0 = 0 }"


@pytest.mark.parametrize(
    ("text", "drawn", "said"),
    [
        ("", (0, 1, 2), None),
        ("", (0, 1, 2, 255), None),
        ("", (0, 2), "'ball', which nets cannot learn"),
        ("", (1,), "'ground', 'sky', which nets cannot learn"),
        ("", (0, 255), "'ball', 'sky', which nets cannot learn" + HINT),
        ("ignore = [7]\n", (0, 2, 7), "'ball', which nets cannot learn" + HINT),
        ("map = { 0 = 0, 255 = 1 }\n", (0, 255), "'sky', which nets cannot learn"),
        ("map = { 0 = 0, 9 = 1 }\n", (0, 9, 255), "'sky', which nets cannot learn"),
    ],
)
def test_classes_that_training_never_sees_are_named(text, drawn, said, tmp_path):
    """val has all of them; the first line is the largest image."""
    dataset, root = written(tmp_path, text, train="ab", val="c")
    for name in "abc":
        (root / f"labels/{name}.png").write_bytes(palette_png(label(*drawn)))
    expected = [] if said is None else [f"{root}/list/train.txt: no pixel is of {said}"]
    assert remarks(dataset, root)[1:] == expected


def test_masks_of_0_and_255_are_told_of_and_trained_on_as_said(tmp_path, tool):
    _, root = written(tmp_path, "", train="ab", val="c")
    (root / datasets.FILE).write_text('classes = ["ground", "ball"]\n')
    for name in "abc":
        Image.fromarray(label(0, 0, 255)).save(root / f"labels/{name}.png")
    done = tool("prepare_data", "photos")
    assert done.returncode == 0, done.stderr
    last = "data/photos/list/train.txt: no pixel is of 'ball', which nets cannot learn" + HINT
    assert done.stdout.splitlines()[-1] == last
    (root / datasets.FILE).write_text('classes = ["ground", "ball"]\nmap = { 255 = 1, 0 = 0 }\n')
    shown = tool("prepare_data", "photos").stdout
    assert "  1 ball                                400  33.3333%" in shown  # a third of 2 x 20 x 30
    assert "no pixel" not in shown
