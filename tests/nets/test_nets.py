"""The nets as Caffe builds them: the rows' options, sizes, numbers of parameters, typed from docs/release.md."""

import caffe
import numpy as np
import pytest
from caffe import layers as L

from attscale import experiments, prototxt
from attscale.nets.blocks import Branch
from helpers.net_cases import EACH_KIND, layers, with_inputs


def test_design_choices_of_the_attention_model():
    def net(name):
        return layers(prototxt.train_net(experiments.find(f"voc10_part_attention{name}")))

    one = net("3_esupv_onelayer")
    assert "att_conv1" not in one
    assert (one["att_fc"].convolution_param.num_output, *one["att_fc"].convolution_param.kernel_size) == (3, 3)
    assert list(net("3_esupv_kernel1")["att_conv1"].convolution_param.kernel_size) == [1]
    assert net("3_esupv_filters1024")["att_conv1"].convolution_param.num_output == 1024
    assert list(net("3_esupv_fc6")["fc6_concat"].bottom) == ["fc6", "fc6_res075_interp", "fc6_res05_interp"]
    fc8 = "fc8_voc10_part"
    maps = [fc8, f"{fc8}_res075_interp", f"{fc8}_res05_interp"]
    assert list(net("3_esupv_fc8")["fc8_concat"].bottom) == maps
    four = net("4_esupv")
    assert four["att_fc"].convolution_param.num_output == 4
    assert [p.name for p in four["conv1_1_res025"].param] == ["conv1_1_w", "conv1_1_b"]
    assert list(four["loss_res025"].bottom) == [f"{fc8}_res025", "label_shrink_res025"]


def test_the_papers_supervision_and_the_later_files_start_are_options():
    own = layers(prototxt.train_net(experiments.find("voc12_attention3_esupv_own")))
    assert list(own["loss_res075"].bottom) == ["fc8_voc12_res075", "label_shrink_res075"]
    assert list(own["loss_res05"].bottom) == ["fc8_voc12_res05", "label_shrink_res05"]
    zero = layers(prototxt.train_net(experiments.find("voc12_coco_attention3_esupv_zeroattention")))
    for name in ("att_conv1", "att_fc"):
        assert not zero[name].convolution_param.HasField("weight_filler")
        assert [p.lr_mult for p in zero[name].param] == [1, 2]


def test_what_the_data_layer_reads():
    def param_str(name):
        return prototxt.train_net(experiments.find(name)).layer[0].python_param.param_str

    assert '"source": "list/trainval_aug.txt"' in param_str("voc12_attention3_esupv_trainval_aug")
    assert '"source": "list/train_aug.txt"' in param_str("voc")
    assert '"scales": [0.6, 0.8, 1.0, 1.2, 1.4]' in param_str("voc12_coco_attention3_esupv_plus_trainval_aug")
    assert '"scale_range": [0.6, 1.4]' in param_str("voc12_coco_attention3_esupv_plusuniform")
    assert "scale" not in param_str("voc")
    assert '"classes": 81' in param_str("coco")
    assert prototxt.solver(experiments.find("voc12_attention3_esupv_trainval_aug")).max_iter == 8000


def test_without_extra_supervision_there_is_one_loss():
    for name in ("voc12_max3", "voc12_average2", "voc12_attention3"):
        net = prototxt.train_net(experiments.find(name))
        assert [layer.name for layer in net.layer if layer.type == "SoftmaxWithLoss"] == ["loss_fusion"]


@pytest.mark.parametrize(("size", "expected"), [(321, (41, 31, 21)), (513, (65, 49, 33))])
def test_sizes_line_up_at_full_width(size, expected):
    net = prototxt.load(prototxt.deploy_net(experiments.find("voc"), size))
    names = ("fc8_voc12", "fc8_voc12_res075", "fc8_voc12_res05")
    assert tuple(net.blobs[name].data.shape[2] for name in names) == expected
    assert net.blobs["fc8_voc12_res075_interp"].data.shape == net.blobs["fc8_voc12"].data.shape
    assert net.blobs["fc8_voc12_res05_interp"].data.shape == (1, 21, expected[0], expected[0])
    assert net.blobs["attention"].data.shape == (1, 3, expected[0], expected[0])
    assert net.blobs["fc8_interp"].data.shape == (1, 21, size, size)


