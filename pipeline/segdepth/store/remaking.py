"""The command that makes an artefact again, for messages."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from segdepth.store.run_record import OPTIONS, run_path

PLACES = ("data", "results")
"""Folders of a project that hold what the workflow makes."""

CONFIG = "config.yaml"


def remedy(artefact: str | Path) -> str:
    """How to make an artefact again: with the options of the Snakemake that runs this process, else of the one that
    made it; in the folder of its project, if that is another one than the present folder."""
    artefact = Path(artefact)
    parts = artefact.parts
    tops = [position for position, part in enumerate(parts) if part in PLACES]
    if not tops:
        return "make it again"
    projects = [top for top in tops if Path(*parts[:top], CONFIG).is_file()]
    top = projects[0] if projects else tops[-1]
    project = Path(*parts[:top])
    elsewhere = bool(projects) and project.absolute().resolve() != Path.cwd()
    command = ["snakemake", "--cores", str(os.cpu_count() or 1), *_options(artefact), "--force", "--"]
    command.append(Path(*parts[top:]).as_posix())
    words = shlex.join(command)
    return f"make it again: {f'cd {shlex.quote(str(project))} && ' if elsewhere else ''}{words}"


def _options(artefact: Path) -> list[str]:
    """Options of Snakemake."""
    told = os.environ.get(OPTIONS)
    if told is None:
        try:
            told = json.loads(run_path(artefact).read_text(encoding="utf-8"))["snakemake"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []
    try:
        return shlex.split(told)
    except (ValueError, TypeError, AttributeError):
        return []


def told_options(configfiles: list[Path], snakefile: Path, project: Path) -> str:
    """Options that run the same workflow again in the folder of the project: what ``OPTIONS`` holds.

    Parameters
    ----------
    configfiles : those of ``--configfile``, absolute.
    snakefile : the workflow's.
    project : its folder, where Snakemake works.
    """
    options = []
    if configfiles:
        options += ["--configfile", *(_within(path, project) for path in configfiles)]
    if snakefile.resolve() != (project / "workflow" / "Snakefile").resolve():
        options += ["--snakefile", str(snakefile)]
    return shlex.join(options)


def _within(path: Path, project: Path) -> str:
    """A path, relative if it lies in the project."""
    inside = path.resolve().is_relative_to(project.resolve())
    return str(path.resolve().relative_to(project.resolve()) if inside else path)
