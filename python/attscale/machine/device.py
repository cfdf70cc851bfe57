"""Which device Caffe runs on."""

import ctypes

import caffe

from attscale.errors import RunError
from attscale.machine.build import built_with

_NCCL_ID = 128  # bytes, NCCL_UNIQUE_ID_BYTES
_NO_GPU = "no GPU can be seen"
_CPU_BUILD = "use the CPU build (DEVICE=cpu make caffe; in Docker: cp docker/cpu.env .env)"


def choose(gpus, rank=0):
    """Has Caffe use `gpus[rank]`, as one of a group where there are several, or the CPU where there is none.

    Raises RunError where `demand` does.
    """
    demand(gpus)
    if not gpus:
        caffe.set_mode_cpu()
        return
    caffe.set_device(gpus[rank])
    caffe.set_mode_gpu()
    if len(gpus) > 1:
        caffe.set_solver_count(len(gpus))
        caffe.set_solver_rank(rank)
        caffe.set_multiprocess(True)


def demand(gpus):
    """Raises RunError where Caffe cannot use `gpus`: built without CUDA, or without NCCL for several, or none there.

    Takes no memory of a GPU, as `choose` does.
    """
    if not gpus:
        if built_with("cudnn") and not visible_gpus():
            raise RunError(
                f"{_NO_GPU}, and this Caffe was built with cuDNN, which needs one even on the CPU; {_CPU_BUILD}"
            )
        return
    if not built_with("cuda"):
        raise RunError("this Caffe was built without CUDA: DEVICE=cuda make caffe, or train with --device cpu")
    visible = visible_gpus()
    if max(gpus) >= visible:
        found = f"GPU {max(gpus)} is asked for, but there are {visible}" if visible else _NO_GPU
        raise RunError(
            f"{found}: is NVIDIA's driver installed, in a container its container toolkit? If not, {_CPU_BUILD}"
        )
    if len(gpus) > 1 and not caffe.has_nccl():
        raise RunError("this Caffe was built without NCCL, which several GPUs need")


def new_nccl_id():
    """A new group's id, as NCCL makes it: 128 bytes, not the few before its first zero, which pycaffe's `new_uid` has.

    Raises RunError where NCCL makes none.
    """
    library = ctypes.CDLL(caffe._caffe.__file__)  # which is linked to NCCL
    found = ctypes.create_string_buffer(_NCCL_ID)
    if status := library.ncclGetUniqueId(found):
        raise RunError(f"NCCL makes no id for a group of GPUs: its status is {status}")
    return found.raw


def bus_id(gpu):
    """The PCI address of a GPU by Caffe's number: nvidia-smi may count in another order, and counts hidden ones.

    Raises RunError where the driver does not know it.
    """
    driver = _driver()
    address = ctypes.create_string_buffer(32)
    if driver is None or driver.cuDeviceGetPCIBusId(address, len(address), gpu):
        raise RunError(f"the driver does not tell the PCI address of GPU {gpu}")
    return address.value.decode()


def gpu_memory():
    """MiB (in use, there are) of the GPU that Caffe uses, all processes counted; None where the driver does not say."""
    driver = _driver()
    free, there = ctypes.c_size_t(), ctypes.c_size_t()
    # of this thread's context, which is Caffe's
    if driver is None or driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(there)):
        return None
    return (there.value - free.value) >> 20, there.value >> 20


def wait():
    """Waits until the GPU has done all that this process has asked of it, NCCL's sums included.

    Caffe's step() returns before, and a rank could be an iteration ahead of the first, which decides when all stop.
    Raises RunError for what has failed there.
    """
    driver = _driver()
    if driver is None or (status := driver.cuCtxSynchronize()):
        raise RunError(f"the GPU does not answer{'' if driver is None else f': its status is {status}'}")


def visible_gpus():
    """How many CUDA devices the driver shows; asked of the driver, since Caffe aborts the process over it."""
    driver = _driver()
    count = ctypes.c_int()
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def _driver():
    """NVIDIA's driver library, ready to be asked; None where there is none, or no device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return None if driver.cuInit(0) else driver
