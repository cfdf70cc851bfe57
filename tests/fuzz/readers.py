"""Every reader of files that come from elsewhere: the files that it is given, the call, and a second look at what it
took.

A reader does what a command does with the file: what is found on the way there counts as well.
"""

import contextlib
import dataclasses
import functools
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from PIL import Image

from attscale import datasets, experiments, options, prototxt
from attscale.ablation import page as ablation_page
from attscale.ablation.studies import STUDIES
from attscale.data import lists, loader, shapes, verify
from attscale.data.images import check_label, read_image, read_label, voc_palette
from attscale.errors import RunError, UserError, reading
from attscale.files import write_text
from attscale.inference import inventory, provenance, scores, sources, submission
from attscale.machine import limits
from attscale.ops.interp import SizeRule
from attscale.prepare import archives, coco, ledger, listfiles, voc10_part, voc12
from attscale.prototxt import Model, artefacts
from attscale.results import benchmarks, compare, evaluations, report
from attscale.sweep import watch
from attscale.sweep.step import Job
from attscale.training import journal, models, runs, snapshots
from attscale.weights import caffemodel, fetch, load, manifest, statedict
from conftest import REAL, REPO
from fuzz import mutations, opinions
from helpers import ablation_runs, statedicts
from helpers import results as made
from helpers.archives import H, W, jpeg, label, mat, palette_png, saved, tar, zipped
from helpers.predictions import clip

ROW = experiments.find("shapes")


@dataclasses.dataclass(frozen=True)
class Base:
    """A file that is whole: its name below the reader's folder, what it holds, and which mutations suit it."""

    file: str
    data: bytes
    form: str = "bytes"  # a key of mutations.OF


class Reader:
    """A kind of file. Subclasses are found by their names."""

    #: Makes checksums right again, for some of the inputs: else nothing behind them is ever reached.
    repair = None

    def bases(self, folder):
        """The Bases; writes what else the call needs into `folder`."""
        raise NotImplementedError

    def read(self, path):
        """What a command makes of the file at `path`. Raises UserError for what it refuses."""
        raise NotImplementedError

    def changed(self, base, value, data, other):
        """How it can be told that `data`, a damaged base, was taken for something else; None where it cannot.

        value: what was read of the base; other: what was read of `data`.
        """
        return None


def real(pattern, most=4, largest=200_000):
    """(name, bytes) of the first real files that match and are not large; none where there are no real files."""
    found = [path for path in sorted(REAL.glob(pattern)) if path.stat().st_size <= largest]
    return [(path.name, path.read_bytes()) for path in found[:most]]


