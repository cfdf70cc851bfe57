"""Speeds as ratios: the thing measured and its measure, run in turn on the same machine in the same minute."""

import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from attscale import processes
from attscale.bench.machine import resident
from attscale.data.images import write_image, write_index
from attscale.data.lists import write_list
from attscale.data.loader import BatchLoader, LoaderOptions
from attscale.inference import scores
from attscale.results.benchmarks import Findings, Ratio

OF_IMREAD = 0.7  # is asked of the loader on two workers
_SIZE = (375, 500)  # VOC's commonest


def make_photos(root, count, seed=0, source="list/train.txt"):
    """A set of `count` images of 500x375 with a photograph's roughness (about 90 kB), and label maps of blobs.

    source: the list of them.
    """
    rng = np.random.default_rng(seed)
    pairs = []
    for i in range(count):
        image = sum(
            cv2.resize(rng.normal(0, 12, (_SIZE[0] // cell + 2, _SIZE[1] // cell + 2, 3)), _SIZE[::-1])
            * np.sqrt(cell / 4)
            for cell in (2, 8, 32, 128)
        )
        label = cv2.resize(rng.integers(0, 21, (5, 6)).astype(np.uint8), _SIZE[::-1], interpolation=cv2.INTER_NEAREST)
        pairs.append((f"JPEGImages/{i}.jpg", f"SegmentationClass/{i}.png"))
        write_image(Path(root, pairs[-1][0]), np.clip(image + 120, 0, 255).astype(np.uint8))
        write_index(Path(root, pairs[-1][1]), label)
    write_list(root, source, pairs)


def imread_rates(paths, seconds, number):
    """Images a second by the bare `cv2.imread`, all together, in so many processes of one thread each."""
    begin = time.time() + 2  # starting them is not reading
    return sum(processes.in_processes(_imread_rate, [(paths, seconds, begin)] * number, number))


def _imread_rate(paths, seconds, begin):
    time.sleep(max(0, begin - time.time()))
    return _rate(seconds, lambda count: cv2.imread(str(paths[count % len(paths)])) is not None)


def _rate(seconds, step):
    """How many a second: `step`, given how many there were, adds the number that it returns."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += step(count)
    return count / (time.perf_counter() - start)


def loader_rate(loader, n, crop, seconds):
    """Images a second that `loader` gives, batch by batch."""
    data, label = np.empty((n, 3, crop, crop), np.float32), np.empty((n, crop, crop), np.float32)

    def batch(_):
        loader.read(data, label)
        return n

    return _rate(seconds, batch)


def data_loading(*, count=200, rounds=5, seconds=2.0, crop=321, batch_size=10, progress=iter):
    """The loader, with 1 and 2 workers, beside `cv2.imread` in as many processes; two are to reach 0.7 of it."""
    with tempfile.TemporaryDirectory() as root:
        make_photos(root, count)
        paths = [Path(root, f"JPEGImages/{i}.jpg") for i in range(count)]
        rates = {(what, workers): [] for workers in (1, 2) for what in ("imread", "loader")}
        for _ in progress(range(rounds)):
            for workers in (1, 2):
                rates["imread", workers].append(imread_rates(paths, seconds, workers))
                loader = BatchLoader(_options(root, crop, batch_size, workers))
                loader_rate(loader, batch_size, crop, 0.5)  # starting the workers is not loading
                rates["loader", workers].append(loader_rate(loader, batch_size, crop, seconds))
                loader.close()
    return Findings(
        ratios=tuple(
            Ratio(
                name=f"loader, {workers} worker{'s' * (workers > 1)}",
                values=tuple(rates["loader", workers]),
                beside=f"cv2.imread, {workers} process{'es' * (workers > 1)}",
                beside_values=tuple(rates["imread", workers]),
                at_least=OF_IMREAD if workers == 2 else None,
            )
            for workers in (1, 2)
        )
    )


def data_memory(*, images=20_000, batch_size=10, crop=321, workers=2, steps=10, progress=iter):
    """Memory in MiB, of this process and its workers, at `steps` moments while `images` images are loaded."""
    with tempfile.TemporaryDirectory() as root:
        make_photos(root, 50)
        loader = BatchLoader(_options(root, crop, batch_size, workers))
        data, label = np.empty((batch_size, 3, crop, crop), np.float32), np.empty((batch_size, crop, crop), np.float32)
        result = []
        for _ in progress(range(steps)):
            for _ in range(images // batch_size // steps):
                loader.read(data, label)
            result.append(sum(resident(pid) for pid in ("self", *loader.pids)))
        loader.close()
    return result


def crf_scaling(*, images=16, rounds=3, progress=iter):
    """The dense CRF in 2 processes beside 1, on 500x375 images of 21 classes, in a list.

    Starting the processes is not counted: they have done an image each before the clock is started.
    """
    from attscale.inference import crf  # pydensecrf is not everywhere

    rng = np.random.default_rng(0)
    rates = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as root:
        make_photos(root, 1)
        maps = cv2.resize(rng.normal(size=(24, 32, 21)), _SIZE[::-1]).transpose(2, 0, 1)
        scores.write(Path(root, "0.npz"), 3 * maps)
        job = (f"{root}/JPEGImages/0.jpg", f"{root}/0.npz", 21, crf.PARAMETERS["VOC attention + COCO"])
        for _ in progress(range(rounds)):
            for number in rates:
                done = processes.in_processes(crf.label, [job] * (number + images), number)
                for _ in range(number):
                    next(done)
                started = time.perf_counter()
                count = sum(1 for _ in done)
                rates[number].append(count / (time.perf_counter() - started))
    one, two = map(tuple, rates.values())
    names = "dense CRF, 2 processes", "1 process"
    return Findings(ratios=(Ratio(name=names[0], values=two, beside=names[1], beside_values=one),))


def _options(root, crop, batch_size, workers):
    return LoaderOptions(
        root=str(root),
        source="list/train.txt",
        classes=21,
        crop_size=crop,
        batch_size=batch_size,
        mirror=True,
        shuffle=True,
        workers=workers,
    )
