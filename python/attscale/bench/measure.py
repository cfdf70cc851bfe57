"""A part, by its name: measured, on a machine that is described."""

import importlib

from attscale.bench import card, machine
from attscale.bench.catalogue import PARTS
from attscale.results.benchmarks import Measured


def measure(part, options, progress=iter):
    """The Measured of a part of the catalogue with these options. Raises UserError where it cannot be measured."""
    module, function = PARTS[part].where.split(".")
    function = getattr(importlib.import_module(f"attscale.bench.{module}"), function)
    findings = function(progress=progress, **options)
    on = machine.describe(str(card.read(0)) if options.get("on") == "gpu" else "")
    return Measured(part=part, machine=on, findings=findings)