def same(one, other):
    """Whether two arrays, or containers of them, are equal."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return np.array_equal(one, other)


def picture(height=24, width=31, seed=0):
    return cv2.GaussianBlur(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8), (5, 5), 0)


def encoded(suffix, *flags, image=None):
    return cv2.imencode(suffix, picture() if image is None else image, flags)[1].tobytes()


class Jpeg(Reader):
    """Photographs. A JPEG has no checksum: what libjpeg does not notice cannot be told."""

    def bases(self, folder):
        yield Base("made.jpg", encoded(".jpg"))
        yield Base("progressive.jpg", encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
        yield Base("grey.jpg", encoded(".jpg", image=picture()[..., 0]))
        yield Base("restarts.jpg", encoded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2))
        exif = Image.Exif()
        exif[0x0112] = 6
        for name, mode in (("exif.jpg", "RGB"), ("cmyk.jpg", "CMYK")):
            buffer = io.BytesIO()
            Image.fromarray(picture()).convert(mode).save(buffer, "jpeg", exif=exif)
            yield Base(name, buffer.getvalue())
        for name, data in [*real("voc2012/JPEGImages/*.jpg", 2, 60_000), *real("pascal_part/*.jpg", 2, 20_000)]:
            yield Base(name, data)

    def read(self, path):
        read_image(path, oriented=True)
        return read_image(path)


class Png(Reader):
    """Photographs as PNG, every chunk of which has a checksum."""

    repair = staticmethod(mutations.png_repaired)

    def bases(self, folder):
        yield Base("made.png", encoded(".png"))
        yield Base("grey.png", encoded(".png", image=picture()[..., 0]))
        yield Base("alpha.png", encoded(".png", image=np.dstack([picture(), picture()[..., 0]])))
        yield Base("deep.png", encoded(".png", image=picture().astype(np.uint16) * 257))
        yield Base("palette.png", saved(Image.fromarray(picture()).quantize(16)))
        buffer = io.BytesIO()
        Image.fromarray(picture()).save(buffer, "png", dpi=(72, 72), pnginfo=None, optimize=True)
        yield Base("optimised.png", buffer.getvalue())
        for name, data in real("camvid/CamVid/train/*.png", 1, 400_000):
            part = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[100:180, 100:220]
            yield Base(name, encoded(".png", image=part))

    def read(self, path):
        return read_image(path)

    def changed(self, base, value, data, other):
        if not same(value, other) and (damage := opinions.png_damage(data)):
            return f"{damage}, and yet another image is read"
        return None


class OtherImages(Reader):
    """Formats without checksums."""

    def bases(self, folder):
        for suffix in (".bmp", ".tiff", ".webp", ".ppm"):
            yield Base(f"made{suffix}", encoded(suffix))
        yield Base("lossless.webp", encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101))
        for name, how in (
            ("deflate.tif", {"format": "tiff", "compression": "tiff_deflate"}),
            ("jpeg.tif", {"format": "tiff", "compression": "jpeg"}),
            ("raw.tif", {"format": "tiff"}),
            ("made.gif", {"format": "gif"}),
            ("rle.bmp", {"format": "bmp"}),
        ):
            buffer = io.BytesIO()
            image = Image.fromarray(picture())
            (image.quantize(16) if name in ("made.gif", "rle.bmp") else image).save(buffer, **how)
            yield Base(name, buffer.getvalue())

    def read(self, path):
        read_image(path, oriented=True)
        return read_image(path)


class Videos(Reader):
    """Frames of a video, whose format has no checksum."""

    def bases(self, folder):
        clip(folder / "made.mp4")
        yield Base("made.mp4", (folder / "made.mp4").read_bytes())

    def read(self, path):
        sources.frame_rate(path)
        return [source.pixels() for source in sources.frames(path)]


class LabelMaps(Reader):
    """Grey and palette PNGs: another index is another class, so every checksum counts."""

    repair = staticmethod(mutations.png_repaired)

    def bases(self, folder):
        classes = np.random.default_rng(0).choice(np.array([0, 1, 2, 15, 20, 255], np.uint8), (19, 27))
        yield Base("palette.png", palette_png(classes))
        yield Base("grey.png", saved(Image.fromarray(classes, mode="L")))
        yield Base("flat.png", palette_png(np.repeat(np.arange(20, dtype=np.uint8), 30)[:, None].repeat(40, axis=1)))
        for bits, colours in ((1, 2), (2, 4), (4, 16)):
            image = Image.fromarray(classes % np.uint8(colours), mode="P")
            image.putpalette(voc_palette(colours).tobytes())
            buffer = io.BytesIO()
            image.save(buffer, "png", bits=bits)
            yield Base(f"{bits}_bits.png", buffer.getvalue())
        for name, data in [
            *real("voc2012/SegmentationClassAug/*.png", 3),
            *real("ade20k/annotations/*.png", 1),
            *real("camvid/CamVid/valannot/*.png", 1),
        ]:
            yield Base(name, data)

    def read(self, path):
        return read_label(path)

    def changed(self, base, value, data, other):
        if not same(value, other) and (damage := opinions.png_damage(data)):
            return f"{damage}, and yet another label map is read"
        return None


class Submissions(LabelMaps):
    """Label maps once more, for VOC's server: with their colours."""

    def bases(self, folder):
        image = folder / "photograph.jpg"
        image.write_bytes(jpeg(0, (19, 27)))
        yield Base("palette.png", palette_png(label(0, 3, 20, size=(19, 27))))

    def read(self, path):
        submission.checked(path, path.parent / "photograph.jpg")
        return read_label(path)


