"""Shared by the tests of results: what a run leaves in its folder."""

import json
import os

import cv2
import numpy as np

from attscale import experiments
from attscale.results import benchmarks

CLASSES = ("background", "disc", "triangle", "square", "star")


def evaluation(experiment="shapes_attention3_esupv", classes=CLASSES, **changes):
    """The values of an evaluation.json of the whole of val; a class's IOU falls with its number."""
    row = experiments.find(experiment)
    dataset = row.dataset
    size = len(classes)
    matrix = np.full((size, size), 5) + np.diag(np.arange(100, 100 - size, -1))
    return {
        "experiment": experiment,
        "scales": list(map(float, row.scales)),
        "split": dataset.val,
        "weights": "runs/x/final.caffemodel",
        "crf": False,
        "images": dataset.size_of(dataset.val),
        "mean_iou": 0.6908,
        "pixel_accuracy": 0.91,
        "mean_accuracy": 0.8,
        "iou": {name: 0.97 - 0.5 * i / size for i, name in enumerate(classes)},
        "matrix": matrix.tolist(),
        **changes,
    }


def log(iterations=600, heads=("loss", "loss_fusion", "loss_res05", "loss_res075")):
    """The records of a log.jsonl."""
    return [
        {"iteration": i, "seconds": 0.1, "losses": {head: 2 / (1 + i / 100) + n / 20 for n, head in enumerate(heads)}}
        for i in range(20, iterations + 1, 20)
    ]


def write_run(folder, values=None, records=None, seed=None, pictures=(), age=0):
    """A run's folder with what is given; age: of its evaluation, in seconds. Returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    if values is not None:
        (folder / "evaluation.json").write_text(json.dumps(values))
        os.utime(folder / "evaluation.json", (1_000_000 - age, 1_000_000 - age))
    if records is not None:
        (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    if seed is not None:
        (folder / "run.json").write_text(json.dumps({"options": {"experiment": "shapes", "seed": seed}}))
    for name in pictures:
        cv2.imwrite(str(folder / name), np.zeros((300, 900, 3), np.uint8))
    return folder


def write_benchmark(folder, part, ratios=None, **findings):
    """A part of tools/benchmark.py in `folder`; returns what it holds."""
    speed = benchmarks.Ratio(name="loader", values=(3.0, 4.0), beside="imread", beside_values=(2.0, 2.5))
    versions = {"caffe": "1.0.0", "numpy": "2.2.6"}
    machine = benchmarks.Machine(
        vectors="AVX2", cores=2, sgemm=152.25, date="2026-01-31", commit="abc1234", versions=versions
    )
    measured = benchmarks.Measured(
        part=part, machine=machine, findings=benchmarks.Findings(ratios=tuple(ratios or [speed]), **findings)
    )
    benchmarks.write(folder, measured)
    return measured
