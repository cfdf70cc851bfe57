import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from attscale import datasets
from attscale.data import verify
from attscale.data.images import read_label, write_label
from attscale.data.lists import read_list
from attscale.errors import DataError
from conftest import REPO, one_line_error
from helpers.spoilers import SPOILERS


def pixels(mini):
    """Counted pixel by pixel."""
    counts = [0] * 256
    for i in range(6):
        for value in read_label(mini / f"SegmentationClass/{i}.png").ravel().tolist():
            counts[value] += 1
    return counts


def test_pixels_by_class(mini, tool):
    report = verify.check(read_list(mini, "list/train.txt"), 5)
    assert (report.pairs, report.faults) == (6, {})
    assert report.pixels.tolist() == pixels(mini)
    done = tool("prepare_data", "shapes", "--verify")
    assert done.returncode == 0, done.stderr
    star = next(line for line in done.stdout.splitlines() if "star" in line)
    assert f"{pixels(mini)[4]:,}" in star


@pytest.mark.parametrize("spoil", SPOILERS)
def test_every_fault_is_found_and_the_others_still_counted(spoil, mini):
    said = spoil(mini)
    before = pixels(mini) if spoil.__name__ == "spoil_image" else None
    report = verify.check(read_list(mini, "list/train.txt"), 5)
    assert len(report.faults) == 1
    with pytest.raises(DataError, match=r"list: 1 of 6 pairs are faulty; the first: .*" + said):
        report.raise_faults("list")
    if before:
        inside = read_label(mini / "SegmentationClass/3.png")
        assert report.pixels.sum() == sum(before) - inside.size


def turn(path, tag):
    """Gives an image file that EXIF orientation; its pixels stay as they are stored."""
    image, tags = Image.open(path), Image.Exif()
    tags[0x0112] = tag
    image.save(path, exif=tags)


@pytest.mark.parametrize("tag", range(2, 9))
def test_a_turned_image_is_a_fault_where_all_are_to_be_upright(tag, mini):
    """Its label map has the size of what is stored: nothing else would tell."""
    turn(mini / "JPEGImages/3.jpg", tag)
    turn(mini / "JPEGImages/4.jpg", 1)
    pairs = read_list(mini, "list/train.txt")
    assert verify.check(pairs, 5).faults == {}
    (fault,) = verify.check(pairs, 5, upright=True).faults.values()
    assert fault.startswith(f"{mini}/JPEGImages/3.jpg: has the EXIF orientation {tag}; save it upright")


@pytest.mark.parametrize(
    ("tag", "size", "named"),
    [(6, (60, 40), True), (8, (60, 40), True), (1, (60, 40), False), (6, (60, 41), False), (3, (40, 61), False)],
)
def test_exif_is_named_where_it_may_be_why_sizes_differ(tag, size, named, mini):
    """The image is stored as 60x40 pixels; a label map of (height, width) = (60, 40) was drawn on it upright."""
    turn(mini / "JPEGImages/0.jpg", tag)
    write_label(mini / "SegmentationClass/0.png", np.zeros(size, np.uint8))
    (fault,) = verify.check(read_list(mini, "list/train.txt"), 5).faults.values()
    said = f"0.jpg is 60x40 pixels, its label {mini}/SegmentationClass/0.png {size[1]}x{size[0]}"
    if named:
        said += f": the image has the EXIF orientation {tag}, and they are not turned alike"
    assert fault.endswith(said)


def test_training_demands_upright_photographs_of_ones_own_alone(mini):
    """The papers' sets have turned images, whose label maps fit what is stored."""
    turn(mini / "JPEGImages/3.jpg", 3)
    verify.ensure(datasets.find("shapes"), mini.parent, "list/train.txt")
    own = mini.rename(mini.with_name("own"))
    (own / datasets.FILE).write_text('classes = ["a", "b", "c", "d", "e"]\n')
    with pytest.raises(DataError, match=r"1 of 6 pairs are faulty; the first: .*3\.jpg: has the EXIF orientation 3"):
        verify.ensure(datasets.find("own", own.parent), own.parent, "list/train.txt")


def test_a_process_that_is_killed_is_one_line_with_the_place(mini):
    """As for want of memory; it is met while it starts, which takes longer than to read six pairs."""

    def kill():
        while not (met := multiprocessing.active_children()):
            time.sleep(0.001)
        for process in met:
            process.kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(DataError, match=r"0\.jpg: the check of the data ended here: one of 1 processes was killed"):
        verify.check(read_list(mini, "list/train.txt"), 5)
    killer.join()


def has_worker(pid):
    """Whether multiprocessing has started a child of the process to work."""
    return any("spawn_main" in " ".join(child.cmdline()) for child in psutil.Process(pid).children())


