#!/usr/bin/env python3
"""Dense CRF over score maps, those that tools/predict.py --scores left or fresh ones, or the search for its parameters.

What is there already is kept, so that the same command goes on where it stopped.
"""

import dataclasses
import time
from functools import partial
from pathlib import Path

from attscale import cli, experiments
from attscale.errors import DataError
from attscale.progress import Bar

#: CrfOptions' numbers, as the help has them.
NUMBERS = {
    "bi_w": "weight of the kernel of place and colour (release: 3 to 5; default: the model's)",
    "bi_xy": "its standard deviation of place, in pixels (release: 11 to 121; default: the model's)",
    "bi_rgb": "its standard deviation of colour, in grey levels (release: 3 to 10; default: the model's)",
    "pos_w": "weight of the kernel of place alone (default: the release's 3)",
    "pos_xy": "its standard deviation, in pixels (default: the release's 3)",
}
NEEDS = dict.fromkeys(("--grid", "--samples", "--seed"), ("--search",))
NEEDS |= dict.fromkeys(("--device", "--gpu", "--threads"), ("--weights",))
EXAMPLES = 6  # images drawn before and after


def main(argv):
    parser = cli.parser(__doc__, "python tools/crf.py voc --scores predictions/voc12_attention3_esupv/val/scores")
    cli.add_name_argument(parser)
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="image files (default: those of the split)")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scores", metavar="DIR", help="score maps, <id>.npz")
    source.add_argument("--weights", metavar="FILE", help="predict the score maps first, into predictions/NAME")
    cli.add_device_arguments(parser)
    cli.add_threads_argument(parser)
    parser.add_argument("--split", help="of the data set (default: its validation set)")
    cli.add_data_argument(parser)
    parser.add_argument("--out", metavar="DIR", help="label maps, <id>.png (default: crf beside the scores)")
    for number, words in NUMBERS.items():
        parser.add_argument(f"--{number.replace('_', '-')}", metavar="N", type=float, help=words)
    parser.add_argument("--iterations", metavar="N", type=cli.positive, help="of mean field (default: 10)")
    parser.add_argument("--processes", metavar="N", type=cli.positive, help="(default: one a core)")
    parser.add_argument("--search", action="store_true", help="cross-validate bi_w, bi_xy and bi_rgb, coarse to fine")
    parser.add_argument("--grid", choices=["small", "deeplab"], default="small", help="(default: small)")
    parser.add_argument("--samples", metavar="N", type=cli.positive, default=100, help="images searched (default: 100)")
    parser.add_argument("--seed", metavar="N", type=cli.seed, default=0, help="which ones (default: 0)")
    arguments = parser.parse_intermixed_args(argv)
    own = ("IMAGE", "--bi-w", "--bi-xy", "--bi-rgb")  # of val are the images, and these numbers are what is looked for
    apart = [("IMAGE", "--split"), *(("--search", name) for name in own)]
    cli.check(parser, arguments, apart=apart, needs=NEEDS)
    row = experiments.find(arguments.name, arguments.data)

    from attscale.inference import crf, provenance, scores, sources

    given = {name: value for name in (*NUMBERS, "iterations") if (value := getattr(arguments, name)) is not None}
    options = dataclasses.replace(crf.PARAMETERS[crf.model_of(row)], **given)
    images, split = sources.choose(row.dataset, arguments.images, arguments.split, arguments.data)
    folder = Path(arguments.scores or predict_scores(row, images, split, arguments))
    if not any(folder.glob(f"*{scores.SUFFIX}")):
        raise DataError(f"{folder}: has no score maps (python tools/predict.py --scores writes them)")
    provenance.check_predictions(folder.parent, row)
    out = Path(arguments.out or folder.parent / "crf")
    (search if arguments.search else refine)(row, images, split, folder, out, options, arguments)


def predict_scores(row, images, split, arguments):
    """The folder of the score maps of `images`, predicted as far as they are not there."""
    from attscale.inference import predictions, sources
    from attscale.prototxt import Model

    folder, options = predictions.folder_of(row, split), predictions.Options(scores=True)
    images, total = sources.files(images, oriented=split is None), len(images)
    on = {"gpus": cli.gpus_of(arguments), "threads": arguments.threads}
    bar = partial(Bar, total=total, unit="image", desc=row.name)
    predictions.predict(Model.of(row, arguments.data), arguments.weights, images, folder, options, **on, progress=bar)
    return folder / "scores"


def refine(row, images, split, folder, out, options, arguments):
    from attscale.data import lists
    from attscale.inference import crf, scores, visualize

    print(f"{crf.model_of(row)}: {', '.join(f'{key} {value:g}' for key, value in dataclasses.asdict(options).items())}")
    started, bar = time.monotonic(), partial(Bar, unit="image", desc="crf")
    on = {"oriented": split is None, "processes": arguments.processes}
    count = crf.refine(row, images, folder, out, options, **on, progress=bar)
    rate = count / (time.monotonic() - started)
    print(f"{out}: {count} images, {rate:.2f} a second; {len(images) - count} were there")
    labelled = split and lists.has_labels(Path(arguments.data, row.dataset.root), row.dataset.list_of(split))
    labels = dict(lists.read_split(row.dataset, arguments.data, split)) if labelled else {}
    chosen = [(image, scores.name(folder, image), labels.get(image)) for image in images[:EXAMPLES]]
    visualize.before_and_after(out / "crf_examples.png", chosen, out, row.dataset, oriented=split is None)


def search(row, _, split, folder, out, options, arguments):
    from attscale.inference import crf_search

    samples = crf_search.draw(row, arguments.data, split, folder, arguments.samples, arguments.seed)
    bar = partial(Bar, total=len(samples), unit="image", desc="search")
    on = {"grid": arguments.grid, "processes": arguments.processes}
    tried = crf_search.search(row, samples, options, **on, progress=bar)
    for setting, score in tried[:10]:
        print(f"bi_w {setting.bi_w:<5g} bi_xy {setting.bi_xy:<5g} bi_rgb {setting.bi_rgb:<5g} {100 * score:6.2f}")
    crf_search.write(out, tried)
    print(f"{out / 'search.png'}: {len(tried)} settings on {len(samples)} images")


if __name__ == "__main__":
    cli.run(main)
