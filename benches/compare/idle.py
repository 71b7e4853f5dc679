"""What the daemon needs while it does nothing: just started, and a minute after a burst of small files."""

import os
import time
from pathlib import Path

import prepare
from daemon import Daemon
from measure import mb, pin, table
from options import Options

ROWS = 100
REST = 60.0
AFTER = 60.0


def main(options: Options, folder: Path) -> str:
    prepare.room(options.files * 60e-6 + 1)
    made = folder / "made"
    prepare.generate(made / "small.csv", "--rows", options.files * ROWS, "--files", options.files)
    files = sorted(made.glob("*.csv"))
    binary = prepare.forebay(options.profile)
    os.sync()
    pin(options.threads)
    with Daemon(binary, folder) as daemon:
        time.sleep(2)  # a start has its own work to end
        rows = [at_rest("after the start", daemon)]
        for file in files:
            os.rename(file, daemon.inbox / file.name)
        daemon.wait("all files", lambda: sum(daemon.processed().values()) >= len(files), pause=0.5)
        daemon.succeeded(len(files))
        time.sleep(AFTER)
        rows.append(at_rest(f"{AFTER:.0f} s after {len(files):,} files", daemon))
    head = ["", "daemon", "of it its own", "workers", f"CPU in {REST:.0f} s", "of a core"]
    return f"resident memory; its own is what no file backs\n\n{table(head, rows)}"


def at_rest(when: str, daemon: Daemon) -> list[object]:
    """Returns a line of the table: memory at the end of a rest, and what the daemon and its workers used during it."""
    cpu = daemon.cpu()
    began = time.monotonic()
    time.sleep(REST)
    cpu, took = daemon.cpu() - cpu, time.monotonic() - began
    workers = " + ".join(str(mb(daemon.memory(pid, "VmRSS"))) for pid in daemon.workers())
    own = [daemon.memory(daemon.process.pid, name) for name in ("VmRSS", "RssAnon")]
    return [when, *(f"{mb(size)} MB" for size in own), f"{workers} MB", f"{cpu * 1e3:.0f} ms", f"{cpu / took:.3%}"]
