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


def test_the_files_are_numpys_own(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 40, 50))
    scores.write(tmp_path / "a.npz", np.repeat(values[:, :8], 5, axis=1))
    with np.load(tmp_path / "a.npz") as file:
        assert file.files == ["scores"]
        assert np.array_equal(file["scores"], np.repeat(values[:, :8], 5, axis=1).astype(np.float16))
    assert (tmp_path / "a.npz").stat().st_size < 3 * 40 * 50  # two bytes a number, of which four in five are repeated


@pytest.mark.parametrize("classes", [1, 2, 21, 256])
def test_the_class_of_the_highest_score_is_the_first_of_equals(classes):
    maps = np.random.default_rng(classes).integers(-2, 3, (classes, 9, 12)).astype(np.float32)
    padded = np.pad(maps, ((0, 0), (0, 3), (0, 4)))
    for given in (maps, padded[:, :9, :12]):
        found = scores.classes_of(given)
        assert found.dtype == np.uint8
        for y, x in np.ndindex(9, 12):
            column = maps[:, y, x].tolist()
            assert found[y, x] == column.index(max(column))
    assert np.array_equal(given, maps)  # they are left alone


def cut(size):
    return lambda path: path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        *((cut(size), "not readable: ") for size in (0, 1, 30, 200, -1)),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: np.savez(path, scores=np.array([{}], object)), "not readable: "),  # would have to be unpickled
        (lambda path: np.savez(path, other=np.zeros(3)), "not readable: "),
        (lambda path: np.savez(path, scores=np.full((1, 2, 2), np.nan)), "holds values that are not finite"),
        (lambda path: np.savez(path, scores=np.full((1, 2, 2), -np.inf)), "holds values that are not finite"),
    ],
)
def test_what_is_no_score_map(spoil, said, tmp_path):
    path = tmp_path / "a.npz"
    scores.write(path, np.random.default_rng(0).normal(size=(3, 9, 9)))
    spoil(path)
    with pytest.raises(DataError, match=rf"a\.npz: {said}"):
        scores.read(path)


@pytest.mark.parametrize("value", [7e4, -1e20, np.inf, np.nan])
def test_scores_beyond_float16_are_not_written(value, tmp_path):
    with pytest.raises(DataError, match=r"a\.npz: a score map holds at most 65504"):
        scores.write(tmp_path / "a.npz", np.array([[[0, value]]]))
    assert not list(tmp_path.iterdir())


def test_one_flipped_bit_is_no_other_map(tmp_path):
    """NumPy alone may read less than the member of the archive, whose checksum then is not looked at."""
    maps = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float16)
    scores.write(tmp_path / "a.npz", maps)
    data, expected = (tmp_path / "a.npz").read_bytes(), maps.astype(np.float32)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = scores.decode(bytes(damaged), "a.npz")
        except DataError:
            continue
        assert np.array_equal(found, expected), bit
