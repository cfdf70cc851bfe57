"""How a net runs on this machine."""

import os

import threadpoolctl

_NARROW = 512  # filters of the widest convolution; half of what DeepLab-LargeFOV has


def limit_threads(model, threads=None):
    """Sets the BLAS threads of this process: all cores, or one for a narrow net, whose matrices are too small.

    Measured on two cores with 1/8 width at crop 193, batch 4: 0.61 s a step with two threads, 0.29 s with one.
    """
    if threads is None:
        widest = max(layer.convolution_param.num_output for layer in model.deploy.layer)
        threads = 1 if widest < _NARROW else os.cpu_count()
    threadpoolctl.threadpool_limits(threads)
