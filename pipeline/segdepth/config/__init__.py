"""The configuration: a typed block for each section, checks, loading, JSON schema."""

from segdepth.config.adaptation import Adaptation
from segdepth.config.beam import Beam
from segdepth.config.block import Block
from segdepth.config.convergence import Convergence
from segdepth.config.crystal import CrystalBlock
from segdepth.config.dataset import Dataset, Splits
from segdepth.config.fields import (
    BUNDLED,
    BUNDLED_PARTICLES,
    NAME_PATTERN,
    NETWORK_STRIDE,
    PAPER_PIXEL_PM,
    RESERVED,
    check_whole_pixels,
)
from segdepth.config.figures import Figures
from segdepth.config.film import Film
from segdepth.config.generalization import Generalization
from segdepth.config.imaging import DefocusSteps, Imaging, SimulationOptions
from segdepth.config.labels import Labels
from segdepth.config.lens_fit import LensFitBlock, LensFitOptions
from segdepth.config.limits import LimitMap, PredictionSets
from segdepth.config.loading import check_files, json_schema, load_config, read_yaml
from segdepth.config.micrograph import Comparison, ComparisonOptions, Micrograph, Prediction, PredictionOptions, Reading
from segdepth.config.model import TASKS, Architecture, Export, Model, Training
from segdepth.config.paper import PAPER_ITEMS, Paper
from segdepth.config.root import Config
from segdepth.config.specimen import Specimen
from segdepth.config.tables import (
    ALL,
    ALL_ONLY,
    CALIBRATION_NAMES,
    CHANGES,
    METRIC_NAMES,
    OBSERVER_METRICS,
    VACUUM_NAMES,
    Table,
    TableRow,
)
from segdepth.config.trainable import DatasetBlocks, check_trainable, join_blocks
from segdepth.config.validation import validate
from segdepth.config.yardsticks import Yardstick

__all__ = [
    "ALL",
    "ALL_ONLY",
    "Adaptation",
    "Architecture",
    "BUNDLED",
    "BUNDLED_PARTICLES",
    "Beam",
    "Block",
    "CALIBRATION_NAMES",
    "CHANGES",
    "Comparison",
    "ComparisonOptions",
    "Config",
    "Convergence",
    "CrystalBlock",
    "Dataset",
    "DatasetBlocks",
    "DefocusSteps",
    "Export",
    "Figures",
    "Film",
    "Generalization",
    "Imaging",
    "Labels",
    "LensFitBlock",
    "LensFitOptions",
    "LimitMap",
    "METRIC_NAMES",
    "Micrograph",
    "Model",
    "NAME_PATTERN",
    "NETWORK_STRIDE",
    "OBSERVER_METRICS",
    "PAPER_ITEMS",
    "PAPER_PIXEL_PM",
    "Paper",
    "Prediction",
    "PredictionOptions",
    "PredictionSets",
    "RESERVED",
    "Reading",
    "SimulationOptions",
    "Specimen",
    "Splits",
    "TASKS",
    "Table",
    "TableRow",
    "VACUUM_NAMES",
    "Training",
    "Yardstick",
    "check_files",
    "check_trainable",
    "check_whole_pixels",
    "join_blocks",
    "json_schema",
    "load_config",
    "read_yaml",
    "validate",
]
