"""What a run logs: as TensorBoard reads it, and as a plot."""

import gc
import subprocess
import sys

import numpy as np
from matplotlib.figure import Figure

from attscale.training import journal, runs


def test_tensorboard_reads_what_was_logged(half):
    """Its own reader of the events: record by record, the length in the first 8 bytes, 4 bytes of checksum each."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = (half / runs.BOARD).iterdir()
    data, events = path.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little")
        events.append(Event.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    logged = {value.tag: value.simple_value for event in events for value in event.summary.value if event.step == 20}
    (record,) = journal.read(half)
    assert logged["losses/loss"] == np.float32(record["losses"]["loss"])
    assert logged["memory_mib"] == record["memory_mib"]


def test_the_plot_is_drawn_on_the_way_and_its_figures_do_not_add_up(tmp_path, monkeypatch):
    """Without Python's own collections, which come when they like: each figure kept 1.5 MB until then."""
    monkeypatch.setattr(journal, "_REDRAW", 0)
    gc.disable()
    try:
        with journal.Journal(tmp_path, 0) as log:
            for iteration in (1, 2, 3):
                log.write({"iteration": iteration, "losses": {"loss": 1.0}})
                assert (tmp_path / runs.PLOT).exists()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Figure)]
    finally:
        gc.enable()


def test_no_run_waits_for_what_it_does_not_need_to_begin():
    """Together they take several times as long as all the rest that a training process imports."""
    code = "import sys, attscale.training.loop\nprint({'matplotlib', 'torch'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