class Lists(Reader):
    """List files of pairs, of images, and of ids."""

    def bases(self, folder):
        pairs = [(f"JPEGImages/{i}.jpg", f"SegmentationClass/{i}.png") for i in range(6)]
        yield Base("pairs.txt", lists.list_text(pairs).encode(), "text")
        for name, data in [*real("voc2012/list/val.txt"), *real("camvid/CamVid/val.txt")]:
            yield Base(name, b"".join(data.splitlines(keepends=True)[:60]), "text")

    def read(self, path):
        errors = []
        for read in (self._images, self._pairs, listfiles.ids):
            try:
                read(path)
            except UserError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    @staticmethod
    def _pairs(path):
        return lists.read_list(path.parent, path.name)

    @staticmethod
    def _images(path):
        found = lists.read_list(path.parent, path.name, labels=False)
        with contextlib.suppress(UserError):  # of one that is not there, as it should
            lists.check_pairs([(image,) for image, _ in found], path)


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


class Options(Reader):
    """JSON in `param_str` and in a sweep's jobs."""

    def bases(self, folder):
        run = runs.RunOptions.of(ROW, data="/data", weights="/w.caffemodel", seed=3, gpus=(0, 1), threads=2)
        chosen = {
            "loader": Model.of(ROW).loader(seed=3, rank=1, ranks=2, first=7),
            "run": run,
            "size": SizeRule(shrink_factor=4, zoom_factor=3, pad_beg=-1),
            "job": Job(step="predict", root="/runs", run=run, shard=1, shards=2, crf=True, processes=3),
        }
        for kind, values in chosen.items():
            yield Base(f"{kind}.json", options.encode(values).encode(), "json")
        fixed = {"root": "r", "source": "l", "classes": 5, "crop_size": 9, "batch_size": 1}
        yield Base("loader_scales.json", json.dumps({**fixed, "scales": [0.5, 1], "mean": [1, 2, 3]}).encode(), "json")
        yield Base("size_fixed.json", b'{"height": 3, "width": 4}', "json")

    def read(self, path):
        kind = _KINDS[path.stem.partition("_")[0]]
        found = options.decode(kind, text_of(path))
        if kind is SizeRule:
            found.output(41, 65)
        if kind is loader.LoaderOptions:
            loader.buffer_size(found)
        return kind, found

    def changed(self, base, value, data, other):
        kind, found = other
        if options.decode(kind, options.encode(found)) != found:
            return f"{kind.__name__} does not survive being written and read"
        return None


_KINDS = {"loader": loader.LoaderOptions, "run": runs.RunOptions, "size": SizeRule, "job": Job}


def text_of(path):
    """The text of a file, for what gets its text from Caffe or from the command line, and meets no strange file."""
    with reading(path):
        return path.read_text() if path.is_file() else ""


class RunRecords(Reader):
    """run.json, and the first that a training does with it."""

    def bases(self, folder):
        chosen = runs.RunOptions.of(ROW, data="/data", weights="/w.caffemodel", seed=3, threads=2, keep=2)
        runs.create(folder, chosen, ["train.py", "shapes"])
        yield Base(runs.RECORD, (folder / runs.RECORD).read_bytes(), "json")

    def read(self, path):
        found = runs.load(path.parent)
        model = models.of(found)
        limits.check_batch(model)
        model.solver.random_seed = found.seed
        place = {"seed": found.seed, "rank": 0, "ranks": found.ranks, "first": model.iter_size}
        loader.buffer_size(model.loader(found.data, **place))
        return found

    def changed(self, base, value, data, other):
        for name in ("max_iter", "batch_size", "iter_size", "snapshot_interval", "keep", "log_interval"):
            if getattr(other, name) < 1:
                return f"a run with {name} below 1 is taken"
        return None


