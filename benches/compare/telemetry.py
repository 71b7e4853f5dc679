"""What telemetry costs: the whole job through the daemon, silent and told in full.

Silent is with logging off and nobody scraping; in full is the usual log and a scrape per second. Counters and timers
run in both. A scrape alone is measured on the idle daemon, where a small cost is not lost in the noise of a large job.
"""

import os
import shutil
import statistics
import threading
import time
from pathlib import Path
from typing import NamedTuple

import prepare
from daemon import Daemon
from measure import pin, table
from options import Options
from prepare import say

SCRAPES = 500


class Cost(NamedTuple):
    """Seconds until the file was published, and the daemon's CPU seconds for it."""

    wall: float
    cpu: float


def main(options: Options, folder: Path) -> str:
    prepare.room(options.rows * 400e-9 + 1)
    csv = options.csv or prepare.data(options.rows)
    binary, place = prepare.forebay(options.profile), folder / "daemon"
    pin(options.threads)
    silent, full = [], []
    for number in range(options.rounds):
        turn = [False, True] if number % 2 == 0 else [True, False]
        for told in turn:
            (full if told else silent).append(job(binary, csv, place, told))
    scrape, size = scrape_cost(binary, place)
    more = statistics.median(b.cpu / a.cpu for a, b in zip(silent, full, strict=True)) - 1
    busy = statistics.median(cost.cpu / cost.wall for cost in silent)
    costs = table(["", "wall, median", "CPU seconds, median", "spread"], [row("silent", silent), row("in full", full)])
    return (
        f"{csv.stat().st_size / 1e9:.2f} GB, {options.rounds} rounds\n\n"
        f"{costs}\n\n"
        f"CPU in full over silent, the median of the rounds: {more:+.1%}. One scrape of the idle daemon takes "
        f"{scrape * 1e3:.2f} ms of CPU for {size / 1000:.0f} kB: "
        f"one per second is {scrape / busy:.3%} of what the job uses."
    )


def row(name: str, costs: list[Cost]) -> list[object]:
    """Returns a line of the table."""
    cpus = [cost.cpu for cost in costs]
    wall = f"{statistics.median(cost.wall for cost in costs):.2f} s"
    return [name, wall, f"{statistics.median(cpus):.2f}", f"{min(cpus):.2f} to {max(cpus):.2f}"]


def job(binary: Path, csv: Path, folder: Path, told: bool) -> Cost:
    """Drops the file into a new daemon, silent or with everything told, and waits until it is published."""
    os.sync()
    folder.mkdir()
    copy = folder / "dropped.csv"
    shutil.copyfile(csv, copy)
    with Daemon(binary, folder, *([] if told else ["-qqq"])) as daemon:
        done = threading.Event()
        scraper = threading.Thread(target=scrape_on, args=(daemon, done))
        if told:
            scraper.start()
        began, cpu = time.monotonic(), daemon.cpu()
        os.rename(copy, daemon.inbox / copy.name)
        daemon.wait("the file", daemon.published, pause=0.01)
        wall, cpu = time.monotonic() - began, daemon.cpu() - cpu
        done.set()
        if told:
            scraper.join()
    shutil.rmtree(folder)
    say(f"{'in full' if told else 'silent'}: {wall:.2f} s, {cpu:.2f} CPU seconds")
    return Cost(wall, cpu)


def scrape_on(daemon: Daemon, done: threading.Event) -> None:
    """Scrapes every second until told to stop."""
    while not done.wait(1):
        daemon.get("/metrics")


def scrape_cost(binary: Path, folder: Path) -> tuple[float, int]:
    """Returns the CPU seconds of one scrape of an idle daemon, and its bytes."""
    folder.mkdir()
    with Daemon(binary, folder) as daemon:
        size = len(daemon.get("/metrics"))
        began, cpu = time.monotonic(), daemon.cpu()
        for _ in range(SCRAPES):
            daemon.get("/metrics")
        busy = daemon.cpu() - cpu
        took = time.monotonic() - began
        # What it uses anyway, doing nothing for as long.
        cpu = daemon.cpu()
        time.sleep(took)
        idle = daemon.cpu() - cpu
    shutil.rmtree(folder)
    return (busy - idle) / SCRAPES, size
