"""State dicts in both formats: what is read, by hand and by PyTorch, and what is refused."""

import pickle
import struct
import zipfile

import numpy as np
import pytest

from attscale.errors import WeightsError
from attscale.weights import statedict
from helpers import statedicts as made

ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "half": np.array([[0.5, -2]], np.float16),
    "double": np.linspace(0, 1, 5),
    "count": np.array(7, np.int64),
    "mask": np.array([True, False, True]),
    "none": np.zeros((0, 4), np.float32),
}


# Tuples in tuples, 40 deep: written out, more letters than a memory holds.
NESTED = b")q\0" + b"".join(b"h%c\x86q%c" % (i, i + 1) for i in range(40))
NAMELESS = made.storage("0", "FloatStorage", 6).replace(made.text("0"), NESTED)


def check_equal(state, arrays):
    assert list(state) == list(arrays)
    assert len(state) == len(arrays)
    for name, array in arrays.items():
        assert state.shapes[name] == array.shape
        assert state[name].dtype == array.dtype
        assert np.array_equal(state[name], array)


def test_safetensors(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(made.safetensors(ARRAYS))
    check_equal(statedict.read(tmp_path / "a.safetensors"), ARRAYS)


def test_torchs_archive(tmp_path):
    made.save(tmp_path / "a.pth", ARRAYS)
    check_equal(statedict.read(tmp_path / "a.pth"), ARRAYS)


def test_tensors_may_share_a_storage_and_be_views_of_it(tmp_path):
    """Of 0 ... 11: rows 3 x 4 turned around, 4 x 3; the last four; every second of the first six."""
    numbers = np.arange(12, dtype=np.float32)
    whole = made.storage("0", "FloatStorage", 12)
    values = {
        "turned": made.tensor(whole, 0, (4, 3), (1, 4)),
        "last": made.tensor(whole, 8, (4,), (1,)),
        "every second": made.tensor(whole, 0, (3,), (2,)),
    }
    made.archive(tmp_path / "a", made.program(values), [numbers])
    state = statedict.read(tmp_path / "a")
    assert state["turned"].tolist() == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]
    assert state["last"].tolist() == [8, 9, 10, 11]
    assert state["every second"].tolist() == [0, 2, 4]
    state["last"][0] = 1  # an array of its own
    assert state["last"][0] == 8


def test_parameters_and_metadata_are_passed_over(tmp_path):
    """Old state dicts hold parameters instead of tensors; all have the modules' versions as `_metadata`."""
    value = made.tensor(made.storage("0", "FloatStorage", 2), 0, (2,), (1,))
    value = made.name("torch._utils", "_rebuild_parameter") + b"(" + value + b"\x88" + made.ORDERED_DICT + b"tR"
    pickled = made.program({"w": value})[:-1] + b"}" + made.text("_metadata") + made.ORDERED_DICT + b"sb."
    made.archive(tmp_path / "a", pickled, [np.array([3, 4], np.float32)])
    assert statedict.read(tmp_path / "a")["w"].tolist() == [3, 4]


@pytest.mark.parametrize("kind", ["zip", "safetensors"])
def test_a_tensor_is_read_when_it_is_asked_for(tmp_path, kind):
    """So what is wrong with another one does not matter before it is asked for, too."""
    arrays = {"one": np.zeros(100, np.float32), "two": np.full(100, 2, np.float32)}
    path = tmp_path / "a"
    if kind == "zip":
        made.save(path, arrays)
        state = statedict.read(path)
        data = path.read_bytes()
        path.write_bytes(data.replace(arrays["two"].tobytes(), np.ones(100, np.float32).tobytes()))
    else:
        path.write_bytes(made.safetensors(arrays))
        state = statedict.read(path)
        path.write_bytes(path.read_bytes()[:-8])
    assert state["one"].tolist() == [0] * 100
    with pytest.raises(WeightsError, match="a: not readable"):
        state["two"]