def training_below(root):
    """ROW's, of a sweep into `root`."""
    return Job(step="train", root=str(root), run=runs.RunOptions.of(ROW, data="/data"))


class Logs(Reader):
    """log.jsonl: read, and continued from iteration 40; shown while a sweep runs."""

    def bases(self, folder):
        records = [*made.log(100), {"iteration": 100, "mean_iou": 0.5}]
        yield Base(f"{ROW.name}/{runs.LOG}", "".join(f"{json.dumps(one)}\n" for one in records).encode(), "json lines")

    def read(self, path):
        watch.status(training_below(path.parents[1]))
        found = journal.read(path.parent)
        with _Undrawn(path.parent, 40):
            pass
        shutil.rmtree(path.parent / runs.BOARD)
        return found


class _Undrawn(journal.Journal):
    """Without the plot, which takes a fifth of a second; the curves of `Reports` see the same numbers."""

    def _draw(self):
        pass


class Sweeps(Reader):
    """What says of an experiment that it is done, in the table of a sweep."""

    def bases(self, folder):
        complete = {"experiment": ROW.name, "split": "test", "images": 3, "crf": False}
        yield Base(f"sent/{ROW.name}/complete.json", json.dumps(complete).encode(), "json")
        yield Base(f"scored/{ROW.name}/evaluation.json", json.dumps(made.evaluation()).encode(), "json")

    def read(self, path):
        state, detail = watch.status(training_below(path.parents[1]))
        if state != "done":
            raise UserError(f"{path} is not taken for a result")
        return detail


class Evaluations(Reader):
    """evaluation.json: printed, and compared with the papers."""

    def bases(self, folder):
        by_size = [[8, 16, 3, [0.5, 0.25, 0.25]], [16, 32, 1, [0.25, 0.5, 0.25]]]
        more = {
            "attention_by_size": by_size,
            "iou_by_size": [[8, 16, 3, 0.5], [16, 32, 1, None]],
            "attention_by_class": {name: [0.5, 0.25, 0.25] for name in made.CLASSES} | {"star": None},
            "attention_by_height": [[0.5, 0.25, 0.25], None] * 4,
            "mean_iou_of_branches": {"1": 0.5, "0.5": 0.25},
        }
        yield Base("a/evaluation.json", json.dumps(made.evaluation(**more)).encode(), "json")
        values = made.evaluation("voc12_largefov", datasets.find("voc12").classes)
        yield Base("b/evaluation.json", json.dumps(values).encode(), "json")

    def read(self, path):
        found = evaluations.find([path.parent])
        compare.markdown(compare.tables(found))
        return [(one.text, one.markdown) for _, one in found]


class KeptRuns(Reader):
    """A run of docs/results, and the page that is written of it."""

    STUDY = STUDIES["shapes"]

    def bases(self, folder):
        kept_run = ablation_runs.kept_of(self.STUDY, "attention3_esupv", 0, 0.5)
        kept_run = dataclasses.replace(kept_run, crf=kept_run.evaluation)
        yield Base("shapes/seed0/attention3_esupv.json", options.encode(kept_run).encode(), "json")

    def read(self, path):
        return ablation_page.page(path.parents[2])


class Reports(Reader):
    """A run's folder as a page: evaluations, losses, pictures, speeds, the seed in its record."""

    def bases(self, folder):
        made.write_run(folder, made.evaluation(), made.log(), seed=3)
        made.write_run(folder / "crf", made.evaluation(crf=True))
        made.write_benchmark(folder, "data")
        (folder / "attention.png").write_bytes(encoded(".png"))
        for name in ("run.json", "evaluation.json", "crf/evaluation.json", "benchmark_data.json"):
            yield Base(name, (folder / name).read_bytes(), "json")
        yield Base(runs.LOG, (folder / runs.LOG).read_bytes(), "json lines")
        yield Base("attention.png", (folder / "attention.png").read_bytes())

    def read(self, path):
        folder = path.parent.parent if path.parent.name == "crf" else path.parent
        return report.page(report.find([folder]), speeds=benchmarks.find([folder]))


