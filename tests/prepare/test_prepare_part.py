"""PASCAL-Person-Part from miniature archives, PASCAL-Part's annotations or the authors' label maps."""

import numpy as np
import pytest

from attscale.data.images import read_label
from attscale.errors import DataError
from attscale.prepare import voc10_part
from helpers.archives import H, W, jpeg, label, mat, palette_png, prepared, refused, tar, zipped


def voc2010(tmp_path, names):
    members = {f"VOCdevkit/VOC2010/JPEGImages/{name}.jpg": jpeg(1) for name in names}
    members["VOCdevkit/VOC2010/ImageSets/Main/train.txt"] = "".join(f"{name}\n" for name in names[:2]).encode()
    members["VOCdevkit/VOC2010/ImageSets/Main/val.txt"] = "".join(f"{name}\n" for name in names[2:]).encode()
    tar(tmp_path / "VOCtrainval_03-May-2010.tar", members)


def struct_array(dicts):
    """A 1 x n MATLAB struct array."""
    keys = list(dicts[0])
    result = np.zeros((1, len(dicts)), [(key, object) for key in keys])
    for i, values in enumerate(dicts):
        for key in keys:
            result[key][0, i] = values[key]
    return result


def part(name, columns):
    mask = np.zeros((H, W), np.uint8)
    mask[:, columns] = 1
    return {"part_name": name, "mask": mask}


def anno(*objects):
    """As PASCAL-Part's files: anno.objects(i).class, .parts(j).part_name, .mask; no parts is an empty matrix."""
    return mat(
        anno=struct_array(
            [
                {
                    "imname": "x",
                    "objects": struct_array(
                        [
                            {
                                **{"class": kind, "class_ind": 15.0, "mask": np.ones((H, W), np.uint8)},
                                "parts": struct_array(parts) if parts else np.zeros((0, 0)),
                            }
                            for kind, parts in objects
                        ]
                    ),
                }
            ]
        )
    )


def columns_of(label_map):
    """The value of each column, all of whose pixels agree."""
    assert (label_map == label_map[0]).all()
    return label_map[0].tolist()


