"""The committed prototxts: written from the rows, and checked against them."""

import dataclasses
from pathlib import Path

from google.protobuf import text_format

from attscale.errors import ExperimentError
from attscale.experiments import find
from attscale.files import write_text
from attscale.paper import SCALE
from attscale.prototxt import files, generate


@dataclasses.dataclass(frozen=True)
class Artefact:
    """A generated file: where it goes, its text, and the message that the text holds."""

    path: Path
    text: str
    message: object

    def difference(self):
        """What the file lacks, in a line, compared as parsed messages; None where it is as generated."""
        try:
            found = files.parse(self.path, type(self.message))
        except ExperimentError as error:
            return str(error)
        return None if found == self.message else f"{self.path}: differs from what its experiment says"


def artefacts(row, folder):
    """The three files of a row below `folder`."""
    header = f"# {row.name}: {row.title}\n"
    for cell in row.cells:
        header += f"# {'Attention to Scale, ' if cell.paper == SCALE else ''}{cell}\n"
    if row.start:
        header += f"# starts from {row.start}\n"
    header += f"# Generated: python tools/make_net.py {row.name}\n"
    headers = (header, header, f"{header}# From the repository's root: {_command(row)}\n")
    messages = (generate.train_net(row), generate.deploy_net(row), generate.solver(row))
    return [
        Artefact(generate.place(row, folder) / name, header + text_format.MessageToString(message), message)
        for name, header, message in zip(generate.FILES, headers, messages, strict=True)
    ]


def _command(row):
    """How the program caffe trains the row."""
    command = f"caffe train --solver={generate.place(row, 'prototxt') / generate.FILES[-1]}"
    if row.start is None:
        return command
    return f"{command} --weights={Path('weights', row.initial_weights) if row.initial_weights else 'FILE'}"


def write(rows, folder):
    """Writes the files of `rows` below `folder`, each whole or not at all."""
    for row in rows:
        for artefact in artefacts(row, folder):
            write_text(artefact.path, artefact.text)


def check(rows, folder):
    """What differs between the files below `folder` and the rows, a line each; and folders that no experiment has."""
    problems = [artefact.difference() for row in rows for artefact in artefacts(row, folder)]
    places = sorted({path.parent for path in Path(folder).rglob("*.prototxt")})
    strange = [place for place in places if not _is_known(place.relative_to(folder))]
    return [*filter(None, problems), *(f"{place}: no experiment has its files here" for place in strange)]


def _is_known(place):
    """Whether the path, data set and net, is that of an experiment: of the papers, or of their like."""
    try:
        row = find("_".join(place.parts))
    except ExperimentError:
        return False
    return place == generate.place(row, "")
