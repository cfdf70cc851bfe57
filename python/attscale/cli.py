"""What all commands share: errors as one line, quiet Caffe, common arguments."""

import argparse
import os
import select
import sys

from attscale.errors import UserError

_SIGPIPE = 128 + 13


def run(main):
    """Calls `main(argv)` and exits: 0, 1 with one line for what the user can mend, 130 for Ctrl-C.

    141, without a word, when whoever read the output has gone (`| head`): what a shell reports of SIGPIPE.

    Sets Caffe's log level, which it reads when it is first imported: `main` imports what needs caffe itself, after
    its arguments have been parsed.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")  # errors and worse; GLOG_minloglevel=0 shows all
    try:
        main(sys.argv[1:])
        print(end="", flush=True)  # a pipe that nobody reads is noticed here, not while Python shuts down
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:
        gone = [stream for stream in (sys.stdout, sys.stderr) if stream and _unread(stream)]
        if not gone:  # another pipe: a fault
            raise
        for stream in gone:  # what is still to be written goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(_SIGPIPE)
    except MemoryError as error:  # what NumPy raises in a layer; Caffe itself aborts
        sys.exit(f"error: out of memory: {error}")
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


def _unread(stream):
    """Whether `stream` is a pipe whose reader has gone."""
    poll = select.poll()
    poll.register(stream, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def parser(doc, example):
    """An ArgumentParser whose help is the first paragraph of `doc` and an example."""
    return argparse.ArgumentParser(
        description=doc.strip().split("\n\n")[0],
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def given(parser, argv):
    """The arguments that `argv` gives, as "NAME" or "--option"; not those left at their default."""
    absent = object()
    names = vars(parser.parse_args(argv))
    found = vars(parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(names, absent))))
    given = [name for name, value in found.items() if value is not absent and value is not None]
    return ["NAME" if name == "name" else f"--{name.replace('_', '-')}" for name in given]


def add_net_arguments(arguments, *, weights_required, name_required=True):
    """NAME, --weights, --data and --threads."""
    often = {} if name_required else {"nargs": "?"}
    arguments.add_argument(
        "name", metavar="NAME", **often, help="experiment or data set (python tools/make_net.py --list)"
    )
    arguments.add_argument("--weights", metavar="FILE", required=weights_required, help="caffemodel to start from")
    arguments.add_argument("--data", metavar="DIR", default="data", help="folder of the data sets (default: data)")
    arguments.add_argument("--threads", metavar="N", type=positive, help="BLAS threads (default: what suits the net)")


def add_device_arguments(arguments):
    """--device and --gpu, for commands that run a net on one device; `gpus_of` reads them."""
    device = default_device()
    arguments.add_argument("--device", choices=["cpu", "gpu"], default=device, help=f"(default: {device})")
    arguments.add_argument("--gpu", metavar="N", type=seed, help="--device gpu, and which one (default: 0)")


def default_device():
    """What the containers set, where the GPU is the default; else the CPU."""
    return os.environ.get("ATTSCALE_DEVICE", "cpu")


def gpus_of(arguments):
    """The GPUs to use, for `attscale.machine.device.choose`: one or none."""
    if arguments.gpu is not None:
        return (arguments.gpu,)
    return (0,) if arguments.device == "gpu" else ()


def seed(text):
    """An int of at least 0, for argparse: a seed, the number of a GPU."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text}, expected at least 0")
    return value


def positive(text):
    """An int of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}, expected at least 1")
    return value
