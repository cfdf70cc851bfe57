"""docs/results.md: what the kept runs say, by study, and of each of the papers' claims whether it holds."""

import tomllib
from pathlib import Path
from statistics import fmean

from attscale.ablation import kept, pictures
from attscale.ablation.claims import differences, known, scores
from attscale.ablation.statistics import CONFIDENCE, HOLDS, mean_and_spread, paired
from attscale.ablation.studies import STUDIES, TABLE_1
from attscale.errors import reading
from attscale.paper import PERSON_PART, VOC
from attscale.training.runs import FINAL

OTHERS = "others.toml"  # what nets of other people reach on CamVid, with their sources
_HEAD = f"""\
# Results

Written by `python tools/ablation.py page docs/results`: every number of ours is out of the files in [results](results),
none is typed. `make ablation` trains what is missing there, and goes on where it was stopped.

VOC, COCO and the ImageNet weights cannot be had by everybody, but the papers' claims are about scales, merging and
supervision, which can be tried on anything that has objects of different sizes: on `shapes`, which is generated, and on
CamVid's photographs of streets. The nets have an eighth of the paper's width; all of a study train equally long.

Scores are mean IOU on val, per cent: mean and standard deviation over seeds. Differences are between runs of the same
seed; in brackets the interval that holds their mean with {100 * CONFIDENCE:.0f} % confidence (Student's t). A claim
holds where all of that is above zero, does not where all is below, and is undecided in between; of many intervals,
one in {1 / (1 - CONFIDENCE):.0f} misses by chance alone.
"""


def page(folder):
    """The page, Markdown, of the kept runs below `folder`. Raises UserError that names a broken file."""
    found = kept.find_all(folder)
    place = Path(folder).name
    sections = [[_HEAD], _claims(found, place), _beside_the_claims(found), _runs(found)]
    sections += [_study(study, found, Path(folder)) for study in STUDIES.values()]
    sections.append(_best(found, Path(folder, OTHERS)))
    return "\n".join("\n".join(section).rstrip("\n") + "\n" for section in sections)


def _claims(found, place):
    yield from ("## The papers' claims", "")
    yield from _head("claim", "source", "paper", "study", "here", "seeds", "")
    for claim, difference in differences(found):
        if not claim.claimed:
            continue
        here = ("not run", 0, "")
        if difference:
            verdict = difference.verdict if difference.verdict == HOLDS else f"**{difference.verdict}**"
            here = (_with_unit(claim, difference), len(difference.by_seed), verdict)
        yield _row(claim.text, claim.source, claim.paper, claim.study, *here)
    if any(difference for _, difference in differences(found)):
        yield from ("", f"![differences with their intervals]({place}/{pictures.CLAIMS})")


def _beside_the_claims(found):
    yield from ("What the paper finds alike, or does not compare:", "")
    yield from _head("difference", "source", "paper", "study", "here", "seeds")
    for claim, difference in differences(found):
        if not claim.claimed:
            here = (_with_unit(claim, difference), len(difference.by_seed)) if difference else ("not run", 0)
            yield _row(claim.text, claim.source, claim.paper, claim.study, *here)


def _with_unit(claim, difference):
    return _difference(difference, 2) if claim.unit == "points" else f"{_difference(difference, 3)} {claim.unit}"


def _runs(found):
    yield from ("## What was run", "")
    yield from _head(
        *("study", "nets", "seeds", "runs", "iterations", "images each", "crop", "start", "minutes a run"),
        *("hours in all", "commits"),
    )
    for study in STUDIES.values():
        runs = [one for by_seed in found[study.name].values() for one in by_seed.values()]
        start = "trunk of the seed" if study.start else "scratch"
        crop = study.experiment(study.nets[0]).crop_size
        cells = [f"[{study.name}](#{_anchor(study.title)})", len(study.nets), len(study.seeds)]
        cells.append(f"{len(runs)} of {len(study.nets) * len(study.seeds)}")
        if not runs:
            yield _row(*cells, study.max_iter, "-", crop, start, "-", "-", "-")
            continue
        (images,) = {one.images for one in runs}
        seconds = [one.seconds for one in runs]
        commits = ", ".join(sorted({_short(one.commit) for one in runs}))
        times = (f"{fmean(seconds) / 60:.1f}", f"{sum(seconds) / 3600:.1f}")
        yield _row(*cells, study.max_iter, images, crop, start, *times, commits)
    yield from ("", "Times are of training alone, of each run by itself, while another ran beside it.")


def _short(commit):
    return "not known" if commit is None else commit[:7] + ("+" if commit.endswith("+") else "")


