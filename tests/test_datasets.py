"""The data sets' files, against numbers typed from the papers and the pages of the sets; and files of one's own."""

import dataclasses

import pytest

from attscale import datasets, recipe
from attscale.datasets import LabelValues, Split
from attscale.errors import ExperimentError
from conftest import one_line_error


@pytest.mark.parametrize(
    ("name", "classes", "some", "sizes"),
    [
        ("voc12", 21, {0: "background", 1: "aeroplane", 15: "person", 20: "tvmonitor"},
         {"train": 1464, "val": 1449, "train_aug": 10_582, "trainval_aug": 12_031, "test": 1456}),
        ("voc10_part", 7, {1: "head", 6: "lower legs"}, {"train": 1716, "val": 1817}),
        ("coco", 81, {1: "person", 41: "wine glass", 80: "toothbrush"}, {"train10k": 10_000, "val1500": 1500}),
        ("coco_voc", 21, {15: "person"}, {}),
        ("ade20k", 150, {0: "wall", 12: "person", 149: "flag"}, {"train": 20_210, "val": 2000}),
        ("camvid", 11, {0: "sky", 10: "bicyclist"}, {"train": 367, "val": 101, "test": 233}),
        ("shapes", 5, {4: "star"}, {"train": 1500, "val": 150}),
    ],
)  # fmt: skip
def test_classes_and_sizes(name, classes, some, sizes):
    dataset = datasets.find(name)
    assert dataset.name == name
    assert len(dataset.classes) == len(set(dataset.classes)) == classes
    assert {index: dataset.classes[index] for index in some} == some
    assert dataset.sizes == sizes
    assert {dataset.train, dataset.val} <= set(dataset.splits)


def test_every_set_is_in_this_table():
    assert datasets.names() == ("ade20k", "camvid", "coco", "coco_voc", "shapes", "voc10_part", "voc12")


def test_what_is_not_there_is_named():
    with pytest.raises(ExperimentError, match=r"no data set 'voc'; known are ade20k, camvid, coco, .*voc12"):
        datasets.find("voc")
    with pytest.raises(ExperimentError, match=r"voc12 has no split 'minival'; it has train, train_aug, val"):
        datasets.find("voc12").list_of("minival")


CLASSES = 'classes = ["ground", "ball", "sky"]\n'


def own(folder, text, name="photos"):
    """Writes data/<name>/dataset.toml below `folder`; returns the folder of the data sets."""
    path = folder / "data" / name / datasets.FILE
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return folder / "data"


def test_ones_own_set_needs_nothing_but_classes(tmp_path):
    found = datasets.find("photos", own(tmp_path, CLASSES))
    assert (found.name, found.title, found.root) == ("photos", "photos", "photos")
    assert found.classes == ("ground", "ball", "sky")
    assert found.splits == {"train": Split(list="list/train.txt"), "val": Split(list="list/val.txt")}
    assert (found.train, found.val, found.folders, found.values) == ("train", "val", None, None)
    assert (found.mean, found.test_size) == ((104.008, 116.669, 122.675), 513)
    assert (found.recipe, found.narrow) == (recipe.Recipe(), recipe.NARROW)


WHOLE = """
title = "My garden"
train = "most"
val = "rest"
classes = ["ground", "ball", "sky"]
colours = [[90, 60, 30], [220, 20, 60], [135, 206, 235]]
ignore = [99, 255]
ignore_colours = [[0, 0, 0]]
map = { 7 = 2, 8 = 2 }
mean = [100, 110.5, 120]
test_size = 641

[splits]
most = { list = "most.txt", images = 8 }
rest = { list = "lists/rest.txt" }

[folders]
images = "photographs"
labels = "drawn/maps"
val = 0.3
seed = 4

[recipe]
crop_size = 225
trunk.kind = "resnet34"
solver.max_iter = 70

[narrow]
trunk.width = 0.25
solver.base_lr = 0.001
"""


def test_all_that_ones_own_set_may_say(tmp_path):
    found = datasets.find("photos", own(tmp_path, WHOLE))
    assert (found.title, found.train, found.val) == ("My garden", "most", "rest")
    assert found.splits == {"most": Split(list="most.txt", images=8), "rest": Split(list="lists/rest.txt")}
    assert (found.list_of("rest"), found.sizes) == ("lists/rest.txt", {"most": 8})
    assert (found.folders.images, found.folders.labels, found.folders.val) == ("photographs", "drawn/maps", 0.3)
    assert found.values == LabelValues(
        ignore=(99, 255),
        map=((7, 2), (8, 2)),
        colours=((90, 60, 30), (220, 20, 60), (135, 206, 235)),
        ignore_colours=((0, 0, 0),),
    )
    assert (found.mean, found.test_size) == ((100, 110.5, 120), 641)
    assert (found.recipe.crop_size, found.recipe.trunk.kind, found.recipe.solver.max_iter) == (225, "resnet34", 70)
    assert found.recipe.solver.base_lr == 0.001


