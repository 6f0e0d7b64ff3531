"""Why jobs of a cluster failed: Snakemake says FAILED or TIMEOUT only, the reason stands in SLURM's log of the job."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

REASONS = {
    "out of memory": re.compile(r"oom.?kill|out of memory|exceeded (?:job |step )*memory limit", re.IGNORECASE),
    "out of time": re.compile(r"CANCELLED AT \S+ DUE TO TIME LIMIT"),
    "preempted": re.compile(r"CANCELLED AT \S+ DUE TO PREEMPTION"),
    "its node failed": re.compile(r"CANCELLED AT \S+ DUE TO NODE FAILURE"),
    "cancelled": re.compile(r"CANCELLED AT \S+ \*\*\*"),
}
"""The first one whose words are in a log counts."""

LAST_BYTES = 100_000
"""Of a log that are read."""

_LOG = re.compile(r"with SLURM jobid \S+ \(log: (.+?)\)")


def reasons(snakemake_logs: Iterable[str | Path]) -> list[str]:
    """A line for each job that SLURM killed in one run of Snakemake, whose own logs name SLURM's logs."""
    logs = [Path(log) for log in snakemake_logs if log is not None]
    text = "".join(log.read_text(encoding="utf-8", errors="replace") for log in logs if log.is_file())
    told = []
    for log in dict.fromkeys(_LOG.findall(text)):
        if reason := reason_in(Path(log)):
            told.append(f"{reason}: {log}")
    return told


def reason_in(slurm_log: Path) -> str | None:
    """Why SLURM killed a job; None where its log does not tell (or is gone, since the job succeeded)."""
    try:
        with open(slurm_log, "rb") as stream:
            stream.seek(max(0, slurm_log.stat().st_size - LAST_BYTES))
            text = stream.read().decode(errors="replace")
    except OSError:
        return None
    return next((reason for reason, words in REASONS.items() if words.search(text)), None)
