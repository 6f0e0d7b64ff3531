"""One typed model per block of ``config.yaml``. Units stand in the field names (``defocus_nm``, ``pixel_pm``); limits
are narrow enough that a value in a wrong unit is refused. Must not know how anything is computed.
"""

from __future__ import annotations

import json
import math
import os
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from segdepth.config.fields import (
    CLASSES,
    ELEMENTS,
    NETWORK_STRIDE,
    Count,
    Name,
    Number,
    no_bool,
    range_of,
    value_or_range,
    whole_range_of,
)
from segdepth.splits import PARTS, split_of


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def as_json(self) -> str:
        """The block on one line with sorted keys: what rules hand to commands and what manifests record."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


class Specimen(Block):
    """Wedges of CeO2 (110) seen along [110]."""

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
    bulk_atoms: whole_range_of(ge=1, le=CLASSES - 1) = Field(
        (3, 10), description="layers of atoms far from the surface, whole numbers spread evenly over the structures"
    )
    surface_atoms: range_of(ge=1, le=CLASSES - 1) = Field((1, 3), description="atoms a column holds at the surface")
    decay_nm: range_of(ge=0.1, le=50) = Field((0.5, 4.0), description="1/e length of the approach to the bulk")
    balanced_counts: bool = Field(
        False,
        description="bulk, surface and decay go together: thin crystals begin with the fewest atoms and thicken "
        "slowly, thick ones fast; every count then has its share of the columns",
    )
    exit_fraction: range_of(ge=0, le=1) = Field(
        (0.0, 1.0), description="share of the thinning that is on the exit surface, the rest is on the entrance"
    )
    vacuum_fraction: range_of(ge=0.05, le=0.9) = Field((0.12, 0.4), description="share of the field above the crystal")
    terrace_nm: range_of(ge=0.3, le=10) = Field((0.6, 2.0), description="terrace width of the stepped surface")
    step_half_layers: Annotated[tuple[Annotated[Count, Field(ge=1, le=4)], ...], Field(min_length=1)] = Field(
        (1, 2), description="heights of the stepped surface's steps in half layers a/(2√2), each as likely"
    )
    facet_nm: range_of(ge=0.5, le=10) = Field((1.0, 2.7), description="period of the sawtooth surface")
    missing_probability: Annotated[Number, Field(ge=0, le=0.5)] = Field(
        0.03, description="chance that a column near the surface lacks its last atom"
    )
    missing_reach_nm: Annotated[Number, Field(ge=0, le=5)] = Field(
        0.6, description="how near the surface a column must be to lack an atom, or to gain one"
    )
    added_probability: Annotated[Number, Field(ge=0, le=0.5)] = Field(
        0.0, description="chance that a column near the surface, or up to half a layer above it, gains an atom"
    )
    count_shift_atoms: Annotated[Count, Field(ge=0, le=3)] = Field(
        0, description="each column's count is shifted by up to this many atoms, clipped to 1 ... 10"
    )
    corner_radius_nm: range_of(ge=0, le=3) = Field((0.0, 0.0), description="rounding of the surface line's corners")
    exit_decay_nm: range_of(ge=0.1, le=50) | None = Field(
        None, description="decay length of the exit face alone; without it both faces share that of decay_nm"
    )
    terminations: Annotated[tuple[Literal["cut", "Ce", "O"], ...], Field(min_length=1)] = Field(
        ("cut",),
        description="what the surface ends with, drawn: cut (as the line cuts it), Ce (no O column that lacks one of "
        "its three Ce columns), O (every Ce column has its six O columns)",
    )
    oxygen_vacancy_fraction: range_of(ge=0, le=0.3) = Field(
        (0.0, 0.0), description="share of oxygen sites that are empty, far from the surface"
    )
    vacancy_surface_enrichment: Annotated[Number, Field(ge=1, le=20)] = Field(
        1.0, description="how many times more vacancies there are at the surface"
    )
    vacancy_reach_nm: Annotated[Number, Field(ge=0.1, le=5)] = Field(
        0.5, description="1/e length over which that enrichment fades"
    )
    rotation_deg: range_of(ge=-45, le=45) = Field(
        (0.0, 0.0), description="in-plane rotation of the crystal, counter-clockwise with y up"
    )
    strain_percent: range_of(ge=-2, le=2) = Field(
        (0.0, 0.0), description="in-plane strain, drawn along [001] and along [1-10]"
    )
    tilt_deg: range_of(ge=0, le=4) = Field(
        (0.0, 0.0), description="tilt off the zone axis, in any direction; adds to the beam's"
    )

    @model_validator(mode="after")
    def _margin(self) -> Specimen:
        """A tilted column that the cell's edge cuts must not reach into the field's labels."""
        if self.tilt_deg[1] == 0:
            return self
        label_reach = 360  # pm: the largest outer_radius_pm and pixel_pm that labels may have
        atoms = min(self.bulk_atoms[1] + (self.added_probability > 0) + self.count_shift_atoms, CLASSES - 1)
        smear = (atoms - 1) * self.lattice_pm / math.sqrt(2) * math.sin(math.radians(self.tilt_deg[1]))
        if self.margin_pm < smear + label_reach:
            raise ValueError(
                f"margin_pm: got {self.margin_pm:g}; a column of {atoms} atoms tilted by {self.tilt_deg[1]:g}° "
                f"(tilt_deg) smears over {smear:.0f} pm, at least {smear + label_reach:.0f} is needed"
            )
        return self

    @property
    def shards(self) -> int:
        return math.ceil(self.structures / self.shard_size)

    @property
    def cell_pm(self) -> float:
        return self.field_pm + 2 * self.margin_pm


LARGEST_SNAPSHOT_PIXEL_PM = 8.0
"""3 % of the contrast at 7.6 pm, 7 % at 10.5 pm."""


class Beam(Block):
    """Illumination and multislice; nothing of the lens."""

    energy_kev: Annotated[Number, Field(ge=20, le=1000)] = 300.0
    pixel_pm: Annotated[Number, Field(ge=2, le=15)] = Field(10.5, description="largest pixel of the multislice grid")
    band_limit: Annotated[Number, Field(ge=0.3, le=1)] = Field(
        1.0, description="share of the grid's Nyquist frequency that propagates (abTEM's antialias cutoff)"
    )
    precision: Literal["float32", "float64"] = "float32"
    slice_pm: Annotated[Number, Field(ge=5, le=400)] = Field(96.0, description="atoms nearer in height share a slice")
    parametrization: Literal["lobato", "kirkland", "peng"] = Field("lobato", description="scattering factors")
    projection: Literal["infinite", "finite"] = Field("infinite", description="how an atom's potential is sliced")
    debye_waller_pm: dict[Literal["Ce", "O"], Annotated[Number, Field(ge=0, le=50)]] = Field(
        {"Ce": 6.6, "O": 8.5}, description="rms vibration u along each axis, B = 8 pi^2 u^2"
    )
    absorption: bool = Field(
        True,
        description="what vibration scatters diffusely leaves the wave (absorptive form factors); false: only the "
        "Debye-Waller factor",
    )
    frozen_phonons: Annotated[Count, Field(ge=0, le=200)] = Field(
        0, description="snapshots of displaced atoms whose images are averaged; 0: the coherent wave"
    )
    tilt_mrad: tuple[Annotated[Number, Field(ge=-70, le=70)], Annotated[Number, Field(ge=-70, le=70)]] = Field(
        (0.0, 0.0), description="tilt of the beam along x and y for all structures, besides a structure's own"
    )
    stored_angle_mrad: Annotated[Number, Field(ge=5, le=100)] = Field(
        45.0, description="Fourier coefficients up to this angle are stored; no aperture can be larger"
    )

    @model_validator(mode="after")
    def _elements(self) -> Beam:
        missing = set(ELEMENTS) - set(self.debye_waller_pm)
        if missing:
            raise ValueError(
                f"debye_waller_pm needs a value for each of {', '.join(ELEMENTS)}, lacks {sorted(missing)}"
            )
        return self

    @model_validator(mode="after")
    def _snapshots(self) -> Beam:
        if self.frozen_phonons and self.pixel_pm > LARGEST_SNAPSHOT_PIXEL_PM:
            raise ValueError(
                f"pixel_pm: got {self.pixel_pm:g}; frozen phonons, whose potentials are sharp, need at most "
                f"{LARGEST_SNAPSHOT_PIXEL_PM:g} (5.3 is right to 1 %)"
            )
        return self


MOST_DEFOCUS_VALUES = 1000


class DefocusSteps(Block):
    """``start, start + step, … stop`` in nm; positive is overfocus."""

    start: Annotated[Number, Field(ge=-100, le=100)]
    stop: Annotated[Number, Field(ge=-100, le=100)]
    step: Annotated[Number, Field(gt=0, le=100)]

    @model_validator(mode="after")
    def _order(self) -> DefocusSteps:
        if self.stop < self.start:
            raise ValueError(f"stop ({self.stop:g} nm) lies below start ({self.start:g} nm)")
        if (self.stop - self.start) / self.step >= MOST_DEFOCUS_VALUES:
            raise ValueError(f"step {self.step:g} makes too many values; at most {MOST_DEFOCUS_VALUES} are allowed")
        return self

    @property
    def count(self) -> int:
        return int(math.floor((self.stop - self.start) / self.step + 1e-9)) + 1

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(round(self.start + i * self.step, 9) for i in range(self.count))


AZIMUTH = range_of(ge=-360, le=360)

WIDEST_CONVERGENCE_MRAD = 0.5
"""Focal modes leave out what convergence and focal step do together."""

LARGEST_SPREAD_ANGLE = 45_000.0
"""Focal spread times aperture squared, nm mrad²: beyond it hundreds of focal modes would be needed."""


DEFOCUS_MARGIN_NM = 0.5
"""Training draws so far beyond the stored values, so that none of them is at the edge of what was learnt."""


class Imaging(Block):
    """The lens, the camera and the pixel. A value in brackets is a range from which each image draws."""

    defocus_nm: (
        DefocusSteps
        | Annotated[
            tuple[Annotated[Number, Field(ge=-100, le=100)], ...], Field(min_length=1, max_length=MOST_DEFOCUS_VALUES)
        ]
    ) = Field(
        DefocusSteps(start=1, stop=9, step=1),
        description="C1 of the stored images, from the crystal's exit face; training draws from the lowest to the "
        f"highest and {DEFOCUS_MARGIN_NM:g} nm beyond",
    )
    c3_um: value_or_range(smallest=0.1, ge=-5000, le=5000) = -9.0
    c5_mm: value_or_range(smallest=0.01, ge=-100, le=100) = 5.0
    a1_nm: value_or_range(smallest=0.01, ge=0, le=100) = Field(0.0, description="twofold astigmatism A1")
    a1_azimuth_deg: AZIMUTH = Field((0.0, 360.0), description="its azimuth, from x towards y; [30, 30] is fixed")
    b2_nm: value_or_range(smallest=0.1, ge=0, le=2000) = Field(0.0, description="axial coma B2 (C21 = 3 B2)")
    b2_azimuth_deg: AZIMUTH = Field((0.0, 360.0), description="its azimuth")
    a2_nm: value_or_range(smallest=0.1, ge=0, le=2000) = Field(0.0, description="threefold astigmatism A2")
    a2_azimuth_deg: AZIMUTH = Field((0.0, 360.0), description="its azimuth")
    focal_spread_nm: value_or_range(smallest=0.1, ge=0, le=20) = Field(
        4.0, description="1/e half-width of the Gaussian over which intensities are averaged"
    )
    focal_steps: Annotated[Count, Field(ge=1, le=201)] | None = Field(
        None,
        description="average over so many equal steps over ±2 half-widths (Dr. Probe's way; odd); without it, over the "
        "eigenmodes of the focal kernel, as many as it takes",
    )
    convergence_mrad: value_or_range(smallest=0.001, ge=0, le=5) = Field(
        0.2, description="1/e half-width, envelope on the wave"
    )
    aperture_mrad: Annotated[Number, Field(ge=5, le=100)] = Field(45.0, description="hard objective aperture")
    image_spread_pm: value_or_range(smallest=1, ge=0, le=100) = Field(20.0, description="rms image spread, isotropic")
    pixel_pm: Annotated[Number, Field(ge=2, le=60)] = Field(5411 / 256, description="side of an image pixel")
    camera_pixel_pm: Annotated[Number, Field(ge=1, le=60)] = Field(
        5411 / 1024, description="the camera's own pixel, whose Nyquist frequency the MTF refers to"
    )
    mtf_nyquist: value_or_range(smallest=0.01, gt=0, le=1) = Field(
        1.0, description="the camera's MTF at its Nyquist frequency, beside the pixel's own box; 1 is none"
    )
    mtf_exponent: Annotated[Number, Field(ge=0.3, le=4)] = Field(
        1.0, description="MTF(q) = mtf_nyquist ^ ((q / Nyquist) ^ mtf_exponent)"
    )
    detection_efficiency: Annotated[Number, Field(gt=0, le=1)] = Field(
        1.0, description="share of the electrons that is counted: the DQE at zero frequency"
    )

    @property
    def trained_defocus_nm(self) -> tuple[float, float]:
        """Lowest and highest C1 that training draws."""
        low, high = min(self.defocus_values_nm), max(self.defocus_values_nm)
        margin = DEFOCUS_MARGIN_NM if high > low else 0.0
        return low - margin, high + margin

    @property
    def defocus_values_nm(self) -> tuple[float, ...]:
        return self.defocus_nm.values if isinstance(self.defocus_nm, DefocusSteps) else tuple(self.defocus_nm)

    @model_validator(mode="after")
    def _distinct(self) -> Imaging:
        values = self.defocus_values_nm
        if len(set(values)) != len(values):
            raise ValueError("defocus_nm names a value twice")
        return self

    @model_validator(mode="after")
    def _focal_average(self) -> Imaging:
        if self.focal_steps is not None and self.focal_steps % 2 == 0:
            raise ValueError(f"focal_steps: got {self.focal_steps}; an odd number is needed, so that one is in focus")
        widest = self.convergence_mrad[1] if isinstance(self.convergence_mrad, tuple) else self.convergence_mrad
        if self.focal_steps is None and widest > WIDEST_CONVERGENCE_MRAD:
            raise ValueError(
                f"convergence_mrad: got {widest:g}; above {WIDEST_CONVERGENCE_MRAD:g} focal modes are too rough: "
                "give focal_steps"
            )
        spread = self.focal_spread_nm[1] if isinstance(self.focal_spread_nm, tuple) else self.focal_spread_nm
        if self.focal_steps is None and spread * self.aperture_mrad**2 > LARGEST_SPREAD_ANGLE:
            raise ValueError(
                f"focal_spread_nm: got {spread:g}; with an aperture of {self.aperture_mrad:g} mrad at most "
                f"{LARGEST_SPREAD_ANGLE / self.aperture_mrad**2:.3g} is allowed, or give focal_steps"
            )
        return self

    @property
    def least_image_spread_pm(self) -> float:
        """The smallest vibration that a lens of this block can have."""
        return self.image_spread_pm[0] if isinstance(self.image_spread_pm, tuple) else self.image_spread_pm


class Labels(Block):
    """Depth maps."""

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

    def difference(self, other: Labels) -> str | None:
        """In which radius the depth maps differ from those of ``other``, in one line; None if in none."""
        for field in ("atom_radius_pm", "core_radius_pm", "outer_radius_pm"):
            mine, its = getattr(self, field), getattr(other, field)
            if mine != its:
                return f"{field} is {mine}, not {its}"
        return None


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

    def structures_seen(self, specimen: Specimen) -> list[int]:
        """Indices of the structures that a network has seen which learns from it: trained on, or chosen by."""
        return sorted(self.structures_of("train", specimen) + self.structures_of("validation", specimen))


class Architecture(Block):
    """The network."""

    variant: Literal["binned", "full", "space_to_depth"] = Field(
        "binned",
        description="binned: the paper's network without its tail, 21 pm in and out; full: the paper's, 5.3 pm in, "
        "21 pm out; space_to_depth: our own, 21 pm in and out, 2 x 2 pixels become channels",
    )
    base_channels: Annotated[Count, Field(ge=2, le=256, multiple_of=2)] = 16


class Training(Block):
    """How a network is trained."""

    seed: Annotated[Count, Field(ge=0, lt=2**32)] = 0
    fresh_optics: bool = Field(
        True, description="draw any defocus in the range; false: the stored values only, the paper's way"
    )
    optics_repeats: Annotated[Count, Field(ge=1, le=64)] = Field(
        2, description="times an image is used, each with new noise, before its lens is drawn anew"
    )
    dose_lambda: range_of(gt=0, le=10_000) | None = Field(
        None, description="each sample's dose is drawn from this range, log-uniform; without it, its data set's"
    )
    dose_importance: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.0,
        description="samples count in the loss by their dose to this power (1 in the mean): at few electrons most "
        "of the loss is chance; 0: all alike",
    )
    flip: bool = Field(True, description="mirror samples along x, at random")
    crop_pixels: Annotated[Count, Field(ge=64, le=4096, multiple_of=NETWORK_STRIDE)] = Field(
        256, description="side of a training sample in input pixels"
    )
    batch_size: Annotated[Count, Field(ge=1, le=4096)] = 8
    epoch_samples: Annotated[Count, Field(ge=1)] = Field(512, description="samples that one epoch draws")
    epochs: Annotated[Count, Field(ge=1, le=100_000)] = 10
    patience_epochs: Annotated[Count, Field(ge=1)] | None = Field(
        None,
        description="ends early when the validation loss has not fallen for so many epochs: the learning rate then "
        "goes to its low end within a fifth of the epochs done, and training stops; without it, all epochs are trained",
    )
    optimizer: Literal["muon", "adam"] = Field(
        "muon", description="muon: steps of convolutions are made orthogonal, the rest is left to Adam"
    )
    learning_rate: Annotated[Number, Field(gt=0, le=1)] = Field(3e-3, description="the highest, after a rise")
    weight_decay: Annotated[Number, Field(ge=0, le=1)] = 0.0
    gradient_clip: Annotated[Number, Field(ge=0, le=1000)] = Field(
        0.0, description="longest gradient, in its norm; 0 leaves it as it is"
    )
    devices: Annotated[Count, Field(ge=1, le=64)] = Field(
        1, description="GPUs, or processes on a CPU, that train together; each takes a batch of batch_size"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 where it is fast")

    @property
    def epoch_steps(self) -> int:
        """Batches that each device takes in an epoch."""
        return max(1, self.epoch_samples // (self.batch_size * self.devices))


class Model(Block):
    """One network and the datasets it is trained on."""

    datasets: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="what it is trained on, each structure as often; the first one's dose is the network's own"
    )
    architecture: Architecture = Architecture()
    init_weights: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="folder of a trained network of the same architecture, with whose weights the training begins: "
        "results/models/NAME, or one that comes from elsewhere; without it, weights are random at first",
    )
    flip_average: bool = Field(
        False,
        description="test-time augmentation: estimates are means over the frame and its mirror image along x, at "
        "twice the time",
    )
    training: Training = Training()

    @field_validator("init_weights")
    @classmethod
    def _one_spelling(cls, value: str | None) -> str | None:
        """Rules, checks and cards name the folder alike."""
        return None if value is None else os.path.normpath(value.strip() or ".")


class Export(Block):
    """Which network comes with the package, as the model ``shipped``; made when it is asked for."""

    model: Name
    card_datasets: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="the datasets whose evaluations its card reports"
    )


class Micrograph(Block):
    """One simulated recording in electron counts, with a camera pixel of its own, for the prediction to read."""

    dataset: Name
    structure: Annotated[Count, Field(ge=0)] = Field(0, description="which of the test structures")
    defocus_nm: Annotated[Number, Field(ge=-100, le=100)] = 5.0
    pixel_pm: Annotated[Number, Field(ge=2, le=25)] = 6.76375


MICROGRAPH_SUFFIXES = (".npy", ".npz", ".tif", ".tiff")


class MicrographInput(Block):
    """A micrograph and how it is to be read: ``input`` is a file, ``micrograph`` a simulated recording."""

    input: str | None = None
    micrograph: Name | None = None
    key: str | None = Field(None, description="array name inside an .npz file")
    pixel_pm: Annotated[Number, Field(ge=1, le=100)] | None = None
    invalid: Annotated[float, BeforeValidator(no_bool)] | None = Field(
        None, description="value of masked pixels; .nan masks all that is not finite"
    )
    rotation_deg: Annotated[Number, Field(ge=-360, le=360)] = 0.0
    flip: bool = Field(False, description="mirror the frame before it is turned")
    dose: Annotated[Number, Field(gt=0)] | None = Field(None, description="vacuum level, counts per pixel")

    @model_validator(mode="after")
    def _source(self) -> Self:
        if (self.input is None) == (self.micrograph is None):
            raise ValueError("give either input (a file) or micrograph (a name), not both and not neither")
        if self.input is not None and self.pixel_pm is None:
            raise ValueError("pixel_pm is needed: the side of the input's pixel in pm")
        if self.input is not None and not self.input.lower().endswith(MICROGRAPH_SUFFIXES):
            raise ValueError(
                f"input: got {self.input!r}; allowed are files that end in {', '.join(MICROGRAPH_SUFFIXES)}"
            )
        if self.input is not None and set(self.input) & set("{}"):
            raise ValueError(
                f"input: got {self.input!r}; a path must not hold {{ or }}, which the workflow reads as names"
            )
        return self


class Prediction(MicrographInput):
    """One micrograph for ``segdepth predict``; ``input`` is a file, ``micrograph`` a simulated recording."""

    model: Name


class Comparison(MicrographInput):
    """One micrograph for ``segdepth compare-micrograph``, beside the simulation at its pixel and dose."""

    dataset: Name = Field(description="its specimen, beam and imaging blocks are what the micrograph is held against")
    structure: Annotated[Count, Field(ge=0)] = Field(0, description="which of the test structures is shown")
    defocus_nm: Annotated[Number, Field(ge=-100, le=100)] | None = Field(
        None, description="which of the imaging block's values is shown; without it, the one that is nearest"
    )
    frame: Annotated[Count, Field(ge=0)] = Field(0, description="which frame of a movie")


class Convergence(Block):
    """What the convergence study looks at: the data set's beam and imaging, on some of its structures."""

    dataset: Name
    shard: Annotated[Count, Field(ge=0)] = Field(0, description="the atoms file that holds the structures")
    structures: tuple[Annotated[Count, Field(ge=0)], ...] = Field(
        (), description="indices in the plan; none means the thickest and the middle one of the shard"
    )
    phonons: Annotated[Count, Field(ge=0, le=200)] = Field(
        16, description="snapshots that the Debye-Waller factor is held against; 0 leaves that out"
    )


