#!/usr/bin/env python3
"""Makes DeepLab-LargeFOV's start from the plain 16-layer VGG net (VGG_ILSVRC_16_layers.caffemodel)."""

from attscale import cli


def main(argv):
    parser = cli.parser(__doc__, "python tools/convert_vgg.py weights/VGG_ILSVRC_16_layers.caffemodel")
    parser.add_argument("vgg", metavar="FILE", help="caffemodel of the 16-layer VGG net, old format or new")
    out = "weights/vgg16_largefov.caffemodel"
    parser.add_argument("--out", metavar="FILE", default=out, help="(default: %(default)s)")
    arguments = parser.parse_args(argv)

    from attscale.weights import caffemodel, convert

    layers = convert.largefov_from_vgg(caffemodel.read(arguments.vgg))
    caffemodel.write(arguments.out, layers, name="vgg16_largefov")
    for layer in layers:
        print(f"{layer.name:8} {' '.join('x'.join(map(str, shape)) for shape in layer.shapes)}")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    cli.run(main)
