"""evaluation.json: what is written is read, files of before as well, and broken ones are refused by file and key."""

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest

from attscale import experiments
from attscale.errors import DataError, UserError
from attscale.options import from_values
from attscale.results import evaluations, presentation
from attscale.results.evaluations import Evaluation
from attscale.scoring.evaluate import Tally
from helpers.results import evaluation, write_run

MEANS = """
| object size, px | objects | foreground IOU, % | scale 1 | scale 0.75 | scale 0.5 |
|---|---|---|---|---|---|
| 4 to 8 | 2 | 75.00 | 0.500 | 0.500 | 0.000 |
| 8 to 16 | 1 | 33.33 | 0.000 | 0.500 | 0.500 |

| weights on a class | scale 1 | scale 0.75 | scale 0.5 |
|---|---|---|---|
| background | 0.500 | 0.250 | 0.250 |
| disc | 1.000 | 0.000 | 0.000 |
| triangle | 0.000 | 1.000 | 0.000 |
| square | - | - | - |
| star | 0.250 | 0.500 | 0.250 |

| weights by height, % from the top | scale 1 | scale 0.75 | scale 0.5 |
|---|---|---|---|
| 0 to 12.5 | 0.000 | 0.250 | 0.750 |
| 12.5 to 25 | 0.000 | 0.500 | 0.500 |
| 25 to 37.5 | - | - | - |
| 37.5 to 50 | 0.750 | 0.250 | 0.000 |
| 50 to 62.5 | 0.750 | 0.250 | 0.000 |
| 62.5 to 75 | 0.750 | 0.250 | 0.000 |
| 75 to 87.5 | 0.750 | 0.250 | 0.000 |
| 87.5 to 100 | 0.750 | 0.250 | 0.000 |
"""


@pytest.fixture
def tally():
    """Counts of five classes: IOUs of 6/10, 3/6, 0/1, of what never occurs, and 2/2; 11 of 15 pixels are right."""
    matrix = np.zeros((5, 5), np.int64)
    matrix[:2, :2] = [[6, 1], [2, 3]]
    matrix[2, 0], matrix[4, 4] = 1, 2
    objects = ((5.0, np.array([0.75, 0.25, 0.0])), (7.9, np.array([0.25, 0.75, 0.0])), (8.0, np.array([0.0, 0.5, 0.5])))
    # hits of the union near the smaller objects: discs 3 of 4; near the larger: discs 0 of 2, triangles 0 of 1, stars
    small, large = np.zeros((2, 5, 5), np.int64)
    small[:2, :2], large[0, :2], large[1, 0], large[2, 0], large[4, 4] = [[1, 0], [1, 3]], (5, 1), 1, 1, 2
    return Tally(
        3,
        matrix,
        {Fraction(1): matrix, Fraction(3, 4): np.eye(5, dtype=np.int64)},
        objects,
        {2: small, 3: large},
        weights=np.array([0.25, 0.75, 0.0]),
        weights_by_class=np.array([[0.5, 0.25, 0.25], [1, 0, 0], [0, 1, 0], [np.nan] * 3, [0.25, 0.5, 0.25]]),
        weights_by_height=np.array([[0, 0.25, 0.75], [0, 0.5, 0.5], [np.nan] * 3, *[[0.75, 0.25, 0]] * 5]),
    )


@pytest.fixture
def recalibrated(tally):
    """The same, of a net that recalibrates; squares never occur, and of nothing but stars there would be no others."""
    means = np.array([[0.875, 0.25], [0.75, 0.125], [0.5, 0.5], [np.nan, 0.0625], [1.0, np.nan]])
    return Evaluation.of(experiments.find("shapes_refine2_esupv"), Tally(3, tally.matrix, recalibration=means))


@pytest.fixture
def made(tally):
    return Evaluation.of(experiments.find("shapes"), tally, split="val", weights="w.caffemodel", although_seen=True)


