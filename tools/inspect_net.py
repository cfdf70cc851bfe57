#!/usr/bin/env python3
"""What a net costs: a table of its layers with shapes, parameters, multiply-adds and memory, by scale."""

from attscale import cli, experiments


def main(argv):
    parser = cli.parser(__doc__, "python tools/inspect_net.py voc --size 513 --draw voc.png")
    parser.add_argument("name", metavar="NAME", help="experiment or data set (python tools/make_net.py --list)")
    parser.add_argument("--size", metavar="N", type=cli.positive, help="of the image, 32k + 1 (default: the crop)")
    parser.add_argument("--draw", metavar="PNG", help="also write Caffe's picture of the training net (needs graphviz)")
    arguments = parser.parse_args(argv)
    row = experiments.find(arguments.name)

    from attscale.machine import inspection

    layers = inspection.inspect(row, arguments.size)
    print(*inspection.table(layers), sep="\n")
    single = experiments.find(row.baseline)
    if single.name != row.name:
        print(inspection.comparison(layers, inspection.inspect(single, arguments.size), single.name))
    if arguments.draw:
        inspection.draw(row, arguments.draw)
        print(f"wrote {arguments.draw}")


if __name__ == "__main__":
    cli.run(main)
