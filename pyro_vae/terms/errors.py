"""The error of an ill-formed model and guide pair."""


class ProgramError(ValueError):
    """A model and a guide that do not make the bound asked for; the message names site and cure."""
