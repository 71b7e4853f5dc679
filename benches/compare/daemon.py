"""The real daemon on a folder of its own, looked at from outside."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import prepare

PATIENCE = 900.0


class Daemon:
    """`forebay run`, from ready to stopped; stopped in any case at the end of a `with` block."""

    def __init__(self, binary: Path, folder: Path, *options: str) -> None:
        # A log level that is off says no address, so the port is chosen here.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.folder = folder
        self.peak = 0
        self.inbox = folder / "data" / "in" / "taxi"
        self.output = folder / "data" / "out" / "taxi"
        self.log = folder / "log.json"
        config = prepare.config(folder, listen=self.address)
        command = [binary, "run", "-c", config, "--log-format", "json", *options]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        try:
            self.wait("it to be ready", self.ready)
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it, as an operator would."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait() != 0:
            sys.exit(f"the daemon ended with {self.process.returncode}:\n{self.tail()}")

    def get(self, path: str) -> str:
        """Returns the body of a page."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=30) as answer:
            return answer.read().decode()

    def ready(self) -> bool:
        try:
            return bool(self.get("/-/ready"))
        except OSError:
            return False

    def processed(self) -> dict[str, int]:
        """Returns how many files reached which outcome."""
        return processed(self.get("/metrics"))

    def succeeded(self, files: int) -> None:
        """Stops unless so many files were processed, and all of them well."""
        outcomes = {outcome: count for outcome, count in self.processed().items() if count}
        if outcomes != {"succeeded": files}:
            sys.exit(f"{files} files, but outcomes are {outcomes}")

    def published(self) -> list[Path]:
        """Returns the manifests there are."""
        return list(self.output.glob("*/*/_manifest.json"))

    def wait(self, what: str, condition: Callable[[], object], pause: float = 0.05) -> None:
        """Waits until `condition` is true, and stops if the daemon ends or nothing happens for too long."""
        end = time.monotonic() + PATIENCE
        while not condition():
            self.look()
            self.hope(what, end)
            time.sleep(pause)

    def hope(self, what: str, end: float) -> None:
        """Stops if what is waited for will not come: the daemon has ended, or the time is over."""
        if self.process.poll() is not None:
            sys.exit(f"waited for {what}, but the daemon ended with {self.process.returncode}:\n{self.tail()}")
        if time.monotonic() > end:
            sys.exit(f"waited {PATIENCE:.0f} s for {what}:\n{self.tail()}")

    def tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-20:])

    def workers(self) -> list[int]:
        """Returns the processes it has started."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for children in tasks for pid in children.read_text().split()]

    def cpu(self) -> float:
        """Returns the CPU seconds it and its workers have used, also those that are gone."""

        def ticks(pid: int, fields: slice) -> int:
            return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[fields]))

        own = ticks(self.process.pid, slice(11, 15))
        return (own + sum(ticks(pid, slice(11, 13)) for pid in self.workers())) / os.sysconf("SC_CLK_TCK")

    def memory(self, pid: int, kind: str) -> int:
        """Returns the bytes of memory of some kind (VmRSS, VmHWM, RssAnon) that one of its processes has."""
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.search(rf"{kind}:\s+(\d+)", status)
        return int(found[1]) * 1024 if found else 0  # a process that has ended has none

    def look(self) -> None:
        """Takes note of the memory that it and its workers have needed until now."""
        peaks = []
        for pid in [self.process.pid, *self.workers()]:
            try:
                peaks.append(self.memory(pid, "VmHWM"))
            except FileNotFoundError:
                continue
        self.peak = max(self.peak, sum(peaks))

    def peak_rss(self) -> int:
        """Returns the sum of the peaks of the daemon and its workers, at the moment it was highest: never too little."""
        self.look()
        return self.peak


def processed(metrics: str) -> dict[str, int]:
    """Returns how many files reached which outcome, by a scrape in text."""
    pattern = r'^forebay_files_processed_total\{.*outcome="(\w+)".*\} (\d+)'
    return {outcome: int(count) for outcome, count in re.findall(pattern, metrics, re.MULTILINE)}
