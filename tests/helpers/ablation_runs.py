"""Runs of a study that nobody ran."""

from attscale.ablation.kept import Kept
from attscale.results.evaluations import Evaluation

#: Weights of scales 1, 0.75 and 0.5 by object size: scale 1 loses 0.5 from the first to the last, 0.5 gains 0.4.
BY_SIZE = ((8, 16, 4, (0.7, 0.2, 0.1)), (16, 32, 5, (0.3, 0.5, 0.2)), (32, 64, 6, (0.2, 0.3, 0.5)))
#: And by height, the fourth band and the last: scale 1 loses 0.5, scale 0.5 gains 0.3.
BY_HEIGHT = (*[(0.5, 0.3, 0.2)] * 3, (0.9, 0.05, 0.05), *[(0.5, 0.3, 0.2)] * 3, (0.4, 0.25, 0.35))


def evaluation_of(study, net, score):
    """One with that mean IOU; where the net has attention, with weights, too."""
    row = study.experiment(net)
    scales, classes = tuple(map(float, row.scales)), row.dataset.classes

    def fitting(weights):
        return (*weights, 0.0)[: len(scales)]

    weights = {}
    if row.merge == "attention":
        on = {name: (0.2, 0.2, 0.6) if name == classes[0] else (0.6, 0.3, 0.1) for name in classes}
        weights["attention_by_class"] = {name: fitting(line) for name, line in on.items()}
        weights["attention_by_height"] = tuple(map(fitting, BY_HEIGHT))
        if study.by_size:
            weights["attention_by_size"] = tuple((*line, fitting(last)) for *line, last in BY_SIZE)
    if study.by_size:
        weights["iou_by_size"] = ((8, 16, 4, 0.1), (16, 32, 5, 0.25), (32, 64, 6, 0.5))
    return Evaluation(
        experiment=row.name,
        scales=scales,
        images=150,
        mean_iou=score,
        pixel_accuracy=0.9,
        iou=dict.fromkeys(classes, score),
        mean_iou_of_branches={f"{scale:g}": score / 2 for scale in scales},
        **weights,
    )


def kept_of(study, net, seed, score, **fields):
    """The Kept of such a run: 90 seconds, of a commit of a checkout that had changes."""
    numbers = {"iterations": study.max_iter, "images": 1, "seconds": 90.0, "commit": "0123456789+"}
    numbers["start"] = f"{study.start[0]} {seed}" if study.start else None
    evaluation = evaluation_of(study, net, score)
    if study.seen:  # a tenth better on what it has trained on
        fields = {"seen": evaluation_of(study, net, score + 0.1), **fields}
    return Kept(study=study.name, net=net, seed=seed, evaluation=evaluation, **(numbers | fields))