def test_what_is_written_is_read(made, tmp_path):
    made.write(tmp_path / "e")
    assert evaluations.find([tmp_path, tmp_path / "e"]) == [(tmp_path / "e", made)]
    values = json.loads((tmp_path / "e/evaluation.json").read_text())
    assert list(values) == [
        *("experiment", "scales", "split", "weights", "predictions", "crf", "although_seen", "images", "mean_iou"),
        *("pixel_accuracy", "mean_accuracy", "iou", "matrix", "mean_iou_of_all_background", "mean_iou_of_branches"),
        *("attention_by_size", "iou_by_size", "attention", "attention_by_class", "attention_by_height"),
        "recalibration",
    ]
    assert values["although_seen"] is True
    assert values["iou"] == {"background": 0.6, "disc": 0.5, "triangle": 0.0, "square": None, "star": 1.0}
    assert values["attention_by_size"] == [[4, 8, 2, [0.5, 0.5, 0.0]], [8, 16, 1, [0.0, 0.5, 0.5]]]
    # 3/4; the mean of 0, 0 and 1
    assert values["iou_by_size"] == [[4, 8, 2, 0.75], [8, 16, 1, 1 / 3]]
    assert values["attention_by_class"]["disc"] == [1, 0, 0]
    assert values["attention_by_class"]["square"] is None
    assert values["attention_by_height"][:3] == [[0, 0.25, 0.75], [0, 0.5, 0.5], None]
    table = (tmp_path / "e/evaluation.md").read_text()
    assert table.startswith("# shapes_attention3_esupv val\n\n3 images\n")
    assert table.endswith(MEANS)
    for line in ("| mean IOU | 52.50 |", "| pixel accuracy | 73.33 |", "| mean accuracy | 61.43 |", "| square | - |"):
        assert f"\n{line}\n" in table


def test_a_class_that_does_not_occur_counts_as_zero_where_the_authors_average():
    """Four classes, of which one is nowhere: a mean of 60 % over three is one of 45 % over four."""
    values = evaluation(iou={"a": 0.5, "b": 0.6, "c": 0.7, "d": None}, mean_iou=0.6, matrix=None)
    one = from_values(Evaluation, values)
    assert one.mean_iou_of_all_classes == pytest.approx(0.45)
    assert "absent classes as 0   45.00" in presentation.text(one)
    everywhere = from_values(Evaluation, values | {"iou": {"a": 0.5, "b": 0.7}})
    assert everywhere.mean_iou_of_all_classes == everywhere.mean_iou
    assert "absent" not in presentation.text(everywhere)


def test_what_a_terminal_shows(made):
    assert presentation.text(made).splitlines() == [
        "background            60.00",
        "disc                  50.00",
        "triangle               0.00",
        "square                    -",
        "star                 100.00",
        "",
        "object size (px)  objects  foreground IOU, %  scale 1     scale 0.75  scale 0.5",
        "     4 to 8             2              75.00  0.500       0.500       0.000",
        "     8 to 16            1              33.33  0.000       0.500       0.500",
        "",
        "background alone      11.67",  # 7 of 15 pixels, of four classes
        "scale 1      alone    52.50",
        "scale 0.75   alone   100.00",
        "attention, mean      scale 1: 0.250, scale 0.75: 0.750, scale 0.5: 0.000",
        "absent classes as 0   42.00   as the authors average",  # four fifths of 52.50
        "pixel accuracy        73.33",
        "mean accuracy         61.43",
        "mean IOU              52.50   shapes_attention3_esupv, 3 images",
    ]


def test_objects_of_a_net_without_attention(tally, tmp_path):
    """Mean IOU alone, and none where no foreground is on the pixels near the objects."""
    objects = tuple((size, None) for size, _ in tally.objects)
    near = tally.by_size | {3: np.diag([5, 0, 0, 0, 0])}
    one = Evaluation.of(experiments.find("shapes_largefov"), Tally(3, tally.matrix, objects=objects, by_size=near))
    one.write(tmp_path)
    assert evaluations.read(tmp_path / "evaluation.json") == one
    assert one.iou_by_size == ((4, 8, 2, 0.75), (8, 16, 1, None))
    assert (one.attention_by_size, one.attention_by_class, one.attention_by_height) == ((), {}, ())
    assert presentation.text(one).splitlines()[6:9] == [
        "object size (px)  objects  foreground IOU, %",
        "     4 to 8             2              75.00",
        "     8 to 16            1                  -",
    ]
    table = (tmp_path / "evaluation.md").read_text()
    assert table.endswith(
        "\n| object size, px | objects | foreground IOU, % |\n|---|---|---|\n"
        "| 4 to 8 | 2 | 75.00 |\n| 8 to 16 | 1 | - |\n"
    )


