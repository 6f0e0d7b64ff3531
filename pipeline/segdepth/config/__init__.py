"""The configuration: typed blocks, their checks, reading and JSON schema. Knows names, numbers and limits only."""

from segdepth.config.blocks import (
    Architecture,
    Beam,
    Block,
    Comparison,
    Convergence,
    Dataset,
    DefocusSteps,
    Figures,
    Imaging,
    Labels,
    Micrograph,
    Model,
    Prediction,
    Specimen,
    Splits,
    Training,
)
from segdepth.config.fields import CLASSES, ELEMENTS, NAME_PATTERN, NETWORK_STRIDE, ConfigError, check_whole_pixels
from segdepth.config.reading import check_files, json_schema, load_config, read_yaml
from segdepth.config.validation import validate
from segdepth.config.whole import Config

__all__ = [
    "Architecture",
    "Beam",
    "Block",
    "CLASSES",
    "Comparison",
    "Config",
    "ConfigError",
    "Convergence",
    "Dataset",
    "DefocusSteps",
    "ELEMENTS",
    "Figures",
    "Imaging",
    "Labels",
    "Micrograph",
    "Model",
    "NETWORK_STRIDE",
    "Prediction",
    "Specimen",
    "Splits",
    "Training",
    "json_schema",
    "load_config",
    "check_files",
    "check_whole_pixels",
    "NAME_PATTERN",
    "read_yaml",
    "validate",
]
