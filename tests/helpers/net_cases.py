"""Shared by the tests of nets: layers by name, nets in Caffe, rows that are small enough to train."""

import dataclasses
from fractions import Fraction

from google.protobuf import text_format


def layers(message):
    return {layer.name: layer for layer in message.layer}


def caffe_net(tmp_path, message, phase):
    import caffe

    path = tmp_path / f"{message.name}.prototxt"
    path.write_text(text_format.MessageToString(message))
    return caffe.Net(str(path), phase)


def with_inputs(message, batch, size):
    """The training net with plain inputs for SegData."""
    del message.layer[0]
    for name, channels in (("label", 1), ("data", 3)):
        layer = type(message)().layer.add(name=name, type="Input", top=[name])
        layer.input_param.shape.add(dim=[batch, channels, size, size])
        message.layer.insert(0, layer)
    return message


def narrow(row):
    """The row at 1/16 width from scratch, without dropout, on 97 pixels."""
    trunk = dataclasses.replace(row.trunk, width=Fraction(1, 16), from_scratch=True, dropout=0.0, fc6_dilation=2)
    attention = dataclasses.replace(row.attention, filters=16)
    return dataclasses.replace(row, trunk=trunk, attention=attention, pretraining=None, crop_size=97, test_size=97)
