import json

import numpy as np
import pytest
from PIL import Image

from attscale import experiments, prototxt
from attscale.data import lists, shapes
from attscale.data.images import read_image, read_label, voc_palette
from attscale.errors import DataError


def test_the_same_seed_makes_the_same_files(tmp_path):
    for name in "ab":
        assert shapes.make(tmp_path / name, train=3, val=2, seed=7)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 5 * 3 + 2 + 2 + 1
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    shapes.make(tmp_path / "c", train=3, val=2, seed=8)
    assert (tmp_path / "a/JPEGImages/000000.jpg").read_bytes() != (tmp_path / "c/JPEGImages/000000.jpg").read_bytes()


def test_layout_is_vocs(tmp_path):
    shapes.make(tmp_path / "s", train=2, val=1, seed=0)
    assert (tmp_path / "s/ImageSets/Segmentation/val.txt").read_text() == "000002\n"
    for split, count in (("train", 2), ("val", 1)):
        pairs = lists.read_list(tmp_path / "s", f"list/{split}.txt")
        assert len(pairs) == count
        for image, label in pairs:
            assert read_image(image).shape == (257, 257, 3)
            values = set(np.unique(read_label(label)))
            assert 255 in values
            assert values <= {0, 1, 2, 3, 4, 255}
            assert Image.open(label).mode == "P"
            instances = read_label(str(label).replace("SegmentationClass", "SegmentationObject"))
            assert np.array_equal(instances == 255, read_label(label) == 255)
            assert np.array_equal(instances == 0, read_label(label) == 0)


def test_the_palette_is_vocs():
    # the colours that VOC's documentation gives for aeroplane, person, tvmonitor and the border
    assert voc_palette()[[0, 1, 15, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]


def test_sizes_are_log_uniform_over_a_factor_of_at_least_16_for_every_class():
    drawn = [shape for i in range(700) for shape in shapes.draw_shapes(np.random.default_rng(i))]
    low, high = np.log(12), np.log(216)
    assert (high - low) >= np.log(16)
    for label in range(1, 5):
        sizes = np.sort([np.log(shape.diameter) for shape in drawn if shape.label == label])
        uniform = (sizes - low) / (high - low)
        assert len(sizes) > 400
        # Kolmogorov-Smirnov: 1.63 / sqrt(n) is passed by 99 % of uniform samples
        steps = np.arange(1, len(sizes) + 1) / len(sizes)
        assert np.abs(uniform - steps).max() < 1.63 / np.sqrt(len(sizes))
    for shape in drawn:
        assert shape.diameter / 2 <= min(shape.centre) <= max(shape.centre) <= 257 - shape.diameter / 2


def test_colour_and_texture_do_not_tell_the_classes_apart():
    """Mean colour and roughness inside objects: between classes no further apart than chance has it (4 sigma)."""
    features = {label: [] for label in range(1, 5)}
    for i in range(250):
        rng = np.random.default_rng([1, i])
        objects = shapes.draw_shapes(rng)
        image, classes, instances = shapes.render(rng, objects)
        for number, shape in enumerate(objects, start=1):
            inside = (instances == number) & (classes == shape.label)
            if inside.sum() > 200:
                pixels = image[inside].astype(float)
                features[shape.label].append([*pixels.mean(axis=0), np.log(pixels.std())])
    everything = np.concatenate([np.array(rows) for rows in features.values()])
    for rows in features.values():
        distance = (np.mean(rows, axis=0) - everything.mean(axis=0)) / (everything.std(axis=0) / np.sqrt(len(rows)))
        assert np.abs(distance).max() < 4


def test_areas_are_those_of_the_outlines():
    """By geometry, for circumscribed radius r: disc pi r^2, square 2 r^2, triangle 3 sqrt(3)/4 r^2."""
    for label, factor in ((1, np.pi), (2, 3 * np.sqrt(3) / 4), (3, 2)):
        shape = shapes.Shape(label, 200.0, (128.0, 128.0), 0.3)
        assert int(shape.mask(257).sum()) == pytest.approx(factor * 100**2, rel=0.03)  # OpenCV draws the rim too


def test_made_once_and_never_overwritten(tmp_path):
    assert shapes.make(tmp_path / "s", train=1, val=1, seed=0)
    assert not shapes.make(tmp_path / "s", train=1, val=1, seed=0)
    with pytest.raises(DataError, match="remove it or choose another --root"):
        shapes.make(tmp_path / "s", train=2, val=1, seed=0)
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="holds something else"):
        shapes.make(tmp_path / "other", train=1, val=1, seed=0)


def test_an_interrupted_run_leaves_nothing_under_the_final_name(tmp_path):
    def interrupted(numbers):
        yield from list(numbers)[:1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shapes.make(tmp_path / "s", train=2, val=1, seed=0, progress=interrupted)
    assert not (tmp_path / "s").exists()
    assert shapes.make(tmp_path / "s", train=2, val=1, seed=0)
    assert json.loads((tmp_path / "s/shapes.json").read_text())["train"] == 2


def test_the_field_of_view_of_the_nets_is_what_fidelity_says():
    """One layer widens it by (kernel - 1) x dilation x stride so far. By hand, for kernels of 3:

    conv1 2 x 2, pool1 2: 7; at stride 2 conv2 2 x 4, pool2 4: 19; at 4 conv3 3 x 8, pool3 8: 51; at 8 conv4 3 x 16,
    pool4 16: 115, conv5, dilated by 2, 3 x 32, pool5 16: 227, and fc6, dilated by 2, 32: 259. fc7 and fc8 are 1x1.
    """
    row = experiments.find("shapes_largefov")
    field, stride = 1, 1
    for layer in prototxt.train_net(row).layer:
        if layer.type == "Convolution":
            param = layer.convolution_param
            kernel, step, dilation = param.kernel_size[0], *(param.stride or [1]), *(param.dilation or [1])
        elif layer.type == "Pooling":
            kernel, step, dilation = layer.pooling_param.kernel_size, layer.pooling_param.stride, 1
        else:
            continue
        field += (kernel - 1) * dilation * stride
        stride *= step
    assert (field, stride) == (259, 8)
    assert all(
        row.trunk == experiments.find(name).trunk for name in experiments.EXPERIMENTS if name.startswith("shapes")
    )
    assert (shapes.LARGEST, shapes.SIDE) == (216, 257)
