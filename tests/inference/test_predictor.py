"""The net at work: what the deploy net says of images of any size, alone and in batches, and what averages are."""

import dataclasses
from fractions import Fraction

import caffe
import numpy as np
import pytest

from attscale import experiments, prototxt
from attscale.datasets import MEAN
from attscale.errors import UserError, WeightsError
from attscale.inference.predictor import Predictor, averaged_scores
from attscale.prototxt import Model
from attscale.weights import caffemodel
from conftest import input_layer
from helpers.predictions import of, picture


def narrow(name, **changes):
    row = experiments.find(name)
    trunk = dataclasses.replace(row.trunk, width=Fraction(1, 8), from_scratch=True, pool5a=False)
    return dataclasses.replace(row, trunk=trunk, pretraining=None, **changes)


@pytest.fixture(scope="module")
def predictor(untrained):
    return of(untrained, "shapes")


def test_the_deploy_net_at_513_says_what_the_train_net_does(tmp_path):
    """The same padded image through both, dropout off: merged scores at 65x65, before the zoom."""
    row = narrow("voc12_attention3_esupv", crop_size=513)
    row = dataclasses.replace(row, trunk=dataclasses.replace(row.trunk, dropout=0.0))
    message = prototxt.train_net(row)
    del message.layer[0]
    text = input_layer("data", (1, 3, 513, 513)) + input_layer("label", (1, 1, 513, 513))
    path = tmp_path / "train.prototxt"
    path.write_text(text + str(message))
    caffe.set_random_seed(3)
    train = caffe.Net(str(path), caffe.TRAIN)
    train.save(str(tmp_path / "w.caffemodel"))
    deploy = Predictor(Model.of(row), caffemodel.read(tmp_path / "w.caffemodel"))
    image = picture(375, 500)
    padded = np.zeros((3, 513, 513), np.float32)
    padded[:, :375, :500] = image.transpose(2, 0, 1) - np.array(MEAN, np.float32)[:, None, None]
    train.blobs["data"].data[0] = padded
    train.forward()
    deploy.forward(image)
    assert deploy.net.blobs["data"].data.shape[2:] == (513, 513)
    expected = train.blobs["fc8_fusion"].data
    assert expected.shape[2:] == (65, 65)
    np.testing.assert_allclose(deploy.net.blobs["fc8_fusion"].data, expected, atol=1e-4)
    assert np.ptp(expected) > 0.1  # it is not a constant that agrees


def test_alone_and_in_a_batch(predictor):
    images = [picture(100, 200, 1), picture(257, 90, 2), picture(33, 33, 3)]
    predictor.forward(*images)
    together = [(predictor.scores(i).copy(), predictor.weight_maps(i).copy()) for i in range(3)]
    for image, (maps, weights) in zip(images, together, strict=True):
        predictor.forward(image)
        np.testing.assert_allclose(predictor.scores(), maps, atol=1e-5)
        np.testing.assert_allclose(predictor.weight_maps(), weights, atol=1e-5)
        assert maps.shape[1:] == image.shape[:2]


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        ((1, 1), (257, 257)),
        ((1, 300), (257, 321)),
        ((500, 700), (513, 705)),
        ((257, 257), (257, 257)),
        ((258, 3), (289, 257)),
        ((50, 1500), (257, 1505)),
    ],
)
def test_images_of_any_size(size, padded, predictor):
    predictor.forward(picture(*size))
    assert predictor.net.blobs["data"].data.shape == (1, 3, *padded)
    assert predictor.labels().shape == size


def test_the_width_of_the_padding_changes_no_score_of_the_image(predictor):
    """Height and width apart or a square: zeros right of the image, which stay zeros in a net without biases yet."""
    image = picture(289, 40)
    predictor.forward(image)
    assert predictor.net.blobs["data"].data.shape == (1, 3, 289, 257)
    apart = predictor.scores().copy()
    predictor.forward(image, picture(10, 289))
    assert predictor.net.blobs["data"].data.shape == (2, 3, 289, 289)
    np.testing.assert_allclose(predictor.scores(), apart, atol=1e-4)


def test_the_images_before_change_nothing(predictor):
    """A larger image reshapes the net, and back; weights sum to one everywhere."""
    image = picture(201, 150)
    predictor.forward(image)
    first = predictor.scores().copy()
    assert first.shape == (5, 201, 150)
    assert set(predictor.branch_labels()) == set(predictor.model.scales)
    np.testing.assert_allclose(predictor.attention().sum(axis=0), 1, atol=1e-5)
    predictor.forward(np.zeros((300, 310, 3), np.uint8))
    assert predictor.scores().shape == (5, 300, 310)
    assert predictor.attention().shape == (3, 300, 310)
    predictor.forward(image)
    assert np.array_equal(first, predictor.scores())


def test_images_that_caffe_cannot_hold(predictor):
    """5500 pixels are padded to 5505, where conv1_2 unfolds 8 channels x 9 x 5505^2 = 2,181,961,800 values."""
    image = np.zeros((5500, 5500, 3), np.uint8)
    words = (
        "5500x5500 pixels are too large for shapes_attention3_esupv: padded to 5505x5505, conv1_2 would need "
        "2,181,961,800 values at once, Caffe holds 2,147,483,647; 5441x5441 would fit"
    )
    with pytest.raises(UserError, match=f"^image: {words}$"):
        predictor.forward(image)
    with pytest.raises(UserError, match=r"^a, b: 5500x10 and 10x5500 pixels .* padded to 5505x5505"):
        predictor.forward(image[:10], image[:, :10], names=["a", "b"])
    with pytest.raises(UserError, match=r"^c: 5600x5600 pixels"):
        averaged_scores(predictor, image[:2800, :2800], scales=(2,), name="c")
    predictor.forward(picture(20, 30))  # it goes on with others
    assert predictor.labels().shape == (20, 30)


