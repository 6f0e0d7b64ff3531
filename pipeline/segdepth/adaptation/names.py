"""What blocks and folders of an adaptation are called."""

from __future__ import annotations

NAME = "adapted"
"""All blocks but the prediction."""

FILM = "film"
"""The prediction."""
