"""The rows of Attention to Refine: the nets of its tables 1 to 3, and the steps of its table 2 on small sets.

Where its text is open, the choice is said in docs/fidelity.md, with the paper's words.
"""

import dataclasses

from attscale import datasets, paper
from attscale.experiments.row import diverse, net, staged
from attscale.recipe import Trunk

#: "the poly learning rate policy", power 0.9 (section 3); the rest follows "the set of attention-to-scale".
POLY = {"lr_policy": "poly", "power": 0.9}

#: The paper is silent on dropout; 0.1 is that of pyramid pooling where its baselines come from (docs/fidelity.md).
RESNET = Trunk(kind="resnet34", dropout=0.1)
#: Images that pyramid pooling normalises together, at the least: a bin of one pixel has a value for each image.
_TOGETHER = 8


def refined(dataset, *, stages=True, dilated=True, recalibration="product", scales=2, narrow=False, **options):
    """The second paper's model on a data set, or a step towards it (table 2), with extra supervision."""
    usual = dataset.narrow if narrow else dataset.recipe
    attention, trunk = usual.attention, options.get("trunk", usual.trunk)
    if stages:
        dilations = diverse(scales) if dilated else ()
        attention = staged(attention, trunk, scales, dilations=dilations, recalibration=recalibration)
    common = {"extra_supervision": True, "narrow": narrow, "solver": solver(usual, trunk)} | options
    return net(dataset, scales, "attention", attention=attention, **common)


def solver(recipe, trunk):
    """The recipe's solver with the second paper's learning rates, and batches that the trunk can do with.

    What starts from scratch keeps its own rates.
    """
    own = recipe.solver if recipe.trunk.from_scratch else dataclasses.replace(recipe.solver, **POLY)
    if not trunk.psp or own.batch_size >= _TOGETHER:
        return own
    iter_size = max(1, own.batch_size * own.iter_size // _TOGETHER)
    return dataclasses.replace(own, batch_size=_TOGETHER, iter_size=iter_size)


def _voc():
    """Tables 1 and 2; the older methods are those that its authors reproduced, with their own learning rates."""
    voc = datasets.find("voc12")
    older, cells = {"solver": solver(voc.recipe, voc.recipe.trunk)}, paper.REFINE_VOC
    yield net(voc, cells=(cells["largefov"],), **older)
    yield net(voc, 2, "max", cells=(cells["max"],), **older)
    yield net(voc, 2, "average", cells=(cells["average"],), **older)
    steps = paper.REFINE_ABLATION
    yield refined(voc, stages=False, cells=(cells["attention"], steps["base"]))
    yield refined(voc, dilated=False, recalibration=None, cells=(steps["multi_stage"],))
    yield refined(voc, recalibration=None, cells=(steps["diverse_dilation"],))
    yield refined(voc, cells=(cells["refine"], steps["refine"]))
    yield refined(voc, recalibration="bias", cells=(steps["bias"],))


def _ade20k():
    """Table 3, on ResNet-34."""
    ade20k, cells = datasets.find("ade20k"), paper.REFINE_ADE20K
    psp = dataclasses.replace(RESNET, psp=True)
    with_psp = {"trunk": psp, "solver": solver(ade20k.recipe, psp)}
    yield net(ade20k, trunk=RESNET, cells=cells["baseline"])
    yield refined(ade20k, stages=False, trunk=RESNET, cells=cells["attention"])
    yield net(ade20k, **with_psp, cells=cells["psp"])
    yield refined(ade20k, trunk=RESNET, cells=cells["refine"])
    yield refined(ade20k, **with_psp, cells=cells["refine_psp"])


def rows():
    """All of them; last the steps of table 2 on `shapes`, whose first is a row of Attention to Scale's."""
    yield from _voc()
    yield from _ade20k()
    shapes = datasets.find("shapes")
    yield refined(shapes, dilated=False, recalibration=None)
    yield refined(shapes, recalibration=None)
    yield refined(shapes)
    yield refined(shapes, recalibration="bias")
