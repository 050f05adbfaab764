"""The ML backend as an ASGI application: ``uvicorn asgi:app --app-dir backends/label_studio``.

Settings come from the environment. One process only: jobs and models belong to it, and a second one is refused.
"""

import os
from pathlib import Path

from spml_annotate.server.app import create_app
from spml_annotate.server.security import set_up_logging
from spml_annotate.studio.environment import settings_from

settings = settings_from()
set_up_logging(settings.log_level)
folder = os.environ.get("SPML_PROJECT")
app = create_app(settings, Path(folder) if folder else None)
