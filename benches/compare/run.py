#!/usr/bin/env python3
"""Compares forebay with DuckDB and Polars for Python, and measures forebay alone: one command, one table.

    python3 benches/compare/run.py [--what job|reader|dirty|scaling|small|latency|scrape|idle|telemetry|all] [--rows N] ...

  job        the whole job: 19 typed columns, a derived one, four rules, Parquet (zstd level 1 for all), an hourly
             aggregate, everything synced to disk. Fails if the three do not agree on every row and on the aggregate
  reader     reading alone: every typed column in memory
  dirty      forebay on a sound file and on one with 1 % broken records
  scaling    the daemon on 1, 2, 4 and 8 GB (--gigabytes): time, and memory of it and its workers together
  small      the daemon and many small files (--files of 100 rows each): files per second, and each published once
  latency    the idle daemon: from the rename of a file of 1,000 rows to its publication, --drops of them one by one
  scrape     how long a scrape takes while the daemon has the whole job and --files small files to do
  idle       memory and CPU of the daemon that does nothing, after its start and a minute after --files small files
  telemetry  what logging and a scrape per second add to the whole job
  all        all of them, the job also with a median: what docs/PERFORMANCE.md shows, in about half an hour

Builds what it needs, installs the others below target/compare, makes the data there, and leaves only those three behind
(rm -r target/compare). Results are Markdown on stdout. Needs Python 3.11, cargo, and for the data ../shared.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit("Python 3.11 or newer is needed")

import dirty
import idle
import job
import latency
import reader
import scaling
import scrape
import small
import telemetry
from measure import machine
from options import Options, parse
from prepare import WORK

MODES = {
    "job": job,
    "reader": reader,
    "dirty": dirty,
    "scaling": scaling,
    "small": small,
    "latency": latency,
    "scrape": scrape,
    "idle": idle,
    "telemetry": telemetry,
}


def main() -> None:
    what, options = parse(__doc__, [*MODES, "all"])
    WORK.mkdir(parents=True, exist_ok=True)
    print(machine(options.threads, options.profile), end="\n\n")
    if what != "all":
        print(measured(what, options))
        return
    print(f"### job\n\n{measured('job', options)}\n")
    print(f"### job, with a median\n\n{measured('job', replace(options, median=True))}\n")
    for name in list(MODES)[1:]:
        print(f"### {name}\n\n{measured(name, options)}\n", flush=True)


def measured(what: str, options: Options) -> str:
    """Returns the result of one mode, measured in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="run-", dir=WORK) as folder:
        return MODES[what].main(options, Path(folder))


if __name__ == "__main__":
    main()
