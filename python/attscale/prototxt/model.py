"""A net as the commands use it: of an experiment, or of a folder of edited prototxts."""

import copy
import dataclasses
import functools
from pathlib import Path

from caffe.proto import caffe_pb2

from attscale import datasets, experiments, recipe
from attscale.data.loader import LoaderOptions
from attscale.datasets import DataSet
from attscale.errors import ExperimentError, UserError
from attscale.nets import trial
from attscale.options import decode, encode
from attscale.prototxt import deployed, files, generate

_KINDS = (caffe_pb2.NetParameter, caffe_pb2.NetParameter, caffe_pb2.SolverParameter)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """The training net, the test net and the solver as Caffe's messages, with the data set that they are for."""

    name: str
    dataset: DataSet
    train: caffe_pb2.NetParameter
    deploy: caffe_pb2.NetParameter
    solver: caffe_pb2.SolverParameter
    row: experiments.Experiment | None  # None: the files were edited
    where: str  # what errors call it
    data: str = "data"  # folder of the data sets

    @classmethod
    def of(cls, row, data="data"):
        """An experiment's."""
        messages = {"train": generate.train_net(row), "deploy": generate.deploy_net(row)}
        solver = generate.solver(row)
        return cls(name=row.name, dataset=row.dataset, solver=solver, row=row, where=row.name, data=data, **messages)

    @classmethod
    def read(cls, folder, data="data"):
        """Of a folder with the files of `generate.FILES`, edited or not; data: the folder of the data sets.

        It has the name that its training net has, with `_edited` behind it where an experiment of that name has other
        files: places, seed, batches and the number of iterations aside, which commands change as well. The mean is the
        data layer's. Raises ExperimentError for files that are missing, broken, or not of nets like ours.
        """
        train, deploy, solver = (
            files.parse(Path(folder, name), kind) for name, kind in zip(generate.FILES, _KINDS, strict=True)
        )
        where = str(Path(folder, generate.FILES[0]))
        if not datasets.NAME.fullmatch(train.name):
            raise ExperimentError(f"{where}: the net's name is {train.name!r}, expected letters, digits and single _")
        loader = _loader(train, where)
        dataset = _dataset(loader, data, where)
        messages = {"train": train, "deploy": deploy, "solver": solver}
        found = cls(name=train.name, dataset=dataset, row=None, where=str(folder), data=data, **messages)
        found._check()
        try:
            model = cls.of(experiments.find(train.name, data), data)
        except ExperimentError:
            return found
        if found._essence() == model._essence():
            return dataclasses.replace(found, row=model.row)
        train.name = deploy.name = f"{train.name}{experiments.EDITED}"
        return dataclasses.replace(found, name=train.name)

    def _check(self):
        """Raises ExperimentError where the nets are none of ours, or not of the data set."""
        tops = [top for layer in self.train.layer for top in layer.top]
        if missing := [name for name in ("data", "label") if name not in tops]:
            raise ExperimentError(f"{self.where}: the training net has no top {missing[0]}, which SegData gives")
        recipe.check_size(f"{self.where}: the deploy net's input size", self.deployed.size)
        name, classes = self.deployed.classifier, len(self.dataset.classes)
        for net in (self.train, self.deploy):
            for layer in net.layer:
                if layer.name == name and layer.convolution_param.num_output != classes:
                    raise ExperimentError(
                        f"{self.where}: {name} has {layer.convolution_param.num_output} outputs, {self.dataset.name} "
                        f"has {classes} classes"
                    )

    def _essence(self):
        """What makes it another net: all but places, seeds, batches and how long it trains."""
        train, solver = copy.deepcopy(self.train), copy.deepcopy(self.solver)
        plain = dataclasses.replace(self._options, root="", batch_size=1, seed=0, rank=0, ranks=1, first=0)
        data_layer(train, self.where).python_param.param_str = encode(plain)
        own = ("net", "snapshot_prefix", "random_seed", "display", "snapshot", "max_iter", "iter_size")
        for field in (*own, "layer_wise_reduce"):  # the last is the training's to say
            solver.ClearField(field)
        return train, self.deploy, solver

    @functools.cached_property
    def deployed(self):
        """Its `deployed.Deployed`."""
        return deployed.read(self.deploy, f"{self.where}: the deploy net")

    @functools.cached_property
    def _options(self):
        """The data layer's, decoded once: the training loop asks for them in every iteration."""
        return _loader(self.train, self.where)

    @property
    def scales(self):
        return self.deployed.scales

    @property
    def merge(self):
        return self.deployed.merge

    @property
    def max_iter(self):
        return self.solver.max_iter

    @property
    def batch_size(self):
        return self._options.batch_size

    @property
    def iter_size(self):
        return self.solver.iter_size

    @property
    def crop_size(self):
        return self._options.crop_size

    @property
    def list(self):
        """The list that it trains on, relative to the data set's root."""
        return self._options.source

    @property
    def start(self):
        """What training starts from, in words; None: from scratch."""
        if self.row:
            return self.row.start
        needed = self.needs_weights
        return f"weights for {', '.join(needed[:4])}" if needed else None

    @property
    def initial_weights(self):
        """The file that training usually starts from; None for none, or where that is not known."""
        return self.row and self.row.initial_weights

    @property
    def needs_weights(self):
        """The layers of the training net that cannot start by themselves: without a filler, or with lr 0."""
        return needs_weights(self.train)

    def loader(self, data_root="data", **sequence):
        """The LoaderOptions of its data layer, for the folder `data_root`; sequence: seed, rank, ranks, first."""
        return dataclasses.replace(self._options, root=str(Path(data_root, self.dataset.root)), **sequence)

    def train_net(self, data_root="data", **sequence):
        """The training net with its data layer so; as `loader`."""
        net = copy.deepcopy(self.train)
        data_layer(net, self.where).python_param.param_str = encode(self.loader(data_root, **sequence))
        return net

    def fed_by_hand(self, batch_size, side):
        """The training net with inputs, `data` and `label`, of that size in the place of its data layer."""
        net = copy.deepcopy(self.train)
        layer = data_layer(net, self.where)
        layer.ClearField("python_param")
        layer.type = "Input"
        for channels in (3, 1):
            layer.input_param.shape.add(dim=[batch_size, channels, side, side])
        return net

    def deploy_net(self, size=None):
        """The test net for images of `size` x `size` (default: its own)."""
        net = copy.deepcopy(self.deploy)
        if size:
            (data,) = (layer for layer in net.layer if layer.type == "Input")
            data.input_param.shape[0].dim[2:] = [size, size]
        return net

    def having(self, *, max_iter=None, batch_size=None, iter_size=None):
        """The same with another number of iterations, or other batches. Raises ExperimentError, as the row does."""
        if self.row and batch_size:
            own = dataclasses.replace(self.row.solver, batch_size=batch_size)
            dataclasses.replace(self.row, solver=own)
        train, solver = copy.deepcopy(self.train), copy.deepcopy(self.solver)
        solver.max_iter, solver.iter_size = max_iter or solver.max_iter, iter_size or solver.iter_size
        if batch_size:
            options = dataclasses.replace(self._options, batch_size=batch_size)
            data_layer(train, self.where).python_param.param_str = encode(options)
        return dataclasses.replace(self, train=train, solver=solver)


