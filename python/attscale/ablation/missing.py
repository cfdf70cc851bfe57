"""What is still to be run: sweeps over the cells of a study that have no JSON yet."""

import dataclasses
import itertools
from pathlib import Path

from attscale.ablation import kept, pictures
from attscale.ablation.studies import STUDIES, Study
from attscale.data import lists
from attscale.results.evaluations import EVALUATION
from attscale.training.runs import FINAL


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Nets of a study that lack the same seeds; start: the caffemodel, with {seed} for the seed, or None."""

    study: Study
    nets: tuple[str, ...]
    seeds: tuple[int, ...]
    start: str | None = None
    crf: bool = False


def sweeps(study, folder, runs, *, nets=(), seeds=()):
    """The Sweeps that a study needs, in their order; first the nets that it starts from, where those are gone.

    folder: of the JSON; runs: of the run folders; nets, seeds: no others (default: the study's).
    """
    missing = {}
    for seed in seeds or study.seeds:
        lacking = [net for net in nets or study.nets if not kept.path_of(folder, study, net, seed).exists()]
        if lacking:
            missing[seed] = tuple(lacking)
    start = None
    if study.start:
        first, net = STUDIES[study.start[0]], study.start[1]
        if gone := tuple(seed for seed in missing if not (first.folder(runs, net, seed) / FINAL).exists()):
            yield Sweep(first, (net,), gone)
        start = str(first.folder(runs, net, "{seed}") / FINAL)
    for lacking in dict.fromkeys(missing.values()):
        alike = tuple(seed for seed, others in missing.items() if others == lacking)
        for crf in (False, True):
            if chosen := tuple(net for net in lacking if (net == study.shown) == crf):
                yield Sweep(study, chosen, alike, start, crf)


def unseen(study, runs, data):
    """What tools/evaluate.py is asked for, as words, for each trained net whose score on its own images is wanted."""
    nets = study.nets if study.seen else ()
    for seed, net in itertools.product(study.seeds, nets):
        run, row = study.folder(runs, net, seed), study.experiment(net)
        if (run / FINAL).exists() and not (run / kept.SEEN / EVALUATION).exists():
            images = ["--split", row.dataset.train, "--although-seen", "--data", str(data)]
            yield [row.name, "--weights", str(run / FINAL), *images, "--branches", "--out", str(run / kept.SEEN)]


def keep(folder, runs):
    """Keeps the JSON of every run that has finished since; yields the paths. Raises UserError for a broken run."""
    for study in STUDIES.values():
        for net in study.nets:
            for seed in study.seeds:
                run = study.folder(runs, net, seed)
                if not kept.path_of(folder, study, net, seed).exists() and kept.is_finished(study, net, run):
                    yield kept.write(folder, study, kept.of_run(study, net, seed, run))


def sheet(study, folder, runs, data):
    """What tools/visualize.py is asked for, as words, to picture the net that is shown, of the first seed; or None.

    Up to four images, all over val, beside the net that the study stands by. data: folder of the data sets.
    """
    if not study.shown or Path(folder, pictures.of_maps(study)).exists():
        return None
    row, seed = study.experiment(study.shown), study.seeds[0]
    beside = STUDIES[study.beside or study.name]
    weights = study.folder(runs, study.shown, seed) / FINAL
    baseline = beside.folder(runs, beside.base, seed) / FINAL
    if not weights.exists():
        return None
    images = [image for image, _ in lists.read_split(row.dataset, data, row.dataset.val)]
    words = [row.name, "--weights", weights, *images[:: -(-len(images) // 4)], "--data", data]
    if row.baseline == beside.experiment(beside.base).name and baseline.exists():
        words += ["--baseline", baseline]
    words += ["--without-image"] if study.photographs else []
    return [*map(str, words), "--out", str(Path(folder, pictures.of_maps(study)))]
