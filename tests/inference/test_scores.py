import numpy as np
import pytest

from attscale.errors import DataError
from attscale.inference import scores


def test_round_trip(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    path = scores.name(tmp_path, "somewhere/2007_000001.jpg")
    assert path == tmp_path / "2007_000001.npz"
    scores.write(path, values)
    assert np.array_equal(scores.read(path), values.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("cut", [0, 1, 30, 200, -1])
def test_files_cut_short(cut, tmp_path):
    path = tmp_path / "a.npz"
    scores.write(path, np.random.default_rng(0).normal(size=(3, 9, 9)))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"a\.npz: not a score map, or cut short"):
        scores.read(path)


def test_other_contents(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match="no such score map"):
        scores.read(path)
    np.savez(path, scores=np.array([{}], object))  # would have to be unpickled
    with pytest.raises(DataError, match="not a score map"):
        scores.read(path)
    np.savez(path, scores=np.zeros((3, 4), np.float16))
    with pytest.raises(DataError, match=r"float16 of shape \(3, 4\), expected float16 \(classes, H, W\)"):
        scores.read(path)
    scores.write(path, np.full((1, 2, 2), np.nan))
    with pytest.raises(DataError, match="not finite"):
        scores.read(path)
