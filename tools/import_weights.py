#!/usr/bin/env python3
"""Makes a clean caffemodel for an experiment from a released one, old formats included; accounts for every layer."""

from pathlib import Path

from attscale import cli, experiments


def main(argv):
    parser = cli.parser(
        __doc__, "python tools/import_weights.py train2_iter_8000.caffemodel voc --out weights/w.caffemodel"
    )
    parser.add_argument("released", metavar="FILE", help="the caffemodel to read")
    cli.add_name_argument(parser)
    cli.add_data_argument(parser)
    parser.add_argument("--out", metavar="FILE", required=True, help="the caffemodel to write")
    classifier = parser.add_mutually_exclusive_group()
    classifier.add_argument("--rename-classifier", action="store_true", help="take the file's fc8_* for the net's")
    classifier.add_argument("--fresh-classifier", action="store_true", help="leave the classifier out")
    parser.add_argument("--partial", action="store_true", help="leave out what the file lacks")
    arguments = parser.parse_args(argv)
    row = experiments.find(arguments.name, arguments.data)

    from attscale import prototxt
    from attscale.machine import device
    from attscale.nets import geometry
    from attscale.weights import caffemodel, transplant

    device.choose(())  # with cuDNN the net is on a GPU, or the end where there is none
    target = transplant.Target.of(prototxt.load(prototxt.deploy_net(row, size=33)), geometry.scores_name(row))
    layers, lines = transplant.transplant(
        caffemodel.read(arguments.released),
        target,
        rename_classifier=arguments.rename_classifier,
        fresh_classifier=arguments.fresh_classifier,
        partial=arguments.partial,
    )
    width = max(len(line.name) for line in lines)
    for line in lines:
        print(f"{line.name:{width}}  {line.fate:8}  {line.detail}".rstrip())
    # the net's name tells what the weights are of, and what they came from (attscale.inference.provenance)
    caffemodel.write(arguments.out, layers, name=f"{row.name} from {Path(arguments.released).name}")
    print(f"wrote {arguments.out}: {len(layers)} layers")


if __name__ == "__main__":
    cli.run(main)