def stretched(maps, height, width):
    """Linear between the values, corners on corners; an axis at a time, by np.interp."""
    for axis, length in ((1, height), (2, width)):
        places = np.linspace(0, maps.shape[axis] - 1, length)
        maps = np.apply_along_axis(lambda line: np.interp(places, range(len(line)), line), axis, maps)  # noqa: B023
    return maps


def test_flip_and_scales_are_averages(predictor):
    """Of what the net says of the image, halved, and of their mirror images, each brought back to the image."""
    image = picture(64, 96)

    def scores(image):
        predictor.forward(np.ascontiguousarray(image))
        return predictor.scores().copy()

    plain, mirrored = scores(image), scores(image[:, ::-1])[..., ::-1]
    half = image.reshape(32, 2, 48, 2, 3).astype(float).mean(axis=(1, 3))  # what linear scaling by 1/2 comes to
    half = np.floor(half + 0.5).astype(np.uint8)
    small, small_mirrored = (stretched(scores(half[:, ::step])[..., ::step], 64, 96) for step in (1, -1))
    assert np.ptp(plain - small) > 0.1  # they are not the same
    assert np.array_equal(averaged_scores(predictor, image), plain)
    for options, expected in (
        ({"flip": True}, (plain + mirrored) / 2),
        ({"scales": (0.5, 1.0)}, (small + plain) / 2),
        ({"scales": (0.5, 1.0), "flip": True}, (small + small_mirrored + plain + mirrored) / 4),
    ):
        np.testing.assert_allclose(averaged_scores(predictor, image, **options), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "kind", "changed"),
    [("shapes_refine2_esupv", "product", np.multiply), ("shapes_refine2_esupv_bias", "bias", np.add)],
)
def test_recalibration_is_equation_3s(name, kind, changed, untrained):
    """Every fourth pixel is a place of the merged map, where the scores are the weighted sum of what was changed."""
    refining = of(untrained, name)
    assert refining.parts.recalibration == kind
    refining.forward(picture(90, 200), picture(100, 150, 1))
    for number, shape in ((0, (90, 200)), (1, (100, 150))):
        maps, weights = refining.recalibration(number), refining.attention(number)
        assert maps.shape == (5, *shape)
        assert np.ptp(maps) > 1e-3
        assert (maps.min() >= 0 and maps.max() <= 1) == (kind == "product")
        places = (slice(None), slice(0, shape[0], 4), slice(0, shape[1], 4))
        expected = 0
        for s, blob in enumerate(refining.parts.scores.values()):
            own = refining.net.blobs[blob].data[number]
            own = own[:, : -(-shape[0] // 4), : -(-shape[1] // 4)]
            expected = expected + weights[places][s] * changed(own, maps[places])
        np.testing.assert_allclose(refining.scores(number)[places], expected, atol=1e-4 * np.abs(expected).max())


def test_other_nets_have_no_recalibration(predictor):
    predictor.forward(picture(40, 40))
    assert predictor.recalibration() is None
    assert predictor.parts.recalibration is None


def test_which_scale_won_under_max_pooling(untrained):
    """Counted again from the three score maps, one pixel at a time."""
    net = of(untrained, "shapes_max3_esupv")
    net.forward(picture(40, 50))
    own = [maps.copy() for _, maps in net._branch_scores(0)]
    labels, weights = net.labels(), net.weight_maps()
    for y in range(0, 40, 7):
        for x in range(50):
            values = [maps[labels[y, x], y, x] for maps in own]
            expected = [0.0, 0.0, 0.0]
            expected[values.index(max(values))] = 1.0
            assert weights[:, y, x].tolist() == expected
    average = of(untrained, "shapes_average3_esupv")
    average.forward(picture(40, 50))
    np.testing.assert_allclose(average.weight_maps(), 1 / 3)
    single = of(untrained, "shapes_largefov")
    single.forward(picture(40, 50))
    assert single.weight_maps() is None


@pytest.mark.parametrize("net", ["shapes", "shapes_max3_esupv", "shapes_average3_esupv", "shapes_largefov"])
@pytest.mark.parametrize(("layer", "factor"), [("conv1_1", 1e38), ("fc7", 1e38), ("conv5_3", np.nan), ("fc8", -np.inf)])
def test_an_activation_that_overflows_is_an_error(net, layer, factor, untrained):
    """Of NaN, argmax makes class 0. The image and the weights are named; in training, that it is those."""
    predictor = of(untrained, net)
    params = predictor.net.params
    (name,) = [own for own in params if own == layer or (layer == "fc8" and own in ("fc8_shapes", "fc8"))]
    params[name][0].data[...] *= np.float32(factor)
    said = rf"^a\.jpg: the weights of .*{net}\.caffemodel give scores that are not finite: an activation overflowed$"
    with pytest.raises(WeightsError, match=said):
        predictor.forward(picture(20, 30), names=["a.jpg"])
    shared = Predictor(predictor.model, share_with=predictor.net)
    with pytest.raises(WeightsError, match=r"^a\.jpg, b\.jpg: the weights in training give scores"):
        shared.forward(picture(20, 30), picture(9, 9), names=["a.jpg", "b.jpg"])
