"""The Model that a run trains."""

from pathlib import Path

from attscale import experiments, prototxt
from attscale.prototxt import Model


def of(options, folder=None):
    """By its RunOptions, with their iterations and batch. folder: the run's, which keeps edited prototxts.

    Raises ExperimentError.
    """
    if options.net is None:
        model = Model.of(experiments.find(options.experiment, options.data), options.data)
    else:
        begun = folder is not None and Path(folder, prototxt.FILES[-1]).exists()  # the last one written
        model = Model.read(folder if begun else options.net, options.data)
    return model.having(max_iter=options.max_iter, batch_size=options.batch_size, iter_size=options.iter_size)
