"""State dicts as PyTorch writes them, without PyTorch: safetensors, and the zip archive with its pickle by hand."""

import json
import struct
import zipfile

import numpy as np

STORAGES = {
    "<f4": "FloatStorage",
    "<f8": "DoubleStorage",
    "<f2": "HalfStorage",
    "<i8": "LongStorage",
    "|b1": "BoolStorage",
}
SAFETENSORS = {"<f4": "F32", "<f8": "F64", "<f2": "F16", "<i8": "I64", "|b1": "BOOL"}


def safetensors(arrays, **metadata):
    """The bytes of a safetensors file with these arrays by name."""
    header, data = {"__metadata__": {"format": "pt", **metadata}}, b""
    for name, array in arrays.items():
        begin = len(data)
        data += array.tobytes()
        kind = SAFETENSORS[array.dtype.str]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def text(words):
    return b"X" + struct.pack("<I", len(words.encode())) + words.encode()


def number(n):
    return b"J" + struct.pack("<i", n)


def name(module, attribute):
    return b"c" + f"{module}\n{attribute}\n".encode()


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


ORDERED_DICT = name("collections", "OrderedDict") + b")R"


def storage(key, kind, count):
    """A persistent id: what `torch.save` writes for a storage."""
    return b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + number(count) + b"tQ"


def tensor(storage, offset, shape, strides):
    """The call of _rebuild_tensor_v2."""
    arguments = storage + number(offset) + numbers(shape) + numbers(strides) + b"\x89" + ORDERED_DICT
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def program(values):
    """data.pkl: the dict of these values by name, each the bytes that put it on the stack."""
    return b"\x80\x02" + ORDERED_DICT + b"(" + b"".join(text(key) + value for key, value in values.items()) + b"u."


def archive(path, pickle, storages=(), method=zipfile.ZIP_STORED):
    """Writes torch.save's archive of a pickle and the arrays of its storages, data/0, data/1 and so on."""
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("archive/data.pkl", pickle)
        file.writestr("archive/byteorder", "little")
        for key, array in enumerate(storages):
            file.writestr(f"archive/data/{key}", np.ascontiguousarray(array).tobytes())
        file.writestr("archive/version", "3\n")


def save(path, arrays):
    """Writes arrays by name as `torch.save` does it, a storage each."""
    values = {}
    for key, (title, array) in enumerate(arrays.items()):
        strides = [stride // array.itemsize for stride in np.ascontiguousarray(array).strides]
        if array.ndim == 0:
            strides = []
        held = storage(str(key), STORAGES[array.dtype.str], array.size)
        values[title] = tensor(held, 0, array.shape, strides)
    archive(path, program(values), arrays.values())


def resnet34(seed=0, *, sparse=True):
    """torchvision's state dict of ResNet-34 as arrays; `sparse`: all but conv1 and BatchNorm are zeros."""
    rng, result = np.random.default_rng(seed), {}

    def norm(title, channels):
        for kind in ("weight", "bias", "running_mean"):
            result[f"{title}.{kind}"] = rng.normal(size=channels).astype(np.float32)
        result[f"{title}.running_var"] = rng.uniform(0.5, 2, channels).astype(np.float32)
        result[f"{title}.num_batches_tracked"] = np.array(5)

    def conv(title, *shape):
        drawn = np.zeros if sparse else rng.random
        result[f"{title}.weight"] = drawn(shape, np.float32)

    result["conv1.weight"] = rng.normal(size=(64, 3, 7, 7)).astype(np.float32)
    norm("bn1", 64)
    inputs = 64
    for stage, (blocks, channels) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        for block in range(blocks):
            title = f"layer{stage}.{block}"
            conv(f"{title}.conv1", channels, inputs, 3, 3)
            norm(f"{title}.bn1", channels)
            conv(f"{title}.conv2", channels, channels, 3, 3)
            norm(f"{title}.bn2", channels)
            if block == 0 and stage > 1:
                conv(f"{title}.downsample.0", channels, inputs, 1, 1)
                norm(f"{title}.downsample.1", channels)
            inputs = channels
    conv("fc", 1000, 512)
    result["fc.bias"] = np.zeros(1000, np.float32)
    return result
