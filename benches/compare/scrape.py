"""How long a scrape takes while the daemon has all it can do: the large file and a flood of small ones, at once.

A scrape is a connection of its own, from the first byte asked to the last one read. Twenty a second, in turns of text and of
OpenMetrics with gzip, each begun when it is due, however long the one before took. The client has no core of its own either.
"""

import gzip
import http.client
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

import prepare
from daemon import Daemon, processed
from measure import percentile, pin, table
from options import Options

EVERY = 0.05
ROWS = 100
LATE = 0.010
FORMATS = {
    "text": {},
    "OpenMetrics, gzip": {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"},
}


def main(options: Options, folder: Path) -> str:
    prepare.room(options.rows * 400e-9 + options.files * 60e-6 + 1)
    csv = options.csv or prepare.data(options.rows)
    made, large = folder / "made", folder / "large.csv"
    prepare.generate(made / "small.csv", "--rows", options.files * ROWS, "--files", options.files)
    files = [shutil.copyfile(csv, large), *sorted(made.glob("*.csv"))]
    binary = prepare.forebay(options.profile)
    os.sync()
    pin(options.threads)
    with Daemon(binary, folder) as daemon:
        began = time.monotonic()
        for file in files:
            os.rename(file, daemon.inbox / file.name)
        took = scrape_until(daemon, len(files))
        busy = time.monotonic() - began
        daemon.succeeded(len(files))
    head = ["", "scrapes", "p50", "p99", "slowest", f"later than {LATE * 1e3:.0f} ms"]
    rows = [row(name, times) for name, times in took.items()]
    return f"{len(files) - 1:,} small files beside {csv.stat().st_size / 1e9:.2f} GB, {busy:.0f} s\n\n{table(head, rows)}"


def row(name: str, times: list[float]) -> list[object]:
    """Returns a line of the table."""
    figures = [statistics.median(times), percentile(times, 99), max(times)]
    late = sum(took > LATE for took in times)
    return [name, f"{len(times):,}", *(f"{seconds * 1e3:.1f} ms" for seconds in figures), late]


def scrape_until(daemon: Daemon, files: int) -> dict[str, list[float]]:
    """Scrapes until a scrape says that so many files are done; returns the seconds each took."""
    took: dict[str, list[float]] = {name: [] for name in FORMATS}
    due = time.monotonic()
    while True:
        for name, headers in FORMATS.items():
            due += EVERY
            time.sleep(max(0.0, due - time.monotonic()))
            seconds, text = scrape(daemon.address, headers)
            # Text alone: a counter of OpenMetrics may have an exemplar behind it.
            if not headers and sum(processed(text).values()) >= files:
                return took
            took[name].append(seconds)


def scrape(address: str, headers: dict[str, str]) -> tuple[float, str]:
    """Returns the seconds one scrape takes and what it says, and stops unless that is what was asked for."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", "/metrics", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    took = time.monotonic() - began
    connection.close()
    zipped = answer.getheader("Content-Encoding") == "gzip"
    if answer.status != 200 or zipped != bool(headers):
        sys.exit(f"a scrape came back with {answer.status} {answer.getheader('Content-Type')}, zipped: {zipped}")
    return took, (gzip.decompress(body) if zipped else body).decode()