METRIC_NAMES = (
    "pixelwise_accuracy",
    "centre_accuracy",
    "detection_rate",
    "hallucinated_rate",
    "columns_exact",
    "columns_within_one",
    "columns_mean_error",
    "columns_mean_absolute_error",
)
CALIBRATION_NAMES = ("expected_calibration_error", "expected_calibration_error_columns")
CHANGES = {"columns_exact_change": "columns_exact", "centre_accuracy_change": "centre_accuracy"}
"""Differences of a table's row to another, and the metric of which."""

LIMIT_METRICS = ("columns_exact", "columns_within_one")
"""What a table's row with ``limit`` can have."""

SMALL_IS_GOOD = ("hallucinated_rate", "columns_mean_absolute_error", "expected_calibration_error")
AIMED = (
    *(name + suffix for name in METRIC_NAMES if name != "columns_mean_error" for suffix in ("", "_Ce", "_O")),
    *CALIBRATION_NAMES,
    *CHANGES,
)
"""What a table can set an aim for; a mean error has none, since its sign tells neither good nor bad."""


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"got {text!r}; it must be one line of printable text")
    return text


Line = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_one_line)]


class TableRow(Block):
    """One row of a table: networks on a data set, or what can be told of a data set's columns at best."""

    label: Line = Field(description="what the row is called")
    models: tuple[Name, ...] = Field((), description="one network, or the same one trained with several seeds")
    dataset: Name | None = Field(None, description="what they are measured on")
    limit: Name | None = Field(None, description="in place of models and dataset: the data set whose limit is shown")
    shows: Literal["wedge", "limit", "both"] | None = Field(
        None,
        description="of a limit: wedge (counts guessed from a smooth wedge, without an image), limit (the best that "
        "the image allows for one column, all else known) or both (the image, and the wedge around which counts lie)",
    )
    against: str | None = Field(None, description="label of the row that the changes are against")
    aims: dict[str, Annotated[Number, Field(ge=-1, le=1)]] = Field(
        {}, description="metric: least value; of hallucinated_rate and of errors, the largest"
    )

    @model_validator(mode="after")
    def _kind(self) -> TableRow:
        if self.limit is not None:
            given = [name for name in ("models", "dataset", "against", "aims") if getattr(self, name)]
            if given or self.shows is None:
                wrong = f"no {given[0]}" if given else "lacks shows"
                raise ValueError(f"a row with limit has label and shows, {wrong}")
        elif not self.models or self.dataset is None or self.shows is not None:
            raise ValueError("give either models and dataset, or limit and shows")
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models: names one twice: {', '.join(self.models)}")
        for name, value in self.aims.items():
            if name not in AIMED:
                plain = ", ".join(each for each in AIMED if not each.endswith(("_Ce", "_O")))
                raise ValueError(f"aims: got {name!r}; allowed: {plain}; metrics also with _Ce or _O behind them")
            if name in CHANGES and self.against is None:
                raise ValueError(f"aims.{name}: needs against, the label of the row that it is a change to")
            if name not in CHANGES and value < 0:
                raise ValueError(f"aims.{name}: got {value:g}; allowed are 0 to 1")
        return self

    def misses(self, name: str, value: float | None) -> bool:
        """Whether a value falls short of its aim; what has no value does."""
        if value is None:
            return True
        return value > self.aims[name] if name.startswith(SMALL_IS_GOOD) else value < self.aims[name]


class Table(Block):
    """Networks side by side."""

    title: Line | None = Field(None, description="heading of the written table")
    rows: Annotated[tuple[TableRow, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _labels(self) -> Table:
        labels = [row.label for row in self.rows]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"rows: two have the label {label!r}; each needs its own")
        for row in self.rows:
            if row.against is not None and (row.against not in labels or row.against == row.label):
                raise ValueError(f"rows: {row.label!r} is against {row.against!r}, which is no other row's label")
        return self


class Figures(Block):
    """What the paper's figures are drawn from."""

    model: Name
    dataset: Name
    confusion_dataset: Name = Field(description="the dataset of figure 6 (the paper uses lambda = 1)")
    montage_dataset: Name | None = Field(
        None, description="the dataset whose first shard the montage shows; without it there is none"
    )