# By hand: VGG-16's convolutions 14,714,688; fc6 9 x 512 x 1024 + 1024; fc7 1024 x 1024 + 1024; fc8 21 x 1024 + 21.
LARGEFOV = 14_714_688 + 4_719_616 + 1_049_600 + 21_525

# On 3, 64, 128, 256 and 512 channels 9 x 128 weights each, and five times 128 + (128 x 128 + 128) + (128 x 21 + 21).
MSC = (3 + 64 + 128 + 256 + 512) * 9 * 128 + 5 * (128 + 16_512 + 2_709)

ATTENTION = 3072 * 9 * 512 + 512 + 512 * 3 + 3


@pytest.mark.parametrize(
    ("name", "count"),
    [("largefov", LARGEFOV), ("msc_largefov", LARGEFOV + MSC), ("attention3_esupv", LARGEFOV + ATTENTION)],
)
def test_parameter_count_at_full_width(name, count):
    net = prototxt.load(prototxt.deploy_net(experiments.find(f"voc12_{name}"), 33))
    blobs = {blob.data.ctypes.data: blob.data.size for blobs in net.params.values() for blob in blobs}  # shared: once
    assert sum(blobs.values()) == count


@pytest.mark.parametrize("name", EACH_KIND)
def test_every_net_loads_at_full_width_and_size(name):
    """The training net at its crop and the deploy net at its test size, and the sizes of the branches' scores."""
    row = experiments.find(name)
    expected = {
        193: {"": 25, "_res075": 19, "_res05": 13},
        257: {"": 33, "_res075": 25, "_res05": 17},
        321: {"": 41, "_res075": 31, "_res05": 21, "_res025": 11},
        385: {"": 49, "_res075": 37, "_res05": 25},
        513: {"": 65, "_res075": 49, "_res05": 33, "_res025": 17},
        641: {"": 81, "_res075": 61, "_res05": 41},
    }
    for message, phase, size in (
        (with_inputs(prototxt.train_net(row), 1, row.crop_size), caffe.TRAIN, row.crop_size),
        (prototxt.deploy_net(row), caffe.TEST, row.test_size),
    ):
        net = prototxt.load(message, phase)
        for scale in row.scales:
            suffix = "" if scale == 1 else "_res" + {0.75: "075", 0.5: "05", 0.25: "025"}[float(scale)]
            assert net.blobs[f"fc8_{row.dataset.name}{suffix}"].data.shape[2] == expected[size][suffix]
    assert net.blobs["fc_fusion" if row.msc else "fc8_interp"].data.shape[2] == row.test_size


def test_a_taken_layer_name_is_refused():
    branch = Branch(caffe.NetSpec())
    top = branch.add("data", L.Input(shape={"dim": [1]}))
    with pytest.raises(ValueError, match="'data' is already defined"):
        branch.relu("data", top)


def test_solvers_hold_the_papers_values():
    """Section 4: batch 30, lr 0.001, x0.1 after 2000 iterations, momentum 0.9, decay 0.0005; 6000 by the release."""
    row = experiments.find("voc")
    message = prototxt.solver(row)
    assert row.solver.batch_size * message.iter_size == 30
    assert (message.type, message.lr_policy, message.stepsize, message.max_iter) == ("SGD", "step", 2000, 6000)
    values = (message.base_lr, message.gamma, message.momentum, message.weight_decay)
    np.testing.assert_allclose(values, (0.001, 0.1, 0.9, 0.0005), rtol=1e-6)