def _anchor(title):
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def _study(study, found, folder):
    yield from (f"## {study.title}", "", study.about, "")
    nets = {net: runs for net, runs in known(found, study).items() if runs and net in (study.base, *study.nets)}
    if not any(net in study.nets for net in nets):
        yield from ("Not run yet.", f"`python tools/ablation.py run docs/results --study {study.name}` does.")
        return
    yield from _scores(study, nets)
    yield from _branches(nets)
    if study.by_size:
        yield from _by_size(nets)
        if picture := pictures.of_sizes(study, nets):
            yield from ("", f"![scores and weights by size]({folder.name}/{picture})")
    else:
        yield from _by_class(study, nets)
        yield from _by_height(nets)
    yield from _recalibration(nets)
    yield from _crf(study, nets)
    yield from _maps(study, folder)


def _scores(study, nets):
    papers = {"Person-Part: gain": PERSON_PART, "VOC: gain": VOC} if study.nets == TABLE_1 else {}
    yield from _head("net", "mean IOU", "seeds", f"beside `{study.base}`", "pixel accuracy", *papers)
    for net in dict.fromkeys((study.base, *study.nets)):
        runs = nets.get(net)
        if not runs:
            yield _row(f"`{net}`", "not run", 0, "", "", *("" for _ in papers))
            continue
        accuracy = {seed: 100 * one.evaluation.pixel_accuracy for seed, one in runs.items()}
        beside = paired(scores(runs), scores(nets[study.base])) if net != study.base and study.base in nets else None
        shown = _difference(beside, 2) if beside else ""
        printed = [_gain(grid, net) for grid in papers.values()]
        yield _row(f"`{net}`", _mean(scores(runs)), len(runs), shown, _mean(accuracy), *printed)


def _gain(grid, net):
    """What the paper prints a cell of table 1's form to be above the baseline."""
    if net == "largefov":
        return f"baseline {grid.baseline:.2f}"
    merge, extra = net.removesuffix("_esupv"), net.endswith("_esupv")
    return f"{grid.cell(int(merge[-1]), merge[:-1], extra).value - grid.baseline:+.2f}"


def _branches(nets):
    """Each scale's own score map, of nets with extra supervision, which alone trains them."""
    shown = {net: runs for net, runs in nets.items() if "esupv" in net and _first(runs).mean_iou_of_branches}
    if not shown:
        return
    scales = sorted({scale for runs in shown.values() for scale in _first(runs).mean_iou_of_branches}, key=float)[::-1]
    yield from ("", "Each scale's own score map, and all merged:", "")
    yield from _head("net", *(f"scale {scale}" for scale in scales), "merged")
    for net, runs in shown.items():
        branches = [[one.evaluation.mean_iou_of_branches.get(scale) for one in runs.values()] for scale in scales]
        cells = ["-" if None in values else _mean(dict(enumerate(100 * v for v in values))) for values in branches]
        yield _row(f"`{net}`", *cells, _mean(scores(runs)))


def _by_size(nets):
    titles = [f"{low} to {high}" for low, high, *_ in _first(next(iter(nets.values()))).iou_by_size]
    counts = [count for _, _, count, _ in _first(next(iter(nets.values()))).iou_by_size]
    yield from ("", "IOU of the shapes by object size, the square root of an object's area in pixels; each pixel")
    yield from ("counts with the object next to it:", "")
    yield from _head("net", *titles)
    yield _row("objects", *counts)
    for net, runs in nets.items():
        yield _row(f"`{net}`", *_columns(runs, lambda one: [line[3] for line in one.iou_by_size], 100, 1))
    weighed = {net: runs for net, runs in nets.items() if _first(runs).attention_by_size}
    if weighed:
        yield from ("", "Mean weight of each scale by object size:", "")
        yield from _head("net", "scale", *titles)
        yield from _by_scale(weighed, lambda one: [line[3] for line in one.attention_by_size])


def _by_class(study, nets):
    """IOU of each class, and the weights there."""
    classes = study.experiment(study.nets[0]).dataset.classes
    yield from ("", "IOU of each class, mean over seeds:", "")
    yield from _head("net", *classes)
    for net, runs in nets.items():
        yield _row(f"`{net}`", *_columns(runs, lambda one: list(one.iou.values()), 100, 1))
    weighed = {net: runs for net, runs in nets.items() if _first(runs).attention_by_class}
    if weighed:
        yield from ("", "Mean weight of each scale by class:", "")
        yield from _head("net", "scale", *classes)
        yield from _by_scale(weighed, lambda one: list(one.attention_by_class.values()))


def _by_height(nets):
    weighed = {net: runs for net, runs in nets.items() if _first(runs).attention_by_height}
    if weighed:
        yield from ("", "Mean weight of each scale by height in the image, which stands for distance: eight bands,")
        yield from ("the topmost first:", "")
        yield from _head("net", "scale", *map(str, range(1, 9)))
        yield from _by_scale(weighed, lambda one: one.attention_by_height)


