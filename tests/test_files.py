"""Files that are there whole or not at all."""

import os
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