def test_what_narrow_does_not_say_is_as_usual_for_narrow_nets(tmp_path):
    """An eighth of the width, from scratch, by Adam at 0.0005 over 10,000 iterations of one image, crops of 257."""
    narrow = datasets.find("photos", own(tmp_path, CLASSES + "[narrow]\nsolver.max_iter = 50\n")).narrow
    assert (narrow.crop_size, narrow.trunk.width, narrow.trunk.from_scratch) == (257, 1 / 8, True)
    solver = narrow.solver
    assert (solver.type, solver.base_lr, solver.max_iter, solver.batch_size) == ("Adam", 0.0005, 50, 1)
    assert narrow == dataclasses.replace(recipe.NARROW, solver=dataclasses.replace(recipe.NARROW.solver, max_iter=50))


def test_own_sets_are_found_behind_the_projects(tmp_path):
    data = own(tmp_path, CLASSES, "zoo")
    own(tmp_path, CLASSES, "photos")
    (data / "empty").mkdir()
    assert datasets.names(data) == (*datasets.built_in(), "photos", "zoo")
    assert datasets.find("voc12", data) == datasets.find("voc12")
    with pytest.raises(
        ExperimentError, match=r"no data set 'photo'; known are ade20k, .*voc12, photos, zoo, and there is no "
    ):
        datasets.find("photo", data)


