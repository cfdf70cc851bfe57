"""The data sets: classes, where they lie, and the lists of their splits."""

import dataclasses

from attscale.errors import ExperimentError

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
PERSON_PARTS = ("background", "head", "torso", "upper arms", "lower arms", "upper legs", "lower legs")
#: The 80 categories of MS-COCO 2014 in the order of their ids, from 1 on.
COCO_CLASSES = (
    *("background", "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep"),
    *("cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich"),
    *("orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed"),
    *("dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven"),
    *("toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
)
#: ADE20K's 150 by the number in its files, less one; its "other" is 255 (objectInfo150.txt, first names).
ADE20K_CLASSES = (
    *("wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet"),
    *("sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water"),
    *("painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence", "desk"),
    *("rock", "wardrobe", "lamp", "bathtub", "railing", "cushion", "base", "box", "column", "signboard"),
    *("chest of drawers", "counter", "sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path"),
    *("stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase"),
    *("blind", "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm"),
    *("kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus", "towel"),
    *("light", "truck", "tower", "chandelier", "awning", "streetlight", "booth", "television receiver", "airplane"),
    *("dirt track", "apparel", "pole", "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster"),
    *("stage", "van", "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool"),
    *("barrel", "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank"),
    *("trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen", "blanket", "sculpture"),
    *("hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor"),
    *("bulletin board", "shower", "radiator", "glass", "clock", "flag"),
)
SHAPES = ("background", "disc", "triangle", "square", "star")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSet:
    """A set in VOC's folder layout. Splits name list files below the root, see `attscale.data.lists`."""

    name: str
    title: str
    classes: tuple[str, ...]
    root: str  # below the folder that --data names
    splits: dict[str, str]
    train: str  # the split that the paper trains on
    val: str  # and the one that it reports


def _splits(*names):
    return {name: f"list/{name}.txt" for name in names}


DATASETS = {
    dataset.name: dataset
    for dataset in (
        DataSet(
            name="voc12",
            title="PASCAL VOC 2012, augmented",
            classes=VOC_CLASSES,
            root="VOC2012",
            splits=_splits("train", "train_aug", "val", "trainval_aug", "test"),
            train="train_aug",
            val="val",
        ),
        DataSet(
            name="voc10_part",
            title="PASCAL-Person-Part",
            classes=PERSON_PARTS,
            root="VOC2010_part",
            splits=_splits("train", "val"),
            train="train",
            val="val",
        ),
        DataSet(
            name="coco",
            title="MS-COCO 2014, subset of 10,000 and 1,500 images",
            classes=COCO_CLASSES,
            root="COCO2014",
            splits=_splits("train10k", "val1500", "train", "val"),
            train="train10k",
            val="val1500",
        ),
        DataSet(
            name="coco_voc",
            title="MS-COCO 2014 in VOC's classes, for pretraining",
            classes=VOC_CLASSES,
            root="COCO2014",
            splits={"train": "list/train_voc.txt", "val": "list/val_voc.txt"},
            train="train",
            val="val",
        ),
        DataSet(
            name="ade20k",
            title="ADE20K scene parsing",
            classes=ADE20K_CLASSES,
            root="ADE20K",
            splits=_splits("train", "val"),
            train="train",
            val="val",
        ),
        DataSet(
            name="shapes",
            title="shapes, generated",
            classes=SHAPES,
            root="shapes",
            splits=_splits("train", "val"),
            train="train",
            val="val",
        ),
    )
}


def find(name):
    """The data set of that name. Raises ExperimentError with the known ones."""
    try:
        return DATASETS[name]
    except KeyError:
        raise ExperimentError(f"no data set {name!r}; known are {', '.join(DATASETS)}") from None
