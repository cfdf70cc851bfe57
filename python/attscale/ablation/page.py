"""docs/results.md: what the kept runs say, by study, and of each of the papers' claims whether it holds."""

from pathlib import Path
from statistics import fmean

from attscale.ablation import kept, pictures
from attscale.ablation.claims import CLAIMS, differences, known, scores
from attscale.ablation.statistics import CONFIDENCE, HOLDS, mean_and_spread, paired
from attscale.ablation.studies import STUDIES, TABLE_1
from attscale.paper import PERSON_PART, VOC

_HEAD = f"""\
# Results

Written by `python tools/ablation.py page docs/results`: every number is out of the files in [results](results), none
is typed. `make ablation` trains what is missing there, and goes on where it was stopped.

VOC, COCO and the ImageNet weights cannot be had by everybody, but the papers' claims are about scales, merging and
supervision, which can be tried on anything that has objects of different sizes: on `shapes`, which is generated, and on
CamVid's photographs of streets. The nets have an eighth of the paper's width; all of a study train equally long.

Scores are mean IOU on val, per cent, each run scored once: mean and standard deviation over seeds. Differences are
between runs of the same seed; in brackets the interval that holds their mean with {100 * CONFIDENCE:.0f} % confidence
(Student's t). A claim holds where all of that is on its side of zero, it does not where all is on the other side, and
is undecided in between. {len(CLAIMS)} intervals are looked at, so one or two may miss by chance alone.
"""


def page(folder):
    """The page, Markdown, of the kept runs below `folder`. Raises UserError that names a broken file."""
    found = kept.find_all(folder)
    place = Path(folder).name
    sections = [_HEAD, "\n".join(_claims(found, place)), "\n".join(_runs(found))]
    sections += ["\n".join(_study(study, known(found, study), place)) for study in STUDIES.values()]
    sections.append("\n".join(_best(found)))
    return "\n".join(section + "\n" for section in sections).replace("\n\n\n", "\n\n")


#: Nets without pretraining on CamVid, by others: net, mean IOU, split and size of the images, source.
_OTHERS = (
    ("ENet, of davidtvs/PyTorch-ENet", 42.48, "test, 480x360", "https://github.com/davidtvs/PyTorch-ENet"),
    (
        "ICNet, of Open Model Zoo (icnet-camvid-ava-0001)",
        69.54,
        "val, 960x720",
        "https://docs.openvino.ai/2021.4/omz_models_model_icnet_camvid_ava_0001.html",
    ),
)


def _claims(found, place):
    yield from ("## The papers' claims", "")
    yield from _head("claim", "source", "paper", "on", "here", "seeds", "")
    for claim, difference in differences(found):
        study = STUDIES[claim.study]
        if difference is None:
            yield _row(claim.text, claim.source, claim.paper, study.dataset, "not run", 0, "")
            continue
        verdict = difference.verdict if difference.verdict == HOLDS else f"**{difference.verdict}**"
        shown = _difference(difference, 2 if claim.unit == "points" else 3)
        unit = "" if claim.unit == "points" else f" {claim.unit}"
        seeds = len(difference.by_seed)
        yield _row(claim.text, claim.source, claim.paper, study.dataset, shown + unit, seeds, verdict)
    if any(difference for _, difference in differences(found)):
        yield from ("", f"![differences with their intervals]({place}/{pictures.CLAIMS})")


def _runs(found):
    yield from ("## What was run", "")
    yield from _head(
        "study", "nets", "seeds", "iterations", "images each", "crop", "start", "minutes a run", "runs", "commit"
    )
    for study in STUDIES.values():
        runs = [one for by_seed in found[study.name].values() for one in by_seed.values()]
        start = "trunk of the seed" if study.start else "scratch"
        of_runs = ("-", "-", "-")
        if runs:
            minutes = fmean(one.seconds for one in runs) / 60
            commits = ", ".join(sorted({(one.commit or "not known")[:7] for one in runs}))
            of_runs = (runs[0].images, runs[0].crop_size, f"{minutes:.1f}")
        number = f"{len(runs)} of {len(study.nets) * len(study.seeds)}"
        link = f"[{study.name}](#{_anchor(study.title)})"
        cells = (link, len(study.nets), len(study.seeds), study.max_iter, *of_runs[:2], start, of_runs[2], number)
        yield _row(*cells, commits if runs else "-")
    yield from ("", "Minutes are of training, on one of two cores while the other trained another run.")


def _anchor(title):
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def _study(study, nets, place):
    yield from (f"## {study.title}", "", study.about, "")
    own = {net: runs for net, runs in nets.items() if runs}
    if not any(net in own for net in study.nets):
        yield from ("Not run yet.", f"`python tools/ablation.py run docs/results --study {study.name}` does.")
        return
    yield from _scores(study, own)
    yield from _branches(own)
    if study.by_size:
        yield from _by_size(own)
        if picture := pictures.of_sizes(study, own):
            yield from ("", f"![scores and weights by size]({place}/{picture})")
    yield from _by_class(study, own)
    yield from _by_height(own)
    yield from _crf(study, own)


