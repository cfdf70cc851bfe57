#!/usr/bin/env python3
"""What a net costs: a table of its layers with shapes, parameters, multiply-adds and memory, by scale."""

from attscale import cli, experiments


def main(argv):
    parser = cli.parser(__doc__, "python tools/inspect_net.py voc --size 513 --draw voc.png")
    cli.add_name_argument(parser)
    cli.add_data_argument(parser)
    parser.add_argument("--size", metavar="N", type=cli.positive, help="of the image, 32k + 1 (default: the crop)")
    drawn = "also write Caffe's picture of the training net there (needs graphviz; default: do not)"
    parser.add_argument("--draw", metavar="PNG", help=drawn)
    arguments = parser.parse_args(argv)
    row = experiments.find(arguments.name, arguments.data)

    from attscale.machine import device, inspection
    from attscale.prototxt import Model

    device.choose(())  # with cuDNN the net is on a GPU, or the end where there is none
    layers = inspection.inspect(Model.of(row, arguments.data), arguments.size)
    print(*inspection.table(layers), sep="\n")
    single = experiments.find(row.baseline, arguments.data)
    if single.name != row.name:
        print(
            inspection.comparison(
                layers, inspection.inspect(Model.of(single, arguments.data), arguments.size), single.name
            )
        )
    if arguments.draw:
        inspection.draw(Model.of(row, arguments.data), arguments.draw)
        print(f"wrote {arguments.draw}")


if __name__ == "__main__":
    cli.run(main)