class Predictions(Reader):
    """predictions.json and .jsonl of a folder that is gone on with, refined and scored."""

    def bases(self, folder):
        self.made_by = {"experiment": ROW.name, "weights_sha256": "ab" * 32, "flip": False, "scales": [1.0]}
        done = inventory.Inventory(folder, provenance.PREDICTIONS, self.made_by, {"origin": f"{ROW.name} w.caffemodel"})
        for number in range(4):
            done.add(f"{number:06d}", inventory.digest(b"%d" % number))
        yield Base("predictions.json", (folder / "predictions.json").read_bytes(), "json")
        yield Base("predictions.jsonl", (folder / "predictions.jsonl").read_bytes(), "json lines")

    def read(self, path):
        provenance.check_predictions(path.parent, ROW)
        with contextlib.suppress(UserError):  # whether it has seen val: there are no lists here to tell
            provenance.refuse_seen(ROW, path.parent, ROW.dataset.val, predictions=path.parent)
        done = inventory.Inventory(path.parent, provenance.PREDICTIONS, self.made_by)
        return [done.has(f"{number:06d}", inventory.digest(b"%d" % number), "x") for number in range(5)]


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


class DataSets(Reader):
    """The data sets' own TOML files."""

    def bases(self, folder):
        for name in datasets.names():
            yield Base(f"{name}.toml", (Path(datasets.__file__).with_name(f"{name}.toml")).read_bytes(), "text")

    def read(self, path):
        found = datasets._read.__wrapped__(path)
        with contextlib.suppress(UserError):
            found.list_of(found.val)
        return found, found.sizes

    def changed(self, base, value, data, other):
        return None if len(other[0].classes) < 256 else "classes are taken of which 255 is one"


class Ledgers(Reader):
    """.prepared.json of an interrupted preparation, .verified.json of a check, shapes.json of the generated set."""

    def bases(self, folder):
        archive = folder / "a.tar"
        archive.write_bytes(b"x" * 100)
        book = ledger.Ledger(folder)
        for step in ("voc", "labels"):
            with book.step(step, archive) as make:
                for number in range(3):
                    make(folder / f"{step}/{number}.txt", _write, lambda: "text")
        yield Base(ledger.NAME, (folder / ledger.NAME).read_bytes(), "json")
        yield Base(verify.STAMPS, json.dumps({"shapes/train": "ab" * 32, "shapes/val": "cd" * 32}).encode(), "json")
        recipe = {"version": shapes._VERSION, "seed": 0, "train": 2, "val": 1}
        yield Base("shapes.json", json.dumps(recipe).encode(), "json")

    def read(self, path):
        if path.name == verify.STAMPS:
            return verify._stamps(path.parent).get("shapes/train")
        if path.name == "shapes.json":
            return shapes.make(path.parent, train=2, val=1, seed=0)
        book, archive = ledger.Ledger(path.parent), path.parent / "a.tar"
        for step in ("voc", "labels"):
            with book.step(step, archive) as make:
                for number in range(3):
                    if make:
                        make(path.parent / f"{step}/{number}.txt", _write, lambda: "text")
            book.demand(archive, [path.parent / f"{step}/{number}.txt" for number in range(3)], step)
        book.forget([path.parent / "voc/1.txt"])
        return book.files("voc", "labels")


def _write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


