"""What all commands share: errors as one line, quiet Caffe, common arguments."""

import argparse
import itertools
import os
import select
import sys
import traceback
from pathlib import Path

from attscale import pycaffe
from attscale.errors import UserError, one_line

_SIGPIPE = 128 + 13
DEBUG = "ATTSCALE_DEBUG"


def run(main):
    """Calls `main(argv)` and exits: 0, 1 with one line of error, 130 for Ctrl-C.

    This is the net under everything: an error that nobody expected is one line, too, with the place in our code where
    it came up; ATTSCALE_DEBUG=1 shows the trace of any. 141, without a word, when whoever read the output has gone
    (`| head`): what a shell reports of SIGPIPE.

    Sets Caffe's log level, which it reads when it is first imported, and which Caffe that is, if CAFFE_ROOT says so:
    `main` imports what needs caffe itself, after its arguments have been parsed.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")  # errors and worse; GLOG_minloglevel=0 shows all
    pycaffe.watch()
    _open_streams()
    try:
        main(sys.argv[1:])
        print(end="", flush=True)  # a pipe that nobody reads is noticed here, not while Python shuts down
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:  # noqa: BLE001, the one place where all of them end
        if isinstance(error, BrokenPipeError) and (gone := [s for s in (sys.stdout, sys.stderr) if s and _unread(s)]):
            for stream in gone:  # what is still to be written goes nowhere
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            sys.exit(_SIGPIPE)
        if os.environ.get(DEBUG):
            traceback.print_exc()
        sys.exit(f"error: {' '.join(described(error).splitlines())}")  # the name of a file may hold line breaks


def _open_streams():
    """Has standard streams that are closed (`<&-`, a daemon's) lead nowhere.

    Else the next file that is opened takes the place of one, is read or written as that, and closed as that.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w"))  # noqa: SIM115, until the process ends


def described(error):
    """An exception as one line: a UserError's own, else what it says, its kind, and where in our code it came up."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):  # what NumPy raises in a layer; Caffe itself aborts
        return f"out of memory: {one_line(error)}"
    ours = Path(__file__).parents[2]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(ours)]
    where = f" at {Path(frames[-1].filename).relative_to(ours)}:{frames[-1].lineno}" if frames else ""
    if isinstance(error, OSError) and error.filename is not None:
        said = f"{error.filename}: {error.strerror}"
    else:
        said = one_line(error)
    return f"{said} (unexpected: {type(error).__name__}{where}; {DEBUG}=1 shows the trace)"


def _unread(stream):
    """Whether `stream` is a pipe whose reader has gone."""
    poll = select.poll()
    poll.register(stream, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


class _Parser(argparse.ArgumentParser):
    """Refuses empty values: whoever gives one meant a variable that is not set, and `--weights ""` is not without."""

    def parse_known_args(self, args=None, namespace=None):
        self._refuse_empty(args)
        return super().parse_known_args(args, namespace)

    def parse_known_intermixed_args(self, args=None, namespace=None):
        self._refuse_empty(args)  # since Python 3.13 it no longer comes by the method above
        return super().parse_known_intermixed_args(args, namespace)

    def _refuse_empty(self, args):
        for before, value in itertools.pairwise(["", *args]):
            option, equals, rest = value.partition("=")
            if not value or (option.startswith("--") and equals and not rest):
                name = option or before
                where = f"argument {name}: " if name.startswith("-") else ""
                self.error(f"{where}an empty name; a variable that is not set?")


def parser(doc, example, make=_Parser, **options):
    """An ArgumentParser whose help is the first paragraph of `doc` and an example.

    make: what makes it of these and `options`, such as the add_parser of another parser's subparsers.
    """
    return make(
        **options,
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


def check(parser, arguments, *, apart=(), needs=None):
    """Raises UserError where options contradict one another, which are called as the help has them: "--out", "IMAGE".

    apart: sets of which at most one may be given; needs: {option: those of which it needs one}. What has its default's
    value counts as not given.
    """
    dests = {(action.option_strings or [action.metavar])[0]: action for action in parser._actions}
    values = {name: (getattr(arguments, action.dest, None), action.default) for name, action in dests.items()}
    given = {name for name, (value, default) in values.items() if value not in (default, None, [])}
    for group in apart:
        if len(both := [name for name in group if name in given]) > 1:
            raise UserError(f"{both[0]} does not go with {both[1]}")
    for name, others in (needs or {}).items():
        if name in given and not given & set(others):
            raise UserError(f"{name} is of use only with {' or '.join(others)}")


def add_name_argument(arguments, **options):
    """NAME."""
    words = "experiment or data set (python tools/make_net.py --list)"
    arguments.add_argument("name", metavar="NAME", help=words, **options)


def add_data_argument(arguments):
    """--data."""
    arguments.add_argument("--data", metavar="DIR", default="data", help="folder of the data sets (default: data)")


def add_threads_argument(arguments):
    """--threads."""
    arguments.add_argument("--threads", metavar="N", type=positive, help="of Caffe (default: OMP_NUM_THREADS or all)")


def add_net_arguments(arguments, *, weights_required, weights="caffemodel of the net"):
    """NAME or --net, --weights, --data and --threads; weights: their help. `check_net` looks at the first two."""
    add_name_argument(arguments, nargs="?")
    net = "folder of edited prototxts, in place of NAME (default: NAME's own)"
    arguments.add_argument("--net", metavar="DIR", help=net)
    arguments.add_argument("--weights", metavar="FILE", required=weights_required, help=weights)
    add_data_argument(arguments)
    add_threads_argument(arguments)


def check_net(parser, arguments):
    """Ends with the parser's error unless there is one of NAME and --net. With --net the first image is not NAME."""
    if arguments.net and arguments.name and "images" in arguments:
        arguments.images.insert(0, arguments.name)
        arguments.name = None
    if bool(arguments.net) == bool(arguments.name):
        parser.error("name an experiment, or a folder of prototxts with --net; one of the two")


def add_device_arguments(arguments):
    """--device and --gpu, for commands that run a net on one device; `gpus_of` reads them."""
    arguments.add_argument("--device", choices=["cpu", "gpu"], help=f"(default: {default_device()})")
    arguments.add_argument("--gpu", metavar="N", type=seed, help="--device gpu, and which one (default: 0)")


def default_device():
    """What the containers set, where the GPU is the default; else the CPU."""
    return os.environ.get("ATTSCALE_DEVICE", "cpu")


def gpus_of(arguments):
    """The GPUs to use, for `attscale.machine.device.choose`: one or none. Raises UserError for one on the CPU."""
    if arguments.gpu is not None:
        if arguments.device == "cpu":
            raise UserError("--gpu does not go with --device cpu")
        return (arguments.gpu,)
    return (0,) if (arguments.device or default_device()) == "gpu" else ()


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
