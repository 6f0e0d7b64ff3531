"""What every block of ``config.yaml`` has in common."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def as_json(self) -> str:
        """The block on one line with sorted keys: what rules hand to commands and what manifests record."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
