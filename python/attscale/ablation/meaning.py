"""What the runs say of the papers: text kept beside them, meaning.md, with numbers that are looked up in them.

A field in braces is one of

    {study: net}          mean IOU over seeds; {study: net@0.5} that of a scale's own score map
    {study: net - other}  the difference, with its interval; each may have a scale
    {study, train: ...}   the same on the images that the nets have trained on
    {study | claim}       what a study has of a claim, by the claim's text
    {paper | claim}       what the paper has of it
"""

import re
from pathlib import Path
from statistics import fmean

from attscale.ablation.claims import CLAIMS, known
from attscale.ablation.measures import on_seen, scores
from attscale.ablation.statistics import paired, printed
from attscale.ablation.studies import STUDIES
from attscale.errors import UserError, reading

FILE = "meaning.md"
_FIELD = re.compile(r"\{([^{}]*)\}")
_NETS = re.compile(r"(\w+)(, train)?: ([\w@.]+)(?: - ([\w@.]+))?")
_CLAIM = re.compile(r"(\w+) \| (.+)", re.DOTALL)


def section(folder, found):
    """The lines of the text, if there is one; found: {study's name: {net: {seed: Kept}}}.

    Raises UserError that names a field that cannot be looked up, or whose runs are not there.
    """
    path = Path(folder, FILE)
    if not path.exists():
        return []
    with reading(path):
        text = path.read_text(encoding="utf-8")

    def looked_up(field):
        try:
            return _value(" ".join(field[1].split()), found)
        except (KeyError, ValueError):
            raise UserError(f"{path}: {{{field[1]}}} is no number of the runs beside it") from None

    return _FIELD.sub(looked_up, text).splitlines()


def _value(field, found):
    if claim := _CLAIM.fullmatch(field):
        (one,) = (one for one in CLAIMS if one.text == claim[2])
        return one.paper if claim[1] == "paper" else _of_claim(one, claim[1], found)
    if not (named := _NETS.fullmatch(field)):
        raise ValueError
    study, train, net, other = named.groups()
    nets = known(found, STUDIES[study])
    nets = on_seen(nets) if train else nets
    if other:
        return _shown(paired(_scores(nets, net), _scores(nets, other)))
    return f"{fmean(_scores(nets, net).values()):.2f}"


def _scores(nets, name):
    """{seed: mean IOU in points} of a net, or of one of its scales' own score maps."""
    net, at, scale = name.partition("@")
    if not at:
        return scores(nets[net])
    return {seed: 100 * one.evaluation.mean_iou_of_branches[scale] for seed, one in nets[net].items()}


def _of_claim(claim, study, found):
    return _shown(claim.values[study](known(found, STUDIES[study])), 2 if claim.unit == "points" else 3)


def _shown(difference, digits=2):
    if difference is None:
        raise ValueError
    return printed(difference, digits)
