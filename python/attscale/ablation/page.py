"""docs/results.md: of each of the papers' claims whether it holds, and what the kept runs say, study by study."""

import itertools
import tomllib
from pathlib import Path
from statistics import fmean, median

from attscale.ablation import kept, meaning, pictures
from attscale.ablation.claims import GRIDS, differences, known
from attscale.ablation.measures import on_seen, scores
from attscale.ablation.statistics import CONFIDENCE, FAILS, HOLDS, mean_and_spread, paired, printed
from attscale.ablation.studies import STUDIES, TABLE_1
from attscale.errors import reading
from attscale.scoring.evaluate import BANDS
from attscale.training.runs import FINAL

OTHERS = "others.toml"  # what nets of other people reach on CamVid, with their sources
_HEAD = f"""\
# Results

The papers' own nets need a GPU and large downloads, and no number on VOC, Person-Part or COCO has been measured here.
But the papers' claims are about scales, merging and supervision, which can be tried on smaller data with objects of
different sizes: on `shapes`, which is generated, and on CamVid's photographs of streets. The nets have an eighth of
the paper's width; all nets of a study train for the same number of iterations.

Scores are mean IOU on val, per cent: mean and standard deviation over seeds. A difference is taken within each seed.
In brackets: the interval of its mean over seeds, {100 * CONFIDENCE:.0f} % (paired t). A claim **holds** if all of that
is above zero, **does not hold** if it is below, and else is **undecided**. "Smaller than 3 of the paper's 4": all of it
is below so many of the gains that the paper prints. What the paper does not claim has no verdict. The intervals cover
the seeds, of trunk and training, not the choice of the val images: CamVid's are one drive of some seconds. Each is a
test of its own: of 40 claims without any effect, about one would hold by chance, and one not hold. With three seeds an
interval reaches 2.5 standard deviations to either side.

Nets: `largefov` is the paper's baseline, one scale. `max2`, `average3`, `attention3` are the merge and the number of
scales: 2 is {{1, 0.5}}, 3 is {{1, 0.75, 0.5}}. `_esupv` is extra supervision, the paper's E-Supv. `_narrow` is an
eighth of the width, which nets of `shapes` have by default. A trunk is a trained `largefov` that other nets start from.

This page is written by `python tools/ablation.py page docs/results` out of the files in [results](results); no score
of ours is typed. `make ablation` trains what is missing there. To repeat a study on your own machine:
`python tools/prepare_data.py shapes && python tools/ablation.py run runs/mine --study shapes`, and read `runs/mine.md`;
with `--runs DIR` the nets go there. `python tools/compare.py` prints every cell of both papers.
"""

#: Which claims and nets were chosen in sight of scores.
_CHOSEN = """\
Chosen in sight of scores. After `shapes`: the averages over several nets and, of more scales than one, two scales with
and three without extra supervision. After `camvid`: the studies `camvid_attention` and `camvid_sizes`, the classes that
one scale finds, and the large classes. After both: the best of all 13, and what extra supervision helps more. The
steps of Attention to Refine had been scored on the same images before, three seeds with other iterations, and were
undecided then, too. The recipe for narrow nets is older than these studies, from the demo's net, attention over three
scales; how it was found was not written down. All else was there before its scores."""


def page(folder):
    """The page, Markdown, of the kept runs below `folder`. Raises UserError that names a broken file."""
    folder = Path(folder)
    found = kept.find_all(folder)
    begun = [study for study in STUDIES.values() if any(found[study.name].values())]
    begun.sort(key=lambda study: study.start is None)  # table 1's form before the trunks
    sections = [[_HEAD], meaning.section(folder, found), _claims(found, folder)]
    sections += [_study(study, found, folder) for study in begun]
    sections += [_best(found, folder / OTHERS), _runs(found)]
    return "\n".join("\n".join(section).rstrip("\n") + "\n" for section in sections if section)


def _claims(found, folder):
    yield from ("## The papers' claims", "")
    all_of_them = list(differences(found))
    if not any(by_study for _, by_study in all_of_them):
        yield "No run can tell yet."
        return
    yield from (_CHOSEN, "")
    for topic, claims in itertools.groupby(all_of_them, key=lambda one: one[0].topic):
        claims = list(claims)
        studies = [name for name in STUDIES if any(name in by_study for _, by_study in claims)]
        if studies:
            yield from (f"### {topic}", "")
            yield from _head("claim", "source", "paper", *studies)
            for claim, by_study in claims:
                here = [_verdict(claim, by_study[name]) if name in by_study else "" for name in studies]
                if any(here):
                    yield _row(claim.text, claim.source, claim.paper, *here)
            yield ""
    yield f"![differences with their intervals]({folder.name}/{pictures.CLAIMS})"


