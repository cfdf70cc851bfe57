"""What a second look says of a damaged file, without the code that read it: checksums, lengths, run lengths."""

import io
import json
import struct
import zipfile
import zlib


def png_damage(data):
    """What is wrong with a PNG by the checksums of its chunks, in a few words; None for one that is whole."""
    place = 8
    while place + 12 <= len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        kind, end = data[place + 4 : place + 8], place + 12 + size
        if end > len(data):
            return f"chunk {kind!r} is cut short"
        if zlib.crc32(data[place + 4 : end - 4]) != struct.unpack(">I", data[end - 4 : end])[0]:
            return f"the checksum of chunk {kind!r} is wrong"
        if kind == b"IEND":
            return None
        place = end
    return "it has no end"


def gzip_damage(data):
    """What zlib says of a gzip file that is not whole; None for one that is."""
    while data.strip(b"\0"):
        stream = zlib.decompressobj(wbits=31)
        try:
            stream.decompress(data)
        except zlib.error as error:
            return str(error)
        if not stream.eof:
            return "it is cut short"
        data = stream.unused_data
    return None


def zip_damage(data, members):
    """Whether a member, {name: bytes}, is not what its entry in the archive's directory says; None where all are."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {info.filename: (info.CRC, info.file_size) for info in archive.infolist()}
    if any(
        entries[name] != (zlib.crc32(content), len(content)) for name, content in members.items() if name in entries
    ):
        return "a member is read that is not what its checksum and its size are of"
    return None


def mat_damage(data):
    """What is wrong with the compressed parts of a MATLAB file, which end in a checksum; None for one that is whole."""
    place = 128
    while place + 8 <= len(data):
        kind, size = struct.unpack("<II", data[place : place + 8])
        if place + 8 + size > len(data):
            return "an element is cut short"
        if kind == 15:
            stream = zlib.decompressobj()
            try:
                stream.decompress(data[place + 8 : place + 8 + size])
            except zlib.error as error:
                return str(error)
            if not stream.eof:
                return "a compressed element has no end"
        place += 8 + size
    return None


def runs_of(counts):
    """The run lengths in COCO's `counts`: as they are, or out of its text, five bits to a character."""
    if isinstance(counts, list):
        return counts
    runs, value, shift = [], 0, 0
    for character in counts.encode("latin-1"):
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    return runs


def coco_damage(text, classes):
    """Whether an annotation of a drawn category has run lengths that are not those of its image; None without any."""
    content = json.loads(text)
    sizes = {image["id"]: image["height"] * image["width"] for image in content["images"]}
    names = {category["id"]: category["name"] for category in content["categories"]}
    for annotation in content["annotations"]:
        segmentation = annotation["segmentation"]
        if isinstance(segmentation, list) or annotation["image_id"] not in sizes:
            continue
        if names.get(annotation["category_id"]) not in classes:
            continue
        runs = runs_of(segmentation["counts"])
        whole = all(isinstance(run, int) and run >= 0 for run in runs)
        if not whole or sum(runs) != sizes[annotation["image_id"]]:
            return "run lengths do not cover their image, and yet they are drawn"
    return None
