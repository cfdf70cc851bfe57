"""Photographs, videos and label maps."""

import io

import cv2
import numpy as np
from PIL import Image

from attscale.data.images import read_image, read_label, voc_palette
from attscale.inference import sources, submission
from fuzz import mutations, opinions
from fuzz.readers.base import Base, Reader, encoded, picture, real, taken_for
from helpers.archives import jpeg, label, palette_png, saved
from helpers.predictions import clip


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
        return taken_for("image", opinions.png_damage, data, value, other)


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
        return taken_for("label map", opinions.png_damage, data, value, other)


class Submissions(LabelMaps):
    """Label maps once more, for VOC's server: with their colours."""

    def bases(self, folder):
        image = folder / "photograph.jpg"
        image.write_bytes(jpeg(0, (19, 27)))
        yield Base("palette.png", palette_png(label(0, 3, 20, size=(19, 27))))

    def read(self, path):
        submission.checked(path, path.parent / "photograph.jpg")
        return read_label(path)
