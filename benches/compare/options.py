"""What the command line asks for."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

JANUARY_2015 = 12_748_986


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    rows: int
    rounds: int
    threads: int
    median: bool
    csv: Path | None
    files: int
    drops: int
    gigabytes: list[float]
    profile: str


def parse(description: str, modes: list[str]) -> tuple[str, Options]:
    """Returns the mode, and the options of all of them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--what", choices=modes, default=modes[0])
    add("--rows", type=int, default=JANUARY_2015, help="rows of the file (default: a real month's)")
    add("--rounds", type=int, default=5, help="every program runs so often (default: 5)")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores")
    add("--median", action="store_true", help="job: a median in the aggregate too")
    add("--csv", type=Path, help="job, reader, scrape, telemetry: this file of yellow taxi trips instead of a made one")
    add("--files", type=int, default=10_000, help="small, scrape, idle: how many (default: 10000)")
    add("--drops", type=int, default=300, help="latency: how many files (default: 300)")
    add("--gigabytes", type=float, nargs="+", default=[1, 2, 4, 8], help="scaling: sizes (default: 1 2 4 8)")
    profiles = ["release", "dist"]
    add("--profile", choices=profiles, default="release", help="how forebay is built (default: release)")
    arguments = vars(parser.parse_args())
    numbers = [arguments[name] for name in ("rows", "rounds", "threads", "files", "drops")]
    if min(*numbers, *arguments["gigabytes"]) <= 0:
        parser.error("numbers are above 0")
    if arguments["csv"] and not arguments["csv"].is_file():
        parser.error(f"{arguments['csv']} is no file")
    return arguments.pop("what"), Options(**arguments)
