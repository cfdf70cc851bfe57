"""The fully connected CRF of Kraehenbuehl and Koltun over score maps, by pydensecrf, with the release's parameters."""

import dataclasses
from pathlib import Path

import numpy as np

from attscale.data.images import decode_image, read_bytes, write_label
from attscale.errors import DataError, UserError
from attscale.inference import inventory, provenance, scores
from attscale.processes import in_processes

try:
    import pydensecrf.densecrf as dcrf
except ModuleNotFoundError:
    raise UserError("the dense CRF needs pydensecrf2: install the wheel that `make wheel` makes of it") from None

#: Of weights, standard deviations and iterations: what is larger makes no sense of any image. The least deviation is 1:
#: pydensecrf counts steps of it with 16 bits, which wrap without a word where there are too many, or end the process.
_MOST = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrfOptions:
    """Weights and standard deviations (xy in pixels, rgb in grey levels) of the two kernels, and the iterations."""

    bi_w: float
    bi_xy: float
    bi_rgb: float
    pos_w: float = 3
    pos_xy: float = 3
    iterations: int = 10

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            least = 0 if name in ("bi_w", "pos_w") else 1  # a weight of 0 leaves the kernel out
            if not least <= value <= _MOST:
                raise UserError(f"the CRF's {name} is {value}, expected {least} to {_MOST}")


def _of(bi_w, bi_xy, bi_rgb):
    return CrfOptions(bi_w=bi_w, bi_xy=bi_xy, bi_rgb=bi_rgb)


#: The release's, by model (docs/release.md, Dense CRF).
PARAMETERS = {
    "DeepLab": _of(5, 50, 10),
    "MSc": _of(3, 95, 3),
    "COCO": _of(5, 67, 3),
    "LargeFOV": _of(4, 121, 5),
    "MSc-LargeFOV": _of(4, 83, 5),
    "COCO-LargeFOV": _of(5, 69, 5),
    "MSc-COCO-LargeFOV": _of(4, 59, 5),
    "VOC attention + COCO": _of(4, 49, 5),
    "Person-Part attention": _of(4, 19, 3),
    "Person-Part max": _of(4, 15, 3),
    "Person-Part average": _of(5, 11, 5),
    "Person-Part baseline": _of(4, 21, 3),
}


def model_of(row):
    """The model of PARAMETERS whose parameters a row takes.

    The release has them for its test-set entries, the authors' copy for Person-Part. On other sets nets with several
    scales take those of VOC's attention net, and single-scale nets those of LargeFOV.
    """
    if row.dataset.name == "voc10_part":
        return f"Person-Part {row.merge or 'baseline'}"
    if row.merge:
        return "VOC attention + COCO"
    return ("MSc-" if row.msc else "") + ("COCO-" if row.pretraining == "coco" else "") + "LargeFOV"


def apply(image, maps, options):
    """The marginals (classes, H, W) float32 of the CRF over `maps`, float32 scores (classes, H, W) before the softmax.

    image: (H, W, 3) uint8; RGB or BGR make no difference, since one deviation serves all channels. The unary is the
    negative log of the softmax, which is minus the score up to a constant per pixel. Potts compatibility, messages
    normalised after filtering, as in the release's code (pydensecrf's own default differs).
    """
    classes, height, width = maps.shape
    crf = dcrf.DenseCRF2D(width, height, classes)
    top = maps.max(axis=0)
    logarithm = maps - top - np.log(np.exp(maps - top).sum(axis=0))
    crf.setUnaryEnergy(np.ascontiguousarray(-logarithm.reshape(classes, -1)))
    kernel = {"kernel": dcrf.KernelType.DIAG_KERNEL, "normalization": dcrf.NormalizationType.NORMALIZE_AFTER}
    crf.addPairwiseGaussian(sxy=options.pos_xy, compat=options.pos_w, **kernel)
    crf.addPairwiseBilateral(
        sxy=options.bi_xy, srgb=options.bi_rgb, rgbim=np.ascontiguousarray(image), compat=options.bi_w, **kernel
    )
    return np.array(crf.inference(options.iterations), np.float32).reshape(classes, height, width)


def check_fit(score_path, maps, classes, image):
    """Raises DataError unless the score map is of so many classes, and of the image's size."""
    found, expected = maps.shape, (classes, *image.shape[:2])
    if found != expected:
        raise DataError(f"{score_path}: holds (classes, height, width) {found}, its image needs {expected}")


def label(image_path, score_path, classes, options, oriented=False):
    """The label map (H, W) uint8 of an image, from its score map on disk; and the digest of what the two files hold.

    oriented: turn the image as its EXIF tag says, where that was done for the scores. Raises DataError.
    """
    contents = read_bytes(image_path), read_bytes(score_path)
    image, maps = decode_image(contents[0], image_path, oriented=oriented), scores.decode(contents[1], score_path)
    check_fit(score_path, maps, classes, image)
    return scores.classes_of(apply(image, maps, options)), inventory.digest(*contents)


def refine(row, images, score_folder, folder, options, *, oriented=False, processes=None, progress=iter):
    """Writes `<id>.png` into `folder` for every image that has none there, from its score map; returns how many.

    The options and the record of the predictions that the scores lie beside are recorded; results of others, or of
    other images and scores, are refused. One process a core, or as many as said. The first bad file raises DataError;
    what was finished is kept.
    """
    beside = provenance.records(Path(score_folder).parent).get(provenance.PREDICTIONS)
    made_by = {"experiment": row.name, "scores": beside, **dataclasses.asdict(options), "oriented": oriented}
    done = inventory.Inventory(folder, provenance.CRF, made_by)
    classes = len(row.dataset.classes)
    pairs = {Path(image).stem: (image, scores.name(score_folder, image)) for image in images}
    missing = [name for name, pair in pairs.items() if not _has(done, name, pair)]
    colours = row.dataset.colours
    jobs = [(done.folder / f"{name}.png", colours, *pairs[name], classes, options, oriented) for name in missing]
    digests = in_processes(_write, jobs, processes)
    for name in progress(missing):
        done.add(name, next(digests))
    return len(missing)


def _has(done, name, pair):
    there = (done.folder / f"{name}.png").exists()
    return there and done.has(name, inventory.digest(*map(read_bytes, pair)), pair[1])


def _write(path, colours, *job):
    found, digest = label(*job)
    write_label(path, found, colours)
    return digest