class CocoInstances(Reader):
    """COCO's instances: drawn, from an archive whose own checksums are right."""

    def bases(self, folder):
        (folder / "archives").mkdir()
        zipped(folder / "archives/val2014.zip", {"val2014/COCO_val2014_000000000007.jpg": jpeg(7)})
        zipped(folder / "archives/train2014.zip", {f"train2014/{i}.jpg": jpeg(i) for i in range(3)})
        yield Base("made.json", json.dumps(self._made()).encode(), "json")
        for _, data in real("coco/instances_val2017.json", largest=10**7):
            yield Base("real.json", json.dumps(self._cut(json.loads(data))).encode(), "json")

    @staticmethod
    def _made():
        images = [{"id": i, "file_name": f"{i}.jpg", "height": H, "width": W} for i in range(3)]
        mask = np.zeros((H, W), np.uint8, order="F")
        mask[3:9, 5:20] = 1
        compressed = coco.rle.encode(mask)
        boxes = [[2, 2, 12, 2, 12, 12, 2, 12], [0.5, 0.5, 20.25, 0.5, 10, 19]]
        annotations = [
            {"segmentation": segmentation, "area": 100.5 + number, "iscrowd": number % 2, "image_id": number % 3}
            | {"category_id": (1, 3, 90)[number % 3], "id": number}
            for number, segmentation in enumerate(
                [
                    *(boxes, {"size": [H, W], "counts": [0, H * 10, H * (W - 10)]}),
                    *(boxes[:1], {"size": [H, W], "counts": compressed["counts"].decode()}),
                    *(boxes[1:], {"size": [H, W], "counts": [10, 20, H * W - 30]}),
                ]
            )
        ]
        names = ((1, "person"), (3, "car"), (90, "toothbrush"))
        categories = [{"id": number, "name": name} for number, name in names]
        return {"images": images, "annotations": annotations, "categories": categories}

    @staticmethod
    def _cut(content):
        """The real image with the fewest points that has a crowd, under the name of a made one."""
        crowded = {a["image_id"] for a in content["annotations"] if a["iscrowd"]}
        sizes = {i: len(json.dumps([a for a in content["annotations"] if a["image_id"] == i])) for i in crowded}
        chosen = sorted(crowded, key=sizes.get)[:1]
        images = [image for image in content["images"] if image["id"] in chosen]
        keep = ("segmentation", "area", "iscrowd", "image_id", "category_id", "id")
        return {
            "images": [{**image, "file_name": f"{number}.jpg"} for number, image in enumerate(images)],
            "annotations": [{k: a[k] for k in keep} for a in content["annotations"] if a["image_id"] in chosen],
            "categories": content["categories"],
        }

    def read(self, path):
        root, folder = path.parent / "root", path.parent / "archives"
        shutil.rmtree(root, ignore_errors=True)
        none = {"images": [{"id": 7, "file_name": "COCO_val2014_000000000007.jpg", "height": H, "width": W}]}
        none |= {"annotations": [], "categories": []}
        members = {"annotations/instances_train2014.json": path.read_bytes() if path.is_file() else b""}
        zipped(
            folder / "annotations_trainval2014.zip",
            members | {"annotations/instances_val2014.json": json.dumps(none).encode()},
        )
        made = coco.prepare(ledger.Ledger(root), folder, full=True)
        labels = {str(p.relative_to(root)): read_label(p) for p in sorted(root.glob("Segmentation*/train2014/*.png"))}
        for name, value in labels.items():
            check_label(value, name, len(datasets.find("coco").classes))
        return labels, [file.pairs(root) for file in made]

    def changed(self, base, value, data, other):
        classes = datasets.find("coco").classes
        return opinions.coco_damage(data, classes)


