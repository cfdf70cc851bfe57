"""The papers' claims, each as one number for every seed that is above zero where the claim holds."""

import dataclasses
import itertools
from collections.abc import Callable
from statistics import fmean

from attscale.ablation.statistics import Difference, paired
from attscale.ablation.studies import STUDIES
from attscale.paper import PERSON_PART, REFINE_ABLATION, VOC, VOC_FROM_COCO

#: Bands of `Evaluation.attention_by_height`, of eight, top first: where a street vanishes, and right before the camera.
_FAR, _NEAR = 3, 7
_MERGES = ("max", "average", "attention")
_WORDS = {2: "two", 3: "three"}
_GRIDS = {"Person-Part": PERSON_PART, "VOC": VOC, "VOC from COCO": VOC_FROM_COCO}
_TABLES = "tables 1, 3, 5"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim, and what of each study tells of it.

    values: study's name -> what takes its {net: {seed: Kept}}, and returns a Difference, None without any run.
    """

    topic: str
    text: str
    source: str  # where the paper says it
    paper: str  # its own numbers, points of mean IOU unless it says otherwise
    values: dict[str, Callable[[dict], Difference | None]]
    unit: str = "points"  # or weight
    claimed: bool = True  # False: the paper finds no difference, or does not compare; there is nothing to hold


def scores(runs):
    """{seed: mean IOU in points} of {seed: Kept}."""
    return {seed: 100 * kept.evaluation.mean_iou for seed, kept in runs.items()}


def ahead(better, worse):
    """How far one net's mean IOU is above another's."""
    return lambda nets: paired(scores(nets[better]), scores(nets[worse]))


def mean_ahead(pairs):
    """The mean of how far the first net of each pair is above the second, over the seeds that all of them have."""

    def values(nets):
        found = [(scores(nets[better]), scores(nets[worse])) for better, worse in pairs]
        seeds = sorted(set.intersection(*(set(one.keys() & other.keys()) for one, other in found)))
        means = (fmean(one[seed] - other[seed] for one, other in found) for seed in seeds)
        return Difference(tuple(means)) if seeds else None

    return values


def _of(number, net):
    def values(nets):
        found = [number(kept.evaluation) for _, kept in sorted(nets[net].items())]
        return Difference(tuple(found)) if found else None

    return values


def _weights(evaluation, scale):
    at = evaluation.scales.index(scale)
    return [weights[at] for *_, weights in evaluation.attention_by_size]


def by_size(net, scale, sign=1):
    """How much more weight a scale has on the largest objects than on the smallest; sign -1: how much less."""

    def number(evaluation):
        smallest, *_, largest = _weights(evaluation, scale)
        return sign * (largest - smallest)

    return _of(number, net)


def middle(net):
    """How much more weight scale 0.75 has on objects of middle sizes, the mean of their bins, than on both ends'."""

    def number(evaluation):
        smallest, *between, largest = _weights(evaluation, 0.75)
        return fmean(between) - fmean((smallest, largest))

    return _of(number, net)


def on_background(net):
    """How much more weight scale 0.5 has on the background than on the other classes, the mean of theirs."""

    def number(evaluation):
        at = evaluation.scales.index(0.5)
        background, *others = (weights[at] for weights in evaluation.attention_by_class.values())
        return background - fmean(others)

    return _of(number, net)


def by_height(net, scale, sign=1):
    """How much more weight a scale has right before the camera than where the street vanishes; sign -1: less."""

    def number(evaluation):
        at = evaluation.scales.index(scale)
        return sign * (evaluation.attention_by_height[_NEAR][at] - evaluation.attention_by_height[_FAR][at])

    return _of(number, net)


# --- cells of table 1's form: (scales, merge or None, extra supervision) ----------------------------------------------


def _net(cell):
    scales, merge, extra = cell
    return "largefov" if merge is None else f"{merge}{scales}{'_esupv' if extra else ''}"


_BASELINE = (1, None, False)
_FORM = tuple(itertools.product((2, 3), _MERGES, (False, True)))


def _printed(pairs):
    """How far the paper has the first of each pair of cells above the second, on average, in its three such tables."""
    means = {
        name: fmean(grid.cell(*cell).value - grid.cell(*other).value for cell, other in pairs)
        for name, grid in _GRIDS.items()
    }
    return ", ".join(f"{mean:+.2f} {name}" for name, mean in means.items())


