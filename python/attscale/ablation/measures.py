"""Numbers of a study's runs that a claim is about: each a function of {net: {seed: Kept}} to a Difference, or None."""

import dataclasses
from statistics import fmean

from attscale.ablation.statistics import Difference, paired

#: Bands of `Evaluation.attention_by_height`, of eight, top first: where a street vanishes, and right before the camera.
_FAR, _NEAR = 3, 7
#: What a class's IOU in the single-scale net is where that finds the class, per cent, mean over seeds.
FOUND = 10
#: Of CamVid's classes, those that fill large regions.
LARGE = ("sky", "building", "road", "tree")


def scores(runs):
    """{seed: mean IOU in points} of {seed: Kept}."""
    return {seed: 100 * kept.evaluation.mean_iou for seed, kept in runs.items()}


def on_seen(nets):
    """The same runs with their scores on the images that they trained on, where these were taken."""
    of_all = {
        net: {seed: dataclasses.replace(one, evaluation=one.seen) for seed, one in runs.items() if one.seen}
        for net, runs in nets.items()
    }
    return {net: runs for net, runs in of_all.items() if runs}


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


def best_of_all(best, nets):
    """How far a net is above the best of the others of its seed, where there are all of them."""

    def values(found):
        if not all(found[net].keys() >= found[best].keys() for net in nets):
            return None
        others = {seed: max(scores(found[net])[seed] for net in nets if net != best) for seed in found[best]}
        return paired(scores(found[best]), others)

    return values


def helps_more(one, other):
    """How much more one net is ahead of its like than another is of its own; each a pair (better, worse)."""

    def values(nets):
        def gains(better, worse):
            above, below = scores(nets[better]), scores(nets[worse])
            return {seed: above[seed] - below[seed] for seed in above.keys() & below.keys()}

        return paired(gains(*one), gains(*other))

    return values


def ahead_where_found(better, worse, single):
    """How far a net is above another over the classes that the net of one scale finds, its seeds taken together."""

    def values(nets):
        if not nets[single]:
            return None
        of_single = [one.evaluation.iou for one in nets[single].values()]
        classes = [name for name in of_single[0] if 100 * fmean(iou[name] for iou in of_single) >= FOUND]
        means = (
            {seed: 100 * fmean(kept.evaluation.iou[name] for name in classes) for seed, kept in nets[net].items()}
            for net in (better, worse)
        )
        return paired(*means) if classes else None

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


def on_classes(net, chosen):
    """How much more weight scale 0.5 has on the `chosen` classes, the mean of theirs, than on the others."""

    def number(evaluation):
        at = evaluation.scales.index(0.5)
        weights = {name: weights[at] for name, weights in evaluation.attention_by_class.items()}
        others = [weight for name, weight in weights.items() if name not in chosen]
        return fmean(weights[name] for name in chosen) - fmean(others)

    return _of(number, net)


def by_height(net, scale, sign=1):
    """How much more weight a scale has right before the camera than where the street vanishes; sign -1: less."""

    def number(evaluation):
        at = evaluation.scales.index(scale)
        return sign * (evaluation.attention_by_height[_NEAR][at] - evaluation.attention_by_height[_FAR][at])

    return _of(number, net)
