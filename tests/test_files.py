"""Files that are there whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from attscale import files


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Without that, a power failure can leave the name with nothing behind it."""
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append(("sync", os.fstat(handle).st_size)) or fsync(handle))
    monkeypatch.setattr(os, "replace", lambda a, b: calls.append(("name", Path(b).name)) or replace(a, b))
    files.write_text(tmp_path / "record.json", "12345")
    files.write_bytes(tmp_path / "weights", b"123", durable=True)
    assert calls == [("sync", 5), ("name", "record.json"), ("sync", 3), ("name", "weights")]
    calls.clear()
    files.write_bytes(tmp_path / "one of thousands", b"123")
    assert calls == [("name", "one of thousands")]


def test_what_a_killed_process_was_writing_is_cleared_and_what_a_living_one_writes_stays(tmp_path):
    code = "import sys, time; from attscale.files import write_whole\n"
    code += "def write(path):\n    open(path, 'w').write('half')\n    print(flush=True)\n    time.sleep(60)\n"
    code += "write_whole(sys.argv[1], write)"
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    both = [subprocess.Popen([*command, tmp_path / f"in/{name}.png"], stdout=pipe) for name in ("killed", "living")]
    try:
        for process in both:
            process.stdout.readline()
        both[0].send_signal(signal.SIGKILL)
        both[0].wait()
        assert len([*(tmp_path / "in").iterdir()]) == 2
        files.clear(tmp_path)
        (left,) = (tmp_path / "in").iterdir()
        assert left.name.startswith(".living.png.")
    finally:
        for process in both:
            process.kill()
            process.communicate()
