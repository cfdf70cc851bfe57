#!/usr/bin/env python3
"""Trains, predicts and scores a table's experiments on a Dask cluster: here, at a scheduler, or through a batch system.

Finished ones are not run again, interrupted ones are continued by the same command.
"""

import dataclasses
import os
import sys

from attscale import cli
from attscale.errors import UserError

_OF_JOBS = ("--cores", "--memory", "--partition", "--walltime", "--job-line")


def main(argv):
    parser = cli.parser(__doc__, "python tools/sweep.py 3 --gpus 0,1")
    parser.add_argument(
        "names", metavar="TABLE|NAME", nargs="+", help="a table, 1 to 7 or refine:1 to refine:3, or experiments"
    )
    where = parser.add_mutually_exclusive_group()
    scheduler = "a Dask scheduler, whose workers need --resources slot=1 (default: workers here)"
    where.add_argument("--scheduler", metavar="tcp://...", help=scheduler)
    queue = "workers as jobs of a batch system (default: workers here)"
    where.add_argument("--queue", choices=["slurm", "pbs", "sge"], help=queue)
    where.add_argument("--slurm", dest="queue", action="store_const", const="slurm", help="the same as --queue slurm")
    parser.add_argument("--workers", metavar="N", type=cli.positive, default=1, help="here, or jobs (default: 1)")
    parser.add_argument("--gpus", metavar="N,N", type=numbers, default=(), help="a local worker on each (default: CPU)")
    parser.add_argument("--gpu", action="store_true", help="the workers of a scheduler or queue have a GPU each")
    parser.add_argument(
        "--cores", metavar="N", type=cli.positive, default=4, help="of a job; of SGE's see --job-line (default: 4)"
    )
    parser.add_argument("--memory", metavar="SIZE", default="32GB", help="of a job (default: 32GB)")
    parser.add_argument("--partition", metavar="NAME", help="of the batch system (default: its own)")
    walltime = "of a job; what it cuts off goes on with the same command, given again (default: 24:00:00)"
    parser.add_argument("--walltime", metavar="H:M:S", default="24:00:00", help=walltime)
    line = "of a job's header; SGE has to be asked for cores and GPUs so: --job-line='-pe smp 4' (default: none)"
    parser.add_argument("--job-line", metavar="LINE", action="append", default=[], help=line)
    parser.add_argument("--out", metavar="DIR", default="runs/sweep", help="on a shared disk (default: runs/sweep)")
    cli.add_data_argument(parser)
    parser.add_argument("--weights", metavar="DIR", default="weights", help="of initial weights (default: weights)")
    parser.add_argument(
        "--shards", metavar="N", type=cli.positive, default=1, help="parts of a prediction (default: 1)"
    )
    parser.add_argument("--crf", action="store_true", help="also the dense CRF on the scores, scored as well")
    parser.add_argument("--coco-stage", action="store_true", help="pretrain on MS-COCO first, where nets start from it")
    parser.add_argument("--max-iter", metavar="N", type=cli.positive, help="iterations (default: each experiment's)")
    parser.add_argument("--snapshot-interval", metavar="N", type=cli.positive, default=500, help="(default: 500)")
    threads = "of Caffe (default: OMP_NUM_THREADS, of a scheduler's workers theirs, or a share of the cores)"
    parser.add_argument("--threads", metavar="N", type=cli.positive, help=threads)
    parser.add_argument("--branches", action="store_true", help="also score each scale's own score map")
    parser.add_argument("--by-size", action="store_true", help="also scores and weights by object size")
    start = "caffemodel of nets that would start from scratch; {seed} in it is the seed (default: from scratch)"
    parser.add_argument("--start", metavar="FILE", help=start)
    several = parser.add_mutually_exclusive_group()
    several.add_argument("--seed", metavar="N", type=cli.seed, help="of the trainings (default: 0)")
    seeds = "each experiment once for each, in folders seed0, seed1, ... of --out (default: --seed)"
    several.add_argument("--seeds", metavar="N,N", type=numbers, default=(), help=seeds)
    arguments = parser.parse_args(argv)
    here = [("--gpus", name) for name in ("--gpu", "--scheduler", "--queue", "--workers")]
    needs = {"--gpu": ("--scheduler", "--queue")} | dict.fromkeys(_OF_JOBS, ("--queue",))
    cli.check(parser, arguments, apart=[*here, ("--scheduler", "--workers")], needs=needs)

    if arguments.crf:
        import attscale.inference.crf  # noqa: F401, which says before hours of training that pydensecrf2 is missing
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # read by the workers, too
    from attscale.sweep import cluster, plan, step, watch

    who = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(cluster.Workers)}
    workers = cluster.Workers(**who)
    rows = plan.rows_of(arguments.names, arguments.coco_stage, arguments.data)
    shared = {
        "data": os.path.abspath(arguments.data),
        "gpus": (0,) if arguments.gpus or arguments.gpu else (),
        **{name: getattr(arguments, name) for name in ("threads", "snapshot_interval")},
        **({"max_iter": arguments.max_iter} if arguments.max_iter else {}),
    }
    job = {name: getattr(arguments, name) for name in ("start", "crf", "branches", "by_size")}
    job["processes"] = workers.cores_of_a_step
    places = {seed: f"seed{seed}" for seed in arguments.seeds} or {arguments.seed or 0: ""}
    trainings = plan.trainings(rows, places, shared, os.path.abspath(arguments.out), arguments.weights, **job)
    for training in trainings:
        step.check(training)
    still_open = [training for training in trainings if watch.status(training)[0] != "done"]
    for training in () if arguments.scheduler else still_open:  # its workers may have other disks
        plan.demand_data(training)
    steps = [plan.steps_of(training, arguments.shards) for training in still_open]
    with workers.client() as client:
        errors = watch.watch(client, trainings, plan.submit(client, steps), show)
    if errors:
        label, error = next(iter(errors.items()))
        raise UserError(f"{len(errors)} of {len(trainings)} experiments failed; {label}: {error}")


def numbers(text):
    """Numbers from 0 with commas between them, for argparse."""
    return tuple(map(cli.seed, text.split(",")))


def show(lines):
    """The table, drawn over itself on a terminal and once more for every change elsewhere."""
    if sys.stdout.isatty():
        print("\x1b[H\x1b[J", end="")
    print("\n".join(lines) + "\n", flush=True)


if __name__ == "__main__":
    cli.run(main)
