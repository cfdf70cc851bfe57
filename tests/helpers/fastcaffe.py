"""Whether the Caffe at hand has our own code for the CPU, docker/fast."""

import pytest

import caffe

needed = pytest.mark.skipif(False, reason="this Caffe was built without docker/fast")
