"""Rows of `attscale.experiments` to Caffe's NetParameter and SolverParameter, their files, and the check of those."""

import contextlib
import dataclasses
import os
from pathlib import Path

import caffe
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from attscale import datasets
from attscale.data.loader import LoaderOptions
from attscale.errors import ExperimentError, reading
from attscale.experiments import EXPERIMENTS
from attscale.files import write_text
from attscale.nets import assemble

FILES = ("train.prototxt", "deploy.prototxt", "solver.prototxt")


def loader_options(row, data_root="data", **sequence):
    """What the row's SegData layer reads, below the folder `data_root`; `sequence`: seed, rank, ranks, first."""
    dataset = datasets.find(row.dataset)
    return LoaderOptions(
        root=str(Path(data_root) / dataset.root),
        source=dataset.list_of(row.split or dataset.train),
        classes=len(dataset.classes),
        crop_size=row.crop_size,
        batch_size=row.solver.batch_size,
        scales=() if row.uniform else row.random_scale,
        scale_range=(min(row.random_scale), max(row.random_scale)) if row.uniform else (),
        mirror=True,
        shuffle=True,
        workers=2,
        **sequence,
    )


def train_net(row, data_root="data", **sequence):
    """The row's training net as NetParameter. As in `loader_options`."""
    return assemble.train_net(row, loader_options(row, data_root, **sequence))


def deploy_net(row, size=None):
    """The row's test net as NetParameter, for images of `size` x `size` (default: its test size)."""
    return assemble.deploy_net(row, len(datasets.find(row.dataset).classes), size or row.test_size)


def load(message, phase=caffe.TEST):
    """The message as a caffe.Net."""
    with as_file(message) as path:
        return caffe.Net(path, phase)


@contextlib.contextmanager
def as_file(message):
    """A path at which Caffe reads the message: in memory, so that nothing is left, whatever becomes of the process."""
    with os.fdopen(os.memfd_create("prototxt"), "w") as file:
        file.write(text_format.MessageToString(message))
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def needs_weights(message):
    """The layers of a training net that cannot start by themselves: convolutions without a filler, or with lr 0."""
    return [
        layer.name
        for layer in message.layer
        if layer.type == "Convolution"
        and (not layer.convolution_param.HasField("weight_filler") or not any(p.lr_mult for p in layer.param))
    ]


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
        net=str(_place(row, "prototxt") / "train.prototxt"),
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


@dataclasses.dataclass(frozen=True)
class Artefact:
    """A generated file: where it goes, its text, and the message that the text holds."""

    path: Path
    text: str
    message: object

    def difference(self):
        """What the file lacks, in a line, compared as parsed messages; None where it is as generated."""
        try:
            with reading(self.path, ExperimentError):
                found = text_format.Parse(self.path.read_text(), type(self.message)())
        except ExperimentError as error:
            return str(error)
        return None if found == self.message else f"{self.path}: differs from what experiments.py says"


def artefacts(row, folder):
    """The three files of a row below `folder`."""
    header = f"# {row.name}: {row.title}\n"
    for cell in row.cells:
        header += f"# Attention to Scale, {cell}\n"
    if row.start:
        header += f"# starts from {row.start}\n"
    header += f"# Generated: python tools/make_net.py {row.name}\n"
    headers = (header, header, f"{header}# From the repository's root: {_command(row)}\n")
    messages = (train_net(row), deploy_net(row), solver(row))
    return [
        Artefact(_place(row, folder) / name, header + text_format.MessageToString(message), message)
        for name, header, message in zip(FILES, headers, messages, strict=True)
    ]


def _command(row):
    """How the program caffe trains the row."""
    command = f"caffe train --solver={_place(row, 'prototxt') / 'solver.prototxt'}"
    if row.start is None:
        return command
    return f"{command} --weights={Path('weights', row.initial_weights) if row.initial_weights else 'FILE'}"


def _place(row, folder):
    """The folder of a row's files below `folder`."""
    return Path(folder, row.dataset, row.net)


def write(rows, folder):
    """Writes the files of `rows` below `folder`, each whole or not at all."""
    for row in rows:
        for artefact in artefacts(row, folder):
            write_text(artefact.path, artefact.text)


def check(rows, folder):
    """What differs between the files below `folder` and the rows, a line each; and folders that no experiment has."""
    problems = [artefact.difference() for row in rows for artefact in artefacts(row, folder)]
    nets = {_place(row, folder) for row in EXPERIMENTS.values()}
    known = {Path(folder), *nets, *(net.parent for net in nets)}
    strange = (path for path in sorted(Path(folder).glob("**/")) if path not in known and path.parent in known)
    return [*filter(None, problems), *(f"{path}: no experiment has its files here" for path in strange)]
