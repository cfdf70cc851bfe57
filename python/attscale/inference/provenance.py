"""Which net weights and predictions are of, and whether it has seen the images that it is to be scored on."""

from pathlib import Path

import numpy as np

from attscale import experiments
from attscale.data.lists import read_images
from attscale.errors import DataError, ExperimentError, UserError, WeightsError
from attscale.inference import inventory

RELEASED_ON_VAL = "train2"  # the release's train2_* models were trained on trainval_aug (docs/release.md, Traps)
PREDICTIONS, CRF = "predictions", "crf"  # kinds of inventories


def origin(weights):
    """What a Caffemodel says of itself: the name of its net, which Caffe and import_weights write, and the file's."""
    return " ".join(filter(None, (weights.name, weights.path.name)))


def records(folder):
    """What a folder of label maps says that they were made by, {kind: values}; empty for anyone's PNGs."""
    found = {kind: inventory.read(folder, kind) for kind in (PREDICTIONS, CRF)}
    for kind, values in found.items():
        for key in ("experiment", "origin"):
            if values is not None and not isinstance(values.get(key, ""), str):
                raise UserError(f"{folder}: the key {key!r} of its {kind}.json is {values[key]!r:.60}, expected text")
    return {kind: values for kind, values in found.items() if values is not None}


def attention(folder, names):
    """The mean weight of each scale over the images `names` whose predictions are in `folder`: of each, and of those.

    None where the folder does not say it of all of them: anyone's PNGs, a net without attention, label maps after the
    CRF.
    """
    known = inventory.lines(folder, PREDICTIONS)
    weights = [known.get(name, {}).get("attention") for name in names]
    return None if None in weights or not weights else np.mean(weights, axis=0)


def experiment_of(name):
    """The row whose net was called `name`; None where it is not one of ours. After it, words may follow."""
    return experiments.EXPERIMENTS.get(name.partition(" ")[0])


def check_weights(weights, row):
    """Raises WeightsError where the Caffemodel says that it is of another experiment than `row`."""
    other = experiment_of(weights.name)
    if other is not None and other.name != row.name:
        raise WeightsError(f"{weights.path}: holds weights of {other.name}, not of {row.name}")


def check_predictions(folder, row):
    """Raises UserError where the label maps or score maps in `folder` say that they are of another experiment."""
    for kind, values in records(folder).items():
        other = values.get("experiment", row.name)
        if other != row.name:
            raise UserError(f"{folder}: holds {kind} of {other}, not of {row.name}")


def refuse_seen(row, dataset, data_root, split, *, weights=None, predictions=None):
    """Raises UserError if `row`, or what a Caffemodel or a folder of predictions came from, was trained on `split`.

    The rows' training lists tell, and the release's names. Where the list of a split that is not the data set's own
    training split is missing, the question is open, and that is an error too.
    """
    if weights is not None:
        place, origins = weights.path, [origin(weights)]
    else:
        place, origins = predictions, [Path(predictions).name]
        origins += [values.get("origin", "") for values in records(predictions).values()]
    if split == dataset.val and any(RELEASED_ON_VAL in name for name in origins):
        raise UserError(
            f"{place}: by its name of a release trained on trainval_aug, which has seen {split} "
            "(--although-seen scores it all the same)"
        )
    rows = {row.name: row} | {found.name: found for found in map(experiment_of, origins) if found}
    for one in rows.values():
        _refuse(one, dataset, data_root, split)


def _refuse(row, dataset, data_root, split):
    trained_on = row.split or dataset.train
    hint = "(--although-seen computes it all the same)"
    try:
        seen = set(read_images(dataset, data_root, trained_on))
    except (DataError, ExperimentError) as error:
        if trained_on == dataset.train and split != trained_on:
            return  # its own training split holds nothing of the others
        raise UserError(f"whether {row.name} has seen {split} cannot be told: {error} {hint}") from None
    if both := seen & set(read_images(dataset, data_root, split)):
        raise UserError(
            f"{row.name} is trained on {trained_on}, which has {len(both)} of the images of {split}: a score there "
            f"says nothing of new images {hint}"
        )
