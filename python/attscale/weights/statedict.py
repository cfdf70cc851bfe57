"""PyTorch's state dicts, read without PyTorch and without running anything that a file holds.

Two formats: safetensors (a JSON header, then the numbers), and the zip archive that `torch.save` has written since 1.6.
The archive's `data.pkl` is a pickle, and a pickle is a program. Here it is never unpickled: `pickletools` takes it
apart into its opcodes, and those few that a state dict consists of are acted on. They may call three names, none of
which is ever looked up. All else is refused by name, and sizes are believed only where the numbers are there.
"""

import io
import json
import math
import pickletools
import reprlib
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attscale.errors import WeightsError, reading
from attscale.weights import manifest

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxtuple = 2, 60, 60, 6

#: The classes of torch that say what numbers a storage holds.
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_SAFETENSORS = {
    **{"F32": "<f4", "F64": "<f8", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"},
    **{"U8": "u1", "BOOL": "?"},
}
_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_LARGEST_HEADER = 100 << 20  # bytes; safetensors' own limit
#: Opcodes that put their argument on the stack, and those that put a constant there.
_ARGUMENTS = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME", "STOP"}


class StateDict(Mapping):
    """Names to arrays, each read when it is asked for. `shapes` has the names and shapes of all."""

    def __init__(self, path, tensors, load):
        self.path, self._tensors, self._load = Path(path), tensors, load
        self.shapes = {name: tensor.shape for name, tensor in tensors.items()}

    def __getitem__(self, name):
        tensor = self._tensors[name]
        with reading(self.path, WeightsError):
            return self._load(tensor)

    def __iter__(self):
        return iter(self._tensors)

    def __len__(self):
        return len(self._tensors)


def read(path):
    """The StateDict in the file `path`, in either format.

    Raises WeightsError for a file that is missing, neither of the two, cut short, or holds anything else than tensors
    by name.
    """
    path = Path(path)
    if not path.exists():
        raise WeightsError(f"{path}: no such file{manifest.advice(path)}")
    with reading(path, WeightsError):
        with path.open("rb") as file:
            begin = file.read(9)
        if begin.startswith(b"PK"):
            return _read_zip(path)
        if begin[8:] == b"{":
            return _read_safetensors(path)
    raise WeightsError(
        f"{path}: neither safetensors nor the zip archive of torch.save; files of torch before 1.6 have to be saved "
        "again by a later one"
    )


@dataclass(frozen=True)
class _Span:
    """A tensor of a safetensors file: bytes from `begin` on."""

    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int


def _read_safetensors(path):
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(_LARGEST_HEADER, path.stat().st_size - 8):
            raise WeightsError(f"{path}: its header has {length} bytes, more than there are")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    room = path.stat().st_size - 8 - length
    tensors = {name: _span(f"{path}: {name}", entry, 8 + length, room) for name, entry in header.items()}

    def load(tensor):
        count = math.prod(tensor.shape)
        return np.fromfile(path, tensor.dtype, count, offset=tensor.begin).reshape(tensor.shape)

    return StateDict(path, tensors, load)


def _span(where, entry, start, room):
    kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if kind not in _SAFETENSORS:
        raise WeightsError(f"{where}: holds {_short(kind)}, expected one of {', '.join(_SAFETENSORS)}")
    dtype = np.dtype(_SAFETENSORS[kind])
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
        raise WeightsError(f"{where}: shape {_short(shape)} or offsets {_short(begin)}, {_short(end)} are no sizes")
    if end > room or end - begin != math.prod(shape) * dtype.itemsize:
        raise WeightsError(f"{where}: has bytes {begin} to {end} of {room}, which do not hold a {kind} of {shape}")
    return _Span(dtype, shape, start + begin)


@dataclass(frozen=True)
class _Global:
    """A name that the pickle mentions; nothing is looked up by it."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """A member of the archive: `count` numbers."""

    member: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage; strides and offset in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _read_zip(path):
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        programs = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(programs) != 1:
            raise WeightsError(f"{path}: holds {len(programs)} members */data.pkl, expected one: not by torch.save")
        for name, info in members.items():
            # So no member is larger than the file.
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise WeightsError(f"{path}: {name} is compressed or encrypted, which torch.save does not do")
        folder = programs[0].removesuffix("data.pkl")
        if (order := f"{folder}byteorder") in members and archive.read(order) != b"little":
            raise WeightsError(f"{path}: its numbers are not little-endian")
        tensors = _Program(path, folder, members).run(archive.read(programs[0]))

    def load(tensor):
        with zipfile.ZipFile(path) as archive:
            numbers = np.frombuffer(archive.read(tensor.storage.member), tensor.storage.dtype)
        if numbers.size != tensor.storage.count:  # what the archive's own list of members says is not believed either
            raise WeightsError(f"{path}: {tensor.storage.member} is cut short")
        strides = [stride * numbers.itemsize for stride in tensor.strides]
        view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
        return np.array(view, order="C")

    return StateDict(path, tensors, load)


class _Program:
    """`data.pkl`, opcode by opcode: a stack, a memo, and what a state dict does with them."""

    def __init__(self, path, folder, members):
        self.path, self.folder, self.members = path, folder, members
        self.stack, self.marks, self.memo = [], [], {}

    def run(self, program):
        """The tensors by name."""
        for opcode, argument, _ in pickletools.genops(io.BytesIO(program)):
            self.step(opcode.name, argument)
        (result,) = self.stack
        if not isinstance(result, dict):
            raise WeightsError(f"{self.path}: holds {_words(result)}, expected tensors by name")
        for name, value in result.items():
            if not isinstance(value, _Tensor):
                raise WeightsError(f"{self.path}: {_short(name)} is {_words(value)}, expected a tensor: no state dict")
        return result

    def step(self, name, argument):
        stack = self.stack
        if name in _ARGUMENTS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            stack.append(tuple(self.pop(_TUPLES[name])))
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(self.pop_to_mark()))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            stack.append(_Global(argument))
        elif name == "BINPERSID":
            stack.append(self.storage(*self.pop(1)))
        elif name == "REDUCE":
            stack.append(self.called(*self.pop(2)))
        elif name == "SETITEM":
            self.set_items(self.pop(2))
        elif name == "SETITEMS":
            self.set_items(self.pop_to_mark())
        elif name == "BUILD":
            self.build(*self.pop(1))
        elif name not in _IGNORED:
            raise WeightsError(f"{self.path}: its pickle has the opcode {name}, which no state dict needs")

    def pop(self, count):
        """The last `count` values, the deepest first."""
        if count > len(self.stack):
            raise WeightsError(f"{self.path}: its pickle takes more from its stack than it has put there")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def pop_to_mark(self):
        return self.pop(len(self.stack) - self.marks.pop())

    def called(self, function, arguments):
        """What a name that may be called gives for its arguments."""
        if function == _Global(_DICT) and arguments == ():
            return {}
        if function == _Global(_TENSOR):
            return self.tensor(*arguments[:4])
        if function == _Global(_PARAMETER) and isinstance(arguments[0], _Tensor):
            return arguments[0]
        raise WeightsError(f"{self.path}: its pickle calls {_words(function)}, which is not done: no state dict")

    def storage(self, identity):
        """What a persistent id stands for: ("storage", class of torch, key, device, count of numbers)."""
        _, kind, key, _, count = identity
        words = kind.name.split() if isinstance(kind, _Global) else []
        if len(words) != 2 or words[0] != "torch" or words[1] not in _STORAGES:
            raise WeightsError(f"{self.path}: holds {_words(kind)}, expected one of torch's {', '.join(_STORAGES)}")
        if not isinstance(key, str):
            raise WeightsError(f"{self.path}: a storage is called {_short(key)}, expected text")
        dtype, member = np.dtype(_STORAGES[words[1]]), f"{self.folder}data/{key}"
        if member not in self.members:
            raise WeightsError(f"{self.path}: has no member {_short(member)}")
        size = self.members[member].file_size
        if type(count) is not int or size != count * dtype.itemsize:
            raise WeightsError(f"{self.path}: {member} has {size} bytes, expected {_short(count)} {dtype} numbers")
        return _Storage(member, dtype, count)

    def tensor(self, storage, offset, shape, strides):
        """A view that lies inside of its storage, and holds no number twice."""
        sizes = (offset, *shape, *strides)
        if (
            not isinstance(storage, _Storage)
            or len(shape) != len(strides)
            or not all(type(n) is int and n >= 0 for n in sizes)
        ):
            raise WeightsError(f"{self.path}: a tensor of shape {_short(shape)}, strides {_short(strides)} cannot be")
        last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if 0 not in shape and (last >= storage.count or math.prod(shape) > storage.count):
            form = f"shape {_short(shape)}, strides {_short(strides)}"
            raise WeightsError(f"{self.path}: a tensor of {form} is larger than {storage.member}")
        return _Tensor(storage, min(offset, storage.count), shape, strides)

    def set_items(self, items):
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2 or not all(isinstance(key, str) for key in items[::2]):
            raise WeightsError(f"{self.path}: its pickle fills {_words(target)}, expected values by name")
        target.update(zip(items[::2], items[1::2], strict=True))

    def build(self, state):
        """The state of the dict itself: versions of the modules (`_metadata`), of no use here."""
        if not isinstance(self.stack[-1], dict) or not isinstance(state, dict) or set(state) != {"_metadata"}:
            raise WeightsError(f"{self.path}: its pickle sets the state of {_words(self.stack[-1])}: no state dict")


def _short(value):
    """A value that a file made up, in few letters. Python's own repr of tuples in tuples grows without bounds."""
    return _SHORT.repr(value)


def _words(value):
    """A value of a pickle as people read it."""
    return value.name.replace(" ", ".", 1) if isinstance(value, _Global) else f"a {type(value).__name__.strip('_')}"
