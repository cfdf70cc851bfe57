"""Which device Caffe runs on."""

import ctypes

import caffe

from attscale.errors import RunError


def choose(gpus, rank=0):
    """Has Caffe use `gpus[rank]`, as one of a group where there are several, or the CPU where there is none.

    Raises RunError where Caffe was built without CUDA, or without NCCL for several.
    """
    if not gpus:
        caffe.set_mode_cpu()
        return
    if not _built_with_cuda():
        raise RunError("this Caffe was built without CUDA: DEVICE=cuda make caffe, or train with --device cpu")
    visible = _visible_gpus()
    if max(gpus) >= visible:
        raise RunError(
            f"GPU {max(gpus)} is asked for, but {visible or 'no'} GPU can be seen: is NVIDIA's driver installed "
            "(in a container, its container toolkit)? Or use --device cpu"
        )
    if len(gpus) > 1 and not caffe.has_nccl():
        raise RunError("this Caffe was built without NCCL, which several GPUs need")
    caffe.set_device(gpus[rank])
    caffe.set_mode_gpu()
    if len(gpus) > 1:
        caffe.set_solver_count(len(gpus))
        caffe.set_solver_rank(rank)
        caffe.set_multiprocess(True)


def new_nccl_id():
    """A new group's id, as NCCL makes it."""
    return caffe.NCCL.new_uid()


def _visible_gpus():
    """How many CUDA devices the driver shows; asked of the driver, since Caffe aborts the process over it."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def _built_with_cuda():
    """A CPU-only Caffe aborts the process on set_mode_gpu; the build's record says which it is."""
    from attscale.runs import versions

    return not any(line.split() == ["device:", "cpu"] for line in versions()["caffe"] or ())