SPLITS = '[splits]\ntrain = {{ list = "{}" }}\nval = {{ list = "list/val.txt" }}\n'
OUTSIDE = "expected a path inside of the set's folder"
REFUSED = {
    "unknown key": (CLASSES + "colors = []", "DataSet: unknown key 'colors'; it knows name, title, root, "),
    "unknown key of a table": (
        CLASSES + '[folders]\nimage = "x"',
        "Folders: unknown key 'image'; it knows images, lab",
    ),
    "no classes": ('title = "x"', "DataSet: the key 'classes' is missing"),
    "classes that are no list": ('classes = "ball"', "classes is 'ball', expected [str, ...]"),
    "a class that is no text": ('classes = ["ball", 1]', "classes is 1, expected str"),
    "duplicate class": ('classes = ["a", "b", "a"]', "classes has 'a' twice"),
    "one class": ('classes = ["a"]', "classes has 1 names, expected 2 to 255"),
    "256 classes": (f"classes = {[f'c{n}' for n in range(256)]}", "classes has 256 names, expected 2 to 255"),
    "absolute list": (CLASSES + SPLITS.format("/etc/passwd"), f"splits.train.list is '/etc/passwd', {OUTSIDE}"),
    "list beside": (CLASSES + SPLITS.format("../a.txt"), f"splits.train.list is '../a.txt', {OUTSIDE}"),
    "list above": (CLASSES + SPLITS.format("a/../../a.txt"), f"splits.train.list is 'a/../../a.txt', {OUTSIDE}"),
    "folder outside": (CLASSES + '[folders]\nlabels = "../l"', f"folders.labels is '../l', {OUTSIDE}"),
    "one folder for both": (CLASSES + '[folders]\nimages = "a"\nlabels = "a/"', "'a' for images and labels, expected"),
    "no share": (CLASSES + "[folders]\nval = 0", "folders.val is 0.0, expected a share between 0 and 1"),
    "all as val": (CLASSES + "[folders]\nval = 1", "folders.val is 1.0, expected a share between 0 and 1"),
    "no val": (CLASSES + '[splits]\ntrain = { list = "a" }', "photos has no split 'val'; it has train"),
    "split that is a text": (CLASSES + '[splits]\ntrain = "a.txt"', "splits.train is 'a.txt', expected a table"),
    "too few colours": (CLASSES + "colours = [[0, 0, 0]]", "colours has 1 of them, expected one for each of the 3 cl"),
    "colour beyond 255": (
        CLASSES + "ignore_colours = [[0, 256, 0]]",
        "the colour [0, 256, 0] is not of numbers from 0",
    ),
    "colour of two": (CLASSES + "ignore_colours = [[0, 25]]", "ignore_colours is [0, 25], expected [int, int, int]"),
    "colour twice": (CLASSES + "colours = [[0, 0, 0], [1, 1, 1], [0, 0, 0]]", "the colour [0, 0, 0] is given twice"),
    "colour of a class, ignored": (
        CLASSES + "colours = [[0, 0, 0], [1, 1, 1], [2, 2, 2]]\nignore_colours = [[1, 1, 1]]",
        "the colour [1, 1, 1] is given twice",
    ),
    "class and ignored": (CLASSES + "ignore = [1]", "ignore has 1, which is the class 'ball'"),
    "ignored beyond bytes": (CLASSES + "ignore = [256]", "ignore has 256, expected values of label maps, 0 to 255"),
    "ignored below 0": (CLASSES + "ignore = [-1]", "ignore has -1, expected values of label maps, 0 to 255"),
    "mapped to no class": (CLASSES + "map = { 7 = 3 }", "map has 7 = 3, expected a class from 0 to 2"),
    "mapped and ignored": (CLASSES + "ignore = [7]\nmap = { 7 = 2 }", "ignore has 7, which map makes class 2"),
    "mapped by name": (CLASSES + "map = { sky = 2 }", "map has 'sky', expected values of label maps, 0 to 255"),
    "mapped to a name": (CLASSES + 'map = { 7 = "sky" }', "map.7 is 'sky', expected int"),
    "mapped beyond bytes": (CLASSES + "map = { 256 = 1 }", "map has '256', expected values of label maps, 0 to 255"),
    "folders for one list": (
        CLASSES + '[folders]\n[splits]\ntrain = { list = "a" }\nval = { list = "./a" }',
        "train and val are both ./a, expected two lists: folders are divided into them",
    ),
    "folders for one split": (
        'val = "train"\n' + CLASSES + "[folders]",
        "train and val are both list/train.txt, expected two lists",
    ),
    "name of another": ('name = "pictures"\n' + CLASSES, "name is 'pictures', expected that of its folder, 'photos'"),
    "root elsewhere": ('root = "/photos"\n' + CLASSES, "root is '/photos', expected that of its folder, 'photos'"),
    "crop size": (CLASSES + "[recipe]\ncrop_size = 320", "crop_size is 320, expected 32k + 1 and at least 33"),
    "narrow crop size": (CLASSES + "[narrow]\ncrop_size = 320", "crop_size is 320, expected 32k + 1 and at least 33"),
    "test size": (CLASSES + "test_size = 1", "test_size is 1, expected 32k + 1 and at least 33"),
    "mean of two": (CLASSES + "mean = [1, 2]", "mean is [1, 2], expected [float, float, float]"),
    "mean of text": (CLASSES + 'mean = ["1", 2, 3]', "mean is '1', expected float"),
    "broken TOML": ("classes = [", "not readable: "),
    "key twice": (CLASSES + CLASSES, "not readable: Cannot overwrite a value"),
    "recipe that is a number": (CLASSES + "recipe = 3", "recipe is 3, expected a table of keys and values"),
    "narrow that is a text": (CLASSES + 'narrow = "x"', "narrow is 'x', expected a table of keys and values"),
    "unknown key of the trunk": (
        CLASSES + "[recipe.trunk]\nwdth = 1",
        "Trunk: unknown key 'wdth'; it knows kind, width",
    ),
    "unknown key of narrow": (CLASSES + "[narrow.solver]\nlr = 1", "Solver: unknown key 'lr'; it knows type, base_lr"),
    "width 0": (CLASSES + "[recipe.trunk]\nwidth = 0", "width is 0.0, expected more than 0 and at most 1"),
    "width 2, narrow": (CLASSES + "[narrow.trunk]\nwidth = 2", "width is 2.0, expected more than 0 and at most 1"),
    "trunk": (CLASSES + '[recipe.trunk]\nkind = "vgg19"', "the trunk is 'vgg19', expected vgg16 or resnet34"),
    "dilation": (CLASSES + "[recipe.trunk]\nfc6_dilation = 0", "fc6_dilation is 0, expected at least 1"),
    "dropout": (CLASSES + "[recipe.trunk]\ndropout = 1", "dropout is 1.0, expected 0 to less than 1"),
    "statistics": (CLASSES + '[recipe.trunk]\nbatch_norm = "off"', "batch_norm is 'off', expected train or frozen"),
    "pyramid pooling": (CLASSES + "[recipe.trunk]\npsp = true", "psp is for resnet34"),
    "no statistics": (CLASSES + '[narrow.trunk]\nbatch_norm = "frozen"', "frozen statistics come with a caffemodel"),
    "solver type": (CLASSES + '[recipe.solver]\ntype = "sgd"', "solver: type is 'sgd', expected SGD or Adam"),
    "policy": (CLASSES + '[recipe.solver]\nlr_policy = "inv"', "lr_policy is 'inv', expected fixed or step or poly"),
    "batch size": (CLASSES + "[recipe.solver]\nbatch_size = 0", "solver: batch_size is 0, expected at least 1"),
    "iterations": (CLASSES + "[narrow.solver]\nmax_iter = 0", "solver: max_iter is 0, expected at least 1"),
    "rate that is a text": (CLASSES + '[recipe.solver]\nbase_lr = "1e-3"', "base_lr is '1e-3', expected float"),
    "attention layers": (CLASSES + "[recipe.attention]\nlayers = 3", "has 3 layers, expected 1 or 2"),
    "attention filters": (CLASSES + "[narrow.attention]\nfilters = 0", "attention: filters is 0, expected at least 1"),
    "attention kernel": (CLASSES + "[recipe.attention]\nkernel_size = 4", "kernel_size is 4, expected an odd number"),
    "attention filler": (CLASSES + '[recipe.attention]\nfiller = "0"', "attention filler is '0', expected gaussian"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_says_something_else_is_refused_in_one_line(text, said, tmp_path):
    data = own(tmp_path, text)
    with pytest.raises(ExperimentError) as refused:
        datasets.find("photos", data)
    assert str(refused.value).startswith(f"{data}/photos/dataset.toml: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["my-photos", "my photos", "2nd", "a__b", "_a", "a_"])
def test_a_folder_whose_name_no_net_can_have(name, tmp_path):
    said = f"{name}/dataset.toml: name is '{name}', expected letters and digits, with single _ between them"
    with pytest.raises(ExperimentError, match=said):
        datasets.find(name, own(tmp_path, CLASSES, name))


@pytest.mark.parametrize("name", ["street_res480", "res05", "a_res05_interp"])
def test_a_folder_whose_name_ends_as_layers_of_a_scale_do(name, tmp_path):
    """Its classifier, fc8_street_res480, would be scale 4.80's."""
    with pytest.raises(ExperimentError, match=f"name is '{name}', whose end would be taken for a scale"):
        datasets.find(name, own(tmp_path, CLASSES, name))


def test_a_file_that_is_no_text(tmp_path):
    data = own(tmp_path, CLASSES)
    (data / "photos/dataset.toml").write_bytes(b'title = "\xff\xfe"\n')
    with pytest.raises(ExperimentError, match=r"photos/dataset\.toml: not readable: 'utf-8' codec"):
        datasets.find("photos", data)


def test_a_file_with_a_byte_order_mark(tmp_path):
    """As Windows' Notepad begins what it saves."""
    data = own(tmp_path, "")
    (data / "photos/dataset.toml").write_bytes(b"\xef\xbb\xbf" + CLASSES.encode())
    assert datasets.find("photos", data).classes == ("ground", "ball", "sky")


@pytest.mark.parametrize("text", ['val = "train"\n', '[splits]\ntrain = { list = "a" }\nval = { list = "a" }\n'])
def test_lists_that_somebody_wrote_may_be_one(text, tmp_path):
    found = datasets.find("photos", own(tmp_path, CLASSES + text))
    assert found.list_of(found.train) == found.list_of(found.val)


def test_the_names_of_the_projects_sets_are_taken(tmp_path):
    """A copy of camvid.toml in data/camvid would be passed over in silence."""
    data = own(tmp_path, CLASSES, "camvid")
    with pytest.raises(ExperimentError, match=r"data/camvid/dataset\.toml: camvid is a data set of the project's own"):
        datasets.find("camvid", data)


@pytest.mark.parametrize(
    ("said", "value", "classes"),
    [
        ("ignore = [0]\nmap = { 3 = 0 }", 3, 0),
        ("map = { 1 = 2, 2 = 1 }", 1, 2),
        ("map = { 255 = 1 }", 255, 1),
        ("ignore = [0, 1, 2]\nmap = { 7 = 0 }", 7, 0),  # which leaves 1 and 2 without a value, to be told by a count
    ],
)
def test_a_class_may_have_another_value_than_its_index(said, value, classes, tmp_path):
    """Then its own index may be ignored, or be another class's."""
    values = datasets.find("photos", own(tmp_path, CLASSES + said)).values
    assert dict(values.map)[value] == classes


def test_every_command_says_it(tmp_path, tool):
    own(tmp_path, CLASSES + "ignore = [1]")
    for command in (["prepare_data", "photos"], ["make_net", "photos_largefov"], ["train", "photos_max2"]):
        one_line_error(tool(*command), "data/photos/dataset.toml: ignore has 1, which is the class 'ball'")
