"""The command line options of scoring on a cluster, in a file of their own so that --help need not load the engine."""

from __future__ import annotations

import argparse

from system.command_line import positive_int

LOCAL, RAY = "local", "ray"
# The arguments of `argparse.ArgumentParser.add_argument` for each option.
CLUSTER_OPTIONS: dict[str, dict] = {
    "--engine": {
        "choices": (LOCAL, RAY),
        "help": "where to score --file: in this process, or on a Ray cluster; ray also takes a pattern such as "
        "'reviews/*.parquet' and URIs (s3://, gs://, hdfs://, file://), and writes an --output without a suffix as a "
        "folder of files (default: local)",
    },
    "--ray-address": {
        "metavar": "ADDRESS",
        "help": "address of the Ray cluster; auto: the one that runs on this machine (default: that one, or else a new "
        "one on this machine)",
    },
    "--actors": {
        "type": positive_int,
        "nargs": "+",
        "metavar": "N",
        "help": "processes that predict, each on one CPU: their number, or the lowest and the highest (default: from 1 "
        "to all CPUs of the cluster)",
    },
}


def problem_of(args: argparse.Namespace) -> str | None:
    """Return why the options of scoring on a cluster cannot be combined, or None if they can."""
    given = [option for option in CLUSTER_OPTIONS if getattr(args, option.removeprefix("--").replace("-", "_"))]
    if given and args.file is None:
        return f"{given[0]} needs --file"
    if given and args.engine != RAY:
        return None if given == ["--engine"] else f"{given[-1]} needs --engine ray"
    if not given:
        return None
    if args.runtime == "keras":
        return "--engine ray predicts with ONNX Runtime: leave out --runtime keras"
    if args.file == "-":
        return "--engine ray cannot read standard input; name files with --file"
    if args.output in (None, "-"):
        return "--engine ray needs --output, a folder or a file"
    if args.actors and (len(args.actors) > 2 or args.actors[0] > args.actors[-1]):
        return "argument --actors: expected one number, or the lowest and the highest"
    return None
