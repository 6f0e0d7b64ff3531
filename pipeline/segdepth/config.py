"""The configuration: one typed model per block of ``config.yaml``, its checks, and its JSON schema.

Units stand in the field names (``defocus_nm``, ``pixel_pm``); limits are narrow enough that a value in a
wrong unit is refused. This module knows names, numbers and limits. It must not know how anything is computed.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from segdepth.splits import PARTS, split_of

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
ELEMENTS = ("Ce", "O")
CLASSES = 11
"""Depth classes 0 … 10 atoms (SegDepth III-C)."""

NETWORK_STRIDE = 64
"""Six 2 x 2 poolings: sides of what the network sees must be divisible by this (SegDepth, appendix)."""


class ConfigError(ValueError):
    """A mistake in the user's input, told in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"a range is [low, high] with low not above high, got [{pair[0]:g}, {pair[1]:g}]")
    return pair


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number, got a boolean")
    return value


Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(_no_bool)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


def _range_of(**limits: float) -> Any:
    """A closed range ``[low, high]`` whose ends both keep to the limits."""
    end = Annotated[Number, Field(**limits)]
    return Annotated[tuple[end, end], AfterValidator(_ordered)]


def _value_or_range(*, smallest: float, **limits: float) -> Any:
    """A fixed value, or a range ``[low, high]`` from which each sample draws uniformly.

    A fixed value is 0 or at least ``smallest`` in magnitude: what is nearer to 0 was meant in another unit.
    """

    def not_tiny(value: float) -> float:
        if 0 < abs(value) < smallest:
            raise ValueError(f"got {value:g}; allowed: 0, or at least {smallest:g} in magnitude (is the unit right?)")
        return value

    return Annotated[Number, Field(**limits), AfterValidator(not_tiny)] | _range_of(**limits)


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def as_json(self) -> str:
        """The block on one line with sorted keys: what rules hand to commands and what manifests record."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


class Specimen(Block):
    """Wedges of CeO2 (110) seen along [110] (DESIGN §4)."""

    structures: Annotated[Count, Field(ge=1, le=100_000)] = Field(60, description="number of atomic models")
    shard_size: Annotated[Count, Field(ge=1, le=1000)] = Field(10, description="atomic models in one file and job")
    surfaces: Annotated[tuple[Literal["flat", "stepped", "sawtooth"], ...], Field(min_length=1)] = Field(
        ("flat", "stepped", "sawtooth"), description="surface kinds, in equal parts"
    )
    lattice_pm: Annotated[Number, Field(ge=500, le=600)] = Field(541.1, description="cubic lattice constant")
    field_pm: Annotated[Number, Field(ge=1000, le=50_000)] = Field(5411.0, description="side of the field of view")
    margin_pm: Annotated[Number, Field(ge=300, le=5000)] = Field(
        676.375, description="crystal simulated beyond each side of the field and cropped away"
    )
    bulk_atoms: _range_of(ge=1, le=CLASSES - 1) = Field(
        (3, 10), description="atoms a column holds far from the surface"
    )
    surface_atoms: _range_of(ge=1, le=CLASSES - 1) = Field((1, 3), description="atoms a column holds at the surface")
    decay_nm: _range_of(ge=0.1, le=50) = Field((0.5, 4.0), description="1/e length of the approach to the bulk")
    exit_fraction: _range_of(ge=0, le=1) = Field(
        (0.0, 1.0), description="share of the thinning that is on the exit surface, the rest is on the entrance"
    )
    vacuum_fraction: _range_of(ge=0.05, le=0.9) = Field((0.12, 0.4), description="share of the field above the crystal")
    terrace_nm: _range_of(ge=0.3, le=10) = Field((0.6, 2.0), description="terrace width of the stepped surface")
    facet_nm: _range_of(ge=0.5, le=10) = Field((1.0, 2.7), description="period of the sawtooth surface")
    missing_probability: Annotated[Number, Field(ge=0, le=0.5)] = Field(
        0.03, description="chance that a column near the surface lacks its last atom"
    )
    missing_reach_nm: Annotated[Number, Field(ge=0, le=5)] = Field(
        0.6, description="how near the surface a column must be to lack an atom"
    )

    @property
    def shards(self) -> int:
        return math.ceil(self.structures / self.shard_size)

    @property
    def cell_pm(self) -> float:
        return self.field_pm + 2 * self.margin_pm


class Beam(Block):
    """Illumination and multislice; nothing of the lens (DESIGN §5)."""

    energy_kev: Annotated[Number, Field(ge=20, le=1000)] = 300.0
    pixel_pm: Annotated[Number, Field(ge=2, le=15)] = Field(7.6, description="largest pixel of the multislice grid")
    slice_pm: Annotated[Number, Field(ge=5, le=400)] = Field(96.0, description="atoms nearer in height share a slice")
    parametrization: Literal["lobato", "kirkland", "peng"] = Field("lobato", description="scattering factors")
    projection: Literal["infinite", "finite"] = Field("infinite", description="how an atom's potential is sliced")
    debye_waller_pm: dict[Literal["Ce", "O"], Annotated[Number, Field(ge=0, le=50)]] = Field(
        {"Ce": 6.6, "O": 8.5}, description="rms vibration u along each axis, B = 8 pi^2 u^2"
    )
    tilt_mrad: tuple[Annotated[Number, Field(ge=-70, le=70)], Annotated[Number, Field(ge=-70, le=70)]] = Field(
        (0.0, 0.0), description="beam tilt along x and y"
    )
    stored_angle_mrad: Annotated[Number, Field(ge=5, le=100)] = Field(
        40.0, description="Fourier coefficients up to this angle are stored; no aperture can be larger"
    )

    @model_validator(mode="after")
    def _elements(self) -> Beam:
        missing = set(ELEMENTS) - set(self.debye_waller_pm)
        if missing:
            raise ValueError(
                f"debye_waller_pm needs a value for each of {', '.join(ELEMENTS)}, lacks {sorted(missing)}"
            )
        return self


class DefocusSteps(Block):
    """``start, start + step, … stop`` in nm; positive is overfocus."""

    start: Annotated[Number, Field(ge=-100, le=100)]
    stop: Annotated[Number, Field(ge=-100, le=100)]
    step: Annotated[Number, Field(gt=0, le=100)]

    @model_validator(mode="after")
    def _order(self) -> DefocusSteps:
        if self.stop < self.start:
            raise ValueError(f"stop ({self.stop:g} nm) lies below start ({self.start:g} nm)")
        return self

    @property
    def values(self) -> tuple[float, ...]:
        count = int(math.floor((self.stop - self.start) / self.step + 1e-9)) + 1
        return tuple(round(self.start + i * self.step, 9) for i in range(count))


class Imaging(Block):
    """The lens and the pixel (DESIGN §5). A value in brackets is a range from which each image draws."""

    defocus_nm: DefocusSteps | Annotated[tuple[Annotated[Number, Field(ge=-100, le=100)], ...], Field(min_length=1)] = (
        Field(
            DefocusSteps(start=1, stop=9, step=1),
            description="C1 of the stored images; training draws between the ends",
        )
    )
    c3_um: _value_or_range(smallest=0.1, ge=-5000, le=5000) = -9.0
    c5_mm: _value_or_range(smallest=0.01, ge=-100, le=100) = 5.0
    focal_spread_nm: _value_or_range(smallest=0.1, ge=0, le=20) = Field(
        4.0, description="1/e half-width, averaged explicitly"
    )
    focal_samples: Annotated[Count, Field(ge=1, le=201)] = Field(
        17, description="equal focal steps over ±2 half-widths"
    )
    convergence_mrad: _value_or_range(smallest=0.001, ge=0, le=5) = Field(
        0.2, description="1/e half-width, envelope on the wave"
    )
    aperture_mrad: Annotated[Number, Field(ge=5, le=100)] = Field(40.0, description="hard objective aperture")
    vibration_pm: _value_or_range(smallest=1, ge=0, le=100) = Field(20.0, description="rms image spread, isotropic")
    pixel_pm: Annotated[Number, Field(ge=2, le=60)] = Field(5411 / 256, description="side of an image pixel")

    @property
    def defocus_values_nm(self) -> tuple[float, ...]:
        return self.defocus_nm.values if isinstance(self.defocus_nm, DefocusSteps) else tuple(self.defocus_nm)

    @model_validator(mode="after")
    def _distinct(self) -> Imaging:
        values = self.defocus_values_nm
        if len(set(values)) != len(values):
            raise ValueError("defocus_nm names a value twice")
        return self


class Labels(Block):
    """Depth maps (DESIGN §6)."""

    pixel_pm: Annotated[Number, Field(ge=2, le=60)] = Field(5411 / 256, description="side of a label pixel")
    atom_radius_pm: dict[Literal["Ce", "O"], Annotated[Number, Field(gt=0, le=135)]] = Field(
        {"Ce": 85.0, "O": 64.0}, description="disc that one atom covers in the projected counts"
    )
    core_radius_pm: dict[Literal["Ce", "O"], Annotated[Number, Field(gt=0, le=135)]] = Field(
        {"Ce": 85.0, "O": 64.0}, description="flat core around a column that holds its full count"
    )
    outer_radius_pm: dict[Literal["Ce", "O"], Annotated[Number, Field(gt=0, le=300)]] = Field(
        {"Ce": 120.0, "O": 90.0}, description="where the rings have fallen to 0"
    )
    weight_width_pm: Annotated[Number, Field(gt=0, le=500)] = Field(
        90.0, description="Gaussian fall-off of the loss weight"
    )
    weight_floor: Annotated[Number, Field(ge=0, le=1)] = Field(0.2, description="loss weight of the background")

    @model_validator(mode="after")
    def _rings(self) -> Labels:
        for field in ("atom_radius_pm", "core_radius_pm", "outer_radius_pm"):
            missing = set(ELEMENTS) - set(getattr(self, field))
            if missing:
                raise ValueError(f"{field} needs a value for each of {', '.join(ELEMENTS)}, lacks {sorted(missing)}")
        for element in ELEMENTS:
            if self.outer_radius_pm[element] <= self.core_radius_pm[element]:
                raise ValueError(
                    f"outer_radius_pm of {element} ({self.outer_radius_pm[element]:g}) must exceed "
                    f"core_radius_pm ({self.core_radius_pm[element]:g})"
                )
        return self


class Splits(Block):
    """Shares of the structures; what they leave over is not used."""

    test: Annotated[Number, Field(ge=0, le=1)] = 0.2
    validation: Annotated[Number, Field(ge=0, le=1)] = 0.15
    train: Annotated[Number, Field(ge=0, le=1)] = 0.65

    @model_validator(mode="after")
    def _sum(self) -> Splits:
        total = self.test + self.validation + self.train
        if total > 1 + 1e-9:
            raise ValueError(f"test + validation + train is {total:g}; at most 1 is allowed")
        return self


class Dataset(Block):
    """One specimen, beam, imaging and labels block, joined with a dose and splits."""

    specimen: Name
    beam: Name
    imaging: Name
    labels: Name
    dose_lambda: Annotated[Number, Field(gt=0, le=10_000)] = Field(
        2.5, description="electrons per 5411/1024 pm pixel in vacuum"
    )
    splits: Splits = Splits()

    def structures_of(self, part: str, specimen: Specimen) -> list[int]:
        """Indices of the structures that are ``test``, ``validation`` or ``train`` in this data set."""
        if part not in PARTS:
            raise ValueError(f"no split is called {part!r}; there are {', '.join(PARTS)}")
        shares = self.splits
        return [
            index
            for index in range(specimen.structures)
            if split_of(index, shares.test, shares.validation, shares.train) == part
        ]


class Architecture(Block):
    """The network (DESIGN §7)."""

    variant: Literal["binned", "full"] = Field(
        "binned", description="binned: 21 pm in and out; full: 5.3 pm in, 21 pm out"
    )
    base_channels: Annotated[Count, Field(ge=2, le=256, multiple_of=2)] = 16


class Training(Block):
    """How a network is trained."""

    seed: Annotated[Count, Field(ge=0, lt=2**32)] = 0
    fresh_optics: bool = Field(
        True, description="draw a new lens for each sample; false: only the stored defocus values"
    )
    optics_repeats: Annotated[Count, Field(ge=1, le=64)] = Field(
        2, description="times an image is used, each with new noise, before its lens is drawn anew"
    )
    dose_lambda: _range_of(gt=0, le=10_000) | None = Field(
        None, description="each sample's dose is drawn from this range, log-uniform; without it, the data set's"
    )
    flip: bool = Field(True, description="mirror samples along x, at random")
    crop_pixels: Annotated[Count, Field(ge=64, le=4096, multiple_of=NETWORK_STRIDE)] = Field(
        256, description="side of a training sample in input pixels"
    )
    batch_size: Annotated[Count, Field(ge=1, le=4096)] = 8
    epoch_samples: Annotated[Count, Field(ge=1)] = Field(512, description="samples that one epoch draws")
    epochs: Annotated[Count, Field(ge=1, le=100_000)] = 10
    patience_epochs: Annotated[Count, Field(ge=1)] = Field(10, description="early stopping on the validation loss")
    learning_rate: Annotated[Number, Field(gt=0, le=1)] = 3e-3
    weight_decay: Annotated[Number, Field(ge=0, le=1)] = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 where it is fast")


class Model(Block):
    """One network and the dataset it learns from."""

    dataset: Name
    architecture: Architecture = Architecture()
    training: Training = Training()


class Micrograph(Block):
    """One simulated recording in electron counts, with a camera pixel of its own, for the prediction to read."""

    dataset: Name
    structure: Annotated[Count, Field(ge=0)] = Field(0, description="which of the test structures")
    defocus_nm: Annotated[Number, Field(ge=-100, le=100)] = 5.0
    pixel_pm: Annotated[Number, Field(ge=2, le=25)] = 6.76375


class Prediction(Block):
    """One micrograph for ``segdepth predict``; ``input`` is a file, ``micrograph`` a simulated recording."""

    model: Name
    input: str | None = None
    micrograph: Name | None = None
    key: str | None = Field(None, description="array name inside an .npz file")
    pixel_pm: Annotated[Number, Field(ge=1, le=100)] | None = None
    invalid: Annotated[float, BeforeValidator(_no_bool)] | None = Field(
        None, description="value of masked pixels; .nan masks all that is not finite"
    )
    rotation_deg: Annotated[Number, Field(ge=-360, le=360)] = 0.0
    flip: bool = Field(False, description="mirror the frame before it is turned")
    dose: Annotated[Number, Field(gt=0)] | None = Field(None, description="vacuum level, counts per pixel")

    @model_validator(mode="after")
    def _source(self) -> Prediction:
        if (self.input is None) == (self.micrograph is None):
            raise ValueError("give either input (a file) or micrograph (a name), not both and not neither")
        if self.input is not None and self.pixel_pm is None:
            raise ValueError("pixel_pm is needed: the side of the input's pixel in pm")
        return self


class Figures(Block):
    """What the paper's figures are drawn from."""

    model: Name
    dataset: Name
    confusion_dataset: Name = Field(description="the dataset of figure 6 (the paper uses lambda = 1)")


