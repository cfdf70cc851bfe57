"""ADE20K from a miniature archive, whole, damaged and encrypted."""

import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from attscale.data.images import read_label
from helpers.archives import H, W, files, jpeg, label, prepared, refused, saved, zipped


def ade(folder, validation):
    top = "ADEChallengeData2016"
    zipped(
        folder / f"{top}.zip",
        {
            f"{top}/images/training/ADE_train_00000001.jpg": jpeg(1),
            f"{top}/annotations/training/ADE_train_00000001.png": saved(Image.fromarray(label(0, 1, 150))),
            f"{top}/images/validation/ADE_val_00000001.jpg": jpeg(2),
            f"{top}/annotations/validation/ADE_val_00000001.png": saved(Image.fromarray(validation)),
            f"{top}/objectInfo150.txt": b"Idx",
        },
    )


def test_ade20k(tmp_path, tool):
    ade(tmp_path, label(7))
    done = prepared(tool, "ade20k", "--any-count")
    assert "train 1, val 1" in done.stdout
    got = read_label(tmp_path / "root/annotations/training/ADE_train_00000001.png")
    assert np.array_equal(got, label(255, 0, 149))
    assert (tmp_path / "root/list/train.txt").read_text() == (
        "/images/training/ADE_train_00000001.jpg /annotations/training/ADE_train_00000001.png\n"
    )
    shutil.rmtree(tmp_path / "root")
    refused(tool, "ade20k", "train would have 1 members, expected 20210", arguments=())
    assert files(tmp_path / "root") == []  # before anything is unpacked


@pytest.mark.parametrize(("value", "said"), [(151, "have the value 150"), (255, "have the value 254")])
def test_ade20k_classes_out_of_range(value, said, tmp_path, tool):
    ade(tmp_path, label(0, value))
    refused(tool, "ade20k", "ADE_val_00000001.png", said)
    assert not (tmp_path / "root/list").exists()


def test_ade20k_takes_nothing_from_an_archive_that_was_refused(tmp_path, tool):
    ade(tmp_path, label(7))
    path, top = tmp_path / "ADEChallengeData2016.zip", "ADEChallengeData2016"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{top}/images/training/ADE_train_00000002.jpg", jpeg(3))
        archive.writestr(f"{top}/annotations/training/ADE_train_00000002.png", saved(Image.fromarray(label(9))))
        archive.writestr(f"{top}/annotations/validation/ADE_val_00000009.png", saved(Image.fromarray(label(200))))
    refused(tool, "ade20k", "ADE_val_00000009.png: 600 pixels have the value 199")
    ade(tmp_path, label(7))
    assert "train 1, val 1" in prepared(tool, "ade20k", "--any-count").stdout
    assert "00000002" not in (tmp_path / "root/list/train.txt").read_text()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{top}/images/training/ADE_train_00000002.jpg", jpeg(3))  # its old label map is still there
    refused(tool, "ade20k", f"{top}.zip: lacks annotations/training/ADE_train_00000002.png; is it cut short?")
    assert files(tmp_path / "root/list") == []


def test_zip_archives_whose_members_are_damaged_or_encrypted(tmp_path, tool):
    ade(tmp_path, label(7))
    path = tmp_path / "ADEChallengeData2016.zip"
    whole = path.read_bytes()
    data = bytearray(whole)
    data[data.index(jpeg(2)) + 300] ^= 0xFF  # a checksum tells, the structure does not
    path.write_bytes(data)
    refused(
        tool, "ade20k", f"{path.name}: ADEChallengeData2016/images/validation/ADE_val_00000001.jpg: not readable", "CRC"
    )
    encrypted = 1  # bit 0 of the flags, at 6 in a local header and at 8 in the directory's
    data = bytearray(whole)
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = data.find(signature)
        while place >= 0:
            data[place + flags] |= encrypted
            place = data.find(signature, place + 1)
    path.write_bytes(data)
    refused(
        tool, "ade20k", f"{path.name}: ADEChallengeData2016/images/training/ADE_train_00000001.jpg: ", "is encrypted"
    )
    path.write_bytes(whole)
    prepared(tool, "ade20k", "--any-count")


def test_ade20k_image_and_label_of_different_sizes(tmp_path, tool):
    ade(tmp_path, label(1, size=(H + 1, W)))
    refused(tool, "ade20k", "ADE_val_00000001.jpg is 30x20 pixels", "30x21")
    assert not (tmp_path / "root/list").exists()
