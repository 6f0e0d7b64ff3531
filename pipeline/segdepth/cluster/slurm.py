"""What SLURM says of a cluster: accounts, partitions, nodes. Commands are asked, nothing is submitted."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from segdepth.errors import ConfigError

SECONDS = 30
"""That a command of SLURM may take."""

UNLIMITED = ("UNLIMITED", "INFINITE", "NONE", "N/A", "")


class Node(NamedTuple):
    """One kind of node in a partition."""

    cpus: int
    megabytes: int
    gpus: int


class Partition(NamedTuple):
    """What a partition allows."""

    name: str
    up: bool
    minutes: int | None
    """Of a job at most; None: no limit."""
    cpus_per_node: int | None
    megabytes_per_node: int | None
    nodes: tuple[Node, ...]
    accounts: tuple[str, ...]
    """That may use it; none: all."""


def ask(*command: str) -> str:
    """What a command of SLURM prints.

    Raises
    ------
    ConfigError
        It is not there, does not answer, or fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except FileNotFoundError:
        raise ConfigError(f"{command[0]}: not found; run this on the machine where jobs are submitted") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{command[0]}: no answer within {SECONDS} s; is SLURM's controller running?") from None
    if done.returncode:
        told = " ".join((done.stderr or done.stdout).split()) or "no message"
        raise ConfigError(f"{' '.join(command)}: exit status {done.returncode}: {told}")
    return done.stdout


def accounts() -> list[str]:
    """Accounts of the user; none where the cluster keeps no accounts, or does not tell."""
    try:
        told = ask("sacctmgr", "-nP", "list", "assoc", f"user={getpass.getuser()}", "format=account")
    except ConfigError:
        return []
    return sorted({line.strip() for line in told.splitlines() if line.strip()})


def partitions() -> list[str]:
    return sorted({line.strip().rstrip("*") for line in ask("sinfo", "-h", "-o", "%R").splitlines() if line.strip()})


def partition(name: str) -> Partition:
    """One partition, by its name in ``partitions()``."""
    told = dict(word.split("=", 1) for word in ask("scontrol", "-o", "show", "partition", name).split() if "=" in word)
    nodes = []
    for line in ask("sinfo", "-h", "-p", name, "-e", "-o", "%c|%m|%G").splitlines():
        cpus, megabytes, gres = line.split("|")
        gpus = sum(int(count) for count in re.findall(r"gpu(?::[^:,()]+)*:(\d+)", gres))
        nodes.append(Node(_number(cpus), _number(megabytes), gpus))
    allowed = told.get("AllowAccounts", "ALL")
    return Partition(
        name,
        told.get("State", "UP") == "UP",
        minutes_of(told.get("MaxTime", "")),
        _limit(told.get("MaxCPUsPerNode", "")),
        _limit(told.get("MaxMemPerNode", "")),
        tuple(nodes),
        () if allowed == "ALL" else tuple(allowed.split(",")),
    )


def remembered_s() -> int | None:
    """Seconds for which squeue knows a job that has ended (``MinJobAge``); None where it is not told."""
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    return int(found[1]) if found else None


def runs_in(folder: Path) -> dict[str, int]:
    """Jobs of the user that are in the queue for a folder, counted by the run of Snakemake that submitted them."""
    jobs = (line.split("|", 1) for line in ask("squeue", "-h", "-u", getpass.getuser(), "-o", "%j|%Z").splitlines())
    return dict(Counter(name for name, place in jobs if place == str(folder)))


def minutes_of(text: str) -> int | None:
    """``days-hours:minutes:seconds``, as SLURM writes limits, in whole minutes; None: no limit."""
    if text.upper() in UNLIMITED:
        return None
    days, _, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    hours, minutes = (parts[0], parts[1]) if len(parts) == 3 else (0, parts[0])
    return (int(days or 0) * 24 + hours) * 60 + minutes


def _limit(text: str) -> int | None:
    return None if text.upper() in UNLIMITED else _number(text)


def _number(text: str) -> int:
    """``16``, or ``16+`` where nodes differ."""
    return int(re.match(r"\d+", text.strip())[0])
