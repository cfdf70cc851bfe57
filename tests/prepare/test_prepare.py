"""Of every data set: archives that are missing are listed, and what an interrupted run made is kept."""

import contextlib
import functools

import pytest

from attscale.files import write_bytes
from attscale.prepare import ledger
from attscale.prepare.ledger import Ledger
from helpers.archives import refused, tar


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
        ("voc10_part", ("VOCtrainval_03-May-2010.tar",)),
        ("coco", ("annotations_trainval2014.zip", "train2014.zip", "val2014.zip", "cocodataset.org")),
        ("ade20k", ("ADEChallengeData2016.zip", "sceneparsing.csail.mit.edu")),
    ],
)
def test_missing_archives_are_listed_with_their_pages(name, said, tool):
    refused(tool, name, *said)


def test_of_two_archives_one_is_enough(tool, tmp_path):
    tar(tmp_path / "VOCtrainval_03-May-2010.tar", {})
    refused(tool, "voc10_part", "pascal_person_part.zip", "or trainval.tar.gz")