class Mats(Reader):
    """MATLAB's files: SBD's label maps, PASCAL-Part's persons; what is compressed in them has a checksum."""

    def bases(self, folder):
        label_map = label(0, 7, 20)
        yield Base("sbd_made.mat", mat(GTcls={"Segmentation": label_map, "Boundaries": np.zeros((3, 1))}))
        mask = (label_map == 7).astype(np.uint8)
        part = {"part_name": "head", "mask": mask}
        person = {
            "class": "person",
            "class_ind": 15.0,
            "mask": mask,
            "parts": _structs([part, {**part, "part_name": "neck"}]),
        }
        anno = _structs([{"imname": "x", "objects": _structs([person, {**person, "class": "dog"}])}])
        yield Base("part_made.mat", mat(anno=anno))
        for name, data in real("pascal_part/2008_000*.mat"):
            yield Base(f"part_{name}", data)

    def read(self, path):
        if path.name.startswith("sbd"):
            data = path.read_bytes() if path.is_file() else b""
            return voc12._sbd_label(archives.Member(path.name, str(path), lambda: data))
        return voc10_part.merge(str(path), path.read_bytes() if path.is_file() else b"")

    def changed(self, base, value, data, other):
        if not same(value, other) and (damage := opinions.mat_damage(data)):
            return f"{damage}, and yet another label map is read"
        return None


def _structs(dicts):
    """A struct array of MATLAB."""
    result = np.zeros((1, len(dicts)), [(key, object) for key in dicts[0]])
    for number, values in enumerate(dicts):
        result[0, number] = tuple(values.values())
    return result


class Tars(Reader):
    """Tar archives: headers have checksums, members' bytes do not."""

    repair = staticmethod(mutations.tar_repaired)

    def bases(self, folder):
        tar(folder / "made.tar", _members())
        yield Base("made.tar", (folder / "made.tar").read_bytes())

    def read(self, path):
        return {member.name: member.read() for member in archives.members(path)}


class Tgzs(Tars):
    """Tar archives by gzip, which has a checksum of all."""

    repair = None

    def bases(self, folder):
        tar(folder / "made.tgz", _members(), "w:gz")
        yield Base("made.tgz", (folder / "made.tgz").read_bytes())

    def changed(self, base, value, data, other):
        strange = any(value.get(name) != content for name, content in other.items())
        if strange and (damage := opinions.gzip_damage(data)):
            return f"{damage}, and yet other members are read"
        return None  # whoever wants one that is missing says so


class Zips(Tars):
    """Zip archives: members' bytes have checksums, names do not."""

    repair = None

    def bases(self, folder):
        for name, method in (("stored.zip", zipfile.ZIP_STORED), ("deflated.zip", zipfile.ZIP_DEFLATED)):
            zipped(folder / name, _members(), method)
            yield Base(name, (folder / name).read_bytes())

    def changed(self, base, value, data, other):
        return opinions.zip_damage(data, other)


def _members():
    photograph, labels = jpeg(0), palette_png(label(0, 1, 20))
    folder = "VOCdevkit/VOC2012"
    return {
        f"{folder}/JPEGImages/2007_000001.jpg": photograph,
        f"{folder}/SegmentationClass/2007_000001.png": labels,
        f"{folder}/ImageSets/Segmentation/train.txt": b"2007_000001\n" * 30,
        f"{folder}/{'long_' * 30}.txt": b"beyond what a header holds",
    }


READERS = {
    "jpeg": Jpeg(),
    "png": Png(),
    "other images": OtherImages(),
    "videos": Videos(),
    "label maps": LabelMaps(),
    "submissions": Submissions(),
    "lists": Lists(),
    "caffemodels": Caffemodels(),
    "state dicts": StateDicts(),
    "snapshots": Snapshots(),
    "score maps": Scores(),
    "prototxts": Prototxts(),
    "edited nets": EditedNets(),
    "options": Options(),
    "run.json": RunRecords(),
    "log.jsonl": Logs(),
    "sweeps": Sweeps(),
    "kept runs": KeptRuns(),
    "evaluation.json": Evaluations(),
    "reports": Reports(),
    "predictions": Predictions(),
    "manifest.toml": Manifests(),
    "checksums.json": Checksums(),
    "data sets": DataSets(),
    "ledgers": Ledgers(),
    "coco": CocoInstances(),
    "mat": Mats(),
    "tar": Tars(),
    "tgz": Tgzs(),
    "zip": Zips(),
}
