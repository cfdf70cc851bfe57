"""Evaluations of runs of a study that nobody ran."""

from attscale.results.evaluations import Evaluation


def evaluation_of(study, net, score):
    """One with that mean IOU; where the net has attention over three scales, with weights by size, too."""
    scales = (1.0,) if "largefov" in net else (1.0, 0.75, 0.5)
    weights = ((8, 16, 4, (0.7, 0.2, 0.1)), (16, 32, 5, (0.3, 0.5, 0.2)), (32, 64, 6, (0.2, 0.3, 0.5)))
    return Evaluation(
        experiment=study.experiment(net).name,
        scales=scales,
        images=150,
        mean_iou=score,
        pixel_accuracy=0.9,
        iou=dict.fromkeys(study.experiment(net).dataset.classes, score),
        iou_by_size=((8, 16, 4, 0.1), (16, 32, 5, 0.25), (32, 64, 6, 0.5)),
        attention_by_size=weights if net.startswith("attention3") else (),
    )
