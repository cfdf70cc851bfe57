"""The parts of tools/benchmark.py, in the order of docs/benchmarks.md."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """What it measures, in words; where: module and function; its options with their defaults; an example of some."""

    words: str
    where: str
    options: dict[str, int]
    example: str


#: All options, and what they mean.
OPTIONS = {
    "crop": "pixels of the images in training, 32k + 1",
    "image": "pixels of the images in inference, 32k + 1",
    "batch_size": "images at once in training",
    "iter_size": "batches an iteration in training",
    "iterations": "of which the time is taken, each time",
    "rounds": "how often everything is measured",
}
PARTS = {
    "step": Part(
        words="a training step of three-scale attention beside the baseline's, and their multiply-adds",
        where="nets.step",
        options={"crop": 321, "batch_size": 1, "iterations": 2, "rounds": 5},
        example="--crop 161 --rounds 3",
    ),
    "infer": Part(
        words="inference of three-scale attention beside the baseline's, and their multiply-adds",
        where="nets.infer",
        options={"image": 513, "iterations": 3, "rounds": 5},
        example="--image 321",
    ),
    "peer": Part(
        words="training and inference beside PyTorch's of the same nets: same threads, sizes and losses",
        where="nets.peer",
        options={"crop": 321, "image": 513, "batch_size": 1, "iterations": 2, "rounds": 3},
        example="--crop 161 --image 161",
    ),
    "memory": Part(
        words="the most memory of one prediction and of one training step, beside PyTorch's",
        where="nets.memory",
        options={"crop": 321, "image": 513, "batch_size": 1, "rounds": 3},
        example="--batch-size 3",
    ),
    "threads": Part(
        words="a training step of the demo's narrow net on all cores, beside one core",
        where="nets.threads",
        options={"iterations": 20, "rounds": 5},
        example="--rounds 3",
    ),
    "layers": Part(
        words="the layers in Python, and waiting for data, as shares of a training step at full width",
        where="nets.layers",
        options={"crop": 321, "batch_size": 1, "iterations": 2, "rounds": 3},
        example="--batch-size 3",
    ),
    "parts": Part(
        words="our Caffe with one of our parts switched off, beside the whole: what is slower then is the part's gain",
        where="nets.parts",
        options={"crop": 321, "image": 513, "batch_size": 1, "iterations": 1, "rounds": 3},
        example="--crop 161 --image 161",
    ),
    "net": Part(
        words="each layer's time and GFLOP/s in a training step, beside a product of large matrices",
        where="nets.net",
        options={"crop": 321, "batch_size": 1, "rounds": 3},
        example="--crop 161",
    ),
    "data": Part(
        words="SegData's loader beside cv2.imread on the same files",
        where="speeds.data_loading",
        options={"rounds": 5},
        example="--out runs/bench",
    ),
    "crf": Part(
        words="the dense CRF on two processes beside one",
        where="speeds.crf_scaling",
        options={"rounds": 3},
        example="--rounds 2",
    ),
    "training": Part(
        words="memory and time besides Caffe's own, on the narrow shapes net",
        where="training.costs",
        options={"iterations": 2000},
        example="--iterations 400",
    ),
    "gpu": Part(
        words="baseline and attention on a GPU: time and memory of training and inference",
        where="nets.gpu",
        options={"crop": 321, "image": 513, "batch_size": 10, "iter_size": 3, "iterations": 10, "rounds": 5},
        example="--batch-size 5",
    ),
}
#: Those that `all` runs.
ON_THE_CPU = tuple(part for part in PARTS if part != "gpu")
