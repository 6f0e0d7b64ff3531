"""Errors that a user can fix, with messages of one line. Any other exception is a bug."""

from __future__ import annotations


class SegDepthError(Exception):
    """One line that can be printed: what was wrong, what it got, what is allowed."""

    def __init__(self, message: str) -> None:
        line = " ".join(str(message).split())
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))


class ConfigError(SegDepthError, ValueError):
    """A mistake in the configuration or in an option of a command. (A ``ValueError``, so that pydantic collects it.)"""


class StoreError(SegDepthError):
    """An artefact is missing, half-written, edited, or of another kind or version."""


class MicrographError(SegDepthError):
    """A micrograph cannot be read or used."""


class TrainingError(SegDepthError):
    """A training cannot continue: its loss is not finite, its checkpoint is damaged, a device is missing."""
