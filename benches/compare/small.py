"""Many small files through the real daemon: all are there before, and renamed into the inbox one after the other."""

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import prepare
from daemon import Daemon
from measure import mb, pin, table
from options import Options

ROWS = 100


def main(options: Options, folder: Path) -> str:
    prepare.room(options.files * 60e-6 + 1)
    made = folder / "made"
    prepare.generate(made / "small.csv", "--rows", options.files * ROWS, "--files", options.files)
    files = sorted(made.glob("*.csv"))
    binary = prepare.forebay(options.profile)
    os.sync()
    sync_ms = sync_cost(folder) * 1e3
    pin(options.threads)
    with Daemon(binary, folder) as daemon:
        began, cpu = time.monotonic(), daemon.cpu()
        for file in files:
            os.rename(file, daemon.inbox / file.name)
        renamed = time.monotonic() - began
        daemon.wait("all files", lambda: sum(daemon.processed().values()) >= len(files), pause=0.1)
        took, cpu, rss = time.monotonic() - began, daemon.cpu() - cpu, daemon.peak_rss()
        outcomes = {outcome: count for outcome, count in daemon.processed().items() if count}
        faults = check(daemon, {file.name for file in files}, outcomes)
    if faults:
        sys.exit("; ".join(faults))
    head = ["files of 100 rows", "renamed after", "published after", "files/s", "CPU seconds", "peak RSS", "one fsync"]
    walls = [f"{renamed:.2f} s", f"{took:.2f} s", f"{len(files) / took:,.0f}"]
    row = [f"{len(files):,}", *walls, f"{cpu:.2f}", f"{mb(rss)} MB", f"{sync_ms:.2f} ms"]
    return f"every file succeeded and is published exactly once\n\n{table(head, [row])}"


def check(daemon: Daemon, names: set[str], outcomes: dict[str, int]) -> list[str]:
    """Returns what is wrong: every file once, and every row of it."""
    faults = [] if outcomes == {"succeeded": len(names)} else [f"outcomes are {outcomes}"]
    manifests = [json.loads(path.read_text()) for path in daemon.published()]
    published = Counter(manifest["input"]["name"] for manifest in manifests)
    if published != Counter(names):
        faults.append(f"{len(names)} files, but {published.total()} results of {len(published)} of them")
    read = sum(manifest["rows"]["read"] for manifest in manifests)
    if read != len(names) * ROWS:
        faults.append(f"{read} rows were read")
    return faults


def sync_cost(folder: Path, count: int = 200) -> float:
    """Returns the seconds it takes to write and sync one small new file here."""
    began = time.monotonic()
    for number in range(count):
        descriptor = os.open(folder / f"sync-{number}", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, b"x" * 4096)
        os.fsync(descriptor)
        os.close(descriptor)
    return (time.monotonic() - began) / count
