"""Training: joint optimisation of theta and phi, checkpoints, history, loggers."""

from .checkpoint import CheckpointError, load, save
from .compiled import CompiledSVI
from .errors import TrainingError
from .fit import fit
from .history import History
from .loggers import FileLogger, Logger, PrintLogger, TensorBoardLogger
from .restore import load_weights
from .staging_error import StagingError
from .validation import validation_elbo
from .weights import Weights

__all__ = [
    "CheckpointError",
    "CompiledSVI",
    "FileLogger",
    "History",
    "Logger",
    "PrintLogger",
    "StagingError",
    "TensorBoardLogger",
    "TrainingError",
    "Weights",
    "fit",
    "load",
    "load_weights",
    "save",
    "validation_elbo",
]
