"""What the checks of ``studio doctor`` look at, and what earlier checks found for later ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spml_annotate.loop.creating import whole_seconds
from spml_annotate.loop.links import Link, LinkStore
from spml_annotate.project import Project
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.config import LabellingConfig
from spml_annotate.studio.environment import StudioSettings


@dataclass
class Case:
    """One examination.

    Args:
        project: the folder.
        links: its links.
        settings: as the backend would read them.
        client: speaks with Label Studio.
        backend_url: of the backend as this machine reaches it; empty: as Label Studio has it.

    What is found on the way: ``link``, ``remote`` (the Label Studio project), ``config``, ``row`` (of our backend in
    Label Studio) and ``announced`` (what `/setup` says). ``ended``: nothing more can be looked at.
    """

    project: Project
    links: LinkStore
    settings: StudioSettings
    client: StudioClient
    backend_url: str = ""
    link: Link | None = None
    remote: dict[str, Any] = field(default_factory=dict)
    config: LabellingConfig | None = None
    row: dict[str, Any] | None = None
    announced: str = ""
    ended: bool = False

    @property
    def number(self) -> int:
        """Id of the Label Studio project."""
        return int(self.remote["id"])

    @property
    def address(self) -> str:
        """Where the backend is looked for."""
        if self.backend_url:
            return self.backend_url
        return str(self.row["url"]) if self.row is not None else f"http://127.0.0.1:{self.settings.port}"

    def request(self, **more: object) -> dict[str, object]:
        """The body of a request as Label Studio would send it to the backend, without its token."""
        return {"project": f"{self.number}.{whole_seconds(str(self.remote['created_at']))}", **more}