def test_what_pytorch_writes(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not here: pip install -e '.[bench]'")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 5), torch.nn.BatchNorm2d(3), torch.nn.Linear(3, 2).half())
    state = dict(net.state_dict())
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    assert arrays["1.num_batches_tracked"].shape == ()
    torch.save(net.state_dict(), tmp_path / "a")
    check_equal(statedict.read(tmp_path / "a"), arrays)
    torch.save(dict(net.named_parameters()), tmp_path / "b")
    named = {name: parameter.detach().numpy() for name, parameter in net.named_parameters()}
    check_equal(statedict.read(tmp_path / "b"), named)
    save_file(state, tmp_path / "c")
    found = statedict.read(tmp_path / "c")
    assert sorted(found) == sorted(arrays)
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    whole = torch.arange(20.0)
    views = {"whole": whole, "part": whole[3:9], "turned": whole.view(4, 5).t(), "steps": whole[::3]}
    torch.save(views, tmp_path / "d")
    check_equal(statedict.read(tmp_path / "d"), {name: view.numpy() for name, view in views.items()})


WHOLE = made.storage("0", "FloatStorage", 6)
TENSOR = made.tensor(WHOLE, 0, (2, 3), (3, 1))


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (
            b"cposix\nsystem\n" + b"(" + made.text("touch broken") + b"tR.",
            "its pickle calls posix.system, which is not",
        ),
        (made.program({"w": b"cbuiltins\neval\n"}), "'w' is builtins.eval, expected a tensor"),
        (
            made.program({"w": made.name("torch._utils", "_rebuild_qtensor") + b"(tR"}),
            "calls torch._utils._rebuild_qtens",
        ),
        (made.program({"epoch": made.number(3), "w": TENSOR}), "'epoch' is a int, expected a tensor: no state dict"),
        (made.program({"state_dict": made.ORDERED_DICT}), "'state_dict' is a dict, expected a tensor"),
        (made.program({"w": TENSOR}).replace(b"X\1\0\0\0w", b"K\1"), "fills a dict, expected values by name"),
        (pickle.dumps([1], 2), "has the opcode EMPTY_LIST, which no state dict needs"),
        (pickle.dumps(WeightsError("x"), 4), "has the opcode STACK_GLOBAL"),
        (b"\x80\x02" + made.number(1) + b".", "holds a int, expected tensors by name"),
        (b"\x80\x02R.", "takes more from its stack than it has put there"),
        (made.program({"w": TENSOR})[:-20], "not readable"),
        (
            made.program({"w": made.tensor(made.storage("1", "FloatStorage", 6), 0, (6,), (1,))}),
            "no member 'archive/dat",
        ),
        (made.program({"w": made.tensor(made.storage("../0", "FloatStorage", 6), 0, (6,), (1,))}), "has no member"),
        (
            made.program({"w": made.tensor(made.storage("0", "FloatStorage", 7), 0, (6,), (1,))}),
            "24 bytes, expected 7 fl",
        ),
        (
            made.program({"w": made.tensor(made.storage("0", "BFloat16Storage", 12), 0, (6,), (1,))}),
            "torch.BFloat16Stor",
        ),
        (made.program({"w": made.tensor(WHOLE, 0, (7,), (1,))}), "is larger than archive/data/0"),
        (made.program({"w": made.tensor(WHOLE, 4, (3,), (1,))}), "is larger than archive/data/0"),
        (made.program({"w": made.tensor(WHOLE, 0, (3,), (3,))}), "is larger than archive/data/0"),
        (made.program({"w": made.tensor(WHOLE, 0, (1 << 30,), (0,))}), "is larger than archive/data/0"),
        (made.program({"w": made.tensor(WHOLE, 5, (2,), (-1,))}), "cannot be"),
        (made.program({"w": made.tensor(WHOLE, 0, (2, 3), (1,))}), "cannot be"),
        (made.program({"w": made.tensor(WHOLE, 0, (1,), (1,)).replace(made.numbers((1,)), NESTED, 1)}), "cannot be"),
        (made.program({"w": made.tensor(NAMELESS, 0, (1,), (1,))}), "a storage is called "),
        (made.program({"w": made.tensor(made.number(1), 0, (2,), (1,))}), "cannot be"),
    ],
)
def test_pickles_that_are_no_state_dict_are_refused_in_a_line(tmp_path, monkeypatch, pickled, said):
    monkeypatch.chdir(tmp_path)
    made.archive(tmp_path / "a", pickled, [np.arange(6, dtype=np.float32)])
    with pytest.raises(WeightsError) as error:
        statedict.read(tmp_path / "a")
    assert said in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'a'}: ")
    assert not (tmp_path / "broken").exists()


