"""Data sets as they are published, and what is written down about them."""

import contextlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np

from attscale import datasets
from attscale.data import lists, shapes, verify
from attscale.data.images import check_label, read_label
from attscale.errors import UserError
from attscale.prepare import archives, coco, ledger, listfiles, voc10_part, voc12
from fuzz import mutations, opinions
from fuzz.readers.base import Base, Reader, real, taken_for
from helpers.archives import H, W, jpeg, label, mat, palette_png, tar, zipped


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
        return taken_for("label map", opinions.mat_damage, data, value, other)


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
