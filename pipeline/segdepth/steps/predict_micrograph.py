"""The step ``predict-micrograph``: a micrograph and a network in, a folder of results out.

What the folder holds: ``segdepth.micrograph.results``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from segdepth.config import PredictionOptions
from segdepth.devices import shared_cores, torch_device
from segdepth.errors import MicrographError
from segdepth.figures.prediction import draw
from segdepth.figures.style import write_picture
from segdepth.micrograph.familiarity.judgement import read_familiarity
from segdepth.micrograph.files import open_recording
from segdepth.micrograph.film import inspect_film
from segdepth.micrograph.overlap import ahead
from segdepth.micrograph.predict import crystal_of, film_facts, predict_film, serve
from segdepth.micrograph.results.facts import LostFrame
from segdepth.micrograph.results.maps import STORE, empty_maps
from segdepth.micrograph.results.reading import read_picture
from segdepth.micrograph.results.writing import ResultWriter
from segdepth.networks.bundled import familiarity_of, name_of
from segdepth.networks.files import load_network
from segdepth.store.manifest import check_target, check_whole, manifest_path, write_artefact
from segdepth.store.zarr_store import write_zarr

COMMAND = "predict-micrograph"
PICTURE = "prediction.png"


def predict_micrograph(
    prediction: PredictionOptions,
    source: Path,
    model: Path,
    out: Path,
    *,
    familiarity: Path | None = None,
    code: str = "unknown",
    device: str = "auto",
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[str, ...]:
    """Predict a micrograph or film; each frame by itself.

    Parameters
    ----------
    prediction : how the micrograph is read and predicted.
    source : a file of ``segdepth.micrograph.files``.
    model : folder of a trained network.
    out : folder that is made, or replaced where it is an earlier prediction.
    familiarity : what the network has learnt, of ``measure_familiarity``; that of the bundled network is known.
    code : hash of the code, for the manifest.
    device : ``auto``, ``cpu`` or ``cuda``.
    tell : called with each line for the user as soon as it is known.

    Returns
    -------
    All lines for the user, what is not reliable first; they are in the results too.

    Raises
    ------
    SegDepthError
        Anything wrong with the input, before anything is written.
    """
    where = torch_device(device)
    if manifest_path(model).exists():  # a network that came from elsewhere has none
        check_whole(model, ("train-model", "export-model"))
    check_target(out, COMMAND, [source, model])
    trained, card = load_network(model, where)
    network = serve(trained, prediction)
    known = familiarity or familiarity_of(model)
    learnt = None if known is None else read_familiarity(known, card)
    inputs = [source, model, *([familiarity] if familiarity else [])]
    with open_recording(source, prediction.image) as recording, shared_cores():
        if learnt is not None and (line := learnt.other_energy(recording.energy_kev)):
            tell(line)
        film = inspect_film(
            recording, crystal_of(card), card.input_pixel_pm, prediction, lattice=prediction.calibrate, tell=tell
        )
        facts = film_facts(film, card, name_of(model), prediction, learnt)
        items = ahead(predict_film(network, card, film, prediction, learnt))
        first, *_ = started = [next(items)]
        while isinstance(started[-1], LostFrame):
            following = next(items, None)
            if following is None:
                raise MicrographError(f"{source}: no frame can be used; {first.reason}")
            started.append(following)
        parameters = {**prediction.parameters, "bfloat16": network.half}
        notes = {"device": str(where)}
        with write_artefact(
            out, command=COMMAND, code=code, inputs=inputs, parameters=parameters, notes=notes
        ) as partial:
            partial.mkdir()
            maps = empty_maps(facts, started[-1].depth.shape, file_grid=prediction.file_grid)
            write_zarr(maps, partial / STORE, leading=("frame",), parameters=parameters, compute=False)
            writer = ResultWriter(partial, facts)
            with tqdm(total=recording.count, desc=f"depth of {source.name}", unit="frame") as bar:
                for item in chain(started, items):
                    if isinstance(item, LostFrame):
                        writer.lose(item.number, item.reason)
                    else:
                        writer.put(item)
                    bar.update()
            lines = writer.close()
            write_picture(draw(read_picture(partial)), partial / PICTURE)
    return lines
