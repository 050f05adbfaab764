"""What connects a Label Studio project with the world: backends, webhooks, storages, and tabs to look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spml_annotate.studio.transport import SLOW_SECONDS, Json, Transport


class Connections(Transport):
    """The calls about backends, webhooks, storages and tabs; see `spml_annotate.studio.client.StudioClient`."""

    def backends(self, project: int) -> list[Json]:
        """The backends connected to a project, with ``state``, ``title``, ``url``."""
        return self._list("GET", "/api/ml/", params={"project": project}, timeout=SLOW_SECONDS)

    def connect_backend(self, project: int, url: str, title: str, basic: tuple[str, str] | None = None) -> Json:
        """Connect a backend; ``basic`` is the user name and password that it wants."""
        body = {"project": project, "url": url, "title": title, **_authentication(basic)}
        return self._dict("POST", "/api/ml/", json=body, timeout=SLOW_SECONDS)

    def rename_backend(
        self, backend: int, title: str, url: str, project: int, basic: tuple[str, str] | None = None
    ) -> Json:
        """Give a backend a title, which the project's model version follows if it was equal.

        Label Studio tries the backend's health with the authentication of *this* request: without ``basic`` a
        backend that wants a password is refused.
        """
        body = {"title": title, "url": url, "project": project, **_authentication(basic)}
        return self._dict("PATCH", f"/api/ml/{backend}", json=body, timeout=SLOW_SECONDS)

    def train_backend(self, backend: int) -> None:
        """Press "Start training"."""
        self.request("POST", f"/api/ml/{backend}/train", json={}, timeout=SLOW_SECONDS)

    def delete_backend(self, backend: int) -> None:
        """Disconnect a backend; its webhook stays."""
        self.request("DELETE", f"/api/ml/{backend}", timeout=SLOW_SECONDS)

    def webhooks(self, project: int | None = None) -> list[Json]:
        """Webhooks of a project, or all."""
        return self._list("GET", "/api/webhooks/", params={} if project is None else {"project": project})

    def create_webhook(self, project: int, url: str, headers: Mapping[str, str] | None = None) -> Json:
        """Have every event of a project sent to an address, with these headers."""
        body = {
            "project": project,
            "url": url,
            "headers": dict(headers or {}),
            "send_payload": True,
            "send_for_all_actions": True,
        }
        return self._dict("POST", "/api/webhooks/", json=body)

    def update_webhook(self, webhook: int, url: str, headers: Mapping[str, str] | None = None) -> Json:
        """Change a webhook's address, and its headers if they are given."""
        body: Json = {"url": url} if headers is None else {"url": url, "headers": dict(headers)}
        return self._dict("PATCH", f"/api/webhooks/{webhook}/", json=body)

    def delete_webhook(self, webhook: int) -> None:
        """Delete a webhook."""
        self.request("DELETE", f"/api/webhooks/{webhook}/")

    # Storage and tabs

    def add_local_storage(self, project: int, path: str | Path, *, title: str = "images", sync: bool = False) -> Json:
        """Let a project serve the pictures of a folder, one below Label Studio's LOCAL_FILES_DOCUMENT_ROOT.

        Args:
            project: its id.
            path: of the folder, as the machine of Label Studio sees it.
            title: shown in the project's settings.
            sync: make a task of every picture at once.
        """
        body = {
            "project": project,
            "path": str(path),
            "title": title,
            "use_blob_urls": True,
            "regex_filter": r"(?i).*\.(jpe?g|png|gif|bmp|webp|tiff?)$",
        }
        storage = self._dict("POST", "/api/storages/localfiles/", json=body)
        return self.sync_storage(int(storage["id"])) if sync else storage

    def sync_storage(self, storage: int) -> Json:
        """Make tasks of the new files of a local storage."""
        return self._dict("POST", f"/api/storages/localfiles/{storage}/sync", json={}, timeout=SLOW_SECONDS)

    def create_tab(
        self,
        project: int,
        title: str,
        ordering: Sequence[str] = ("tasks:predictions_score",),
        filters: Sequence[Mapping[str, Any]] = (),
    ) -> Json:
        """Add a tab to the Data Manager; all users see it. ``filters`` must all hold."""
        data = {"title": title, "ordering": list(ordering)}
        chosen = {"conjunction": "and", "items": [dict(one) for one in filters]}
        return self._dict("POST", "/api/dm/views/", json={"project": project, "data": {**data, "filters": chosen}})


def _authentication(basic: tuple[str, str] | None) -> Json:
    if basic is None:
        return {}
    return {"auth_method": "BASIC_AUTH", "basic_auth_user": basic[0], "basic_auth_pass": basic[1]}
