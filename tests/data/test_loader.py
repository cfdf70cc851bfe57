import json
import os
import signal

import cv2
import numpy as np
import pytest

from attscale.data.images import read_label, write_label
from attscale.data.loader import BatchLoader, LoaderOptions
from attscale.datasets import MEAN
from attscale.errors import DataError, UserError
from attscale.options import decode, encode, to_values
from attscale.processes import ProcessDiedError
from helpers.spoilers import SPOILERS


def options(root, **changes):
    values = {"root": str(root), "source": "list/train.txt", "classes": 5, "crop_size": 33, "batch_size": 2}
    return LoaderOptions(**{**values, **changes})


def batches(loader_options, count):
    loader = BatchLoader(loader_options)
    n, crop = loader_options.batch_size, loader_options.crop_size
    try:
        result = []
        for _ in range(count):
            data, label = np.empty((n, 3, crop, crop), np.float32), np.empty((n, crop, crop), np.float32)
            loader.read(data, label)
            result.append((data, label))
        return result
    finally:
        loader.close()


def test_in_order_without_augmentation(mini):
    """Corner by corner: image 1 is 33x33 and fits the crop exactly."""
    got = batches(options(mini, batch_size=1, crop_size=33), 2)
    image = cv2.imread(str(mini / "JPEGImages/1.jpg"))
    np.testing.assert_allclose(got[1][0][0], image.transpose(2, 0, 1) - np.array(MEAN)[:, None, None], atol=1e-4)
    assert np.array_equal(got[1][1][0], read_label(mini / "SegmentationClass/1.png"))


def test_the_same_batches_whatever_the_number_of_workers(mini):
    runs = [
        batches(options(mini, shuffle=True, mirror=True, scales=(0.5, 1, 1.5), seed=5, workers=workers), 9)
        for workers in (1, 2, 4)
    ]
    for run in runs[1:]:
        for (data, label), (other_data, other_label) in zip(runs[0], run, strict=True):
            assert np.array_equal(data, other_data)
            assert np.array_equal(label, other_label)


def test_every_image_once_an_epoch(mini):
    """Each image marked by its own class and colour: two epochs of six, in different orders."""
    for i in range(6):
        write_label(mini / f"SegmentationClass/{i}.png", np.full((10, 10), i, np.uint8))
        cv2.imwrite(str(mini / f"JPEGImages/{i}.jpg"), np.zeros((10, 10, 3), np.uint8))
    seen = [
        int(label[k, 0, 0])
        for _, label in batches(options(mini, classes=6, crop_size=10, shuffle=True, workers=2), 6)
        for k in range(2)
    ]
    assert sorted(seen[:6]) == sorted(seen[6:]) == list(range(6))
    assert seen[:6] != seen[6:]


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_ranks_share_an_epoch_without_overlap(mini, batch_size):
    """Three ranks' batches, taken in turn, are those of one solver that has the whole set, also where 6 does not
    divide by 3 batches of 4."""
    shared = {"shuffle": True, "mirror": True, "seed": 3, "batch_size": batch_size}
    alone = batches(options(mini, **shared), 9)
    ranks = [batches(options(mini, **shared, rank=rank, ranks=3, workers=2), 3) for rank in range(3)]
    for i, (data, label) in enumerate(alone):
        other_data, other_label = ranks[i % 3][i // 3]
        assert np.array_equal(data, other_data)
        assert np.array_equal(label, other_label)


def repeat(times, function, *arguments):
    for _ in range(times):
        function(*arguments)


@pytest.mark.parametrize("spoil", SPOILERS)
def test_bad_files_are_named_in_the_solver(mini, spoil):
    said = spoil(mini)
    with pytest.raises(DataError, match=said):
        batches(options(mini, workers=2), 3)


def test_a_palette_png_is_read_as_indices_and_so_is_a_grey_one(mini):
    label = np.random.default_rng(0).integers(0, 21, (8, 9), np.uint8)
    write_label(mini / "palette.png", label)
    cv2.imwrite(str(mini / "grey.png"), label)
    assert cv2.imread(str(mini / "palette.png")).max() > 20  # it is one: read as colour, it holds 64s and 128s
    assert np.array_equal(read_label(mini / "palette.png"), label)
    assert np.array_equal(read_label(mini / "grey.png"), label)


def test_a_killed_worker_raises_and_does_not_hang(mini):
    loader = BatchLoader(options(mini, workers=2))
    data, label = np.empty((2, 3, 33, 33), np.float32), np.empty((2, 33, 33), np.float32)
    loader.read(data, label)
    os.kill(loader._workers[1].pid, signal.SIGKILL)
    with pytest.raises(ProcessDiedError, match=r"worker \(process \d+\) was ended by SIGKILL"):
        repeat(10, loader.read, data, label)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
        ({"mean": [1.0]}, r"mean is \[1.0\], expected \[float, float, float\]"),
        ({"scale_range": [1.4, 0.6]}, "least and largest factor"),
        ({"scale_range": [0.6, 1.0, 1.4]}, "least and largest factor"),
        ({"scales": [1.0], "scale_range": [0.6, 1.4]}, "either scales or scale_range"),
        ({"scales": [1.0, 0.0]}, "not above 0"),
    ],
)
def test_bad_options_are_named(mini, changes, said):
    text = json.dumps({**to_values(options(mini)), **changes})
    with pytest.raises(UserError, match=said):
        decode(LoaderOptions, text)


def test_seg_data_in_caffe(mini, make_net):
    """The layer delivers what the loader does; an error of a worker comes out of net.forward."""
    loader_options = options(mini, shuffle=True, mirror=True, seed=1)
    param_str = encode(loader_options)
    text = (
        'layer { name: "data" type: "Python" top: "data" top: "label" python_param '
        f'{{ module: "attscale.layers" layer: "SegData" param_str: {param_str!r} }} }}\n'
    )
    net = make_net(text)
    for data, label in batches(loader_options, 4):
        net.forward()
        assert np.array_equal(net.blobs["data"].data, data)
        assert np.array_equal(net.blobs["label"].data[:, 0], label)
    (mini / "JPEGImages/0.jpg").write_bytes(b"gone bad")
    with pytest.raises(DataError, match=r"0\.jpg: not a readable image"):
        repeat(12, net.forward)
    (mini / "JPEGImages/0.jpg").unlink()
    with pytest.raises(DataError, match=r"list/train.txt names .*0\.jpg, which does not exist"):
        make_net(text)
