"""Training: joint optimisation of theta and phi, checkpoints, history, loggers."""

from .checkpoint import CheckpointError, load, save
from .compiled import CompiledSVI
from .errors import TrainingError
from .fit import fit
from .history import History
from .loggers import FileLogger, Logger, PrintLogger, TensorBoardLogger
from .monitor import CollapseWarning
from .restore import load_weights
from .staging_error import StagingError
from .strategy import Aggressive, Alternating, Joint, Strategy
from .validation import validation_elbo
from .weights import Weights

__all__ = [
    "Aggressive",
    "Alternating",
    "CheckpointError",
    "CollapseWarning",
    "CompiledSVI",
    "FileLogger",
    "History",
    "Joint",
    "Logger",
    "PrintLogger",
    "StagingError",
    "Strategy",
    "TensorBoardLogger",
    "TrainingError",
    "Weights",
    "fit",
    "load",
    "load_weights",
    "save",
    "validation_elbo",
]
