"""Every structure for every data set: names are read back as what has them, and only what has them."""

import dataclasses
from fractions import Fraction

import pytest

from attscale import datasets, experiments, recipe
from attscale.errors import ExperimentError
from attscale.experiments import structures

CLASSES = 'classes = ["ground", "ball", "sky"]\n'


def own(folder, text=CLASSES, name="photos"):
    (folder / name).mkdir(parents=True)
    (folder / name / datasets.FILE).write_text(text)
    return folder


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_a_name_of_the_papers_says_all_of_its_row(name):
    """All but what the paper printed."""
    assert structures.find(name) == dataclasses.replace(experiments.EXPERIMENTS[name], cells=())


#: Of each kind of word one, none of them a row of the papers.
NAMES = [
    "camvid_largefov",
    "camvid_max2",
    "camvid_average3_esupv",
    "camvid_attention4_esupv",
    "camvid_attention3_esupv_own",
    "camvid_msc_largefov",
    "camvid_largefov_pool5a",
    "camvid_coco_attention2_esupv",
    "camvid_attention3_esupv_kernel1_filters64",
    "camvid_attention2_onelayer_fc6",
    "camvid_attention2_esupv_fc8",
    "camvid_attention3_esupv_lr10_narrow",
    "camvid_attention2_stages",
    "camvid_attention2_stages_dilated",
    "camvid_refine2_esupv",
    "camvid_refine2_esupv_undilated",
    "camvid_refine2_esupv_swapped",
    "camvid_refine2_esupv_bias",
    "camvid_refine2_esupv_swapped_bias",
    "camvid_refine3_esupv_undilated_bias",
    "camvid_resnet34",
    "camvid_resnet34_psp",
    "camvid_resnet34_max2",
    "camvid_resnet34_psp_refine2_esupv",
    "camvid_resnet34_frozen",
    "camvid_largefov_plus",
    "camvid_attention3_esupv_plusuniform",
    "camvid_attention3_esupv_poly",
    "camvid_largefov_val",
    "camvid_attention3_esupv_narrow",
    "camvid_refine2_esupv_narrow",
    "camvid_max3_narrow_val",
    "camvid_resnet34_narrow",
    "camvid_resnet34_psp_refine2_esupv_narrow",
    "voc12_attention4_esupv",
    "voc12_max3_esupv_narrow",
    "voc12_resnet34_attention3_esupv",
    "voc12_largefov_train",
    "voc12_refine3_esupv_trainval_aug",
    "coco_refine2_esupv",
    "ade20k_largefov",
    "ade20k_attention3_esupv",
    "shapes_refine4_esupv",
    "shapes_attention3_esupv_own",
    "coco_voc_max2",
    "voc10_part_refine2_esupv",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_structure_is_there_for_any_set(name):
    assert name not in experiments.EXPERIMENTS
    row = experiments.find(name)
    assert row.name == name
    assert name == f"{row.dataset.name}_{row.net}"
    assert row.cells == ()
    for other in filter(None, (row.initial_row, row.baseline)):
        assert experiments.find(other).name == other


def test_structures_of_ones_own_set(tmp_path):
    data = own(tmp_path)
    row = experiments.find("photos_max2_esupv", data)
    assert (row.dataset.name, row.scales, row.merge) == ("photos", (Fraction(1), Fraction(1, 2)), "max")
    assert (row.extra_supervision, row.initial_weights) == (True, "vgg16_20M.caffemodel")
    best = experiments.find("photos", data)
    assert best.name == "photos_attention3_esupv"
    assert best.scales == (Fraction(1), Fraction(3, 4), Fraction(1, 2))
    with pytest.raises(ExperimentError, match="no experiment 'photos_max2_esupv'"):
        experiments.find("photos_max2_esupv")  # of another folder


def test_the_set_with_the_longest_name_is_meant(tmp_path):
    """As of coco_voc_largefov, which is no net of coco."""
    data = own(own(tmp_path), name="photos_old")
    assert experiments.find("photos_old_max2", data).dataset.name == "photos_old"
    assert experiments.find("photos_max2", data).dataset.name == "photos"
    assert experiments.find("coco_voc_largefov").dataset.name == "coco_voc"


def test_ones_own_set_comes_before_another_name_of_the_projects(tmp_path):
    assert experiments.find("part", own(tmp_path, name="part")).dataset.name == "part"
    assert experiments.find("part").dataset.name == "voc10_part"


def test_one_split_may_end_as_another(tmp_path):
    splits = "".join(f'{name} = {{ list = "{name}.txt" }}\n' for name in ("train", "val", "big_train"))
    data = own(tmp_path, f"{CLASSES}[splits]\n{splits}")
    row = experiments.find("photos_largefov_big_train", data)
    assert (row.name, row.split, row.list) == ("photos_largefov_big_train", "big_train", "big_train.txt")


def test_narrow_nets_are_by_the_narrow_recipe(tmp_path):
    text = CLASSES + "[recipe]\nsolver.max_iter = 900\n[narrow]\nsolver.max_iter = 70\ntrunk.width = 0.25\n"
    data = own(tmp_path, text)
    narrow, usual = (experiments.find(f"photos_refine2_esupv{end}", data) for end in ("_narrow", ""))
    assert (narrow.trunk.width, narrow.trunk.from_scratch, narrow.pretraining) == (0.25, True, None)
    assert (narrow.solver.type, narrow.solver.max_iter, narrow.crop_size) == ("Adam", 70, 257)
    assert (narrow.attention.stage_filters, narrow.attention.dilations) == (32, (12, 2))
    assert (usual.trunk.width, usual.pretraining, usual.solver.max_iter) == (1, "imagenet", 900)
    assert (usual.attention.stage_filters, usual.crop_size) == (256, 321)
    assert narrow.baseline == "photos_largefov_narrow"
    assert narrow.recipe == narrow.dataset.narrow


def test_a_recipe_from_scratch_makes_nets_from_scratch(tmp_path):
    row = experiments.find("photos", own(tmp_path, CLASSES + "[recipe.trunk]\nfrom_scratch = true\n"))
    assert (row.name, row.pretraining, row.start) == ("photos_attention3_esupv", None, None)


def test_a_set_may_have_resnet34_as_its_trunk(tmp_path):
    """Its nets say so in their names; the narrow ones are VGG-16 all the same."""
    data = own(tmp_path, CLASSES + '[recipe]\ntrunk.kind = "resnet34"\nsolver.batch_size = 2\n')
    best = experiments.find("photos", data)
    assert (best.name, best.initial_weights) == ("photos_resnet34_attention3_esupv", "resnet34.caffemodel")
    assert experiments.find("photos_max2_narrow", data).trunk.kind == "vgg16"
    with pytest.raises(ExperimentError, match="no experiment 'photos_max2': did you mean photos_resnet34"):
        experiments.find("photos_max2", data)


def test_words_of_attention_to_refine():
    """Section 3.2: "2 for small scale and 12 for large scale"; scale 1, which sees the large, is the first."""
    dilations = {
        "camvid_refine2_esupv": (12, 2),
        "camvid_refine2_esupv_swapped": (2, 12),
        "camvid_refine2_esupv_undilated": (1, 1),
        "camvid_refine3_esupv": (12, 2, 2),
        "camvid_attention2_esupv_stages": (1, 1),
        "camvid_attention2_esupv_stages_dilated": (12, 2),
    }
    for name, expected in dilations.items():
        assert experiments.find(name).attention.dilations == expected, name
    kinds = {
        "camvid_refine2_esupv": "product",
        "camvid_refine2_esupv_bias": "bias",
        "camvid_refine2_esupv_swapped": "product",
        "camvid_attention2_esupv_stages": None,
        "camvid_attention2_esupv": None,
    }
    for name, expected in kinds.items():
        assert experiments.find(name).attention.recalibration == expected, name
    assert experiments.find("camvid_refine2_esupv").attention.stages == ("pool2", "pool3", "pool4", "pool5", "fc7")
    assert experiments.find("camvid_attention2_esupv").attention.stages == ()


def test_words_of_attention_to_scale():
    attention = experiments.find("camvid_attention3_esupv_onelayer_kernel1_filters64_fc6").attention
    assert (attention.layers, attention.kernel_size, attention.filters, attention.features) == (1, 1, 64, "fc6")
    learns = experiments.find("camvid_attention3_esupv_lr10_narrow")
    assert (learns.attention.lr_mult, learns.solver.final_lr_mult) == (10, 1)
    assert experiments.find("camvid_largefov_plus").random_scale == (0.6, 0.8, 1.0, 1.2, 1.4)
    assert experiments.find("camvid_largefov_plusuniform").uniform
    assert experiments.find("camvid_attention3_esupv_own").supervise_at == "own"
    assert experiments.find("camvid_largefov_poly").solver.lr_policy == "poly"
    msc = experiments.find("camvid_msc_largefov")
    assert (msc.msc, msc.trunk.pool5a, msc.initial_row) == (True, True, "camvid_largefov_pool5a")


def test_trunks():
    plain, psp = experiments.find("camvid_resnet34"), experiments.find("camvid_resnet34_psp_attention2_esupv")
    assert (plain.trunk.kind, plain.trunk.psp, plain.initial_weights) == ("resnet34", False, "resnet34.caffemodel")
    assert (psp.trunk.psp, psp.merge, psp.attention.features) == (True, "attention", "head")
    narrow = experiments.find("camvid_resnet34_psp_attention2_esupv_narrow")
    assert (narrow.trunk.width, narrow.trunk.from_scratch, narrow.initial_weights) == (1 / 8, True, None)
    assert narrow.solver.batch_size >= 2  # pyramid pooling needs two


UNKNOWN = [
    "camvid_",
    "camvid_largefov_",
    "camvid__largefov",
    "camvid_max",
    "camvid_max1",
    "camvid_max5",
    "camvid_max2_",
    "camvid_max23",
    "camvid_sum2",
    "camvid_esupv_max2",
    "camvid_max2_esupv_esupv",
    "camvid_narrow_max2",
    "camvid_max2_narrow_esupv",
    "camvid_max2_max2",
    "camvid_largefov_max2",
    "camvid_max2_largefov",
    "camvid_psp",
    "camvid_psp_resnet34",
    "camvid_vgg16_largefov",
    "camvid_largefov_coco",
    "camvid_attention2_esupv_kernel3",
    "camvid_attention2_filters512",
    "camvid_attention2_filters064",
    "camvid_attention2_filters",
    "camvid_attention2_lr010",
    "camvid_max2_lr10",
    "camvid_max2_kernel1",
    "camvid_attention2_fc7",
    "camvid_refine2_product",
    "camvid_refine2_esupv_dilated",
    "camvid_refine2_bias_swapped",
    "camvid_refine2_swapped_undilated",
    "camvid_max2_bias",
    "camvid_attention2_undilated",
    "camvid_attention2_dilated",
    "camvid_largefov_msc",
    "camvid_largefov_nopool5a",
    "camvid_msc_largefov_pool5a",
    "camvid_resnet34_attention2_fc6",
    "camvid_largefov_trained",
    "camvid_largefov_minival",
    "camvid_train_largefov",
    "camvid_attention3_esupv_own_own",
    "camvid_max2_plus_plusuniform",
    "Camvid_max2",
    "camvid_MAX2",
    "camvid-max2",
    "kamvid_max2",
]


@pytest.mark.parametrize("name", UNKNOWN)
def test_words_that_are_unknown_out_of_order_twice_or_of_no_effect(name):
    assert structures.find(name) is None
    with pytest.raises(ExperimentError, match=rf"^no experiment '{name}': did you mean "):
        experiments.find(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("camvid_largefov_esupv", "extra supervision is for several scales"),
        ("camvid_attention3_esupv_zeroattention", "without fillers start from the release's, pretrained on coco"),
        ("camvid_attention3_esupv_onestep", "one_step is for trainval_aug"),
        ("camvid_attention2_filters0", "attention: filters is 0, expected at least 1"),
        ("camvid_attention2_kernel2", "attention: kernel_size is 2, expected an odd number"),
        ("camvid_max2_stages", "stages are for attention"),
        ("camvid_largefov_frozen", "frozen statistics are for resnet34"),
        ("camvid_coco_attention2_narrow", "starts from scratch, and no other does"),
        ("camvid_resnet34_frozen_narrow", "frozen statistics come with a caffemodel"),
    ],
)
def test_names_that_contradict_themselves(name, said):
    with pytest.raises(ExperimentError, match=said):
        experiments.find(name)