def test_recalibration_stands_beside_the_classes(recalibrated, tmp_path):
    recalibrated.write(tmp_path)
    assert evaluations.read(tmp_path / "evaluation.json") == recalibrated
    assert recalibrated.recalibration["disc"] == (0.75, 0.125)
    assert recalibrated.recalibration["square"] == (None, 0.0625)
    assert presentation.text(recalibrated).splitlines()[:6] == [
        "class                IOU, %   recalibration on its pixels, elsewhere",
        "background            60.00    0.875   0.250",
        "disc                  50.00    0.750   0.125",
        "triangle               0.00    0.500   0.500",
        "square                    -        -   0.062",
        "star                 100.00    1.000       -",
    ]
    table = (tmp_path / "evaluation.md").read_text()
    for line in (
        "| class | IOU, % | recalibration on its pixels | elsewhere |",
        "|---|---|---|---|",
        "| disc | 50.00 | 0.750 | 0.125 |",
        "| square | - | - | 0.062 |",
    ):
        assert f"\n{line}\n" in table


def test_pictures(made, tmp_path):
    presentation.draw(made, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "attention_by_height.png",
        "attention_by_size.png",
        "confusion.png",
    ]
    for path in tmp_path.iterdir():
        image = cv2.imread(str(path))
        assert min(image.shape[:2]) > 300
        assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20


def test_no_pixel_with_a_class():
    with pytest.raises(DataError, match="no pixel of the ground truth has a class"):
        Evaluation.of(experiments.find("shapes"), Tally(1, np.zeros((5, 5), np.int64)))


def test_files_of_earlier_versions(tmp_path):
    """A sweep's were short."""
    short = {key: evaluation()[key] for key in ("experiment", "images", "mean_iou", "iou")}
    write_run(tmp_path, short)
    read = evaluations.read(tmp_path / "evaluation.json")
    assert read.iou == short["iou"]
    assert (read.split, read.weights, read.pixel_accuracy, read.matrix, read.attention) == (None,) * 5
    assert "attention, mean" not in presentation.text(read)
    assert not any((read.crf, read.although_seen, read.attention_by_size, read.recalibration))
    assert not any((read.iou_by_size, read.attention_by_class, read.attention_by_height))
    write_run(tmp_path, short | {"scales": [1, 0.5], "attention_by_size": [[4, 8, 1, [0.75, 0.25]]]})
    text = presentation.text(evaluations.read(tmp_path / "evaluation.json"))
    assert "\n     4 to 8             1                  -  0.750       0.250\n" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean_iou": 69.08}, "mean_iou is 69.08, expected a share from 0 to 1"),
        ({"mean_iou": float("nan")}, "mean_iou is nan, expected "),
        ({"mean_iou": None}, "mean_iou is None, expected float"),
        ({"iou": {"disc": 50.0}}, "disc is 50.0, expected a share"),
        ({"iou": {"disc": "high"}}, "iou.disc is 'high', expected float"),
        ({"images": 1.5}, "images is 1.5, expected int"),
        ({"crf": "yes"}, "crf is 'yes', expected bool"),
        ({"matrix": [[1, 2], [3, 4]]}, "matrix is not square with 5 rows"),
        ({"matrix": [[1]] * 5}, "matrix is not square with 5 rows"),
        ({"attention_by_size": [[4, 8, 1, [0.5, 0.5]]]}, "attention_by_size has a line without 3 weights"),
        ({"iou_by_size": [[4, 8, 1, 50.0]]}, "iou_by_size from 4 to 8 is 50.0, expected a share from 0 to 1"),
        (
            {"iou_by_size": [[4, 8, 1, 0.5]], "attention_by_size": [[4, 8, 2, [0.5, 0.5, 0]]]},
            "iou_by_size and attention_by_size are not of the same objects",
        ),
        ({"attention_by_class": {"disc": [0.5, 0.5]}}, "attention_by_class has a line without 3 weights"),
        ({"attention_by_class": {"disc": None}}, "attention_by_class is not of the classes of iou"),
        ({"attention_by_height": [None, [1.0]]}, "attention_by_height has a line without 3 weights"),
        ({"attention": [0.5, 0.5]}, "attention has 2 weights, expected 3"),
        ({"recalibration": {"disc": [0.5, 0.5]}}, "recalibration is not of the classes of iou"),
        ({"recalibration": {"disc": [0.5]}}, "recalibration.disc is [0.5], expected "),
        ({"mean_IOU": 0.5}, "unknown key 'mean_IOU'"),
    ],
)
def test_broken_files_are_refused_by_file_and_key(tmp_path, changes, said):
    write_run(tmp_path / "r", {**evaluation(), **changes})
    with pytest.raises(UserError) as caught:
        evaluations.find([tmp_path])
    assert str(caught.value).startswith(f"{tmp_path / 'r/evaluation.json'}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
