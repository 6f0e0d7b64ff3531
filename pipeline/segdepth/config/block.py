"""The base class of all blocks of ``config.yaml``."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def as_json(self) -> str:
        """The block as JSON on one line, with sorted keys."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
