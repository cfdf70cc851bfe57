"""Every row of Attention to Refine's tables at full width: Caffe loads it, and a step moves all that learns.

On a crop of its own size that takes up to a minute a row, most of it convolutions: those are slow; one of each table's
models is tried on a small crop besides, so that all layers' kinds run at every test.
"""

import numpy as np
import pytest

from attscale import experiments, paper, prototxt
from helpers.net_cases import solver_on, with_inputs

ROWS = sorted({row.name for row in experiments.EXPERIMENTS.values() for c in row.cells if c.paper == paper.REFINE})
WHOLE = ["voc12_refine2_esupv", "voc12_refine2_esupv_bias", "ade20k_resnet34_psp_refine2_esupv"]


@pytest.mark.parametrize(
    ("name", "size"),
    [(name, 97) for name in WHOLE] + [pytest.param(name, None, marks=pytest.mark.slow) for name in ROWS],
)
def test_a_step_moves_all_that_learns(name, size, tmp_path):
    """From random weights in the place of pretrained ones; statistics move by what was seen, and by no rate."""
    row = experiments.find(name)
    batch = 2 if row.trunk.psp else 1  # of one image, the pyramid's bin 1x1 has no variance
    message = with_inputs(prototxt.train_net(row), batch, size or row.crop_size)
    solver = solver_on(tmp_path, row, message, iter_size=1)
    net = solver.net
    classes = len(row.dataset.classes)
    fill(net, classes)
    before = {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}
    solver.step(1)
    losses = [float(net.blobs[head].data) for head in net.outputs]
    assert len(losses) == 1 + (len(row.scales) if row.extra_supervision else 0)
    assert all(0 < loss < 2 * np.log(classes) for loss in losses)
    for layer, blobs in net.params.items():
        for old, blob in zip(before[layer], blobs, strict=True):
            assert np.isfinite(blob.data).all(), layer
            assert not np.array_equal(blob.data, old), layer


def fill(net, classes):
    """An image, labels, and for each convolution without a filler He's weights."""
    rng = np.random.default_rng(0)
    net.blobs["data"].data[...] = rng.normal(size=net.blobs["data"].data.shape)
    label = net.blobs["label"].data
    label[...] = rng.choice([*range(classes), 255], label.shape)
    for blobs in net.params.values():
        weights = blobs[0].data
        if weights.ndim == 4 and not weights.any():
            weights[...] = rng.normal(0, np.sqrt(2 / weights[0].size), weights.shape)


def test_the_tables_have_thirteen_rows():
    """Five, five and five, of which tables 1 and 2 share two."""
    assert len(ROWS) == 13
    assert set(WHOLE) < set(ROWS)