def _safetensors(header, data=bytes(24)):
    return struct.pack("<Q", len(header)) + header + data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "neither safetensors nor the zip archive of torch.save"),
        (
            b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
            "files of torch before 1.6 have to be saved again by a later one",
        ),
        (b"version https://git-lfs.github.com/spec/v1", "neither safetensors"),
        (b"PK\x03\x04" + bytes(40), "not readable"),
        (struct.pack("<Q", 1000) + b"{}", "its header has 1000 bytes, more than there are"),
        (_safetensors(b"{1}"), "not readable"),
        (_safetensors(b'{"w": 3}'), "not readable"),
        (_safetensors(b'{"w": {"dtype": "F32", "shape": [6]}}'), "there is no 'data_offsets'"),
        (_safetensors(b'{"w": {"dtype": "BF16", "shape": [6], "data_offsets": [0, 12]}}'), "w: holds 'BF16', expected"),
        (_safetensors(b'{"w": {"dtype": "F32", "shape": [7], "data_offsets": [0, 28]}}'), "w: has bytes 0 to 28 of 24"),
        (_safetensors(b'{"w": {"dtype": "F32", "shape": [5], "data_offsets": [0, 24]}}'), "do not hold a F32 of (5,)"),
        (_safetensors(b'{"w": {"dtype": "F32", "shape": [-6], "data_offsets": [24, 0]}}'), "are no sizes"),
        (_safetensors(b'{"w": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 6]}}'), "are no sizes"),
    ],
)
def test_files_that_are_no_state_dict_are_refused_in_a_line(tmp_path, data, said):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(WeightsError) as error:
        statedict.read(tmp_path / "a")
    assert said in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'a'}: ")


def test_archives_that_are_not_torchs_are_refused(tmp_path):
    def refused(said):
        with pytest.raises(WeightsError, match=said):
            statedict.read(tmp_path / "a")

    made.archive(tmp_path / "a", made.program({"w": TENSOR}), [np.zeros(6, np.float32)], method=zipfile.ZIP_DEFLATED)
    refused("archive/data.pkl is compressed or encrypted")
    with zipfile.ZipFile(tmp_path / "a", "w") as file:
        file.writestr("notes.txt", "x")
    refused("holds 0 members")
    with zipfile.ZipFile(tmp_path / "a", "w") as file:
        file.writestr("archive/data.pkl", made.program({}))
        file.writestr("archive/byteorder", "big")
    refused("not little-endian")


def test_a_member_that_is_shorter_than_the_archive_says_is_not_read_beyond(tmp_path):
    """The central directory, which says 24 bytes, stands against the bytes that are there."""
    made.archive(tmp_path / "a", made.program({"w": TENSOR}), [np.zeros(6, np.float32)])
    data = bytearray((tmp_path / "a").read_bytes())
    entry = data.rindex(b"PK\1\2", 0, data.rindex(b"archive/data/0"))
    data[entry + 20 : entry + 24] = struct.pack("<I", 8)  # its compressed size
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(WeightsError, match="a: "):
        statedict.read(tmp_path / "a")["w"]


def test_a_file_that_is_missing_is_one_that_the_manifest_may_know(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere: no such file$"):
        statedict.read(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match=r"no such file; python tools/fetch_weights.py resnet34 fetches it"):
        statedict.read(tmp_path / "resnet34-b627a593.pth")