class Config(Block):
    """The whole of ``config.yaml``."""

    root_seed: Annotated[Count, Field(ge=0, lt=2**63)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    specimens: dict[Name, Specimen]
    beams: dict[Name, Beam]
    imaging: dict[Name, Imaging]
    labels: dict[Name, Labels]
    datasets: dict[Name, Dataset]
    models: dict[Name, Model]
    evaluations: dict[Name, tuple[Name, ...]] = Field({}, description="for each model, the datasets it is measured on")
    figures: Figures | None = None
    micrographs: dict[Name, Micrograph] = {}
    predictions: dict[Name, Prediction] = {}

    @model_validator(mode="after")
    def _joins(self) -> Config:
        def need(key: str, name: str, among: dict) -> None:
            if name not in among:
                raise ValueError(f"{key}: no block is called {name!r}; there are {', '.join(among) or 'none'}")

        for name, dataset in self.datasets.items():
            here = f"datasets.{name}"
            need(f"{here}.specimen", dataset.specimen, self.specimens)
            need(f"{here}.beam", dataset.beam, self.beams)
            need(f"{here}.imaging", dataset.imaging, self.imaging)
            need(f"{here}.labels", dataset.labels, self.labels)
            self._check_dataset(here, dataset)
        for name, model in self.models.items():
            need(f"models.{name}.dataset", model.dataset, self.datasets)
            self._check_model(f"models.{name}", model)
        for name, datasets in self.evaluations.items():
            need(f"evaluations.{name}", name, self.models)
            for dataset in datasets:
                need(f"evaluations.{name}", dataset, self.datasets)
        for name, micrograph in self.micrographs.items():
            here = f"micrographs.{name}"
            need(f"{here}.dataset", micrograph.dataset, self.datasets)
            specimen = self.specimens[self.datasets[micrograph.dataset].specimen]
            _whole(f"{here}.pixel_pm", micrograph.pixel_pm, specimen)
        for name, prediction in self.predictions.items():
            need(f"predictions.{name}.model", prediction.model, self.models)
            if prediction.micrograph is not None:
                need(f"predictions.{name}.micrograph", prediction.micrograph, self.micrographs)
        if self.figures is not None:
            need("figures.model", self.figures.model, self.models)
            for field in ("dataset", "confusion_dataset"):
                name = getattr(self.figures, field)
                need(f"figures.{field}", name, self.datasets)
                if name not in self.evaluations.get(self.figures.model, ()):
                    raise ValueError(
                        f"figures.{field}: evaluations.{self.figures.model} must list {name!r} for a figure to show it"
                    )
        return self

    def _check_dataset(self, here: str, dataset: Dataset) -> None:
        specimen, beam = self.specimens[dataset.specimen], self.beams[dataset.beam]
        imaging, labels = self.imaging[dataset.imaging], self.labels[dataset.labels]
        if imaging.aperture_mrad > beam.stored_angle_mrad:
            raise ValueError(
                f"imaging.{dataset.imaging}.aperture_mrad: got {imaging.aperture_mrad:g}; at most "
                f"beams.{dataset.beam}.stored_angle_mrad ({beam.stored_angle_mrad:g}) is stored"
            )
        _whole(f"imaging.{dataset.imaging}.pixel_pm", imaging.pixel_pm, specimen)
        _whole(f"labels.{dataset.labels}.pixel_pm", labels.pixel_pm, specimen)

    def _check_model(self, here: str, model: Model) -> None:
        dataset = self.datasets[model.dataset]
        imaging, labels = self.imaging[dataset.imaging], self.labels[dataset.labels]
        specimen = self.specimens[dataset.specimen]
        ratio = labels.pixel_pm / imaging.pixel_pm
        wanted = {"binned": 1, "full": 4}[model.architecture.variant]
        if abs(ratio - wanted) > 1e-6:
            raise ValueError(
                f"{here}.architecture.variant: got {model.architecture.variant!r}, which needs a label pixel {wanted} "
                f"times the image pixel, but dataset {model.dataset!r} has {ratio:g}"
            )
        side = round(specimen.field_pm / imaging.pixel_pm)
        if model.training.crop_pixels > side:
            raise ValueError(
                f"{here}.training.crop_pixels: got {model.training.crop_pixels}; the field has {side} pixels"
            )
        if side % NETWORK_STRIDE:
            raise ValueError(
                f"{here}.dataset: the field of {model.dataset!r} has {side} pixels a side; "
                f"the network needs a multiple of {NETWORK_STRIDE}"
            )
        for part in ("train", "validation"):
            if not dataset.structures_of(part, specimen):
                raise ValueError(
                    f"datasets.{model.dataset}.splits.{part}: got {getattr(dataset.splits, part):g}, which leaves "
                    f"none of the {specimen.structures} structures; training needs at least one"
                )


def _whole(key: str, pixel_pm: float, specimen: Specimen) -> None:
    for what, length in (("field_pm", specimen.field_pm), ("margin_pm", specimen.margin_pm)):
        count = length / pixel_pm
        if abs(count - round(count)) > 1e-6 * max(1.0, count):
            raise ValueError(
                f"{key}: got {pixel_pm:g}; the specimen's {what} ({length:g}) must be a whole number of pixels, "
                f"this makes {count:.4f}"
            )


def _where(location: tuple) -> str:
    """Pydantic's location as a dotted key; names of union branches are left out."""
    parts = [
        str(p) for p in location if not (isinstance(p, str) and re.search(r"[\[\(]|^(DefocusSteps|float|int)$", p))
    ]
    return ".".join(parts)


def _describe(error: dict, model: type[BaseModel]) -> str:
    key = _where(error["loc"])
    kind, message, got = error["type"], error["msg"], error.get("input")
    if kind == "extra_forbidden":
        allowed = _allowed_keys(model, error["loc"][:-1])
        close = difflib.get_close_matches(str(error["loc"][-1]), allowed, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"{key}: unknown key{hint}; allowed: {', '.join(allowed)}"
    if kind == "missing":
        return f"{key}: missing; it must be given"
    if kind == "value_error":
        text = message.removeprefix("Value error, ")
        return text if not key or text.startswith(key) else f"{key}: {text}"
    if kind == "string_pattern_mismatch" and "pattern" in error.get("ctx", {}):
        message = "a name has letters, digits, _ and -, begins with a letter or digit, and is at most 64 long"
    shown = repr(got) if not isinstance(got, dict | list) or len(repr(got)) < 60 else type(got).__name__
    return f"{key or 'config'}: got {shown}; {message[0].lower()}{message[1:]}"


def _allowed_keys(model: type[BaseModel], location: tuple) -> list[str]:
    """Field names of the block at a location, for the message about an unknown key."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            if part not in current.model_fields:
                continue
            current = current.model_fields[part].annotation
        blocks = _blocks_in(current)
        current = blocks[0] if blocks else current
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _blocks_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for argument in get_args(annotation) for block in _blocks_in(argument)]


def validate(model: type[Block], data: Any, source: str = "config") -> Any:
    """Check ``data`` against one model.

    Raises
    ------
    ConfigError
        One line: the source, the key, what it got and what is allowed.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected a mapping of keys to values, got {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as failure:
        errors = failure.errors(include_url=False)
        # of a union, the branch that got furthest into the value tells most, then the one whose kind of value it was
        errors.sort(
            key=lambda e: (e["type"] != "extra_forbidden", -len(e["loc"]), e["type"].endswith(("_type", "_parsing")))
        )
        keys = {_where(e["loc"]) for e in errors}
        more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
        raise ConfigError(f"{source}: {_describe(errors[0], model)}{more}") from None


class _Loader(yaml.SafeLoader):
    """YAML as data only; a key given twice is refused, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value in seen:
                raise _Refused(f"line {key.start_mark.line + 1}: the key {key.value!r} is given twice in one block")
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Refused(ValueError):
    """Valid YAML that a configuration must not hold."""


NODES = 100_000
"""Values that a configuration may hold once its aliases are written out: a few bytes can stand for billions."""


def _expanded(node: yaml.Node, known: dict[int, int], above: frozenset[int] = frozenset()) -> int:
    """Number of nodes under a node, its aliases written out."""
    if id(node) in above:
        raise _Refused(f"line {node.start_mark.line + 1}: an alias lies within its own anchor")
    if id(node) not in known:
        inner = above | {id(node)}
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        children = [child for part in parts for child in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = 1 + sum(_expanded(child, known, inner) for child in children)
        if known[id(node)] > NODES:
            raise _Refused(f"holds more than {NODES} values; what has so many aliases is no configuration")
    return known[id(node)]


def _read_yaml(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _expanded(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def load_config(path: str | Path) -> Config:
    """Read and check a configuration file.

    Raises
    ------
    ConfigError
        The file is missing, is not YAML, or holds something that is not allowed.
    """
    path = Path(path)
    try:
        data = _read_yaml(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise ConfigError(f"{path}: cannot be read ({failure.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as failure:
        where = getattr(failure, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise ConfigError(f"{path}: is not valid YAML{line}") from None
    except _Refused as failure:
        raise ConfigError(f"{path}: {failure}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply to be a configuration") from None
    except ValueError as failure:  # a date or number that YAML's own grammar lets through, 2024-13-45
        raise ConfigError(f"{path}: is not valid YAML ({failure})") from None
    return validate(Config, data, str(path))


def json_schema() -> str:
    """The JSON schema of ``config.yaml``, for editors; kept in step by a test."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"
