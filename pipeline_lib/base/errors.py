"""Errors that the user can mend; a stage prints them as one line without a traceback."""

from __future__ import annotations


class UserError(ValueError):
    """A parameter, file or data set is not usable; the message names it, the value got and what is allowed."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that the user has to provide is absent; the message says what to put where."""

    def __str__(self) -> str:
        # FileNotFoundError formats (errno, name) pairs; the message here is always one string.
        return str(self.args[0])
