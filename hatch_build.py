"""Puts templates/ and backends/ into the wheel as package data; an editable install reads the checkout."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PackageData(BuildHookInterface):
    """Called by hatchling for every wheel; ``version`` is "standard" or "editable"."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folders to a real wheel; in an editable one they would hide the package itself."""
        if version == "standard":
            build_data["force_include"].update({name: f"spml_annotate/{name}" for name in ("templates", "backends")})
