#!/usr/bin/env python3
"""Makes the start of the nets on ResNet-34 from torchvision's weights (resnet34-b627a593.pth, or safetensors)."""

from attscale import cli


def main(argv):
    parser = cli.parser(__doc__, "python tools/convert_resnet.py weights/resnet34-b627a593.pth")
    parser.add_argument(
        "state", metavar="FILE", help="torchvision's state dict of resnet34: torch.save's, or safetensors"
    )
    out = "weights/resnet34.caffemodel"
    parser.add_argument("--out", metavar="FILE", default=out, help="(default: %(default)s)")
    arguments = parser.parse_args(argv)

    from attscale.weights import caffemodel, resnet34, statedict

    layers = resnet34.from_state_dict(statedict.read(arguments.state))
    caffemodel.write(arguments.out, layers, name="resnet34")
    for layer in layers:
        print(f"{layer.name:28} {' '.join('x'.join(map(str, shape)) for shape in layer.shapes)}")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    cli.run(main)