def test_the_nearest_names_are_told(tmp_path):
    """Of the set that the name begins with, where it does."""
    data = own(tmp_path)
    for name, said in (("photo", "photos"), ("photos_atention3_esupv", "photos_attention3_esupv, photos_")):
        with pytest.raises(ExperimentError, match=f"no experiment '{name}': did you mean {said}"):
            experiments.find(name, data)


def test_camvids_narrow_and_full_nets():
    narrow, full = experiments.find("camvid_attention3_esupv_narrow"), experiments.find("camvid")
    assert (full.name, full.initial_weights) == ("camvid_attention3_esupv", "vgg16_20M.caffemodel")
    assert (full.crop_size, full.test_size, full.trunk) == (321, 513, recipe.Trunk())
    assert (narrow.start, narrow.crop_size, narrow.test_size, narrow.trunk.width) == (None, 257, 513, 1 / 8)


def test_an_own_set_may_be_called_as_a_net_of_the_projects_begins(tmp_path):
    """voc12_coco_largefov is VOC's, pretrained on MS-COCO, but where somebody has a set voc12_coco."""
    data = own(tmp_path, name="voc12_coco")
    assert experiments.find("voc12_coco_largefov", data).dataset.name == "voc12_coco"
    assert experiments.find("voc12_coco_largefov").dataset.name == "voc12"


def test_batches_of_ten_that_are_not_the_papers_stay(tmp_path):
    """The paper's 10 x 3 become 3 x 10 for attention; ten images an iteration do not become thirty."""
    data = own(tmp_path, CLASSES + "[recipe.solver]\nbatch_size = 10\niter_size = 1\n")
    assert [experiments.find(f"photos_{net}", data).solver.batch_size for net in ("largefov", "attention3")] == [10, 10]


def test_resnet34_keeps_to_the_sets_own_recipe(tmp_path):
    """But for the policy, which is the second paper's, and batches that pyramid pooling can do with."""
    data = own(tmp_path, CLASSES + "[recipe.solver]\nmax_iter = 500\nbatch_size = 2\niter_size = 6\n")
    plain, psp = (experiments.find(f"photos_resnet34{word}_refine2_esupv", data).solver for word in ("", "_psp"))
    assert (plain.max_iter, plain.lr_policy, plain.power) == (500, "poly", 0.9)
    assert (plain.batch_size, plain.iter_size) == (2, 6)
    assert (psp.max_iter, psp.batch_size, psp.iter_size) == (500, 8, 1)