def _cells(topic, text, source, *pairs, everywhere=False, claimed=True):
    """A claim that some cells are better than others, on average.

    On `shapes`; where the study of CamVid and those from scratch have the nets, in these as well (everywhere).
    """
    nets = [tuple(map(_net, pair)) for pair in pairs]
    values = {"shapes": mean_ahead(nets)}
    if everywhere:
        on_camvid = mean_ahead([(f"{net}_narrow", f"{other}_narrow") for net, other in nets])
        values |= {"camvid": on_camvid, "shapes_scratch": values["shapes"], "camvid_scratch": on_camvid}
    return Claim(topic=topic, text=text, source=source, paper=_printed(pairs), values=values, claimed=claimed)


def _on_average():
    """What a reader wants to know first; each over all cells of table 1's form that can tell."""
    topic = "On average over table 1's form"
    for text, pairs in (
        (
            "Attention is better than max and average",
            [((n, "attention", e), (n, o, e)) for n in (2, 3) for e in (False, True) for o in ("max", "average")],
        ),
        (
            "Several scales merged by attention are better than one",
            [(cell, _BASELINE) for cell in _FORM if cell[1] == "attention"],
        ),
        (
            "Several scales merged by max or average are better than one",
            [(cell, _BASELINE) for cell in _FORM if cell[1] != "attention"],
        ),
        ("Extra supervision helps", [((n, merge, True), (n, merge, False)) for n in (2, 3) for merge in _MERGES]),
    ):
        yield _cells(topic, f"{text} ({len(pairs)} pairs of nets)", _TABLES, *pairs)
    pairs = [((3, merge, extra), (2, merge, extra)) for merge in _MERGES for extra in (False, True)]
    # section 4.1 has two slightly better without extra supervision
    yield _cells(topic, f"Three scales beside two ({len(pairs)} pairs of nets)", _TABLES, *pairs, claimed=False)


def _several_scales():
    for scales, extra, merge in itertools.product((2, 3), (False, True), _MERGES):
        text = f"{_WORDS[scales].capitalize()} scales merged by {merge}, {_with(extra)}, are better than one"
        everywhere = (scales, extra) == (3, True)
        pair = ((scales, merge, extra), _BASELINE)
        yield _cells("More scales than one", text, "section 4.1 and conclusion", pair, everywhere=everywhere)


def _with(extra):
    return f"{'with' if extra else 'without'} extra supervision"


def _attention():
    source = 'section 4.1, "no matter how many scales are used"'
    for scales, extra, other in itertools.product((2, 3), (False, True), ("max", "average")):
        text = f"Attention is better than {other}: {_WORDS[scales]} scales, {_with(extra)}"
        pair = ((scales, "attention", extra), (scales, other, extra))
        yield _cells("Attention against max and average", text, source, pair, everywhere=(scales, extra) == (3, True))
    best = (3, "attention", True)
    for change, words in (("lr10", "learning at ten times the rate"), ("gaussian", "from the authors' start")):
        for other in ("max", "average"):
            worse = (3, other, True)
            yield Claim(
                topic="Attention against max and average",
                text=f"Attention, its layers {words}, is better than {other}: {_WORDS[3]} scales, {_with(True)}",
                source=source,
                paper=_printed([(best, worse)]),
                values={"camvid_attention": ahead(f"{_net(best)}_{change}_narrow", f"{_net(worse)}_narrow")},
            )


def _extra_supervision():
    source = 'section 4.1, "regardless of what merging scheme"'
    for scales, merge in itertools.product((2, 3), _MERGES):
        pair = ((scales, merge, True), (scales, merge, False))
        yield _cells("Extra supervision", f"Extra supervision helps {merge} over {_WORDS[scales]} scales", source, pair)


def _number_of_scales():
    topic = "The number of scales"
    for merge in ("average", "attention"):
        text = f"Two scales merged by {merge} are better than three, without extra supervision"
        yield _cells(topic, text, 'section 4.1, "slightly better"', ((2, merge, False), (3, merge, False)))
    alike = _cells(topic, "Max over three scales beside two, without extra supervision", "section 4.1",
                   ((3, "max", False), (2, "max", False)), claimed=False)  # fmt: skip
    yield dataclasses.replace(alike, paper=f'"robust": {alike.paper}')
    text = "Three scales are better than two: attention, with extra supervision"
    yield _cells(topic, text, _TABLES, ((3, "attention", True), (2, "attention", True)))


