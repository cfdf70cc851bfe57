"""Which net weights and predictions are of, and whether it has seen the images that it is to be scored on."""

from pathlib import Path

import numpy as np

from attscale import experiments
from attscale.data.lists import images_of, read_images
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


def experiment_of(name, data="data"):
    """The experiment whose net was called `name`, of any data set; None for none. Words may follow it.

    data: the folder of the data sets.
    """
    try:
        found = experiments.find(name.partition(" ")[0], data)
    except ExperimentError:
        return None
    return found if found.name == name.partition(" ")[0] else None


def check_weights(weights, net):
    """Raises WeightsError where the Caffemodel says that it is of another experiment than the Model `net`.

    An experiment whose prototxts were edited is another one: its layers may have kept their names and shapes. But an
    edited net takes the weights of the experiment that it was, if they fit.
    """
    name = weights.name.partition(" ")[0]
    known = {net.name, net.name.removesuffix(experiments.EDITED)}
    if name not in known and experiment_of(name.removesuffix(experiments.EDITED), net.data):
        raise WeightsError(f"{weights.path}: holds weights of {name}, not of {net.name}")


def check_predictions(folder, net):
    """Raises UserError where the label maps or score maps in `folder` say that they are of another net than `net`."""
    for kind, values in records(folder).items():
        other = values.get("experiment", net.name)
        if other != net.name:
            raise UserError(f"{folder}: holds {kind} of {other}, not of {net.name}")


def refuse_seen(net, data_root, split, *, weights=None, predictions=None):
    """Raises UserError if `net`, or what a Caffemodel or a folder of predictions came from, was trained on `split`.

    net: a row or a Model. The nets' training lists tell, and the release's names. Where a list other than the set's own
    training split is missing, the question is open, and that is an error too.
    """
    if weights is not None:
        place, origins = weights.path, [origin(weights)]
    else:
        place, origins = predictions, [Path(predictions).name]
        origins += [values.get("origin", "") for values in records(predictions).values()]
    dataset = net.dataset
    if split == dataset.val and any(RELEASED_ON_VAL in name for name in origins):
        raise UserError(
            f"{place}: by its name of a release trained on trainval_aug, which has seen {split} "
            "(--although-seen scores it all the same)"
        )
    named = (experiment_of(one, data_root) for one in origins)
    others = [found for found in named if found and found.dataset.root == dataset.root]
    for name, trained_on in ({net.name: net.list} | {found.name: found.list for found in others}).items():
        _refuse(name, trained_on, dataset, data_root, split)


def _refuse(name, trained_on, dataset, data_root, split):
    hint = "(--although-seen computes it all the same)"
    try:
        seen = set(images_of(dataset, data_root, trained_on))
    except (DataError, ExperimentError) as error:
        if trained_on == dataset.list_of(dataset.train) != dataset.list_of(split):
            return  # its own training split holds nothing of the others
        raise UserError(f"whether {name} has seen {split} cannot be told: {error} {hint}") from None
    if both := seen & set(read_images(dataset, data_root, split)):
        raise UserError(
            f"{name} is trained on {trained_on}, which has {len(both)} of the images of {split}: a score there "
            f"says nothing of new images {hint}"
        )
