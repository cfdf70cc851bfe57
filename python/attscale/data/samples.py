"""One pair of a list, read, checked and augmented."""

from attscale.data import transforms
from attscale.data.images import check_label, orientation, read_image, read_label
from attscale.errors import DataError


def load_pair(image_path, label_path, classes, values=None):
    """Image (H, W, 3) and label (H, W), checked against each other and against the number of classes.

    values: the data set's LabelValues, as `read_label` takes them.
    """
    image, label = read_image(image_path), read_label(label_path, values)
    if image.shape[:2] != label.shape:
        turned = image.shape[1::-1] == label.shape and (tag := orientation(image_path)) != 1
        raise DataError(
            f"{image_path} is {image.shape[1]}x{image.shape[0]} pixels, "
            f"its label {label_path} {label.shape[1]}x{label.shape[0]}"
            + (f": the image has the EXIF orientation {tag}, and they are not turned alike" if turned else "")
        )
    check_label(label, label_path, classes)
    return image, label


def load_sample(pair, rng, options, data_out, label_out):
    """Loads and augments one pair into data_out (3, crop, crop) and label_out (crop, crop), uint8, mean included.

    Returns what is not padding, as `transforms.cut` does.
    """
    image, label = load_pair(*pair, options.classes, options.values)
    factor = transforms.draw_scale(rng, options.scales, options.scale_range)
    image, label = transforms.scaled(image, factor), transforms.scaled_label(label, factor)
    top, left = transforms.draw_crop(rng, *label.shape, options.crop_size)
    mirror = options.mirror and bool(rng.integers(2))
    return transforms.cut(image, label, top, left, mirror, data_out, label_out)
