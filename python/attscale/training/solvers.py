"""Caffe's solver of a run: made, started from weights, saved, and listened to inside of its steps."""

import contextlib
import copy
import hashlib
import json
import time
from pathlib import Path

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from attscale import prototxt
from attscale.errors import WeightsError
from attscale.files import write_text
from attscale.machine.build import caffe_build
from attscale.prototxt.model import data_layer
from attscale.training import runs, snapshots
from attscale.weights import caffemodel, load

_PREFIX = "train"  # of the names that Caffe gives to the files of a snapshot


def make(model, folder, options, rank, start):
    """The solver at iteration `start`. Keeps the prototxts of the run; Caffe gets them with this start's options.

    By a file in memory: one on a disk would stay where the process is killed.
    """
    data_root, place = Path(options.data).resolve(), sequence(options, rank)
    message = copy.deepcopy(model.solver)
    message.net, message.snapshot_prefix = prototxt.FILES[0], f"{runs.SNAPSHOTS}/{_PREFIX}"
    message.random_seed = options.seed
    message.display = message.snapshot = 0  # the loop logs each loss itself, and keeps the snapshots
    message.layer_wise_reduce = False  # on several GPUs; Caffe's default cannot do shared weights
    if rank == 0:
        messages = (model.train_net(data_root, **place), model.deploy, message)
        for name, kept in zip(prototxt.FILES, messages, strict=True):
            write_text(folder / name, text_format.MessageToString(kept))
        write_text(folder / runs.CAFFE, json.dumps(caffe_build(), indent=1) + "\n")
    message.ClearField("net")
    message.net_param.CopyFrom(model.train_net(data_root, **place, first=start * message.iter_size))
    message.snapshot_prefix = str(snapshots.partial(folder) / _PREFIX)
    with prototxt.as_file(message) as path:
        solver = caffe.get_solver(path)
    if hasattr(solver.net, "share_diffs"):  # ours has that, BVLC's own has not
        solver.net.share_diffs()
    return solver


def sequence(options, rank):
    """Which of the samples this rank sees, and in which order: options of its SegData layer."""
    return {"seed": options.seed, "rank": rank, "ranks": options.ranks}


def start_from(path, net, model):
    """Copies the weights; returns the layers that they leave out. Raises WeightsError for one that needs them."""
    fresh = load.load(net, caffemodel.read(path), complete=False)
    if needed := [name for name in model.needs_weights if name in fresh]:
        raise WeightsError(
            f"{path}: has no weights for {', '.join(needed[:4])}, which {model.name} does not learn from scratch"
        )
    return fresh


def seed_dropout(seed, iteration, rank):
    """Has dropout draw by seed and iteration alone: where a run was continued makes no difference."""
    caffe.set_random_seed(int(np.random.SeedSequence([seed, iteration, rank]).generate_state(1)[0]))


def fingerprint(model):
    """Of the net, its losses and the solver's type: what a snapshot has to agree with, whatever it was trained on."""
    net = model.train_net()
    net.ClearField("name")
    data_layer(net).ClearField("python_param")  # whose options say which images
    return hashlib.sha256(f"{model.solver.type} {text_format.MessageToString(net)}".encode()).hexdigest()


def restore(solver, snapshot):
    """Takes up the snapshot's state and weights."""
    solver.restore(str(snapshot.path / snapshots.STATE))
    load.load(solver.net, caffemodel.read(snapshot.path / snapshots.WEIGHTS), complete=True)


def save(solver, iteration, folder):
    """Writes the files of a snapshot into `folder`, which is `snapshots.partial` of the run.

    Caffe names them by its own prefix, and has the state name the weights: neither would move.
    """
    solver.snapshot()
    state_path, weights_path = (folder / f"{_PREFIX}_iter_{iteration}.{end}" for end in ("solverstate", "caffemodel"))
    state = caffe_pb2.SolverState.FromString(state_path.read_bytes())
    state.ClearField("learned_net")
    (folder / snapshots.STATE).write_bytes(state.SerializeToString())
    state_path.unlink()
    weights_path.rename(folder / snapshots.WEIGHTS)


@contextlib.contextmanager
def statistics_kept(net):
    """A pass of the training net inside of this does not count for BatchNorm's statistics."""
    blobs = [blob for name, own in net.params.items() if net.layer_dict[name].type == "BatchNorm" for blob in own]
    kept = [blob.data.copy() for blob in blobs]
    yield
    for blob, values in zip(blobs, kept, strict=True):
        blob.data[...] = values


def write_weights(net, path, name):
    """The net's weights as the file `path`, and nothing else, so that equal weights are equal files.

    Caffe would write down where the data were and where a run went on as well.
    """
    layers = [
        caffemodel.Layer(layer, net.layer_dict[layer].type, tuple(blob.data for blob in blobs))
        for layer, blobs in net.params.items()
    ]
    caffemodel.write(path, layers, name)


def weights_bytes(net):
    """Room for a file of weights: Caffe writes them for every layer, shared or not."""
    return sum(blob.data.nbytes for blobs in net.params.values() for blob in blobs) + (1 << 20)


def snapshot_bytes(net, kind):
    """Room for a snapshot by a solver of that type: weights, and histories once for each that is not shared."""
    own = sum(blob.data.nbytes for name in set(load.owners_of(net).values()) for blob in net.params[name])
    histories = 2 if kind == "Adam" else 1
    return weights_bytes(net) + 2 * histories * own  # the state is there twice for a moment


class Passes:
    """What happens inside of a step, where iter_size passes run: their losses, and the seconds spent on data."""

    def __init__(self, net):
        self._net, self._last = net, len(net.layers) - 1
        self._began = 0.0
        self.clear()
        net.before_forward(self._before)
        net.after_forward(self._after)

    def clear(self):
        self.losses, self.waited = [], 0.0
        self.ours = 0.0  # seconds in these functions, which Caffe calls around every layer

    def _before(self, layer):
        began = time.monotonic()
        if layer == 0:
            self._began = began
        self.ours += time.monotonic() - began

    def _after(self, layer):
        began = time.monotonic()
        if layer == 0:
            self.waited += began - self._began
        if layer == self._last:
            self.losses.append({head: float(self._net.blobs[head].data) for head in self._net.outputs})
        self.ours += time.monotonic() - began
