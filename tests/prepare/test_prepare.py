"""Of every data set: archives that are missing are listed, and what an interrupted run made is kept."""

import contextlib
import functools
import gzip
import os
import tarfile

import pytest

from attscale.errors import DataError
from attscale.files import write_bytes
from attscale.prepare import archives, ledger, sets
from attscale.prepare.ledger import Ledger
from helpers.archives import refused, tar, zipped


def written(archive, *steps):
    """What a run of step "s" writes for each (name, content): a KeyboardInterrupt as the content ends it there."""
    root, result = archive.parent / "root", []

    def content(value):
        if value is KeyboardInterrupt:
            raise KeyboardInterrupt
        return value

    def write(path, value):
        result.append(path.name)
        write_bytes(path, value)

    with contextlib.suppress(KeyboardInterrupt), Ledger(root).step("s", archive) as make:
        for name, value in steps if make else ():
            make(root / name, write, functools.partial(content, value))
    return result


def test_an_interrupted_step_goes_on_with_what_it_made_of_the_same_archive(tmp_path):
    archive, stop = tmp_path / "a.tar", ("stop", KeyboardInterrupt)
    archive.write_bytes(b"one")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").touch()  # a file of unknown origin is not trusted
    assert written(archive, ("a", b"1"), ("b", b"1"), stop, ("c", b"1")) == ["a", "b"]
    assert written(archive, ("a", b"1"), ("b", b"1"), stop) == []
    (tmp_path / "root/a").write_bytes(b"")  # after a power failure, say
    assert written(archive, ("a", b"1"), ("b", b"1"), stop) == ["a"]
    archive.write_bytes(b"other")  # the archive changed: nothing is kept, also not by the try after the next
    assert written(archive, ("a", b"2"), stop) == ["a"]
    assert written(archive, ("a", b"2"), ("b", b"2"), ("c", b"2"), ("none", None)) == ["b", "c"]
    assert Ledger(tmp_path / "root").files("s") == {tmp_path / "root" / name for name in "abc"}
    assert written(archive, ("a", b"3")) == []  # done
    (tmp_path / "root/b").unlink()
    assert written(archive, ("a", b"2"), ("b", b"2"), ("c", b"2")) == ["b"]


def test_two_members_for_one_file_are_refused(tmp_path):
    """Also where they have different names in the archive, and in a run that goes on with what an earlier one made."""
    archive = tmp_path / "a.tar"
    archive.touch()
    for _ in range(2):
        with pytest.raises(DataError, match=r"a\.tar: has two members for a$"):
            written(archive, ("a", b"1"), ("a", b"2"))


ENORMOUS = 1 << 40


def says_its_size(path):
    """An archive whose only member says that it has a terabyte, and the test that it is refused unread."""
    if path.suffix == ".zip":
        zipped(path, {"a.jpg": b"1"})
        data = bytearray(path.read_bytes())
        place = data.index(b"PK\1\2") + 24  # its size in the directory
        data[place : place + 4] = (0xFFFFFFF0).to_bytes(4, "little")
        path.write_bytes(data)
    else:
        info = tarfile.TarInfo("a.jpg")
        info.size = ENORMOUS
        header = info.tobuf(tarfile.GNU_FORMAT)
        path.write_bytes(gzip.compress(header) if path.suffix == ".tgz" else header)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_a_member_that_is_far_too_large_is_refused_by_name_before_it_is_read(name, tmp_path):
    says_its_size(tmp_path / name)
    said = rf"{name}: a\.jpg: says that it has \d{{10,13}} bytes, expected at most 67108864"
    with pytest.raises(DataError, match=said):
        [member.read() for member in archives.members(tmp_path / name)]


def test_a_member_is_as_large_as_its_archive_says(tmp_path):
    """Its checksum may be right all the same."""
    zipped(tmp_path / "a.zip", {"a.jpg": b"1"})
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.index(b"PK\1\2") + 24] = 2
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.zip: a\.jpg: has 1 bytes, expected 2"):
        [member.read() for member in archives.members(tmp_path / "a.zip")]


def test_a_pipe_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(DataError, match=r"a\.tar: is no regular file"):
        next(archives.members(tmp_path / "a.tar"))


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "1", '{"s": 1}', '{"s": {"from": 1, "done": true}}', '{"s": {"from": [], "done": 1, "files": [[1]]}}'),
        "[" * 9999,
    ],
)
def test_records_of_another_form_are_refused(text, tmp_path):
    (tmp_path / ledger.NAME).write_text(text)
    with pytest.raises(DataError, match=r"\.prepared\.json: not readable: .*\(remove it to prepare the set anew\)$"):
        Ledger(tmp_path)


def test_a_run_that_is_killed_has_noted_its_files_by_then(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "INTERVAL", 0)
    archive, path = tmp_path / "a.tar", tmp_path / "a"
    archive.touch()
    with Ledger(tmp_path).step("s", archive) as make:
        make(path, write_bytes, lambda: b"1")
        as_if_killed = Ledger(tmp_path)
    with as_if_killed.step("s", archive) as make:
        make(path, write_bytes, pytest.fail)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("voc12", ("VOCtrainval_11-May-2012.tar", "robots.ox.ac.uk", "benchmark.tgz", "home.bharathh.info")),
        (
            "voc10_part",
            (
                "VOCtrainval_03-May-2010.tar",
                "pascal_person_part.zip",
                " or trainval.tar.gz",
                "DeepLab.html",
                "ucla.edu",
            ),
        ),
        ("coco", ("annotations_trainval2014.zip", "train2014.zip", "val2014.zip", "cocodataset.org")),
        ("ade20k", ("ADEChallengeData2016.zip", "sceneparsing.csail.mit.edu")),
    ],
)
def test_missing_archives_are_listed_with_their_pages(name, said, tool):
    refused(tool, name, *said)


def test_of_two_archives_one_is_enough(tool, tmp_path):
    tar(tmp_path / "VOCtrainval_03-May-2010.tar", {})
    refused(tool, "voc10_part", "pascal_person_part.zip", "or trainval.tar.gz")


def test_the_stage_on_ms_coco_is_told_the_command_that_makes_its_lists():
    said = sets.how_to("coco_voc")
    assert "train2014.zip from https://cocodataset.org" in said
    assert "prepare_data.py coco --full (in Docker" in said
