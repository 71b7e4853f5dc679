"""How the daemon and its workers grow with the file: one file that gets longer, with other rows in every gigabyte."""

import json
import os
import shutil
import statistics
import time
from pathlib import Path

import prepare
from daemon import Daemon
from measure import Sample, mb, pin, rounds, table, warm
from options import Options

ROWS_PER_GB = 6_420_000


def main(options: Options, folder: Path) -> str:
    prepare.room(max(options.gigabytes) * 1.6 + 2)
    binary, csv = prepare.forebay(options.profile), folder / "growing.csv"
    pin(options.threads)
    rows, first, grown = [], 0, 0.0
    for size in sorted(options.gigabytes):
        while grown < size:
            piece = min(1.0, size - grown)
            grown += piece
            # Every piece has a seed of its own, so no row comes twice.
            append(csv, folder / "piece.csv", round(piece * ROWS_PER_GB), seed=round(grown * 1000))
        warm(csv)
        [samples] = rounds({f"{size:g} GB": lambda: job(binary, csv, folder / "daemon")}, options.rounds).values()
        first = first or max(sample.rss for sample in samples)
        rows.append(row(csv.stat().st_size, samples, first))
    head = ["file", "records", "wall, median", "records/s", "speed", "peak RSS", "times the first"]
    return f"{options.rounds} rounds\n\n{table(head, rows)}"


def job(binary: Path, csv: Path, place: Path) -> Sample:
    """Drops the file into a new daemon, waits until it is published and archived, and takes it back."""
    place.mkdir()
    os.sync()
    with Daemon(binary, place) as daemon:
        began, cpu = time.monotonic(), daemon.cpu()
        os.rename(csv, daemon.inbox / csv.name)
        daemon.wait("the file", daemon.published, pause=0.01)
        wall, cpu = time.monotonic() - began, daemon.cpu() - cpu
        daemon.wait("its end", lambda: daemon.processed().get("succeeded"))
        rss, [manifest] = daemon.peak_rss(), daemon.published()
        printed = manifest.read_text()
    [archived] = (place / "data" / "archive").rglob(f"*-{csv.name}")
    archived.rename(csv)
    shutil.rmtree(place)
    return Sample(wall, cpu, rss, printed)


def row(size: int, samples: list[Sample], first: int) -> list[object]:
    """Returns a line of the table; `first` is the memory of the first line."""
    read = json.loads(samples[0].printed)["rows"]["read"]
    wall = statistics.median(sample.wall for sample in samples)
    rss = max(sample.rss for sample in samples)
    speeds = [f"{read / wall:,.0f}", f"{size / wall / 1e6:.0f} MB/s"]
    return [f"{size / 1e9:.2f} GB", f"{read:,}", f"{wall:.2f} s", *speeds, f"{mb(rss)} MB", f"{rss / first:.2f}"]


def append(csv: Path, piece: Path, rows: int, seed: int) -> None:
    """Makes so many rows and puts them behind those of `csv`."""
    prepare.generate(piece, "--rows", rows, "--seed", seed)
    with open(csv, "ab") as target, open(piece, "rb") as source:
        if target.tell() > 0:
            source.readline()
        shutil.copyfileobj(source, target, 8 << 20)
    piece.unlink()
    prepare.truth(piece).unlink()