def _recalibration(nets):
    """What Attention to Refine's extra branch does to each class's scores; 1 is nothing."""
    shown = {net: runs for net, runs in nets.items() if _first(runs).recalibration}
    if shown:
        classes = list(_first(next(iter(shown.values()))).recalibration)
        yield from ("", "Mean factor on each class's scores, on its own pixels and elsewhere:", "")
        yield from _head("net", "pixels", *classes)
    for net, runs in shown.items():
        for at, where in enumerate(("its own", "elsewhere")):
            columns = _columns(runs, lambda one, at=at: [means[at] for means in one.recalibration.values()], 1, 3)
            yield _row(f"`{net}`" if at == 0 else "", where, *columns)


def _crf(study, nets):
    for net in study.crf:
        refined = {seed: 100 * one.crf.mean_iou for seed, one in nets.get(net, {}).items() if one.crf}
        if refined:
            gain = _difference(paired(refined, scores(nets[net])), 2)
            before, after = _mean(scores(nets[net])), _mean(refined)
            yield from ("", f"The dense CRF on `{net}`, with VOC's parameters: {before} before, {after} after, {gain}.")


def _maps(study, folder):
    picture = pictures.of_maps(study)
    if not picture or not Path(folder, picture).exists():
        return
    shown = "prediction and weight of each scale" if study.photographs else "image, truth, predictions, weights"
    yield from ("", f"`{study.sheet}`, seed {study.seeds[0]}, {shown}:", "")
    yield f"![predictions and weight maps]({folder.name}/{picture})"
    if study.photographs:
        run = study.folder("runs/ablation", study.sheet, study.seeds[0]) / FINAL
        yield from ("", "The photographs are other people's. This sets them, and the ground truth, beside ours:", "")
        yield f"    python tools/visualize.py {study.experiment(study.sheet).name} --weights {run}"


def _best(found, others):
    """The best net on CamVid, beside those of others."""
    streets = [name for name, study in STUDIES.items() if study.dataset == "camvid"]
    runs = [one for name in streets for by_seed in found[name].values() for one in by_seed.values()]
    yield from ("## The best net on CamVid", "")
    if not runs:
        yield "There is none yet."
        return
    best = max(runs, key=lambda one: one.evaluation.mean_iou)
    start = STUDIES[best.study].start
    trunk = found[start[0]][start[1]].get(best.seed) if start else None
    minutes, words = best.seconds / 60, "training of one core's"
    if trunk:
        minutes, words = minutes + trunk.seconds / 60, f"{words}, its trunk's included"
    yield f"`camvid_{best.net}` of {best.study}, seed {best.seed}: the best of {len(runs)} runs on the images that it"
    yield "is chosen by, and so a little too good. Others without pretraining, mostly on other images or sizes:"
    yield ""
    yield from _head("net", "mean IOU", "on", "time, or source")
    yield _row("here", f"{100 * best.evaluation.mean_iou:.2f}", "val, 480x360", f"{minutes:.0f} minutes, {words}")
    if others.exists():
        with reading(others):
            known_ones = tomllib.loads(others.read_text(encoding="utf-8"))["net"]
        for one in known_ones:
            yield _row(one["name"], f"{one['mean_iou']:.2f}", one["on"], one["source"])


def _by_scale(nets, lines):
    """Rows of each scale's mean weight; lines: what gives an Evaluation's lines of weights, one a column."""
    for net, runs in nets.items():
        for at, scale in enumerate(_first(runs).scales):
            columns = _columns(runs, lambda one, at=at: [line and line[at] for line in lines(one)], 1, 2)
            yield _row(f"`{net}`" if at == 0 else "", f"{scale:g}", *columns)


def _columns(runs, values, factor, digits):
    """The means over seeds of what `values` gives of an Evaluation, column by column; `-` where one has none."""
    for column in zip(*(values(one.evaluation) for one in runs.values()), strict=True):
        yield "-" if None in column else f"{factor * fmean(column):.{digits}f}"


def _first(runs):
    return next(iter(runs.values())).evaluation


def _mean(values):
    mean, spread, _ = mean_and_spread(values)
    return f"{mean:.2f}" if spread is None else f"{mean:.2f} ± {spread:.2f}"


def _difference(difference, digits):
    if difference.interval is None:
        return f"{difference.mean:+.{digits}f}"
    low, high = difference.interval
    return f"{difference.mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def _head(*titles):
    yield from (_row(*titles), "|---" * len(titles) + "|")


def _row(*cells):
    return f"| {' | '.join(map(str, cells))} |"
