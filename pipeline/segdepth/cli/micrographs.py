"""Micrographs: prediction and comparison with the simulation.

Options are given one by one or as a block; an option that is given overrides the block's value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from segdepth.cli.app import app, registered
from segdepth.cli.options import BlockText, Device, Out, read_block
from segdepth.config import ComparisonOptions, Imaging, PredictionOptions, Reading, validate
from segdepth.store.code_hash import code_hash

Input = Annotated[Path, typer.Argument(help="micrograph: .npy, .npz or .tif, counts of one frame or of a movie")]
Pixel = Annotated[float | None, typer.Option("--pixel-pm", help="side of the micrograph's pixel in pm")]
Key = Annotated[str | None, typer.Option("--key", help="array name inside an .npz file")]
Invalid = Annotated[float | None, typer.Option("--invalid", help="value of masked pixels")]
Rotation = Annotated[
    float | None,
    typer.Option(
        "--rotation-deg",
        help="counter-clockwise turn (row 0 at the bottom) that brings the crystal's x axis to x and the vacuum to +y",
    ),
]
Flip = Annotated[bool | None, typer.Option("--flip/--no-flip", help="mirror the frame along x before it is turned")]
VacuumCounts = Annotated[
    float | None,
    typer.Option(
        "--vacuum-counts",
        help="counts per pixel in vacuum; needed where the frame shows too little vacuum to find them",
    ),
]
Picture = Annotated[bool, typer.Option("--picture/--no-picture", help="draw the result to OUT.png and OUT.pdf")]


def _options(kind: type[Reading], block: str | None, given: dict[str, Any]) -> Any:
    """The options of the block (JSON or FILE:NAME), overridden by those that are given."""
    held: dict[str, Any] = {}
    if block is not None:
        read = read_block(kind if block.lstrip().startswith("{") else _section_kind(kind), block)
        held = {name: getattr(read, name) for name in kind.model_fields}
    return validate(kind, held | {name: value for name, value in given.items() if value is not None}, "options")


def _section_kind(kind: type[Reading]) -> type[Reading]:
    """The block of ``config.yaml`` that holds these options."""
    from segdepth.config import Comparison, Prediction

    return Prediction if issubclass(Prediction, kind) else Comparison


def _picture_path(out: Path) -> Path:
    """Beside the folder."""
    return out.with_name(out.name + ".png")


def _print_warnings(warnings: list[str]) -> None:
    for line in warnings:
        typer.echo(f"warning: {line}", err=True)


@app.command("predict")
def predict(
    input: Input,
    out: Out,
    model: Annotated[Path | None, typer.Option(help="folder of a trained network; by default the bundled one")] = None,
    prediction: Annotated[
        str | None, typer.Option(help="block with the options below: FILE:NAME (config.yaml:NAME) or JSON")
    ] = None,
    pixel_pm: Pixel = None,
    key: Key = None,
    invalid: Invalid = None,
    rotation_deg: Rotation = None,
    flip: Flip = None,
    vacuum_counts: VacuumCounts = None,
    precision: Annotated[
        str | None,
        typer.Option(help="auto, float32 or bfloat16; auto: bfloat16 where the hardware supports it"),
    ] = None,
    flip_average: Annotated[
        bool | None,
        typer.Option(
            "--flip-average/--no-flip-average",
            help="average over the frame and its mirror image, if the network was trained for it; "
            "without: half the time",
        ),
    ] = None,
    device: Device = "auto",
    picture: Picture = True,
) -> None:
    """Estimate the atom counts behind every pixel of a micrograph: OUT/prediction.zarr, OUT/columns.csv, OUT.png."""
    given = {
        "pixel_pm": pixel_pm,
        "key": key,
        "invalid": invalid,
        "rotation_deg": rotation_deg,
        "flip": flip,
        "vacuum_counts": vacuum_counts,
        "precision": precision,
        "flip_average": flip_average,
    }
    options = _options(PredictionOptions, prediction, given)

    from segdepth.networks.bundled import bundled_network
    from segdepth.steps.predict_micrograph import predict_micrograph as step
    from segdepth.store.manifest import check_target

    if picture:
        check_target(_picture_path(out), "plot-prediction", [out])
    warnings = step(options, input, model or bundled_network(), out, code=code_hash("predict"), device=device)
    _print_warnings(warnings)
    if picture:
        registered("plot-prediction")(out, _picture_path(out))


@app.command("compare-micrograph")
def compare_micrograph(
    input: Input,
    waves: Annotated[Path, typer.Option(help="shard-NNN.zarr of exit waves; ranges are over all its structures")],
    imaging: BlockText,
    structure: Annotated[
        int,
        typer.Option(
            min=0, help="index in the plan of the structure that is shown (not its number among the test structures)"
        ),
    ],
    out: Out,
    comparison: Annotated[
        str | None, typer.Option(help="block with the options below: FILE:NAME (config.yaml:NAME) or JSON")
    ] = None,
    pixel_pm: Pixel = None,
    key: Key = None,
    frame: Annotated[int | None, typer.Option(min=0, help="frame of a movie, counted from 0")] = None,
    invalid: Invalid = None,
    rotation_deg: Rotation = None,
    flip: Flip = None,
    vacuum_counts: VacuumCounts = None,
    defocus_nm: Annotated[
        float | None,
        typer.Option(
            help="which of the imaging block's values is shown; by default the one whose average unit cells are "
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
        "pixel_pm": pixel_pm,
        "key": key,
        "frame": frame,
        "invalid": invalid,
        "rotation_deg": rotation_deg,
        "flip": flip,
        "vacuum_counts": vacuum_counts,
        "defocus_nm": defocus_nm,
    }
    options = _options(ComparisonOptions, comparison, given)
    lens = read_block(Imaging, imaging)

    from segdepth.devices import one_thread
    from segdepth.steps.compare_micrograph import compare_micrograph as step
    from segdepth.store.manifest import check_target

    if picture:
        check_target(_picture_path(out), "plot-comparison", [out])
    with one_thread():
        warnings = step(options, lens, input, waves, out, structure=structure, code=code_hash("compare-micrograph"))
    _print_warnings(warnings)
    if picture:
        registered("plot-comparison")(out, _picture_path(out))
