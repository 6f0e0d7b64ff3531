"""Image error and time of each case of the convergence study, as CSV (``simulation.convergence.study`` names its
columns).

On one core. Waves from an earlier, stopped run keep their times; the manifest's note ``waves_of_earlier_runs`` counts
them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from ase import Atoms

from segdepth.config import Beam, Imaging
from segdepth.devices import one_thread
from segdepth.errors import ConfigError
from segdepth.seeds import hash64
from segdepth.simulation.convergence import waves
from segdepth.simulation.convergence.study import Study, run_multislice
from segdepth.simulation.exit_wave import configure_abtem
from segdepth.specimen.frame_facts import FrameFacts, frame_facts
from segdepth.steps.atoms_files import read_atoms
from segdepth.store.code_hash import code_hash
from segdepth.store.manifest import check_target, content_hash, write_artefact
from segdepth.store.run_record import versions

COMMAND = "study-convergence"


def study_convergence(
    beam: Beam,
    imaging: Imaging,
    atoms: Path,
    structures: Sequence[int],
    out: Path,
    *,
    code: str,
    phonons: int = 16,
    checkpoints: Path | None = None,
) -> None:
    """Measure every case on some structures of a file of atoms; resumes from ``checkpoints``.

    Parameters
    ----------
    structures : indices in the plan; none means the thickest and the middle one of the file.
    phonons : snapshots on either side of the comparison with the Debye-Waller factor; 0 leaves it out.
    checkpoints : folder where finished waves are kept until the study is whole.

    Raises
    ------
    ConfigError
        The file lacks a structure, or the study cannot be made of them and the blocks (``study.Study``).
    """
    check_target(out, COMMAND, [atoms])
    frames = read_atoms(atoms)
    facts = frame_facts(frames)
    chosen = _chosen(frames, facts, structures, atoms)
    for frame, one in zip(frames, facts):
        frame.info |= {"id": one.id, "index": one.index}
    study = Study(
        beam, imaging, [frames[position] for position in chosen], facts[0].margin_pm, facts[0].crystal, phonons
    )
    configure_abtem("cpu")
    kept = WaveCheckpoints(checkpoints, content_hash(atoms))
    with one_thread():
        table = study.table(kept.waves)
    text = StringIO()
    table.to_csv(text, index=False, float_format="%.5g", lineterminator="\n")
    parameters = {"beam": beam.model_dump(mode="json"), "imaging": imaging.model_dump(mode="json"), "phonons": phonons}
    notes = {
        "structures": [facts[position].id for position in chosen],
        "versions": versions(),
        "waves_of_earlier_runs": len(kept.reused),
    }
    with write_artefact(out, command=COMMAND, code=code, inputs=[atoms], parameters=parameters, notes=notes) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")
    kept.remove()


def _chosen(frames: list[Atoms], facts: list[FrameFacts], structures: Sequence[int], atoms: Path) -> list[int]:
    """Positions in the file of what is studied."""
    if not structures:
        ranked = sorted(range(len(frames)), key=lambda position: float(frames[position].cell[2, 2]))
        return [ranked[-1], ranked[len(ranked) // 2]] if len(ranked) > 1 else ranked
    by_index = {one.index: position for position, one in enumerate(facts)}
    missing = [index for index in structures if index not in by_index]
    if missing:
        raise ConfigError(f"{atoms}: does not hold structure {missing[0]}; it has {min(by_index)} to {max(by_index)}")
    return [by_index[index] for index in structures]


class WaveCheckpoints:
    """Finished waves, with the seconds that they took, in a folder; without one nothing is kept.

    A file's name is a hash of all that makes the wave: the code of the multislice, the atoms file's content, the
    structure, the beam. A change of the optics leaves them in use.

    Attributes
    ----------
    reused : files of an earlier run that this one has read.
    """

    def __init__(self, folder: Path | None, atoms_content: str) -> None:
        self.folder = folder
        self.source = [code_hash(waves.__name__), atoms_content]
        self.reused: set[Path] = set()
        self._mine: set[Path] = set()

    def waves(self, frame: Atoms, beam: Beam, projection: str | None, seed: int) -> tuple[np.ndarray, float]:
        """``run_multislice``, or what it gave before."""
        if self.folder is None:
            return run_multislice(frame, beam, projection, seed)
        key = hash64(json.dumps([*self.source, frame.info["id"], beam.as_json(), projection, seed]))
        path = self.folder / f"{key:016x}.npz"
        kept = _read(path)
        if kept is not None:
            if path not in self._mine:
                self.reused.add(path)
            self._mine.add(path)
            return kept
        found, seconds = run_multislice(frame, beam, projection, seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, waves=found, seconds=seconds)
        partial.replace(path)
        self._mine.add(path)
        return found, seconds

    def remove(self) -> None:
        """Delete what this study wrote or read, and nothing else."""
        for path in self._mine:
            path.unlink(missing_ok=True)


def _read(path: Path) -> tuple[np.ndarray, float] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["waves"], float(file["seconds"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # missing or damaged: made again
        return None
