"""The step ``compare-micrograph``: a micrograph and the simulated wedge at its pixel and dose, measured in the same
way.

The folder it writes:

- ``comparison.json``: ``micrograph`` and ``simulation`` (the structure and the defocus that are shown), each with
  ``vacuum`` (mean, variance/mean, correlation of neighbours), ``lattice`` (every peak's spacing, its deviation from the
  crystal's, its error; the pixel and the distortion that follow) and ``contrast`` (see
  ``segdepth.micrograph.contrast``); ``crystal``; ``ranges``: for each quantity of contrast and each peak's deviation,
  from the least to the greatest of all simulated structures and defoci, whether the micrograph lies within, and at
  which defoci.
- ``simulated.csv``: one row a structure and defocus: contrast, ``difference`` (rms between the average cell and the
  micrograph's), ``d_<reflection>_pm``. Empty where the lattice does not rise above the noise.
- ``comparison.zarr``: the pictures, upright, vacuum = 1: ``<side>_counts``, ``<side>_smooth`` (Gaussian of 25 pm) and
  ``<side>_spectrum`` (log10 of the Fourier modulus over the noise's; ``<side>_v``, ``<side>_u`` in 1/nm) for
  the sides ``micrograph`` and ``simulation``; ``<side>_cell``, the average unit cell.
"""

from __future__ import annotations

import json
from pathlib import Path

from segdepth.config import ComparisonOptions, Imaging
from segdepth.errors import StoreError
from segdepth.micrograph.comparison import check_defocus, choose_frame, compare, measure_micrograph
from segdepth.micrograph.comparison_pictures import comparison_pictures
from segdepth.micrograph.files import open_recording
from segdepth.micrograph.simulated_views import SimulatedWaves
from segdepth.store.manifest import check_target, write_artefact
from segdepth.store.zarr_store import open_zarr, write_zarr

COMMAND = "compare-micrograph"
FACTS, TABLE, STORE = "comparison.json", "simulated.csv", "comparison.zarr"


def compare_micrograph(
    comparison: ComparisonOptions,
    imaging: Imaging,
    source: Path,
    waves: Path,
    out: Path,
    *,
    structure: int,
    code: str = "unknown",
) -> list[str]:
    """Compare one frame of a micrograph with every structure of a shard of waves.

    Parameters
    ----------
    comparison : how the micrograph is read, its frame, and the defocus that is shown.
    imaging : lens; all its defocus values are compared.
    source : a file of ``segdepth.micrograph.files``.
    waves : shard of exit waves that holds ``structure``, index in the plan of the one that is shown.
    out : folder that is made, or replaced where it is an earlier comparison.
    code : hash of the code, for the manifest.

    Returns
    -------
    Lines that the user should see; they are in ``comparison.json`` too.

    Raises
    ------
    SegDepthError
        Anything wrong with the input, before anything is written.
    """
    check_target(out, COMMAND, [source, waves])
    check_defocus(imaging, comparison.defocus_nm)
    with open_zarr(waves, "simulate-waves") as store:
        simulated = SimulatedWaves(store)
        if structure not in simulated.structures:
            raise StoreError(f"{waves}: does not hold structure {structure}")
        with open_recording(source, comparison.image) as recording:
            frame, warnings = choose_frame(recording, comparison, simulated.crystal)
        mine = measure_micrograph(frame, simulated.crystal, f"{source}, frame {comparison.frame}")
        parameters = {
            **comparison.parameters,
            "imaging": imaging.model_dump(mode="json"),
            "structure": structure,
        }
        with write_artefact(out, command=COMMAND, code=code, inputs=[source, waves], parameters=parameters) as partial:
            partial.mkdir()
            found = compare(mine, simulated, imaging, structure, comparison.defocus_nm, str(waves))
            facts = found.facts | {"warnings": warnings}
            turned = {"rotation_deg": frame.transform.rotation_deg}
            facts["micrograph"] |= {"file": source.name, "frame": comparison.frame} | turned
            found.table.round(6).to_csv(partial / TABLE, index=False, lineterminator="\n")
            (partial / FACTS).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            pictures = comparison_pictures(found.sides, simulated.crystal)
            write_zarr(pictures, partial / STORE, leading=(), parameters=parameters)
    return warnings