# --- the rest ---------------------------------------------------------------------------------------------------------


def _maps():
    """What the weight maps show (section 4.1, qualitative results), of attention over three scales."""
    said = {"topic": "The weight maps of attention3_esupv", "paper": "seen in the maps", "unit": "weight"}
    net, street = "attention3_esupv", "attention3_esupv_narrow"
    for text, values in (
        ("Scale 1 has more weight on the smallest objects than on the largest", by_size(net, 1.0, -1)),
        ("Scale 0.75 has more weight on objects of middle sizes than on both ends'", middle(net)),
        ("Scale 0.5 has more weight on the largest objects than on the smallest", by_size(net, 0.5)),
        ("Scale 0.5 has more weight on the background than on objects", on_background(net)),
    ):
        from_either = {"shapes": values, "shapes_scratch": values}
        yield Claim(text=text, source="section 4.1 and figure 5", values=from_either, **said)
    for text, values in (
        ("Scale 1 has more weight where the street vanishes than right before the camera", by_height(street, 1.0, -1)),
        ("Scale 0.5 has more weight right before the camera than where the street vanishes", by_height(street, 0.5)),
    ):
        from_either = {"camvid": values, "camvid_scratch": values}
        yield Claim(text=text, source="our reading of section 4.1, for streets", values=from_either, **said)


def _design():
    """Section 4.1, design choices, and where scale 0.75 is supervised: how far the usual net is above the changed."""
    choices = "section 4.1, design choices"
    for change, text, source, paper in (
        ("attention4_esupv", "A fourth scale, 0.25, makes it worse", choices, "0.5 Person-Part; the rebuttal: similar"),
        ("attention3_esupv_fc8", "Attention on fc8 is worse than on fc7", choices, "about 0.5 Person-Part"),
        ("attention3_esupv_onelayer", "One attention layer is worse than two", choices, "0.1 to 0.4 Person-Part"),
        ("attention3_esupv_fc6", "Attention on fc7 beside fc6", choices, '"similar"'),
        ("attention3_esupv_own", "0.75 supervised at the finest beside its own", "section 3.3", "not compared"),
    ):
        yield Claim(
            topic="Design choices",
            text=text,
            source=source,
            paper=paper,
            values={"shapes_design": ahead("attention3_esupv", change)},
            claimed=not change.endswith(("fc6", "own")),
        )


def _refine():
    """Table 2 of Attention to Refine: each step, and the whole model beside the base."""
    steps = "attention2_esupv", "attention2_esupv_stages", "attention2_esupv_stages_dilated", "refine2_esupv"
    base, stages, dilated, whole = steps
    cells = dict(zip(steps, ("base", "multi_stage", "diverse_dilation", "refine"), strict=True))
    for better, worse, text in (
        (stages, base, "Features of several stages help"),
        (dilated, stages, "Diverse dilations help"),
        (whole, dilated, "Recalibration helps"),
        (whole, base, "The whole model is better than attention-to-scale"),
    ):
        gain = REFINE_ABLATION[cells[better]].value - REFINE_ABLATION[cells[worse]].value
        yield Claim(
            topic="Attention to Refine",
            text=text,
            source="its table 2",
            paper=f"{gain:+.2f} VOC",
            values={
                "shapes_refine": ahead(better, worse),
                "camvid_refine": ahead(f"{better}_narrow", f"{worse}_narrow"),
            },
        )


CLAIMS = (
    *_on_average(),
    *_several_scales(),
    *_attention(),
    *_extra_supervision(),
    *_number_of_scales(),
    *_maps(),
    *_design(),
    *_refine(),
)


def known(found, study):
    """{net: {seed: Kept}} of a study, and of the one that it is compared with; found: of all, by study's name."""
    return (found[study.beside] if study.beside else {}) | found[study.name]


def differences(found):
    """(Claim, {study's name: its Difference}) of every claim; studies that cannot tell yet are not in it."""
    for claim in CLAIMS:
        of_studies = {name: values(known(found, STUDIES[name])) for name, values in claim.values.items()}
        yield claim, {name: one for name, one in of_studies.items() if one}
