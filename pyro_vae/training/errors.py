"""The error of a run that cannot go on."""


class TrainingError(RuntimeError):
    """Training stopped: the message says at which step and site, and where the good state is."""
