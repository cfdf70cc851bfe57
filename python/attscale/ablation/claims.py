"""The papers' claims, each as one number for every seed that is above zero where the claim holds."""

import dataclasses
from collections.abc import Callable
from statistics import fmean

from attscale.ablation.statistics import Difference, paired
from attscale.ablation.studies import STUDIES
from attscale.paper import PERSON_PART, REFINE_ABLATION, VOC

#: Bands of `Evaluation.attention_by_height`, of eight, top first: where a street vanishes, and right before the camera.
_FAR, _NEAR = 3, 7
_ANY = 'section 4.1, "no matter how many scales are used"'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim; `values` takes {net: {seed: Kept}} of its study, and returns a Difference, None without any run."""

    text: str
    source: str  # where the paper says it
    paper: str  # its own numbers, points of mean IOU unless it says otherwise
    study: str
    values: Callable[[dict], Difference | None]
    unit: str = "points"  # or weight
    claimed: bool = True  # False: the paper finds no difference, or does not compare; there is nothing to hold


def scores(runs):
    """{seed: mean IOU in points} of {seed: Kept}."""
    return {seed: 100 * kept.evaluation.mean_iou for seed, kept in runs.items()}


def ahead(better, worse):
    """How far one net's mean IOU is above another's."""
    return lambda nets: paired(scores(nets[better]), scores(nets[worse]))


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


def _printed(cell, other):
    """A difference that the paper prints, on Person-Part and on VOC 2012; cell, other: keys of its grids."""
    both = ((PERSON_PART, "Person-Part"), (VOC, "VOC"))
    return ", ".join(f"{grid.cell(*cell).value - grid.cell(*other).value:+.2f} {name}" for grid, name in both)


def _between(text, source, study, cell, other, suffix=""):
    """A claim that one cell of table 1 is better than another; both are (scales, merge, extra supervision)."""
    names = []
    for scales, merge, extra in (cell, other):
        names.append(("largefov" if merge is None else f"{merge}{scales}" + ("_esupv" if extra else "")) + suffix)
    return Claim(text=text, source=source, paper=_printed(cell, other), study=study, values=ahead(*names))


def _three_scales(study, suffix=""):
    """Of tables 1 and 3, what a study of the baseline and three merges with extra supervision can tell."""
    for merge in ("max", "average", "attention"):
        text = f"Three scales merged by {merge}, with extra supervision, are better than one scale"
        yield _between(text, "tables 1 and 3", study, (3, merge, True), (1, None, False), suffix)
    for other in ("max", "average"):
        text = f"Attention is better than {other}: three scales, extra supervision"
        yield _between(text, _ANY, study, (3, "attention", True), (3, other, True), suffix)


def _table_1():
    """The rest of tables 1 and 3."""
    for other in ("max", "average"):
        text = f"Attention is better than {other}: two scales, extra supervision"
        yield _between(text, _ANY, "shapes", (2, "attention", True), (2, other, True))
    for scales, word in ((2, "two"), (3, "three")):
        for other in ("max", "average"):
            text = f"Attention is better than {other}: {word} scales, no extra supervision"
            yield _between(text, _ANY, "shapes", (scales, "attention", False), (scales, other, False))
    for merge in ("max", "average", "attention"):
        text = f"Two scales merged by {merge} are better than one, without extra supervision"
        yield _between(text, 'section 4.1, "improves"', "shapes", (2, merge, False), (1, None, False))
    for merge in ("average", "attention"):
        text = f"Two scales merged by {merge} are better than three, without extra supervision"
        yield _between(text, 'section 4.1, "slightly better"', "shapes", (2, merge, False), (3, merge, False))
    for scales, word in ((2, "two"), (3, "three")):
        for merge in ("max", "average", "attention"):
            text = f"Extra supervision helps {merge} over {word} scales"
            source = 'section 4.1, "regardless of what merging scheme"'
            yield _between(text, source, "shapes", (scales, merge, True), (scales, merge, False))
    text = "Three scales are better than two: attention, extra supervision"
    yield _between(text, "tables 1 and 3", "shapes", (3, "attention", True), (2, "attention", True))


def _maps():
    """What the weight maps show (section 4.1, qualitative results)."""
    said = {"source": "section 4.1 and figure 5", "paper": "seen in the maps", "unit": "weight"}
    net, street = "attention3_esupv", "attention3_esupv_narrow"
    for text, study, values in (
        ("Scale 1 has more weight on the smallest objects than on the largest", "shapes", by_size(net, 1.0, -1)),
        ("Scale 0.75 has more weight on objects of middle sizes than on both ends'", "shapes", middle(net)),
        ("Scale 0.5 has more weight on the largest objects than on the smallest", "shapes", by_size(net, 0.5)),
        ("Scale 0.5 has more weight on the background than on objects", "shapes", on_background(net)),
        (
            "Scale 1 has more weight where the street vanishes than right before the camera",
            "camvid",
            by_height(street, 1.0, -1),
        ),
        (
            "Scale 0.5 has more weight right before the camera than where the street vanishes",
            "camvid",
            by_height(street, 0.5),
        ),
    ):
        yield Claim(text=text, study=study, values=values, **said)


def _design():
    """Section 4.1, design choices, and where scale 0.75 is supervised: how far the usual net is above the changed."""
    choices = "section 4.1, design choices"
    for change, text, source, paper in (
        ("attention4_esupv", "A fourth scale, 0.25, makes it worse", choices, "0.5"),
        ("attention3_esupv_fc8", "Attention on fc8 is worse than on fc7", choices, "about 0.5"),
        ("attention3_esupv_onelayer", "One attention layer is worse than two", choices, "0.1 to 0.4"),
        ("attention3_esupv_fc6", "Attention on fc7 beside fc6", choices, '"similar"'),
        ("attention3_esupv_own", "0.75 supervised at the finest beside its own", "section 3.3", "not compared"),
    ):
        yield Claim(
            text=text,
            source=source,
            paper=paper,
            study="shapes_design",
            values=ahead("attention3_esupv", change),
            claimed=not change.endswith(("fc6", "own")),
        )


def _refine(study, suffix=""):
    """Table 2 of Attention to Refine: each step, and the whole model beside the base."""
    base, stages, dilated, whole = (
        *("attention2_esupv", "attention2_esupv_stages", "attention2_esupv_stages_dilated", "refine2_esupv"),
    )
    cells = dict(
        zip((base, stages, dilated, whole), ("base", "multi_stage", "diverse_dilation", "refine"), strict=True)
    )
    for better, worse, text in (
        (stages, base, "Features of several stages help"),
        (dilated, stages, "Diverse dilations help"),
        (whole, dilated, "Recalibration helps"),
        (whole, base, "The whole model is better than attention-to-scale"),
    ):
        gain = REFINE_ABLATION[cells[better]].value - REFINE_ABLATION[cells[worse]].value
        source, values = "Attention to Refine, table 2", ahead(better + suffix, worse + suffix)
        yield Claim(text=text, source=source, paper=f"{gain:+.2f} VOC", study=study, values=values)


CLAIMS = (
    *_three_scales("shapes"),
    *_table_1(),
    *_three_scales("camvid", "_narrow"),
    *_three_scales("shapes_scratch"),
    *_three_scales("camvid_scratch", "_narrow"),
    *_maps(),
    *_design(),
    *_refine("shapes_refine"),
    *_refine("camvid_refine", "_narrow"),
)


def known(found, study):
    """{net: {seed: Kept}} of a study, and of the one that it is compared with; found: of all, by study's name."""
    return (found[study.beside] if study.beside else {}) | found[study.name]


def differences(found):
    """(Claim, its Difference or None) of every claim."""
    return [(claim, claim.values(known(found, STUDIES[claim.study]))) for claim in CLAIMS]