def _verdict(claim, one):
    unit = "" if claim.unit == "points" else f" {claim.unit}"
    here = f"{printed(one, 2 if claim.unit == 'points' else 3)}{unit}"
    if not claim.claimed:
        return here
    verdict = one.verdict if one.verdict == HOLDS else f"**{one.verdict}**"
    return f"{here} {verdict}{'' if one.verdict == FAILS else _smaller(claim, one)}"


def _smaller(claim, one):
    """Of how many of the paper's gains all of the interval is short."""
    short, of = claim.below(one), len(claim.gains)
    if short == of:
        return ", smaller than the paper's" if of else ""
    return f", smaller than {short} of the paper's {of}" if short else ""


def _runs(found):
    yield from ("## What was run", "")
    yield from _head(
        *("study", "nets", "seeds", "runs", "iterations", "images per iteration", "crop", "start"),
        *("minutes a run, median", "hours of runs", "commits"),
    )
    missing = []
    for study in STUDIES.values():
        runs = [one for by_seed in found[study.name].values() for one in by_seed.values()]
        if len(runs) < len(study.nets) * len(study.seeds):
            missing.append(f"`{study.name}`")
        if not runs:
            continue
        start = "trunk of the seed" if study.start else "scratch"
        crop = study.experiment(study.nets[0]).crop_size
        cells = [f"[{study.name}](#{_anchor(study.title)})", len(study.nets), len(study.seeds)]
        cells.append(f"{len(runs)} of {len(study.nets) * len(study.seeds)}")
        (images,) = {one.images for one in runs}
        seconds = [one.seconds for one in runs]
        commits = ", ".join(sorted({_short(one.commit) for one in runs}))
        times = (f"{median(seconds) / 60:.1f}", f"{sum(seconds) / 3600:.1f}")
        yield _row(*cells, study.max_iter, images, crop, start, *times, commits)
    yield from ("", "Times are of training alone, of each run by itself, while others ran beside it.")
    if missing:
        yield f"Not run yet, or not all of it: {', '.join(missing)}; `python tools/ablation.py run docs/results` does."


def _short(commit):
    return "not known" if commit is None else commit[:7] + ("+" if commit.endswith("+") else "")


def _anchor(title):
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def _study(study, found, folder):
    yield from (f"## {study.title}", "", study.about, "")
    nets = {net: runs for net, runs in known(found, study).items() if runs and net in (study.base, *study.nets)}
    yield from _scores(study, nets)
    if study.nets == TABLE_1:
        yield from _like_the_papers(nets)
    yield from _branches(nets, "Each scale's own score map, and all merged:")
    yield from _branches(on_seen(nets), "The same on the images that the nets have trained on:")
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
    yield from _head("net", "mean IOU", "seeds", f"above `{study.base}`", "pixel accuracy")
    for net in dict.fromkeys((study.base, *study.nets)):
        runs = nets.get(net)
        if not runs:
            yield _row(f"`{net}`", "not run", 0, "", "")
            continue
        accuracy = {seed: 100 * one.evaluation.pixel_accuracy for seed, one in runs.items()}
        above = paired(scores(runs), scores(nets[study.base])) if net != study.base and study.base in nets else None
        shown = printed(above, 2) if above else ""
        yield _row(f"`{net}`", _mean(scores(runs)), len(runs), shown, _mean(accuracy))


def _like_the_papers(nets):
    """Mean IOU in the layout of the paper's tables, beside theirs."""
    with_and_without = itertools.product((*GRIDS, "here"), ("", " w/ E-Supv"))
    yield from ("", "The same, as tables 1, 3, 5 and 6 print theirs:", "")
    yield from _head("scales", "merging", *(f"{name}{extra}" for name, extra in with_and_without))
    baselines = [cell for grid in GRIDS.values() for cell in (f"{grid.baseline:.2f}", "")]
    yield _row("1", "baseline", *baselines, _mean_of(nets, "largefov"), "")
    for scales, merge in next(iter(GRIDS.values())).cells:
        theirs = [f"{value:.2f}" for grid in GRIDS.values() for value in grid.cells[scales, merge]]
        ours = [_mean_of(nets, f"{merge}{scales}{extra}") for extra in ("", "_esupv")]
        yield _row({2: "1, 0.5", 3: "1, 0.75, 0.5"}[scales], merge, *theirs, *ours)


def _mean_of(nets, net):
    return f"{fmean(scores(nets[net]).values()):.2f}" if net in nets else ""