def test_parts_are_merged_into_six(tmp_path, tool):
    """24 parts in 24 columns; expectations typed from the authors' my_part2ind.m."""
    rule = {
        **dict.fromkeys(["head", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth", "hair"], 1),
        **{"neck": 1, "torso": 2},
        **dict.fromkeys(["luarm", "ruarm"], 3),
        **dict.fromkeys(["llarm", "rlarm", "lhand", "rhand"], 4),
        **dict.fromkeys(["luleg", "ruleg"], 5),
        **dict.fromkeys(["llleg", "rlleg", "lfoot", "rfoot"], 6),
    }
    parts = [part(name, [i]) for i, name in enumerate(rule)]
    got = columns_of(voc10_part.merge("f", anno(("person", parts))))
    assert got == [*rule.values(), *[0] * (W - len(rule))]


def test_person_part_from_pascal_part(tmp_path, tool):
    """Two persons in one image and a dog, whose head is none and lies over the first one's torso; images without
    persons or parts are left out."""
    names = ["2008_000001", "2008_000002", "2009_000003", "2009_000004"]
    voc2010(tmp_path, names)
    two = anno(
        ("person", [part("torso", [0, 1]), part("head", [1])]),
        ("dog", [part("head", [0, 8]), part("tail", [9])]),
        ("person", [part("lfoot", [5]), part("ruleg", [6, 1])]),  # its leg lies over the first one's head
    )
    files_ = {
        "Annotations_Part/2008_000001.mat": two,
        "Annotations_Part/2008_000002.mat": anno(("dog", [part("tail", [0])])),
        "Annotations_Part/2009_000003.mat": anno(("person", [part("hair", [3])])),
        "Annotations_Part/2009_000004.mat": anno(("person", [])),
    }
    tar(tmp_path / "trainval.tar.gz", files_, "w:gz")
    done = prepared(tool, "voc10_part", "--any-count")
    assert "train 1, val 1" in done.stdout
    got = columns_of(read_label(tmp_path / "root/pascal_person_part_gt/2008_000001.png"))
    assert got == [0, 5, 0, 0, 0, 6, 5, *[0] * 23]
    assert (tmp_path / "root/list/val.txt").read_text() == (
        "/JPEGImages/2009_000003.jpg /pascal_person_part_gt/2009_000003.png\n"
    )
    refused(tool, "voc10_part", "train would have 1 members, expected 1716", arguments=())


def test_person_part_from_a_corrected_archive(tmp_path, tool):
    """Images of which an earlier archive had a person, and this one has not, are not listed."""
    names = ["2008_000001", "2008_000002", "2009_000003", "2009_000004"]
    voc2010(tmp_path, names)
    hair, nobody = anno(("person", [part("hair", [3])])), anno(("person", []))
    tar(tmp_path / "trainval.tar.gz", {f"Annotations_Part/{name}.mat": hair for name in names}, "w:gz")
    assert "train 2, val 2" in prepared(tool, "voc10_part", "--any-count").stdout
    corrected = {f"Annotations_Part/{name}.mat": hair if name in names[1:3] else nobody for name in names}
    tar(tmp_path / "trainval.tar.gz", corrected, "w:gz")
    assert "train 1, val 1" in prepared(tool, "voc10_part", "--any-count").stdout
    assert (tmp_path / "root/list/train.txt").read_text().startswith("/JPEGImages/2008_000002.jpg ")


def test_person_part_from_the_authors_archive_which_wins(tmp_path, tool):
    names = ["2008_000001", "2008_000002", "2009_000003", "2009_000004"]
    voc2010(tmp_path, names)
    tar(tmp_path / "trainval.tar.gz", {}, "w:gz")
    top = "pascal_person_part"
    line = "/JPEGImages/{0}.jpg /pascal_person_part_gt/{0}.png\n"
    members = {
        f"{top}/pascal_person_part_gt/2008_000002.png": palette_png(label(0, 6, 255)),
        f"{top}/pascal_person_part_gt/2009_000004.png": palette_png(label(1, 2)),
        f"{top}/pascal_person_part_trainval_list/train.txt": line.format("2008_000002").encode(),
        f"{top}/pascal_person_part_trainval_list/val.txt": b"2009_000004\n",
    }
    zipped(tmp_path / "pascal_person_part.zip", members)
    prepared(tool, "voc10_part", "--any-count")
    assert (tmp_path / "root/list/train.txt").read_text() == line.format("2008_000002")
    assert np.array_equal(read_label(tmp_path / "root/pascal_person_part_gt/2008_000002.png"), label(0, 6, 255))
    members[f"{top}/pascal_person_part_gt/2009_000004.png"] = palette_png(label(1, 7))
    zipped(tmp_path / "pascal_person_part.zip", members)
    refused(tool, "voc10_part", "2009_000004.png: 300 pixels have the value 7, expected a class from 0 to 6")
    (tmp_path / "pascal_person_part.zip").write_bytes(b"PK\3\4 cut")
    refused(tool, "voc10_part", "pascal_person_part.zip: not readable: File is not a zip file")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (mat(other=1), "there is no 'anno'"),
        (mat(anno={"imname": "x"}), "has no attribute 'objects'"),
        (anno(("person", [part("tail", [0])])), "there is no 'tail'"),
        (anno(("person", [part("head", [0]), {"part_name": "torso", "mask": np.ones((3, 3), np.uint8)}])), "is 3"),
        (anno(("person", [{"part_name": "torso", "mask": np.ones((3, 3)) / 2}])), "Cannot cast array data"),
    ],
)
def test_pascal_part_files_that_are_refused(data, said):
    with pytest.raises(DataError, match=f"^f.mat: not readable: .*{said}"):
        voc10_part.merge("f.mat", data)
