"""Micrographs: prediction and comparison with the simulation.

Options are given one by one or as a block; an option that is given overrides the block's value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from segdepth.cli.app import app, registered
from segdepth.cli.options import BlockText, Device, Out, read_block, read_options, show_lines
from segdepth.config import RESERVED, Block, ComparisonOptions, Imaging, PredictionOptions, Reading
from segdepth.errors import SegDepthError
from segdepth.store.code_hash import code_hash

Input = Annotated[
    Path,
    typer.Argument(help="micrograph or film: dm3, dm4, mrc, ser, emi, emd, tif, hspy, zspy, mib, tvips, npy, npz"),
]
Picture = Annotated[bool, typer.Option("--picture/--no-picture", help="draw the result to OUT.png and OUT.pdf")]


def _described(kind: type[Block], field: str) -> str:
    """What the configuration says of a key."""
    return str(kind.model_fields[field].description)


def _option(kind: type[Block], field: str, *names: str) -> Any:
    """The option of a key of the configuration, with the same description."""
    return typer.Option(*names, help=_described(kind, field))


Image = Annotated[str | None, _option(Reading, "image", "--image")]
Pixel = Annotated[float | None, _option(Reading, "pixel_pm", "--pixel-pm")]
Rotation = Annotated[float | None, _option(Reading, "rotation_deg", "--rotation-deg")]
Flip = Annotated[bool | None, _option(Reading, "flip", "--flip/--no-flip")]
Invalid = Annotated[float | None, _option(Reading, "invalid", "--invalid")]
Gain = Annotated[float | None, _option(Reading, "gain", "--gain")]
Offset = Annotated[float | None, _option(Reading, "offset", "--offset")]
Dose = Annotated[float | None, _option(Reading, "dose_e_per_a2", "--dose")]


def _picture_path(out: Path) -> Path:
    """Beside the folder."""
    return out.with_name(out.name + ".png")


@app.command("predict")
def predict(
    input: Input,
    out: Out,
    model: Annotated[
        str | None,
        typer.Option(
            help=f"folder of a trained network, or {' or '.join(RESERVED)}, which come with the package; by default "
            "the one of these whose training images are more like the film"
        ),
    ] = None,
    familiarity: Annotated[
        Path | None,
        typer.Option(help="JSON file of measure-familiarity; not needed for the bundled networks"),
    ] = None,
    lens: Annotated[
        Path | None,
        typer.Option(
            help="JSON file that segdepth fit-lens wrote for this film: its thickness is joined with the network's "
            "counts, which makes them more accurate on thick or tilted crystals"
        ),
    ] = None,
    prediction: Annotated[
        str | None, typer.Option(help="block with the options below: FILE:NAME (config.yaml:NAME) or JSON")
    ] = None,
    image: Image = None,
    pixel_pm: Pixel = None,
    rotation_deg: Rotation = None,
    flip: Flip = None,
    calibrate: Annotated[bool | None, _option(PredictionOptions, "calibrate", "--calibrate/--no-calibrate")] = None,
    invalid: Invalid = None,
    gain: Gain = None,
    offset: Offset = None,
    dose: Dose = None,
    false_discovery: Annotated[float | None, _option(PredictionOptions, "false_discovery", "--false-discovery")] = None,
    file_grid: Annotated[bool | None, _option(PredictionOptions, "file_grid", "--file-grid/--no-file-grid")] = None,
    precision: Annotated[str | None, _option(PredictionOptions, "precision", "--precision")] = None,
    flip_average: Annotated[
        bool | None, _option(PredictionOptions, "flip_average", "--flip-average/--no-flip-average")
    ] = None,
    device: Device = "auto",
) -> None:
    """Count the atoms behind every pixel and in every column of a micrograph or film, or say why that is impossible.

    Pixel size, dose and rotation are taken from the file or measured in the frame. Start without options; give those
    that you know better.

    \b
    OUT/prediction.html      a page to look at, with every frame
    OUT/prediction.png       the first frame as a picture
    OUT/columns.csv          one row per column and frame (.parquet: the same)
    OUT/depth.ome.tif        depth, confidence, counts (.hspy: for HyperSpy)
    OUT/crystal.extxyz       the counted crystal
    OUT/prediction.zarr      probabilities on the network's pixels
    OUT/summary.json         what was found, in numbers
    """
    given = {name: value for name, value in locals().items() if name in PredictionOptions.model_fields}
    given |= {"dose_e_per_a2": dose}
    options = read_options(PredictionOptions, prediction, given)

    from segdepth.steps.predict_micrograph import predict_micrograph as step

    told: list[str] = []
    try:
        lines = step(
            options,
            input,
            model,
            out,
            familiarity=familiarity,
            lens=lens,
            code=code_hash("predict"),
            device=device,
            tell=told.append,
        )
    except SegDepthError:
        show_lines(told)  # what is known of a file helps to see why it is refused
        raise
    show_lines(lines)
    typer.echo(f"{out / 'prediction.html'}")


@app.command("compare-micrograph")
def compare_micrograph(
    input: Input,
    waves: Annotated[Path, typer.Option(help="shard-NNN.zarr of exit waves; ranges cover all its structures")],
    imaging: BlockText,
    structure: Annotated[
        int,
        typer.Option(
            min=0, help="index in plan.csv of the structure that is shown (not its number among the test structures)"
        ),
    ],
    out: Out,
    comparison: Annotated[
        str | None, typer.Option(help="block with the options below: FILE:NAME (config.yaml:NAME) or JSON")
    ] = None,
    image: Image = None,
    pixel_pm: Pixel = None,
    frame: Annotated[int | None, typer.Option(min=0, help="frame of a movie, counted from 0")] = None,
    rotation_deg: Rotation = None,
    flip: Flip = None,
    invalid: Invalid = None,
    gain: Gain = None,
    offset: Offset = None,
    dose: Dose = None,
    defocus_nm: Annotated[
        float | None,
        typer.Option(
            help="defocus that is shown, one of the imaging block's; by default the one whose average unit cells are "
            "most similar"
        ),
    ] = None,
    picture: Picture = True,
) -> None:
    """Compare a micrograph with the simulation at its pixel and dose: Fourier peaks, vacuum, column contrast.

    Both are measured in the same way, the simulation at every defocus of the imaging block. Writes comparison.json,
    simulated.csv and comparison.zarr in OUT, and a picture, OUT.png.
    """
    given = {
        "image": image,
        "pixel_pm": pixel_pm,
        "frame": frame,
        "rotation_deg": rotation_deg,
        "flip": flip,
        "invalid": invalid,
        "gain": gain,
        "offset": offset,
        "dose_e_per_a2": dose,
        "defocus_nm": defocus_nm,
    }
    options = read_options(ComparisonOptions, comparison, given)
    lens = read_block(Imaging, imaging)

    from segdepth.devices import one_thread
    from segdepth.steps.compare_micrograph import compare_micrograph as step
    from segdepth.store.manifest import check_target

    if picture:
        check_target(_picture_path(out), "plot-comparison", [out])
    with one_thread():
        lines = step(options, lens, input, waves, out, structure=structure, code=code_hash("compare-micrograph"))
    show_lines(lines)
    if picture:
        registered("plot-comparison")(out, _picture_path(out))
