"""Whether a frame lies within what a network has learnt: in, at the edge, or outside."""

from segdepth.micrograph.familiarity.features import features
from segdepth.micrograph.familiarity.judgement import (
    LEVELS,
    UNKNOWN,
    Familiarity,
    Judgement,
    card_key,
    measure_familiarity,
    read_familiarity,
    write_familiarity,
)

__all__ = [
    "LEVELS",
    "UNKNOWN",
    "Familiarity",
    "Judgement",
    "card_key",
    "features",
    "measure_familiarity",
    "read_familiarity",
    "write_familiarity",
]
