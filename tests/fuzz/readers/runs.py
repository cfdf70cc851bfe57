"""What runs, sweeps and reports leave on disk for others to read."""

import contextlib
import dataclasses
import json
import shutil

from attscale import datasets, options
from attscale.ablation import page as ablation_page
from attscale.ablation.studies import STUDIES
from attscale.data import loader
from attscale.errors import UserError, reading
from attscale.inference import inventory, provenance
from attscale.machine import limits
from attscale.ops.interp import SizeRule
from attscale.prototxt import Model
from attscale.results import benchmarks, compare, evaluations, presentation, report
from attscale.sweep import watch
from attscale.sweep.step import Job
from attscale.training import journal, models, runs
from fuzz.readers.base import ROW, Base, Reader, encoded
from helpers import ablation_runs
from helpers import results as made


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
        return [(presentation.text(one), presentation.markdown(one)) for _, one in found]


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
