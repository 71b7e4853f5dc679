"""Runs programs one after the other, several rounds, and makes tables of what they cost."""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prepare import ROOT, WORK, call, say


PEERS = ["DuckDB", "Polars"]


@dataclass(frozen=True)
class Sample:
    """What one run cost."""

    wall: float
    cpu: float
    rss: int
    printed: str
    out_bytes: int = 0


def run(command: list[object], folder: Path, threads: int) -> Sample:
    """Runs a program to its end. The resident memory is the highest of any process of its tree."""
    os.sync()  # what the run before left to be written is not ours to pay for
    words = [str(word) for word in command]
    environment = {**os.environ, "POLARS_MAX_THREADS": str(threads)}
    with open(folder / "printed.txt", "w+") as printed:
        began = time.monotonic()
        process = subprocess.Popen(words, stdout=printed, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read()
    if process.returncode != 0:
        sys.exit(f"{' '.join(words)} ended with {process.returncode}:\n{text}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, text)


def rounds(programs: dict[str, Callable[[], Sample]], count: int) -> dict[str, list[Sample]]:
    """Runs every program once per round, each round beginning with another, so that none has the quiet moments."""
    samples: dict[str, list[Sample]] = {name: [] for name in programs}
    names = list(programs)
    for number in range(count):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            sample = programs[name]()
            samples[name].append(sample)
            say(f"round {number + 1}: {name} {sample.wall:.2f} s, {sample.cpu:.2f} CPU seconds, {mb(sample.rss)} MB")
    return samples


def comparison(samples: dict[str, list[Sample]]) -> str:
    """Returns the table of a comparison. The first program is the measure of the others: how many times as long they
    took in the same round, and the median of that, so that a slow spell of the machine meets both sides."""
    first = next(iter(samples.values()))
    rows = []
    for name, runs in samples.items():
        walls = [run.wall for run in runs]
        ratio = statistics.median(run.wall / base.wall for run, base in zip(runs, first, strict=True))
        cpu = statistics.median(run.cpu for run in runs)
        out = [f"{runs[0].out_bytes / 1e6:.1f} MB"] if runs[0].out_bytes else []
        spread = f"{min(walls):.2f} to {max(walls):.2f} s"
        rss = mb(max(run.rss for run in runs))
        wall = f"{statistics.median(walls):.2f} s"
        rows.append([name, wall, spread, f"{ratio:.2f}", f"{cpu:.2f}", f"{rss} MB", *out])
    head = ["", "wall, median", "spread", "times forebay", "CPU seconds", "peak RSS", "rows.parquet"]
    return table(head[: len(rows[0])], rows)


def table(head: list[str], rows: list[list[object]]) -> str:
    """Returns a Markdown table, numbers to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def percentile(times: list[float], percent: int) -> float:
    """Returns the time that so many of a hundred do not exceed: one that was measured, the higher where two would do."""
    return sorted(times)[min(len(times) * percent // 100, len(times) - 1)]


def mb(size: float) -> str:
    return f"{size / 1e6:.0f}"


def starts(python: Path, folder: Path) -> str:
    """Says how much of the others' times is Python, so that everybody can take it off."""

    def start(name: str) -> float:
        return min(run([python, "-c", f"import {name.lower()}"], folder, 1).wall for _ in range(3))

    best = {name: start(name) for name in PEERS}
    told = " and ".join(f"{seconds:.2f} s ({name})" for name, seconds in best.items())
    return f"Of their times, {told} are Python starting and importing them."


def pin(threads: int) -> None:
    """Keeps this process, and all it starts, on so many cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def warm(*files: Path) -> None:
    """Reads files, so that all of them come from the page cache."""
    for file in files:
        with open(file, "rb", buffering=0) as opened:
            while opened.read(8 << 20):
                pass


def machine(threads: int, profile: str) -> str:
    """Returns one line about where and what is measured."""
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    disk = call("df", "--output=fstype", WORK).split()[-1]
    commit = call("git", "rev-parse", "--short", "HEAD", cwd=ROOT).strip()
    changed = ", changed" if call("git", "status", "--porcelain", "src", "Cargo.lock", cwd=ROOT) else ""
    return (
        f"{cpu}, {threads} of {os.cpu_count()} cores, {pages / (1 << 30):.0f} GiB, Linux {platform.release()}, {disk}; "
        f"profile {profile}, commit {commit}{changed}, {time.strftime('%Y-%m-%d')}"
    )
