#!/usr/bin/env python3
"""Dense CRF over score maps, those that tools/predict.py --scores left or fresh ones, or the search for its parameters.

What is there already is kept, so that the same command goes on where it stopped.
"""

import dataclasses
import json
import time
from pathlib import Path

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
    parser.add_argument("--samples", metavar="N", type=cli.positive, default=100, help="images searched (default: 100)")
    parser.add_argument("--seed", metavar="N", type=cli.seed, default=0, help="which ones")
    arguments = parser.parse_intermixed_args(argv)
    row = experiments.find(arguments.name)

    from tqdm import tqdm

    from attscale import datasets
    from attscale.data import lists
    from attscale.inference import crf, predictions, provenance, scores, visualize

    given = {name: getattr(arguments, name) for name in (*NUMBERS, "iterations")}
    options = crf.PARAMETERS[crf.model_of(row)]
    options = dataclasses.replace(options, **{name: value for name, value in given.items() if value is not None})
    dataset = datasets.find(row.dataset)
    split = None if arguments.images else arguments.split or dataset.val
    # images that are named are turned by their EXIF tag, as tools/predict.py does; those of a data set are not
    images = predictions.find_images(arguments.images) or lists.read_images(dataset, arguments.data, split)
    score_folder = Path(arguments.scores or predict_scores(row, images, split, arguments))
    if not any(score_folder.glob(f"*{scores.SUFFIX}")):
        raise DataError(f"{score_folder}: has no score maps (python tools/predict.py --scores writes them)")
    provenance.check_predictions(score_folder.parent, row)
    out = Path(arguments.out or score_folder.parent / "crf")
    if arguments.search:
        pairs = lists.read_split(dataset, arguments.data, split or dataset.val)
        return search(out, pairs, score_folder, dataset, options, arguments)
    pairs = [(Path(image), scores.name(score_folder, image)) for image in images]
    print(
        f"{crf.model_of(row)}: " + ", ".join(f"{key} {value:g}" for key, value in dataclasses.asdict(options).items())
    )
    started = time.monotonic()
    bar = lambda results: tqdm(results, unit="image", desc="crf")  # noqa: E731
    count = crf.run(
        pairs,
        out,
        len(dataset.classes),
        options,
        made_by=predictions.record_of_scores(score_folder.parent, row),
        oriented=split is None,
        processes=arguments.processes,
        progress=bar,
    )
    print(f"{out}: {count} images, {count / (time.monotonic() - started):.2f} a second")
    labels = dict(lists.read_split(dataset, arguments.data, split)) if split and split != "test" else {}
    chosen = [(image, score_path, labels.get(image)) for image, score_path in pairs[:EXAMPLES]]
    visualize.before_and_after(out / "crf_examples.png", chosen, out, oriented=split is None)
    return None


def predict_scores(row, images, split, arguments):
    """The folder of the score maps of `images`, predicted as far as they are not there."""
    from tqdm import tqdm

    from attscale.inference import predictions

    folder = Path("predictions", row.name, split or "")
    output = predictions.output(folder, row, arguments.weights, with_scores=True)
    predictor = predictions.predictor(row, arguments.weights, cli.gpus_of(arguments), arguments.threads)
    bar = lambda items: tqdm(items, unit="image", desc=row.name)  # noqa: E731
    predictions.predict(predictor, predictions.files(images, oriented=split is None), output, progress=bar)
    return folder / "scores"


def search(out, pairs, score_folder, dataset, options, arguments):
    import random

    from tqdm import tqdm

    from attscale import plots
    from attscale.files import write_text
    from attscale.inference import crf, scores

    chosen = sorted(random.Random(arguments.seed).sample(pairs, min(arguments.samples, len(pairs))))
    samples = [(image, scores.name(score_folder, image), label) for image, label in chosen]
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