def _branches(nets, title):
    """Each scale's own score map, of nets with extra supervision, which alone trains them."""
    shown = {net: runs for net, runs in nets.items() if "esupv" in net and _first(runs).mean_iou_of_branches}
    if not shown:
        return
    scales = sorted({scale for runs in shown.values() for scale in _first(runs).mean_iou_of_branches}, key=float)[::-1]
    yield from ("", title, "")
    yield from _head("net", *(f"scale {scale}" for scale in scales), "merged", "merged above its best scale")
    for net, runs in shown.items():
        own = {
            scale: {seed: 100 * one.evaluation.mean_iou_of_branches[scale] for seed, one in runs.items()}
            for scale in _first(runs).mean_iou_of_branches
        }
        cells = [_mean(own[scale]) if scale in own else "-" for scale in scales]
        best = max(own, key=lambda scale: fmean(own[scale].values()))  # of all seeds
        gain = printed(paired(scores(runs), own[best]), 2) if len(own) > 1 else ""
        yield _row(f"`{net}`", *cells, _mean(scores(runs)), gain)


def _by_size(nets):
    titles = [f"{low} to {high}" for low, high, *_ in _first(next(iter(nets.values()))).iou_by_size]
    counts = [count for _, _, count, _ in _first(next(iter(nets.values()))).iou_by_size]
    yield from ("", "IOU by object size, the square root of its area in pixels: mean over the classes that have such")
    yield "objects. A pixel of background counts with the object next to it. Diameters end at 216 pixels, so"
    yield from ("that no triangle and no star is in the last column.", "")
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
        yield from _head("net", "scale", *map(str, range(1, BANDS + 1)))
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
    net = study.shown
    refined = {seed: 100 * one.crf.mean_iou for seed, one in nets.get(net, {}).items() if one.crf}
    if refined:
        gain = printed(paired(refined, scores(nets[net])), 2)
        before, after = _mean(scores(nets[net])), _mean(refined)
        yield from ("", f"The dense CRF on `{net}`, with VOC's parameters: {before} before, {after} after, {gain}.")


def _maps(study, folder):
    picture = pictures.of_maps(study)
    if not picture or not Path(folder, picture).exists():
        return
    columns = "prediction and weight of each scale" if study.photographs else "image, truth, predictions, weights"
    yield from ("", f"`{study.shown}`, seed {study.seeds[0]}, {columns}:", "")
    yield f"![predictions and weight maps]({folder.name}/{picture})"
    if study.photographs:
        run = study.folder("runs/ablation", study.shown, study.seeds[0]) / FINAL
        yield from ("", "The photographs are other people's. This sets them, and the ground truth, beside ours:", "")
        yield f"    python tools/visualize.py {study.experiment(study.shown).name} --weights {run}"


def _best(found, others):
    """The best net on CamVid, beside those of others."""
    streets = [name for name, study in STUDIES.items() if study.dataset == "camvid"]
    runs = [one for name in streets for by_seed in found[name].values() for one in by_seed.values()]
    yield from ("## The best net on CamVid", "")
    if not runs:
        yield "There is none yet."
        return
    chosen = [one for by_seed in found["camvid_long"].values() for one in by_seed.values()]
    best = max(runs, key=lambda one: one.evaluation.mean_iou)
    yield "Beside other nets without pretraining; their numbers are of other images or sizes, as said there:"
    yield ""
    yield from _head("net", "mean IOU", "on", "training, or source")
    for one in chosen:
        yield _ours(found, one, "chosen beforehand")
    if best not in chosen:
        yield _ours(found, best, f"the best of {len(runs)} runs, and so a little too good")
    if others.exists():
        with reading(others):
            known_ones = tomllib.loads(others.read_text(encoding="utf-8"))["net"]
        for one in known_ones:
            yield _row(one["name"], f"{one['mean_iou']:.2f}", one["on"], one["source"])


def _ours(found, one, how):
    """A net of ours on CamVid, with the minutes that it and its trunk have taken."""
    start = STUDIES[one.study].start
    trunk = found[start[0]][start[1]].get(one.seed) if start else None
    minutes = (one.seconds + (trunk.seconds if trunk else 0)) / 60
    words = f"{minutes:.0f} minutes beside other runs{', its trunk included' if trunk else ''}"
    name = f"`camvid_{one.net}` of {one.study}, seed {one.seed}: {how}"
    return _row(name, f"{100 * one.evaluation.mean_iou:.2f}", "val, 480x360", words)


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


def _head(*titles):
    yield from (_row(*titles), "|---" * len(titles) + "|")


def _row(*cells):
    return f"| {' | '.join(map(str, cells))} |"
