"""Rows of `attscale.experiments` to Caffe's NetParameter and SolverParameter."""

from pathlib import Path

from caffe.proto import caffe_pb2

from attscale.data.loader import LoaderOptions
from attscale.nets import assemble

FILES = ("train.prototxt", "deploy.prototxt", "solver.prototxt")


def loader_options(row):
    """What the row's SegData layer reads, below the folder `data`."""
    dataset = row.dataset
    return LoaderOptions(
        root=str(Path("data", dataset.root)),
        source=row.list,
        classes=len(dataset.classes),
        crop_size=row.crop_size,
        batch_size=row.solver.batch_size,
        mean=dataset.mean,
        values=dataset.values,
        scales=() if row.uniform else row.random_scale,
        scale_range=(min(row.random_scale), max(row.random_scale)) if row.uniform else (),
        mirror=True,
        shuffle=True,
        workers=2,
    )


def train_net(row):
    """The row's training net as NetParameter."""
    return assemble.train_net(row, loader_options(row))


def deploy_net(row, size=None):
    """The row's test net as NetParameter, for images of `size` x `size` (default: its test size)."""
    return assemble.deploy_net(row, len(row.dataset.classes), size or row.test_size)


def solver(row):
    """The row's SolverParameter, as the program caffe runs it from the repository's root (`caffe train`).

    Its seed is the default of tools/train.py, its snapshots go to weights/. CPU or GPU is the command's to say.
    """
    options = row.solver
    message = caffe_pb2.SolverParameter(
        type=options.type,
        base_lr=options.base_lr,
        lr_policy=options.lr_policy,
        max_iter=options.max_iter,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        iter_size=options.iter_size,
        average_loss=options.average_loss,
        display=20,
        snapshot=500,
        net=str(place(row, "prototxt") / "train.prototxt"),
        snapshot_prefix=f"weights/{row.name}",  # Caffe makes no folder, and this one is there in every checkout
        random_seed=0,
    )
    if options.lr_policy == "step":
        message.gamma, message.stepsize = options.gamma, options.stepsize
    elif options.lr_policy == "poly":
        message.power = options.power
    if options.type == "Adam":
        message.momentum2 = 0.999
    return message


def place(row, folder):
    """The folder of a row's files below `folder`."""
    return Path(folder, row.dataset.name, row.net)
