"""What can go wrong, as one tree.

SpmlError
├── SettingError        an option, name or value that the user chose is not usable
├── DataError           a file, image or label that the user gave is not usable
├── MismatchError       two things that must belong together do not (taxonomy, image list, shapes, versions)
├── MissingExtraError   an optional package, or a download that this machine cannot make, is needed
└── RemoteError         another program (Label Studio, say) refused or did not answer

Every message is one line: what was wrong, where, what to do.
"""

from __future__ import annotations


class SpmlError(Exception):
    """Anything this package raises on purpose; ``exit_code`` is what the command line exits with."""

    exit_code = 1


class SettingError(SpmlError):
    """A setting, name or option that cannot be used."""

    exit_code = 2


class DataError(SpmlError):
    """Data from outside that cannot be used."""

    exit_code = 2


class MismatchError(SpmlError):
    """Two things that must belong together do not."""

    exit_code = 2


class MissingExtraError(SpmlError):
    """Something optional is needed and not installed or not downloadable."""

    exit_code = 2


class RemoteError(SpmlError):
    """Another program refused or did not answer; ``status`` is its HTTP status where it gave one."""

    exit_code = 1

    def __init__(self, message: str = "", *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
