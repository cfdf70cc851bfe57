"""Whether the Caffe at hand has our own code for the CPU, docker/fast."""

import caffe
import pytest

needed = pytest.mark.skipif(not hasattr(caffe.Net, "share_blobs"), reason="this Caffe was built without docker/fast")
