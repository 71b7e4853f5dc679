"""How soon a file is published that is renamed into the inbox of an idle daemon: one file after the other.

The publication is seen by listing the output folder every millisecond, on the cores the daemon has: a figure is never too
small.
"""

import os
import statistics
import time
from pathlib import Path

import prepare
from daemon import PATIENCE, Daemon
from measure import percentile, pin, table
from options import Options

ROWS = 1_000
LATE = 0.150
LOOK = 0.001
PAUSE = 0.05


def main(options: Options, folder: Path) -> str:
    made = folder / "made"
    prepare.generate(made / "one.csv", "--rows", options.drops * ROWS, "--files", options.drops)
    files = sorted(made.glob("*.csv"))
    binary = prepare.forebay(options.profile)
    os.sync()
    pin(options.threads)
    with Daemon(binary, folder) as daemon:
        settle = prepare.settle()
        beyond = [published_after(daemon, file) - settle for file in files]
        daemon.succeeded(len(files))
    head = [f"files of {ROWS:,} rows", "p50", "p99", "slowest", f"later than {LATE * 1e3:.0f} ms"]
    times = [statistics.median(beyond), percentile(beyond, 99), max(beyond)]
    row = [f"{len(files):,}", *(f"{seconds * 1e3:.0f} ms" for seconds in times), sum(took > LATE for took in beyond)]
    return f"from the rename to the published folder, less the {settle * 1e3:.0f} ms of settle\n\n{table(head, [row])}"


def published_after(daemon: Daemon, file: Path) -> float:
    """Returns the seconds from the rename into the inbox until the result can be read, and lets the daemon come to rest."""
    before = results(daemon.output)
    began = time.monotonic()
    os.rename(file, daemon.inbox / file.name)
    while results(daemon.output) == before:
        daemon.hope(file.name, began + PATIENCE)
        time.sleep(LOOK)
    took = time.monotonic() - began
    time.sleep(PAUSE)
    return took


def results(output: Path) -> int:
    """Returns how many results there are, by their names alone, so that looking costs the daemon little."""
    return sum(len(os.listdir(day)) for day in output.glob("ingest_date=*"))