def choose(name, folder, data):
    """The Model of the experiment `name`, or of the edited files in `folder`, whichever is not None.

    Raises ExperimentError also for edited files of which Caffe makes no test net.
    """
    if not folder:
        return Model.of(experiments.find(name, data), data)
    model = Model.read(folder, data)
    if model.row is None:
        trial.demand(Path(folder, generate.FILES[1]))
    return model


def needs_weights(train):
    """As `Model.needs_weights`, of a training net's message."""
    return [
        layer.name
        for layer in train.layer
        if (
            layer.type == "Convolution"
            and (not layer.convolution_param.HasField("weight_filler") or not any(p.lr_mult for p in layer.param))
        )
        or layer.batch_norm_param.use_global_stats
    ]


def data_layer(train, where="the training net"):
    """The layer SegData of a training net's message. Raises ExperimentError where it has none."""
    for layer in train.layer:
        if layer.type == "Python" and layer.python_param.layer == "SegData":
            return layer
    raise ExperimentError(f"{where}: has no layer SegData, which reads the images")


def _loader(train, where):
    try:
        return decode(LoaderOptions, data_layer(train, where).python_param.param_str)
    except UserError as error:
        raise ExperimentError(f"{where}: {error}") from None


def _dataset(loader, data, where):
    """The data set whose root and number of classes a data layer names, with that layer's mean."""
    root = Path(loader.root).name
    own = [root] if root in datasets.names(data) else []
    names = dict.fromkeys((*datasets.built_in(), *own))  # no other's file is read: it may be broken
    fitting = [one for name in names if Path((one := datasets.find(name, data)).root).name == root]
    for one in fitting:
        if len(one.classes) == loader.classes:
            if loader.values != one.values:
                raise ExperimentError(f"{where}: SegData has other values than {one.name}: they are its file's to say")
            return dataclasses.replace(one, mean=loader.mean)
    if fitting:
        counts = " or ".join(str(len(one.classes)) for one in fitting)
        raise ExperimentError(f"{where}: SegData has {loader.classes} classes, {fitting[0].name} has {counts}")
    raise ExperimentError(f"{where}: SegData reads {loader.root}, the folder of no data set")
