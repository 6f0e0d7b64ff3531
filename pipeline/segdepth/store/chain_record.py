"""The chain behind an artefact for other programs: what ``segdepth trace --json`` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segdepth.store.trace import Link

RECORD_LAYOUT = 1
"""Of the record; increased when a key is renamed or changes its meaning."""


def artefacts(*chains: Link) -> list[Link]:
    """The artefacts of chains, each once: first those that are asked for, then what they were made from, level by
    level."""
    found: dict[Path, Link] = {}
    level = list(chains)
    while level:
        new = {link.path: link for link in level if link.path not in found}
        found |= new
        level = [given for link in new.values() for given in link.inputs]
    return list(found.values())


def chain_record(chain: Link) -> dict[str, Any]:
    """The chain as JSON data.

    Returns
    -------
    ``layout``, ``target`` (path), ``whole`` (bool) and ``artefacts``, a list in the order of ``artefacts``, each with

    * ``path``: relative to the working folder, absolute where it lies outside of it;
    * ``inputs``: paths of the artefacts that it was made from, as they stand in this list;
    * ``elsewhere``: ``path`` and ``content`` of inputs that are not here, of what is distributed without them;
    * ``problems``: what is wrong with it, in words; empty where nothing is;
    * ``manifest``: its manifest; null for a file from outside of the workflow, and where it cannot be read.
    """
    return {
        "layout": RECORD_LAYOUT,
        "target": _shown(chain.path),
        "whole": not chain.broken,
        "artefacts": [
            {
                "path": _shown(link.path),
                "inputs": [_shown(given.path) for given in link.inputs],
                "elsewhere": elsewhere(link),
                "problems": link.problems,
                "manifest": link.manifest,
            }
            for link in artefacts(chain)
        ],
    }


def elsewhere(link: Link) -> list[dict[str, str]]:
    """``path`` and ``content`` of the inputs of an artefact that were not followed since they are not here."""
    given = (link.manifest or {}).get("inputs", []) if link.elsewhere else []
    return [
        {"path": name, "content": one["content"]}
        for one in given
        if (name := one["path"].removeprefix("../" * one["path"].count("../"))) in link.elsewhere
    ]


def _shown(path: Path) -> str:
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()