def _scores(study, nets):
    base = next((net for net in (study.nets[0], "largefov", "attention3_esupv", "attention2_esupv") if net in nets), "")
    if study.beside:
        base = "attention3_esupv" if study.name == "shapes_design" else "attention2_esupv"
    in_paper = study.nets == TABLE_1
    papers = ("Person-Part: gain", "VOC: gain") if in_paper else ()
    yield from _head("net", "mean IOU", "seeds", f"beside `{base}`", "pixel accuracy", *papers)
    for net in [base, *(net for net in study.nets if net != base)]:
        runs = nets.get(net)
        if not runs:
            yield _row(f"`{net}`", "not run", 0, "", "", *([""] * len(papers)))
            continue
        accuracy = {seed: 100 * one.evaluation.pixel_accuracy for seed, one in runs.items()}
        beside = paired(scores(runs), scores(nets[base])) if net != base and base in nets else None
        shown = "" if beside is None else _difference(beside, 2)
        printed = [_gain(grid, net) for grid in (PERSON_PART, VOC)] if in_paper else []
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
        branches = [
            {
                seed: 100 * one.evaluation.mean_iou_of_branches[scale]
                for seed, one in runs.items()
                if scale in one.evaluation.mean_iou_of_branches
            }
            for scale in scales
        ]
        yield _row(f"`{net}`", *(_mean(values) if values else "-" for values in branches), _mean(scores(runs)))


def _by_size(nets):
    sizes = [line[:2] for line in _first(next(iter(nets.values()))).iou_by_size]
    titles = [f"{low} to {high}" for low, high in sizes]
    yield from (
        "",
        "IOU of the shapes by object size, pixels (the square root of an object's area; each pixel counts",
        "",
    )
    yield from ("with the object next to it):", "")
    yield from _head("net", *titles)
    for net, runs in nets.items():
        columns = zip(*(one.evaluation.iou_by_size for one in runs.values()), strict=True)
        yield _row(f"`{net}`", *(f"{100 * fmean(line[3] for line in column):.1f}" for column in columns))
    weighed = {net: runs for net, runs in nets.items() if _first(runs).attention_by_size}
    if not weighed:
        return
    yield from ("", "Mean weight of each scale by object size:", "")
    yield from _head("net", "scale", *titles)
    for net, runs in weighed.items():
        columns = [*zip(*(one.evaluation.attention_by_size for one in runs.values()), strict=True)]
        for at, scale in enumerate(_first(runs).scales):
            weights = (f"{fmean(line[3][at] for line in column):.2f}" for column in columns)
            yield _row(f"`{net}`" if at == 0 else "", f"{scale:g}", *weights)


def _by_class(study, nets):
    """IOU of each class, of data sets that have more than shapes; and the weights there."""
    if study.by_size:
        return
    classes = study.experiment(study.nets[0]).dataset.classes
    yield from ("", "IOU of each class, mean over seeds:", "")
    yield from _head("class", *(f"`{net}`" for net in nets))
    for name in classes:
        yield _row(name, *(_of_class(runs, name) for runs in nets.values()))
    for net, runs in nets.items():
        if not _first(runs).attention_by_class:
            continue
        scales = _first(runs).scales
        yield from ("", f"Mean weight of each scale by class, `{net}`:", "")
        yield from _head("class", *(f"scale {scale:g}" for scale in scales))
        for name in classes:
            lines = [weights for one in runs.values() if (weights := one.evaluation.attention_by_class[name])]
            yield _row(name, *(f"{fmean(values):.2f}" for values in zip(*lines, strict=True)))


def _of_class(runs, name):
    values = [one.evaluation.iou[name] for one in runs.values()]
    return "-" if None in values else f"{100 * fmean(values):.1f}"


def _by_height(nets):
    weighed = {net: runs for net, runs in nets.items() if _first(runs).attention_by_height and "largefov" not in net}
    weighed = {net: runs for net, runs in weighed.items() if not _first(runs).iou_by_size}
    if not weighed:
        return
    yield from ("", "Mean weight of each scale by height in the image, which stands for distance; eight bands, the")
    yield from ("topmost first:", "")
    yield from _head("net", "scale", *map(str, range(1, 9)))
    for net, runs in weighed.items():
        columns = [*zip(*(one.evaluation.attention_by_height for one in runs.values()), strict=True)]
        for at, scale in enumerate(_first(runs).scales):
            weights = (f"{fmean(weights[at] for weights in column):.2f}" for column in columns)
            yield _row(f"`{net}`" if at == 0 else "", f"{scale:g}", *weights)


def _crf(study, nets):
    for net in study.crf:
        refined = {seed: 100 * one.crf.mean_iou for seed, one in nets.get(net, {}).items() if one.crf}
        if refined:
            gain = _difference(paired(refined, scores(nets[net])), 2)
            before, after = _mean(scores(nets[net])), _mean(refined)
            yield from ("", f"The dense CRF on `{net}`: {before} before, {after} after, {gain}.")


def _best(found):
    """The best net on CamVid, beside those of others."""
    runs = [
        one
        for name, study in STUDIES.items()
        if study.dataset == "camvid"
        for by_seed in found[name].values()
        for one in by_seed.values()
    ]
    yield from ("## The best net on CamVid", "")
    if not runs:
        yield "There is none yet."
        return
    best = max(runs, key=lambda one: one.evaluation.mean_iou)
    yield from (
        f"`camvid_{best.net}`, seed {best.seed}: the best of {len(runs)} runs on the images that it is chosen by, and",
        "so a little too good. Others without pretraining, none of them on just these images at this size:",
        "",
    )
    yield from _head("net", "mean IOU", "on", "time, source")
    study = STUDIES[best.study]
    minutes = best.seconds / 60
    if study.start:
        trunk = found[study.start[0]][study.start[1]].get(best.seed)
        minutes += trunk.seconds / 60 if trunk else 0
    cores = f"{minutes:.0f} minutes of one core, its trunk's included"
    yield _row("here", f"{100 * best.evaluation.mean_iou:.2f}", "val, 480x360", cores)
    for net, score, on, source in _OTHERS:
        yield _row(net, f"{score:.2f}", on, source)


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
