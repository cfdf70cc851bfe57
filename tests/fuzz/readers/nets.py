"""Weights, score maps and prototxts."""

import contextlib
import dataclasses
import functools
import io
import json
import zipfile
from typing import ClassVar

import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from attscale import experiments, prototxt
from attscale.errors import RunError, UserError
from attscale.files import write_text
from attscale.inference import inventory, scores
from attscale.prototxt import Model, artefacts
from attscale.training import snapshots
from attscale.weights import caffemodel, fetch, load, manifest, statedict
from conftest import REPO
from fuzz.readers.base import Base, Reader, real, same
from helpers import statedicts


class Caffemodels(Reader):
    """Weights of both formats, into a net. The format has no checksum."""

    def bases(self, folder):
        net = self.net
        rng = np.random.default_rng(0)
        for blobs in net.params.values():
            for blob in blobs:
                blob.data[...] = rng.normal(size=blob.data.shape)
        net.save(str(folder / "caffes.caffemodel"))
        yield Base("caffes.caffemodel", (folder / "caffes.caffemodel").read_bytes())
        caffemodel.write(folder / "ours.caffemodel", caffemodel.read(folder / "caffes.caffemodel").layers.values(), "x")
        yield Base("ours.caffemodel", (folder / "ours.caffemodel").read_bytes())
        old = caffe_pb2.NetParameter(name="old")
        for name, blobs in net.params.items():
            layer = old.layers.add(name=name, type=caffe_pb2.V1LayerParameter.CONVOLUTION)
            for blob in blobs:
                shape = (1,) * (4 - blob.data.ndim) + blob.data.shape
                values = dict(zip(("num", "channels", "height", "width"), shape, strict=True))
                layer.blobs.add(data=blob.data.ravel().tolist(), **values)
        yield Base("old.caffemodel", old.SerializeToString())
        for name, data in real("caffemodel/det1.caffemodel"):
            yield Base(name, data)

    @functools.cached_property
    def net(self):
        layer = 'layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{0}" convolution_param {{ {2} }} }}\n'
        text = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 12, 12] } } }\n'
        text += layer.format("conv1", "data", "num_output: 10 kernel_size: 3")  # as MTCNN's first two
        text += layer.format("conv2", "conv1", "num_output: 16 kernel_size: 3")
        message = caffe_pb2.NetParameter()
        text_format.Parse(text, message)
        return prototxt.load(message)

    def read(self, path):
        return load.load(self.net, caffemodel.read(path), complete=False)


class StateDicts(Reader):
    """PyTorch's weights: safetensors, an archive, and its pickle in an archive whose own checksums are right."""

    arrays: ClassVar = {
        "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
        "half": np.ones((3, 1), np.float16),
        "count": np.array(7, np.int64),
    }

    def bases(self, folder):
        statedicts.save(folder / "made.pth", self.arrays)
        yield Base("made.pth", (folder / "made.pth").read_bytes())
        with zipfile.ZipFile(folder / "made.pth") as archive:
            yield Base("made.pkl", archive.read("archive/data.pkl"))
        yield Base("made.safetensors", statedicts.safetensors(self.arrays))

    def read(self, path):
        if path.suffix == ".pkl":
            data = path.read_bytes() if path.is_file() else b""
            path = path.with_name("whole.pth")
            statedicts.archive(path, data, self.arrays.values())
        return dict(statedict.read(path))


