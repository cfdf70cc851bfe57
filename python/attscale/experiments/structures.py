"""Any structure of the papers for any data set, by its name: what `Experiment.name` writes, read back."""

import dataclasses
import re

from attscale import datasets
from attscale.experiments import refine
from attscale.experiments.row import TRAINVAL, diverse, net, staged
from attscale.experiments.scale import FACTORS, RELEASED, SECOND_STEP

_MERGED = re.compile(r"(max|average|attention|refine)([2-4])")
_NUMBER = re.compile(r"(kernel|filters|lr)(\d{1,4})")
_FIELDS = {"kernel": "kernel_size", "filters": "filters", "lr": "lr_mult"}
#: Words of a name to what they say of the attention model.
_ATTENTION = {
    "onelayer": {"layers": 1},
    "fc6": {"features": "fc6"},
    "fc8": {"features": "fc8"},
    "zeroattention": dataclasses.asdict(RELEASED),
}
#: Words of a name to what they say of the trunk.
_TRUNK = {
    "pool5a": {"pool5a": True},
    "nopool5a": {"pool5a": False},
    "frozen": {"batch_norm": "frozen"},
    "trained": {"batch_norm": "train"},
}
#: Words that `_staged` reads.
_STAGED = {"stages", "dilated", "undilated", "swapped", "bias"}
#: Words of a name to what they say of the experiment.
_OPTIONS = {
    "own": {"supervise_at": "own"},
    "plus": {"random_scale": FACTORS},
    "plusuniform": {"random_scale": FACTORS, "uniform": True},
    "onestep": {"one_step": True},
    "esupv": {"extra_supervision": True},
}


def find(name, data="data"):
    """The Experiment that `name` describes, of a data set of the project or below the folder `data`; None for none.

    Raises ExperimentError for a name that is understood, but contradicts itself.
    """
    of = set_of(name, datasets.names(data))
    if of is None:
        return None
    dataset = datasets.find(of, data)
    rest = name.removeprefix(f"{dataset.name}_")
    split = max((split for split in dataset.splits if rest.endswith(f"_{split}")), key=len, default=None)
    try:
        found = _net(dataset, (rest.removesuffix(f"_{split}") if split else rest).split("_"), split)
    except _UnknownError:
        return None
    return found if found.name == name else None  # words out of order, or twice


def set_of(name, sets):
    """The data set that an experiment's name begins with: the longest of the names `sets`; None for none."""
    return max((one for one in sets if name.startswith(f"{one}_")), key=len, default=None)


class _UnknownError(Exception):
    """A word that no name has at its place."""


def _net(dataset, words, split):
    narrow = "narrow" in words
    usual = dataset.narrow if narrow else dataset.recipe
    options = {"pretraining": "coco"} if _take(words, "coco") else {}
    trunk, solver = _trunk(words, usual)
    merge, number = _merge(words)
    if merge is None and trunk.kind == "vgg16":
        if _take(words, "msc"):
            options["msc"], trunk = True, dataclasses.replace(trunk, pool5a=True)
        if not _take(words, "largefov"):
            raise _UnknownError
    if split == TRAINVAL and not trunk.from_scratch:
        solver = dataclasses.replace(solver, max_iter=SECOND_STEP["solver"].max_iter)
    attention = usual.attention
    if merge == "refine" or "stages" in words:
        attention = _staged(words, usual.attention, trunk, merge, number)
        solver = refine.solver(dataclasses.replace(usual, solver=solver), trunk)
    for word in words:
        if word in _OPTIONS:
            options |= _OPTIONS[word]
        elif word in _TRUNK:
            trunk = dataclasses.replace(trunk, **_TRUNK[word])
        elif word in _ATTENTION:
            attention = dataclasses.replace(attention, **_ATTENTION[word])
        elif number_of := _NUMBER.fullmatch(word):
            attention = dataclasses.replace(attention, **{_FIELDS[number_of[1]]: int(number_of[2])})
        elif word == "poly":
            solver = dataclasses.replace(solver, **refine.POLY)
        elif word not in _STAGED and word != "narrow":
            raise _UnknownError
    common = {"narrow": narrow, "trunk": trunk, "attention": attention, "solver": solver}
    return net(dataset, number, "attention" if merge == "refine" else merge, split=split, **common, **options)


def _trunk(words, usual):
    """The trunk that the first words name, and its solver."""
    trunk, solver = usual.trunk, usual.solver
    if not _take(words, "resnet34"):
        if trunk.kind != "vgg16":
            raise _UnknownError
        return trunk, solver
    if trunk.kind != "resnet34":
        trunk = dataclasses.replace(trunk, kind="resnet34") if trunk.from_scratch else refine.RESNET
    trunk = dataclasses.replace(trunk, psp=_take(words, "psp"))
    return trunk, refine.solver(usual, trunk)


def _merge(words):
    """How the next word has scales merged, and how many; (None, 1) where it says nothing of that."""
    found = _MERGED.fullmatch(words[0]) if words else None
    if not found:
        return None, 1
    del words[0]
    return found[1], int(found[2])


def _staged(words, usual, trunk, merge, number):
    """The attention model of Attention to Refine: whole, but for `undilated`, or the steps to it that words name."""
    whole = merge == "refine"
    dilations = diverse(number) if "dilated" in words or (whole and "undilated" not in words) else ()
    recalibration = ("bias" if "bias" in words else "product") if whole else None
    return staged(
        usual,
        trunk,
        number,
        dilations=dilations[::-1] if "swapped" in words else dilations,
        recalibration=recalibration,
    )


def _take(words, word):
    """Whether the next of the words is this one, which is then taken from them."""
    if words[:1] != [word]:
        return False
    del words[0]
    return True
