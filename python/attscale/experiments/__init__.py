"""Every net as a frozen row: data set x scales x merge x extra supervision, and what else sets it apart.

`EXPERIMENTS` has the papers' rows, and their like on `shapes`; `find` knows every structure of theirs for every data
set besides. Standard library only. docs/fidelity.md has the choices.
"""

import difflib
import itertools

from attscale import datasets
from attscale.errors import ExperimentError
from attscale.experiments import refine, scale, structures
from attscale.experiments.row import MERGES, SCALES, TRAINVAL, Experiment, net

__all__ = ["ALIASES", "EDITED", "EXPERIMENTS", "MERGES", "SCALES", "TRAINVAL", "Experiment", "find", "net"]


def _by_name(rows):
    result = {}
    for row in rows:
        if row.name in result:
            raise ExperimentError(f"two rows have the name {row.name}")
        result[row.name] = row
    return result


EXPERIMENTS = _by_name(itertools.chain(scale.rows(), refine.rows()))

#: A data set's name alone means the first paper's best model on it: attention, three scales, extra supervision.
_BEST = "attention3_esupv"
#: Other names of data sets.
ALIASES = {"voc": "voc12", "part": "voc10_part"}
#: ADE20K is the second paper's, and so is the best model on it.
_OWN_BEST = {"ade20k": "resnet34_psp_refine2_esupv"}
#: The end of the name of a net whose prototxts were an experiment's before they were edited.
EDITED = "_edited"


def find(name, data="data"):
    """The experiment of that name, or a data set's best; data: the folder of the data sets, for those that are own.

    Raises ExperimentError with the closest known names.
    """
    sets = datasets.names(data)
    name = name if name in sets else ALIASES.get(name, name)
    if name in sets:
        trunk = datasets.find(name, data).recipe.trunk
        words = [trunk.kind, *(["psp"] if trunk.psp else [])] if trunk.kind != "vgg16" else []
        name = "_".join([name, *words, _OWN_BEST.get(name, _BEST)])
    if name in EXPERIMENTS and structures.set_of(name, sets) == EXPERIMENTS[name].dataset.name:
        return EXPERIMENTS[name]
    if found := structures.find(name, data):
        return found
    close = difflib.get_close_matches(name, _candidates(name, sets, data), n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(close)}?" if close else f"known are {', '.join(sets)} and their variants"
    raise ExperimentError(f"no experiment {name!r}: {hint} (python tools/make_net.py --list shows all)")


def _candidates(name, sets, data):
    """Names that may have been meant by `name`: of the data set that it begins with, if it does, else any."""
    begun = [one for one in sets if name.startswith(f"{one}_")]
    if not begun:
        return [*ALIASES, *sets, *EXPERIMENTS]
    dataset = max(begun, key=len)
    nets = [row.net for row in EXPERIMENTS.values() if row.dataset.name == dataset or row.split is None]
    return [one for net in dict.fromkeys(nets) if _is_there(one := f"{dataset}_{net}", data)]


def _is_there(name, data):
    try:
        return structures.find(name, data) is not None
    except ExperimentError:
        return False
