"""Caffe layers in Python: shells that read `param_str` and call `attscale.ops` and `attscale.data`.

A prototxt names them as `python_param { module: "attscale.layers" layer: "Interp" param_str: '{"zoom_factor": 2}' }`.
"""

from attscale.layers.attention import ScaleAttention
from attscale.layers.data import SegData
from attscale.layers.interp import Interp, LabelShrink
from attscale.layers.pooling import AdaptivePool

__all__ = ["AdaptivePool", "Interp", "LabelShrink", "ScaleAttention", "SegData"]
