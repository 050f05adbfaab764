"""A labelling project's folder on disk: settings, classes, answers, questions, features, models, and the lock."""

from __future__ import annotations

from spml_annotate.workspace.folder import CURRENT as CURRENT
from spml_annotate.workspace.folder import DATABASE as DATABASE
from spml_annotate.workspace.folder import LOCK as LOCK
from spml_annotate.workspace.folder import SETTINGS as SETTINGS
from spml_annotate.workspace.folder import Workspace as Workspace
from spml_annotate.workspace.models import ModelStore as ModelStore
from spml_annotate.workspace.models import ModelVersion as ModelVersion
from spml_annotate.workspace.questions import Asked as Asked
from spml_annotate.workspace.questions import QuestionTable as QuestionTable
from spml_annotate.workspace.settings import FeatureSettings as FeatureSettings
from spml_annotate.workspace.settings import Settings as Settings

__all__ = [
    "CURRENT",
    "DATABASE",
    "LOCK",
    "SETTINGS",
    "Asked",
    "FeatureSettings",
    "ModelStore",
    "ModelVersion",
    "QuestionTable",
    "Settings",
    "Workspace",
]