class Snapshots(Reader):
    """Weights, solver state and record of a snapshot, which has the others' checksums."""

    net = "0123abcd"

    def bases(self, folder):
        kept = snapshots.Kept(sums={"loss": 1.5, "loss_fusion": 2.25}, best=(0.5, 4))
        state = caffe_pb2.SolverState(iter=6, current_step=0)
        state.history.add(data=[0.25] * 12).shape.dim.extend([3, 4])

        def save(aside):
            caffemodel.write(aside / snapshots.WEIGHTS, [caffemodel.Layer("conv1", "Convolution", (np.ones((2, 2)),))])
            (aside / snapshots.STATE).write_bytes(state.SerializeToString())

        place = snapshots.write(folder, 6, self.net, save, kept)
        yield Base(str((place / snapshots.RECORD).relative_to(folder)), (place / snapshots.RECORD).read_bytes(), "json")
        for name in (snapshots.WEIGHTS, snapshots.STATE):
            yield Base(str((place / name).relative_to(folder)), (place / name).read_bytes())

    def read(self, path):
        said = []
        found = snapshots.newest_good(path.parents[2], self.net, said.append)
        if found is None:
            raise RunError(said[0] if said else "no snapshot")
        sums, best = found.kept.sums, found.kept.best
        return found.iteration, sum(sums.values()), (best[0] > 0.5, best[1] == 4) if best is not None else None

    def changed(self, base, value, data, other):
        if not base.file.endswith(snapshots.RECORD) and data != base.data:
            return "its checksum is not the recorded one, and yet it is taken"
        if other[0] != 6:
            return "a snapshot of iteration 6 is taken for one of another"
        return None


class Scores(Reader):
    """Score maps: zip archives, whose members have checksums."""

    def bases(self, folder):
        maps = np.random.default_rng(0).normal(size=(5, 8, 9))
        scores.write(folder / "made.npz", maps)
        yield Base("made.npz", (folder / "made.npz").read_bytes())
        scores.write(folder / "flat.npz", np.zeros((5, 30, 40)))
        yield Base("flat.npz", (folder / "flat.npz").read_bytes())
        buffer = io.BytesIO()
        np.savez(buffer, scores=maps.astype(np.float16))
        yield Base("stored.npz", buffer.getvalue())

    def read(self, path):
        return scores.read(path)

    def changed(self, base, value, data, other):
        if not same(value, other):
            return "maps of other values or shapes are read"
        return None


class Prototxts(Reader):
    """Generated files, by `make_net.py --check`."""

    def bases(self, folder):
        row = experiments.find("shapes_largefov")
        self.artefacts = {artefact.path.name: artefact for artefact in artefacts.artefacts(row, folder)}
        for name, artefact in self.artefacts.items():
            yield Base(name, artefact.text.encode(), "text")

    def read(self, path):
        artefact = self.artefacts[path.name]
        if words := dataclasses.replace(artefact, path=path).difference():
            raise UserError(words)
        return artefact


class EditedNets(Reader):
    """Folders of prototxts for `--net`: up to where Caffe is given the nets."""

    def bases(self, folder):
        for artefact in artefacts.artefacts(experiments.find("shapes_attention2_esupv"), folder):
            write_text(artefact.path, artefact.text)
            yield Base(str(artefact.path.relative_to(folder)), artefact.text.encode(), "text")

    def read(self, path):
        model = Model.read(path.parent).having(max_iter=2, batch_size=1)
        model.train_net("data", seed=1)
        model.deploy_net(65)
        return model.name, model.scales, model.merge, model.start


class Manifests(Reader):
    """weights/manifest.toml."""

    def bases(self, folder):
        yield Base("manifest.toml", (REPO / "weights/manifest.toml").read_bytes(), "text")

    def read(self, path):
        entries = manifest.read(path)
        with contextlib.suppress(UserError):
            manifest.find(entries, "vgg16")
        return [entry.results for entry in entries.values()]


class Checksums(Reader):
    """The record beside fetched weights, and one of those."""

    def bases(self, folder):
        weights = folder / "w.caffemodel"
        caffemodel.write(weights, [caffemodel.Layer("conv1", "Convolution", (np.ones((2, 2)),))])
        digest = inventory.digest(weights.read_bytes())
        values = {"name": "w", "what": "x", "page": "http://x", "file": weights.name, "licence": "MIT"}
        self.entry = manifest.Entry(**values, size=weights.stat().st_size)
        fetch.fetch(self.entry, folder, lambda _: None)
        assert json.loads((folder / fetch.CHECKSUMS).read_text()) == {weights.name: digest}
        yield Base(fetch.CHECKSUMS, (folder / fetch.CHECKSUMS).read_bytes(), "json")
        yield Base(weights.name, weights.read_bytes())

    def read(self, path):
        return fetch.fetch(self.entry, path.parent, lambda _: None)

    def changed(self, base, value, data, other):
        return "weights of another checksum are taken" if base.file == "w.caffemodel" and data != base.data else None
