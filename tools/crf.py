#!/usr/bin/env python3
"""Dense CRF over score maps, those that tools/predict.py --scores left or fresh ones, or the search for its parameters.

What is there already is kept, so that the same command goes on where it stopped.
"""

import dataclasses
import time
from functools import partial
from pathlib import Path

from tqdm import tqdm

from attscale import cli, experiments
from attscale.errors import DataError

NUMBERS = ("bi_w", "bi_xy", "bi_rgb", "pos_w", "pos_xy")
EXAMPLES = 6  # images drawn before and after


def main(argv):
    parser = cli.parser(__doc__, "python tools/crf.py voc --scores predictions/voc12_attention3_esupv/val/scores")
    parser.add_argument("name", metavar="NAME", help="experiment or data set (python tools/make_net.py --list)")
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="image files (default: those of the split)")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scores", metavar="DIR", help="score maps, <id>.npz")
    source.add_argument("--weights", metavar="FILE", help="predict the score maps first, into predictions/NAME")
    cli.add_device_arguments(parser)
    parser.add_argument("--threads", metavar="N", type=cli.positive, help="BLAS threads of the prediction")
    parser.add_argument("--split", help="of the data set (default: its validation set)")
    parser.add_argument("--data", metavar="DIR", default="data", help="folder of the data sets (default: data)")
    parser.add_argument("--out", metavar="DIR", help="label maps, <id>.png (default: crf beside the scores)")
    for number in NUMBERS:
        parser.add_argument(f"--{number.replace('_', '-')}", metavar="N", type=float, help="(default: the release's)")
    parser.add_argument("--iterations", metavar="N", type=cli.positive, help="(default: 10)")
    parser.add_argument("--processes", metavar="N", type=cli.positive, help="(default: one a core)")
    parser.add_argument("--search", action="store_true", help="cross-validate bi_w, bi_xy and bi_rgb, coarse to fine")
    parser.add_argument("--grid", choices=["released", "deeplab"], default="released", help="(default: released)")
    parser.add_argument("--samples", metavar="N", type=cli.positive, default=100, help="images searched (default: 100)")
    parser.add_argument("--seed", metavar="N", type=cli.seed, default=0, help="which ones")
    arguments = parser.parse_intermixed_args(argv)
    row = experiments.find(arguments.name)

    from attscale.inference import crf, provenance, scores, sources

    given = {name: value for name in (*NUMBERS, "iterations") if (value := getattr(arguments, name)) is not None}
    options = dataclasses.replace(crf.PARAMETERS[crf.model_of(row)], **given)
    images, split = sources.choose(row, arguments.images, arguments.split, arguments.data)
    folder = Path(arguments.scores or predict_scores(row, images, split, arguments))
    if not any(folder.glob(f"*{scores.SUFFIX}")):
        raise DataError(f"{folder}: has no score maps (python tools/predict.py --scores writes them)")
    provenance.check_predictions(folder.parent, row)
    out = Path(arguments.out or folder.parent / "crf")
    (search if arguments.search else refine)(row, images, split, folder, out, options, arguments)


def predict_scores(row, images, split, arguments):
    """The folder of the score maps of `images`, predicted as far as they are not there."""
    from attscale.inference import predictions, sources

    folder, options = predictions.folder_of(row, split), predictions.Options(scores=True)
    images, total = sources.files(images, oriented=split is None), len(images)
    on = {"gpus": cli.gpus_of(arguments), "threads": arguments.threads}
    bar = partial(tqdm, total=total, unit="image", desc=row.name)
    predictions.predict(row, arguments.weights, images, folder, options, **on, progress=bar)
    return folder / "scores"


def refine(row, images, split, folder, out, options, arguments):
    from attscale import datasets
    from attscale.data import lists
    from attscale.inference import crf, scores, visualize

    print(f"{crf.model_of(row)}: {', '.join(f'{key} {value:g}' for key, value in dataclasses.asdict(options).items())}")
    started, bar = time.monotonic(), partial(tqdm, unit="image", desc="crf")
    on = {"oriented": split is None, "processes": arguments.processes}
    count = crf.refine(row, images, folder, out, options, **on, progress=bar)
    print(f"{out}: {count} images, {count / (time.monotonic() - started):.2f} a second")
    labelled = split not in (None, "test")
    labels = dict(lists.read_split(datasets.find(row.dataset), arguments.data, split)) if labelled else {}
    chosen = [(image, scores.name(folder, image), labels.get(image)) for image in images[:EXAMPLES]]
    visualize.before_and_after(out / "crf_examples.png", chosen, out, oriented=split is None)


def search(row, _, split, folder, out, options, arguments):
    from attscale.inference import crf_search

    samples = crf_search.draw(row, arguments.data, split, folder, arguments.samples, arguments.seed)
    bar = partial(tqdm, total=len(samples), unit="image", desc="search")
    on = {"grid": arguments.grid, "processes": arguments.processes}
    tried = crf_search.search(row, samples, options, **on, progress=bar)
    for setting, score in tried[:10]:
        print(f"bi_w {setting.bi_w:<5g} bi_xy {setting.bi_xy:<5g} bi_rgb {setting.bi_rgb:<5g} {100 * score:6.2f}")
    crf_search.write(out, tried)
    print(f"{out / 'search.png'}: {len(tried)} settings on {len(samples)} images")


if __name__ == "__main__":
    cli.run(main)
