#!/usr/bin/env python3
"""Dense CRF over score maps that tools/predict.py --scores left, or the search for its parameters."""

import dataclasses
import json
import time
from pathlib import Path

from attscale import cli, experiments
from attscale.errors import DataError

NUMBERS = ("bi_w", "bi_xy", "bi_rgb", "pos_w", "pos_xy")


def main(argv):
    parser = cli.parser(__doc__, "python tools/crf.py voc --scores predictions/voc12_attention3_esupv/val/scores")
    parser.add_argument("name", metavar="NAME", help="experiment or data set (python tools/make_net.py --list)")
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="image files (default: those of the split)")
    parser.add_argument("--scores", metavar="DIR", required=True, help="score maps, <id>.npz")
    parser.add_argument("--split", help="of the data set (default: its validation set)")
    parser.add_argument("--data", metavar="DIR", default="data", help="folder of the data sets (default: data)")
    parser.add_argument("--out", metavar="DIR", help="label maps, <id>.png (default: crf beside the scores)")
    for number in NUMBERS:
        parser.add_argument(f"--{number.replace('_', '-')}", metavar="N", type=float, help="(default: the release's)")
    parser.add_argument("--iterations", metavar="N", type=cli.positive, help="(default: 10)")
    parser.add_argument("--processes", metavar="N", type=cli.positive, help="(default: one a core)")
    parser.add_argument("--search", action="store_true", help="cross-validate bi_w, bi_xy and bi_rgb, coarse to fine")
    parser.add_argument("--samples", metavar="N", type=cli.positive, default=100, help="images searched (default: 100)")
    parser.add_argument("--seed", metavar="N", type=cli.seed, default=0, help="which ones")
    arguments = parser.parse_intermixed_args(argv)
    row = experiments.find(arguments.name)

    from tqdm import tqdm

    from attscale import crf, scores
    from attscale.data import datasets, lists

    given = {name: getattr(arguments, name) for name in (*NUMBERS, "iterations")}
    options = crf.PARAMETERS[crf.model_of(row)]
    options = dataclasses.replace(options, **{name: value for name, value in given.items() if value is not None})
    dataset = datasets.find(row.dataset)
    if not any(Path(arguments.scores).glob(f"*{scores.SUFFIX}")):
        raise DataError(f"{arguments.scores}: has no score maps (python tools/predict.py --scores writes them)")
    out = Path(arguments.out or Path(arguments.scores).parent / "crf")
    split = arguments.split or dataset.val
    if arguments.search:
        pairs = lists.read_split(dataset, arguments.data, split)
        return search(out, pairs, dataset, options, arguments)
    images = arguments.images or lists.read_images(dataset, arguments.data, split)
    pairs = [(Path(image), scores.name(arguments.scores, image)) for image in images]
    print(
        f"{crf.model_of(row)}: " + ", ".join(f"{key} {value:g}" for key, value in dataclasses.asdict(options).items())
    )
    started = time.monotonic()
    bar = lambda results: tqdm(results, unit="image", desc="crf")  # noqa: E731
    count = crf.run(pairs, out, len(dataset.classes), options, processes=arguments.processes, progress=bar)
    print(f"{out}: {count} images, {count / (time.monotonic() - started):.2f} a second")
    return None


def search(out, pairs, dataset, options, arguments):
    import random

    from tqdm import tqdm

    from attscale import crf, plots, scores
    from attscale.files import write_text

    chosen = sorted(random.Random(arguments.seed).sample(pairs, min(arguments.samples, len(pairs))))
    samples = [(image, scores.name(arguments.scores, image), label) for image, label in chosen]
    bar = lambda results: tqdm(results, total=len(samples), unit="image", desc="search")  # noqa: E731
    tried = crf.search(samples, len(dataset.classes), options, processes=arguments.processes, progress=bar)
    for setting, score in tried[:10]:
        print(f"bi_w {setting.bi_w:<5g} bi_xy {setting.bi_xy:<5g} bi_rgb {setting.bi_rgb:<5g} {100 * score:6.2f}")
    record = [{**dataclasses.asdict(setting), "mean_iou": score} for setting, score in tried]
    write_text(out / "search.json", json.dumps(record, indent=1) + "\n")
    plots.crf_surface(out / "search.png", tried)
    print(f"{out / 'search.png'}: {len(tried)} settings on {len(samples)} images")


if __name__ == "__main__":
    cli.run(main)
