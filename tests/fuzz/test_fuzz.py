"""A little of `make fuzz` for each reader, and the harness itself: that it sees what it looks for.

ATTSCALE_FUZZ_SECONDS=10 looks longer; `make fuzz` looks for minutes.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from pycocotools import mask as rle

from attscale.errors import UserError
from conftest import REPO
from fuzz import harness, mutations, opinions
from fuzz.readers import READERS
from fuzz.readers.base import Base, Reader
from helpers.archives import label, palette_png

SECONDS = os.environ.get("ATTSCALE_FUZZ_SECONDS")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """reader -> its values: 250 inputs each unless more are asked for, the same in every run."""
    folder = tmp_path_factory.mktemp("fuzz")
    length = ["--seconds", SECONDS] if SECONDS else ["--seconds", "600", "--inputs", "250"]
    command = [sys.executable, REPO / "tests/fuzz/run.py", *length, "--json", folder / "table.json", "--keep", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (folder / "table.json").exists(), done.stderr
    return {values["reader"]: values for values in json.loads((folder / "table.json").read_text())}


@pytest.mark.parametrize("name", READERS)
def test_damage_is_refused_or_does_no_harm(name, table):
    found = table[name]
    assert not found["faults"], json.dumps(found["faults"], indent=1)
    assert found["refused"] > 0  # or nothing was damaged
    assert found["accepted"] > 0  # or all was


class Stumbling(Reader):
    """Takes bytes, and does with some of them what no reader should."""

    def bases(self, folder):
        yield Base("x", bytes(3))

    def read(self, path):
        data = path.read_bytes()
        if len(data) < 3:
            raise UserError("too short")
        if data[0] > 64:
            raise ValueError(data[0])
        if data[0] > 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        if data[0]:
            time.sleep(60)
        return data

    def changed(self, base, value, data, other):
        return "longer" if len(data) > 3 else None


def test_the_harness_tells_all_outcomes(tmp_path, monkeypatch):
    for name, seconds in (("_IDLE", 0.5), ("_BUSY", 1)):
        monkeypatch.setattr(harness, name, seconds)
    monkeypatch.setattr(harness, "_STRANGE", {})
    (tmp_path / "x").mkdir()
    tally = harness.run("x", Stumbling(), tmp_path / "x", seed=0, seconds=60, keep=tmp_path / "kept", most=100)
    assert tally.inputs == 100
    assert all(tally.counts[outcome] for outcome in harness.OUTCOMES), tally.counts
    kinds = {(fault.outcome, fault.what) for fault in tally.faults.values()}
    assert {("unexpected", "ValueError at no line of attscale"), ("hung", "waiting"), ("changed", "longer")} <= kinds
    assert any(outcome == "crashed" and what.startswith("SIGSEGV") for outcome, what in kinds)
    for fault in tally.faults.values():  # what was kept does it again
        assert len(fault.kept) == min(fault.count, 5)
        if fault.outcome == "changed":
            assert all(os.path.getsize(path) > 3 for path in fault.kept)
    again = harness.run("x", Stumbling(), tmp_path / "x", seed=0, seconds=60, keep=tmp_path / "again", most=100)
    assert again.counts == tally.counts
    assert harness.run("x", Stumbling(), tmp_path / "x", seed=1, seconds=60, keep=tmp_path, most=30).counts


def test_damage_of_a_png_is_seen_wherever_it_is():
    """Every bit of a label map's chunks but for the lengths, whose damage moves all that follows."""
    data = palette_png(label(0, 7, 20))
    assert opinions.png_damage(data) is None
    for place in range(8, len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        assert opinions.png_damage(bytes(damaged)), place
        if place > 33 and (repaired := mutations.png_repaired(bytes(damaged))) != bytes(damaged):
            assert len(repaired) >= 8
    assert opinions.png_damage(data[:-1])


def test_checksums_are_made_right_again():
    data = bytearray(palette_png(label(0, 7, 20)))
    data[20] ^= 1  # of the width
    assert opinions.png_damage(bytes(data)) == "the checksum of chunk b'IHDR' is wrong"
    assert opinions.png_damage(mutations.png_repaired(bytes(data))) is None


@pytest.mark.parametrize(
    ("counts", "runs"), [([3, 4], [3, 4]), ("34", [3, 4]), ("0P1", [0, 32]), ("52203", [5, 2, 2, 2, 5])]
)
def test_run_lengths_are_read_as_coco_writes_them(counts, runs):
    assert opinions.runs_of(counts) == runs


def test_run_lengths_of_pycocotools_cover_their_image():
    masks = np.random.default_rng(0).integers(0, 2, (20, 30, 40), np.uint8)
    for mask in masks:
        text = rle.encode(np.asfortranarray(mask))["counts"].decode()
        assert sum(opinions.runs_of(text)) == mask.size


def test_a_damaged_matlab_file_is_seen():
    stream = zlib.compress(b"x" * 100)
    data = bytes(128) + struct.pack("<II", 15, len(stream)) + stream
    assert opinions.mat_damage(data) is None
    assert opinions.mat_damage(data[:-1])
    assert opinions.mat_damage(data[:-1] + bytes([data[-1] ^ 1]))
