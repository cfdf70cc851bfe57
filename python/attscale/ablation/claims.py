"""The papers' claims, each as one number for every seed that is above zero where the claim holds."""

import dataclasses
import itertools
from collections.abc import Callable
from statistics import fmean

from attscale.ablation.measures import (
    FOUND,
    LARGE,
    ahead,
    ahead_where_found,
    best_of_all,
    by_height,
    by_size,
    helps_more,
    mean_ahead,
    middle,
    on_classes,
)
from attscale.ablation.statistics import Difference
from attscale.ablation.studies import STUDIES
from attscale.paper import COCO, COCO_PERSON, PERSON_PART, REFINE_ABLATION, VOC, VOC_FROM_COCO

_MERGES = ("max", "average", "attention")
_WORDS = {2: "two", 3: "three"}
#: The paper's tables of one form.
GRIDS = {"Person-Part": PERSON_PART, "VOC": VOC, "VOC from COCO": VOC_FROM_COCO, "MS-COCO": COCO}
_TABLES = "tables 1, 3, 5, 6"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim, and what of each study tells of it.

    values: study's name -> what takes its {net: {seed: Kept}}, and returns a Difference, None without any run.
    """

    topic: str
    text: str
    source: str  # where the paper says it
    gains: dict[str, float] = dataclasses.field(default_factory=dict)  # by data set, points of mean IOU, as it prints
    words: str = ""  # of the paper, where it has no numbers, or besides
    values: dict[str, Callable[[dict], Difference | None]]
    unit: str = "points"  # or weight
    claimed: bool = True  # False: the paper finds no difference, or does not compare; there is nothing to hold

    @property
    def paper(self):
        """What the paper has: its gains in words."""
        gains = ", ".join(f"{gain:+.2f} {name}" for name, gain in self.gains.items())
        return ": ".join(filter(None, (self.words, gains)))

    def below(self, one):
        """Of how many of the paper's gains all of a Difference's interval is short."""
        return sum(gain > one.interval[1] for gain in self.gains.values()) if one.interval else 0


# --- cells of table 1's form: (scales, merge or None, extra supervision) ----------------------------------------------


def _net(cell):
    scales, merge, extra = cell
    return "largefov" if merge is None else f"{merge}{scales}{'_esupv' if extra else ''}"


_BASELINE = (1, None, False)
_BEST = (3, "attention", True)
_FORM = tuple(itertools.product((2, 3), _MERGES, (False, True)))


def _printed(pairs):
    """How far the paper has the first of each pair of cells above the second, on average, in each such table."""
    return {
        name: fmean(grid.cell(*cell).value - grid.cell(*other).value for cell, other in pairs)
        for name, grid in GRIDS.items()
    }


def _cells(topic, text, source, *pairs, claimed=True):
    """A claim that some cells are better than others, on average: of all studies that have these nets."""
    values = {}
    for name in ("shapes", "camvid", "shapes_scratch", "camvid_scratch"):
        study, end = STUDIES[name], "_narrow" if STUDIES[name].photographs else ""
        nets = [tuple(f"{_net(cell)}{end}" for cell in pair) for pair in pairs]
        if set(itertools.chain(*nets)) <= {study.base, *study.nets}:
            values[name] = mean_ahead(nets)
    return Claim(topic=topic, text=text, source=source, gains=_printed(pairs), values=values, claimed=claimed)


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
    yield _cells(topic, f"Three scales less two ({len(pairs)} pairs of nets)", _TABLES, *pairs, claimed=False)
    others = [cell for cell in (_BASELINE, *_FORM) if cell != _BEST]
    yield Claim(
        topic=topic,
        text="Attention over three scales with extra supervision is the best of all 13 nets",
        source="section 4.2 (3)",
        gains={name: grid.cell(*_BEST).value - max(grid.cell(*cell).value for cell in others)
               for name, grid in GRIDS.items()},
        values={"shapes": best_of_all(_net(_BEST), [_net(cell) for cell in others])},
    )  # fmt: skip


def _several_scales():
    for scales, extra, merge in itertools.product((2, 3), (False, True), _MERGES):
        text = f"{_WORDS[scales].capitalize()} scales merged by {merge}, {_with(extra)}, are better than one"
        pair = ((scales, merge, extra), _BASELINE)
        source = "section 4.1" if scales == 2 else "conclusion (1)"
        yield _cells("More scales than one", text, source, pair)
    for merge in _MERGES:
        yield Claim(
            topic="More scales than one",
            text=f"Three scales merged by {merge} less one scale that has trained on several sizes",
            source="ours",
            words="not compared",
            values={"camvid_sizes": ahead(f"{merge}3_esupv_narrow", "largefov_plus_narrow")},
            claimed=False,
        )


def _with(extra):
    return f"{'with' if extra else 'without'} extra supervision"


def _attention():
    source = 'section 4.1, "no matter how many scales are used"'
    for scales, extra, other in itertools.product((2, 3), (False, True), ("max", "average")):
        text = f"Attention is better than {other}: {_WORDS[scales]} scales, {_with(extra)}"
        pair = ((scales, "attention", extra), (scales, other, extra))
        yield _cells("Attention against max and average", text, source, pair)
    best = f"{_net(_BEST)}_narrow"
    rest = {"topic": "Attention against max and average"}
    for other in ("max", "average"):
        cell = (3, other, True)
        worse = f"{_net(cell)}_narrow"
        person = COCO_PERSON.cell(*_BEST).value - COCO_PERSON.cell(*cell).value
        over_found = ahead_where_found(best, worse, f"{_net(_BASELINE)}_narrow")
        yield Claim(
            text=f"Attention is better than {other}, over the classes in which one scale has {FOUND} % or more",
            source="section 4.3: classes hardly found hide it",
            words=f"person's IOU, table 7: {person:+.2f} MS-COCO",
            values={"camvid": over_found, "camvid_scratch": over_found},
            **rest,
        )
        yield Claim(
            text=f"Attention, its layers learning at ten times the rate, is better than {other}",
            source=source,
            gains=_printed([(_BEST, cell)]),
            values={"camvid_attention": ahead(f"{_net(_BEST)}_lr10_narrow", worse)},
            **rest,
        )


def _extra_supervision():
    source = 'section 4.1, "regardless of what merging scheme"'
    for scales, merge in itertools.product((2, 3), _MERGES):
        pair = ((scales, merge, True), (scales, merge, False))
        yield _cells("Extra supervision", f"Extra supervision helps {merge} over {_WORDS[scales]} scales", source, pair)
    plain = (3, "max", True), (3, "max", False)
    for merge in ("average", "attention"):
        pair = (3, merge, True), (3, merge, False)
        gains, usual = _printed([pair]), _printed([plain])
        yield Claim(
            topic="Extra supervision",
            text=f"Over three scales extra supervision helps {merge} more than max",
            source='section 4.2 (2), "especially"',
            gains={name: gains[name] - usual[name] for name in gains},
            values={"shapes": helps_more(tuple(map(_net, pair)), tuple(map(_net, plain)))},
        )


def _number_of_scales():
    topic = "The number of scales"
    for merge in ("average", "attention"):
        text = f"Two scales merged by {merge} are better than three, without extra supervision"
        yield _cells(topic, text, 'section 4.1, "slightly better"', ((2, merge, False), (3, merge, False)))
    alike = _cells(topic, "Three scales less two: max, without extra supervision", "section 4.1",
                   ((3, "max", False), (2, "max", False)), claimed=False)  # fmt: skip
    yield dataclasses.replace(alike, words='"robust"')
    text = "Three scales are better than two: attention, with extra supervision"
    yield _cells(topic, text, _TABLES, ((3, "attention", True), (2, "attention", True)))


# --- the rest ---------------------------------------------------------------------------------------------------------


def _maps():
    """What the weight maps show (section 4.1, qualitative results), of attention over three scales."""
    said = {"topic": "The weight maps of attention3_esupv", "words": "seen in the maps", "unit": "weight"}
    net, street = "attention3_esupv", "attention3_esupv_narrow"
    for text, values in (
        ("Scale 1 has more weight on the smallest objects than on the largest", by_size(net, 1.0, -1)),
        ("Scale 0.75 has more weight on objects of middle sizes than on both ends'", middle(net)),
        ("Scale 0.5 has more weight on the largest objects than on the smallest", by_size(net, 0.5)),
        ("Scale 0.5 has more weight on the background than on objects", on_classes(net, ("background",))),
    ):
        from_either = {"shapes": values, "shapes_scratch": values}
        yield Claim(text=text, source="section 4.1 and figure 5", values=from_either, **said)
    said["words"], large = "nothing of streets", f"{', '.join(LARGE[:-1])} and {LARGE[-1]}"
    for text, values in (
        ("Scale 1 has more weight where the street vanishes than right before the camera", by_height(street, 1.0, -1)),
        ("Scale 0.5 has more weight right before the camera than where the street vanishes", by_height(street, 0.5)),
        (f"Scale 0.5 has more weight on {large} than on the rest", on_classes(street, LARGE)),
    ):
        from_either = {"camvid": values, "camvid_scratch": values}
        yield Claim(text=text, source="ours, after section 4.1", values=from_either, claimed=False, **said)


def _design():
    """Section 4.1, design choices, and where scale 0.75 is supervised: how far the usual net is above the changed."""
    choices, several = "section 4.1, design choices", "+0.1 to +0.4 Person-Part, of this and two other changes"
    where = "Scale 0.75 supervised at the finest resolution less at its own"
    half = {"Person-Part": 0.5}  # of mean IOU, said in words
    for change, text, source, words, gains in (
        ("attention4_esupv", "A fourth scale, 0.25, makes it worse", choices, "the rebuttal has it similar", half),
        ("attention3_esupv_fc8", "Attention on fc8 is worse than on fc7", choices, "about", half),
        ("attention3_esupv_onelayer", "One attention layer is worse than two", choices, several, {}),
        ("attention3_esupv_fc6", "fc7 less fc6 as attention's features", choices, "similar", {}),
        ("attention3_esupv_own", where, "section 3.3", "not compared", {}),
    ):
        yield Claim(
            topic="Design choices",
            text=text,
            source=source,
            words=words,
            gains=gains,
            values={"shapes_design": ahead("attention3_esupv", change)},
            claimed=words not in ("similar", "not compared"),
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
        yield Claim(
            topic="Attention to Refine",
            text=text,
            source="its table 2",
            gains={"VOC": REFINE_ABLATION[cells[better]].value - REFINE_ABLATION[cells[worse]].value},
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
