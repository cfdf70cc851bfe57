"""How many threads a process of Caffe has."""

import os

import caffe
import threadpoolctl

from attscale import processes

_NARROW = 512  # filters of the widest convolution; half of what DeepLab-LargeFOV has


def limit_threads(model, threads=None):
    """Sets the threads of this process: `threads`, else OMP_NUM_THREADS, else all cores that it may use.

    Our Caffe shares its work out by OpenMP and wants BLAS, NumPy's too, on one thread: other threads than its own would
    spin beside them. BVLC's own has BLAS alone, which slows narrow nets down: those run on one thread there.
    """
    wanted = threads or processes.threads_at_hand()
    stock = {"gemm", "all"} & set(os.environ.get("CAFFE_STOCK", "").split(","))
    if hasattr(caffe.Net, "share_blobs") and not stock:  # docker/fast is in it, and in use
        threadpoolctl.threadpool_limits(1, user_api="blas")
        threadpoolctl.threadpool_limits(wanted, user_api="openmp")
        return
    if stock:
        threadpoolctl.threadpool_limits(wanted)
        return
    widest = max(layer.convolution_param.num_output for layer in model.deploy.layer)
    threadpoolctl.threadpool_limits(threads or (1 if widest < _NARROW else wanted))
