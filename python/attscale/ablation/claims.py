"""The papers' claims, each as one number for every seed that is above zero where the claim holds."""

import dataclasses
from collections.abc import Callable

from attscale.ablation.statistics import Difference, paired
from attscale.ablation.studies import STUDIES
from attscale.paper import PERSON_PART, REFINE_ABLATION, VOC

#: Bands of `Evaluation.attention_by_height`, of eight, top first: where a street vanishes, and right before the camera.
_FAR, _NEAR = 3, 7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim; `values` takes {net: {seed: Kept}} of its study, and returns a Difference, None without any run."""

    text: str
    source: str  # where the paper says it
    paper: str  # its own numbers, points of mean IOU unless it says otherwise
    study: str
    values: Callable[[dict], Difference | None]
    unit: str = "points"  # or weight


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


def by_size(net, scale, sign=1):
    """How much more weight a scale has on the largest objects than on the smallest; sign -1: how much less."""

    def number(evaluation):
        at = evaluation.scales.index(scale)
        weights = [weights[at] for *_, weights in evaluation.attention_by_size]
        return sign * (weights[-1] - weights[0])

    return _of(number, net)


def middle(net):
    """How much more weight scale 0.75 has, where it has most between the smallest and largest objects, than at both."""

    def number(evaluation):
        at = evaluation.scales.index(0.75)
        weights = [weights[at] for *_, weights in evaluation.attention_by_size]
        return max(weights[1:-1]) - max(weights[0], weights[-1])

    return _of(number, net)


def by_height(net, scale, sign=1):
    """How much more weight a scale has right before the camera than where the street vanishes; sign -1: less."""

    def number(evaluation):
        at = evaluation.scales.index(scale)
        near, far = (evaluation.attention_by_height[band][at] for band in (_NEAR, _FAR))
        return sign * (near - far)

    return _of(number, net)


def _printed(cell, other):
    """A difference that the paper prints, on Person-Part and on VOC 2012; cell, other: keys of its grids."""
    both = ((PERSON_PART, "Person-Part"), (VOC, "VOC"))
    return ", ".join(f"{grid.cell(*cell).value - grid.cell(*other).value:+.2f} {name}" for grid, name in both)


def _table_1():
    """Claims of tables 1 and 3, for `shapes`; those of three scales with extra supervision for CamVid as well."""
    base = (1, None, False)
    for study, suffix in (("shapes", ""), ("camvid", "_narrow")):
        for merge in ("max", "average", "attention"):
            yield Claim(
                text=f"Three scales merged by {merge}, with extra supervision, are better than one scale",
                source="tables 1 and 3",
                paper=_printed((3, merge, True), base),
                study=study,
                values=ahead(f"{merge}3_esupv{suffix}", f"largefov{suffix}"),
            )
        for other in ("max", "average"):
            yield Claim(
                text=f"Attention is better than {other}: three scales, extra supervision",
                source='section 4.1, "no matter how many scales are used"',
                paper=_printed((3, "attention", True), (3, other, True)),
                study=study,
                values=ahead(f"attention3_esupv{suffix}", f"{other}3_esupv{suffix}"),
            )
    for other in ("max", "average"):
        yield Claim(
            text=f"Attention is better than {other}: two scales, extra supervision",
            source='section 4.1, "no matter how many scales are used"',
            paper=_printed((2, "attention", True), (2, other, True)),
            study="shapes",
            values=ahead("attention2_esupv", f"{other}2_esupv"),
        )
    for merge in ("max", "average", "attention"):
        yield Claim(
            text=f"Two scales merged by {merge} are better than one, without extra supervision",
            source='section 4.1, "two input scales improves"',
            paper=_printed((2, merge, False), base),
            study="shapes",
            values=ahead(f"{merge}2", "largefov"),
        )
    for number in (2, 3):
        for merge in ("max", "average", "attention"):
            yield Claim(
                text=f"Extra supervision helps {merge} over {number} scales",
                source='section 4.1, "regardless of what merging scheme"',
                paper=_printed((number, merge, True), (number, merge, False)),
                study="shapes",
                values=ahead(f"{merge}{number}_esupv", f"{merge}{number}"),
            )
    yield Claim(
        text="Three scales are better than two: attention, extra supervision",
        source="tables 1 and 3",
        paper=_printed((3, "attention", True), (2, "attention", True)),
        study="shapes",
        values=ahead("attention3_esupv", "attention2_esupv"),
    )


def _weights():
    """What the weight maps show (section 4.1, qualitative results)."""
    said = {"source": "section 4.1 and figure 5", "paper": "seen in the maps", "unit": "weight"}
    net = "attention3_esupv"
    yield Claim(
        text="Scale 1 has more weight on the smallest objects than on the largest",
        study="shapes",
        values=by_size(net, 1.0, sign=-1),
        **said,
    )
    yield Claim(text="Scale 0.75 has most weight on objects of middle size", study="shapes", values=middle(net), **said)
    yield Claim(
        text="Scale 0.5 has more weight on the largest objects than on the smallest",
        study="shapes",
        values=by_size(net, 0.5),
        **said,
    )
    yield Claim(
        text="Scale 1 has more weight where the street vanishes than right before the camera",
        study="camvid",
        values=by_height(f"{net}_narrow", 1.0, sign=-1),
        **said,
    )
    yield Claim(
        text="Scale 0.5 has more weight right before the camera than where the street vanishes",
        study="camvid",
        values=by_height(f"{net}_narrow", 0.5),
        **said,
    )


def _design():
    """Section 4.1, design choices; how far the best net is above the changed one."""
    for change, words, printed in (
        ("attention4_esupv", "A fourth scale, 0.25, makes it worse", "0.5"),
        ("attention3_esupv_fc8", "Attention on fc8 is worse than on fc7", "about 0.5"),
        ("attention3_esupv_fc6", "Attention on fc6 is worse than on fc7 (the paper: similar)", "similar"),
        ("attention3_esupv_onelayer", "One attention layer is worse than two", "0.1 to 0.4"),
        (
            "attention3_esupv_own",
            "Scale 0.75 supervised at its own resolution is worse than at the finest",
            "not compared",
        ),
    ):
        yield Claim(
            text=words,
            source="section 4.1, design choices" if printed != "not compared" else "section 3.3",
            paper=printed,
            study="shapes_design",
            values=ahead("attention3_esupv", change),
        )


def _refine():
    """Table 2 of Attention to Refine: each step, and the whole model beside the base."""
    steps = {
        "attention2_esupv": REFINE_ABLATION["base"],
        "attention2_esupv_stages": REFINE_ABLATION["multi_stage"],
        "attention2_esupv_stages_dilated": REFINE_ABLATION["diverse_dilation"],
        "refine2_esupv": REFINE_ABLATION["refine"],
    }
    names = ("", "Features of several stages help", "Diverse dilations help", "Recalibration helps")
    order = list(steps)
    for study, suffix in (("shapes_refine", ""), ("camvid_refine", "_narrow")):
        pairs = [
            *zip(order[1:], order[:-1], names[1:], strict=True),
            (order[-1], order[0], "The whole model is better than attention-to-scale"),
        ]
        for better, worse, text in pairs:
            yield Claim(
                text=text,
                source="Attention to Refine, table 2",
                paper=f"{steps[better].value - steps[worse].value:+.2f} VOC",
                study=study,
                values=ahead(better + suffix, worse + suffix),
            )


CLAIMS = (*_table_1(), *_weights(), *_design(), *_refine())


def known(found, study):
    """{net: {seed: Kept}} of a study, and of the one that it is compared with; found: of all, by study's name."""
    return (found[study.beside] if study.beside else {}) | found[study.name]


def differences(found):
    """(Claim, its Difference or None) of every claim."""
    return [(claim, claim.values(known(found, STUDIES[claim.study]))) for claim in CLAIMS]
