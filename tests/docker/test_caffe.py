"""Our patches to Caffe, seen from outside."""

import subprocess
import sys

import numpy as np

from conftest import input_layer


def test_import_needs_no_scikit_image():
    code = "import sys; import caffe; assert 'skimage' not in sys.modules and 'scipy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_max_pooling_of_nan_stays_inside_its_memory(make_net):
    """A window of NaN alone: the gradient goes to its first element, not to the memory before the blob."""
    net = make_net(
        "force_backward: true\n"
        + input_layer("x", (1, 1, 3, 3))
        + 'layer { name: "y" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 2 stride: 1 } }'
    )
    net.blobs["x"].data[...] = np.array([[np.nan, np.nan, 1], [np.nan, np.nan, 2], [3, 4, 5]])
    net.forward()
    assert np.isnan(net.blobs["y"].data[0, 0, 0, 0])
    net.backward(y=np.ones((1, 1, 2, 2), np.float32))
    diff = net.blobs["x"].diff[0, 0]
    assert diff[0, 0] == 1
    assert diff.sum() == 4  # one for each window, all of it inside the blob


def test_max_pooling_of_numbers_is_as_ever(make_net):
    net = make_net(
        "force_backward: true\n"
        + input_layer("x", (1, 1, 4, 4))
        + 'layer { name: "y" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 3 stride: 2 pad: 1 } }'
    )
    x = -np.arange(16, dtype=np.float32).reshape(4, 4)  # the largest of a window is its first pixel
    net.blobs["x"].data[...] = x
    net.forward()
    assert net.blobs["y"].data[0, 0].tolist() == [[0, -1, -3], [-4, -5, -7], [-12, -13, -15]]
    net.backward(y=np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3))
    assert net.blobs["x"].diff[0, 0].tolist() == [[1, 2, 0, 3], [4, 5, 0, 6], [0, 0, 0, 0], [7, 8, 0, 9]]