def test_ctrl_c_ends_the_check_and_its_processes_quietly(mini, tmp_path):
    """As a terminal sends it, to the whole group; right after the start, while the processes import what they need."""
    command = [sys.executable, REPO / "tools/prepare_data.py", "shapes", "--verify"]
    for i in range(1000, 5000):  # seconds of work
        (mini / f"JPEGImages/{i}.jpg").symlink_to("0.jpg")
    lines = [f"/JPEGImages/{i}.jpg /SegmentationClass/0.png\n" for i in range(1000, 5000)]
    (mini / "list/train.txt").write_text("".join(lines))
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True, process_group=0) as process:
        while not has_worker(process.pid):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert said.endswith("stopped\n")
    assert "Traceback" not in said


def test_several_processes_count_what_one_does(mini, monkeypatch):
    monkeypatch.setattr(verify, "_WORTH", 2)
    monkeypatch.setattr(verify, "cores", lambda: 3)
    (mini / "JPEGImages/4.jpg").unlink()
    report = verify.check(read_list(mini, "list/train.txt"), 5)
    assert len(report.faults) == 1
    assert report.pixels.sum() == sum(pixels(mini)) - 9 * 80  # without image 4


def test_faults_are_listed_by_name_and_all_are_counted(mini, tool):
    for i in range(5):
        (mini / f"JPEGImages/{i}.jpg").unlink()
    (mini / "list/val.txt").write_text("/JPEGImages/5.jpg /SegmentationClass/5.png\n")
    done = tool("prepare_data", "shapes", "--verify")
    one_line_error(done, "data/shapes: 5 faulty pairs")
    assert "fault: data/shapes/JPEGImages/0.jpg: no such file" in done.stdout
    report = verify.Report(20, {i: f"fault {i}" for i in range(13)}, np.zeros(256, int))
    assert list(verify.table(report, ("a",)))[-1] == "and 3 more"


def test_what_passed_is_read_again_only_if_it_changed(mini, monkeypatch):
    shapes = datasets.find("shapes")
    calls = []
    check = verify.check
    monkeypatch.setattr(verify, "check", lambda *arguments: calls.append(1) or check(*arguments))
    root = mini.parent
    verify.ensure(shapes, root, "list/train.txt")
    verify.ensure(shapes, root, "list/train.txt")
    assert len(calls) == 1
    verify.ensure(shapes, root, "list/val.txt")
    assert len(calls) == 2
    write_label(mini / "SegmentationClass/3.png", np.full((50, 50), 1, np.uint8))
    verify.ensure(shapes, root, "list/train.txt")
    assert len(calls) == 3
    write_label(mini / "SegmentationClass/3.png", np.full((50, 50), 9, np.uint8))
    for _ in range(2):  # a failure is not remembered as a pass
        with pytest.raises(DataError, match=r"3\.png: 2500 pixels have the value 9"):
            verify.ensure(shapes, root, "list/train.txt")
    (mini / verify.STAMPS).write_text("broken")
    with pytest.raises(DataError, match="value 9"):
        verify.ensure(shapes, root, "list/train.txt")


def test_no_pair_is_read_twice_and_every_list_of_the_folder_is_checked(mini):
    """val has the pairs of train, and one more; train_voc has a value that is no class of VOC's."""
    (mini / "list/train10k.txt").write_text((mini / "list/train.txt").read_text())
    (mini / "list/val.txt").write_text("/JPEGImages/0.jpg /SegmentationClass/0.png\n")
    (mini / "list/train_voc.txt").write_text("/JPEGImages/0.jpg /SegmentationClass/30.png\n")
    write_label(mini / "SegmentationClass/30.png", np.full((40, 60), 30, np.uint8))
    read = []
    bar = lambda name: lambda pairs: read.extend((name, pair[1].stem) for pair in pairs) or pairs  # noqa: E731
    sets = datasets.sharing(datasets.find("coco"))
    found = {path.stem: report for path, _, report in verify.check_lists(mini, sets, bar)}
    assert sorted(read) == sorted([*(("train10k", str(i)) for i in range(6)), ("train_voc", "30")])
    pairs = {name: report.pairs for name, report in found.items()}
    assert pairs == {"train10k": 6, "train": 6, "val": 1, "train_voc": 1}
    assert found["train"].pixels.tolist() == found["train10k"].pixels.tolist() == pixels(mini)
    assert found["val"].pixels.sum() == 40 * 60
    ((fault,),) = [report.faults.values() for report in found.values() if report.faults]
    assert "30.png: 2400 pixels have the value 30, expected a class from 0 to 20" in fault


def test_a_set_without_lists(mini, tool):
    os.rename(mini / "list", mini / "no")
    one_line_error(tool("prepare_data", "shapes", "--verify"), "data/shapes: has none of the lists list/train.txt")
