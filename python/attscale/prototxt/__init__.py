"""Nets and solvers as Caffe's messages: of experiments, as committed files, and of folders of edited files."""

from attscale.prototxt.files import as_file, load
from attscale.prototxt.generate import FILES, deploy_net, solver, train_net
from attscale.prototxt.model import Model, choose

__all__ = ["FILES", "Model", "as_file", "choose", "deploy_net", "load", "solver", "train_net"]
