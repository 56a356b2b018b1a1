"""What a user gets for what `fit` cannot use: one line, before the first step, nothing changed."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from torch import Tensor, nn
from training_programs import FEATURES, LATENT, binary, noisy, ours, real, same, trained

from pyro_vae import fit
from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae
from pyro_vae.terms import ProgramError
from pyro_vae.training import CheckpointError, PrintLogger, keeper, save


def spoiled(row: int, value: float, x: Tensor | None = None) -> Tensor:
    """Data with one bad number, by default far beyond the first mini-batch."""
    x = (real() if x is None else x).clone()
    x[row, 2] = value
    return x


def bernoulli(seed: int = 0) -> Any:
    return ours(seed, "bernoulli")


def views(seed: int = 0) -> Any:
    """As in Pyro's own example, the model observes its data in another shape."""
    model, guide = bernoulli(seed)

    def flat(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", model.prior())
            pyro.sample("x", model.likelihood(z), obs=x.reshape(-1, FEATURES))
        pyro.module("views", model)

    def encode(x: Tensor) -> None:
        guide(x.reshape(-1, FEATURES))

    return flat, encode


def scaled(seed: int = 0) -> Any:
    """The model observes something that it makes of its data."""
    model, guide = bernoulli(seed)

    def doubled(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", model.prior())
            pyro.sample("x", model.likelihood(z), obs=x * 2)
        pyro.module("scaled", model)

    return doubled, guide


def still(x: Tensor) -> None:
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(x.new_zeros(LATENT), 1.0).to_event(1))
        pyro.sample(
            "x", dist.Normal(z.sum(-1, keepdim=True), 1.0).expand(x.shape).to_event(1), obs=x
        )


def still_guide(x: Tensor) -> None:
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Normal(x[:, :LATENT], 1.0).to_event(1))


@dataclass
class Bad:
    """A call of `fit` and the line that it gives, where ... is a passage that others word."""

    name: str
    error: type[Exception]
    line: str
    x: Any = field(default_factory=real)
    programs: Callable[[], Any] = ours
    options: dict[str, Any] = field(default_factory=dict)


ELBO_LINE = "objective must be an ELBO, ours or of pyro.infer, not"
WHOLE = "is a whole number of at least 1, not"

TABLE = [
    # the data
    Bad(
        "wrong width",
        ProgramError,
        "the guide cannot run on data of shape (20, 4): MLP takes events of shape (5,) ...",
        x=real()[:, :4],
    ),
    Bad(
        "wrong number of dimensions",
        ProgramError,
        "the guide cannot run on data of shape (20, 5, 1): MLP takes events of shape (5,) ...",
        x=real()[:, :, None],
    ),
    Bad(
        "NaN at once",
        ProgramError,
        "data at site 'x' contain nan at [0, 2]: remove or fill such entries (masked ones too)",
        x=spoiled(0, float("nan")),
    ),
    Bad(
        "NaN in the last row",
        ProgramError,
        "data at site 'x' contain nan at [59, 2]: remove or fill such entries ...",
        x=spoiled(59, float("nan")),
    ),
    Bad(
        "infinity in row 41",
        ProgramError,
        "data at site 'x' contain inf at [41, 2]: remove or fill such entries (masked ones too)",
        x=spoiled(41, float("inf")),
    ),
    Bad(
        "grey in the last row",
        ProgramError,
        "data at site 'x' contain 0.5 at [59, 2], outside the support of Bernoulli: ...",
        x=spoiled(59, 0.5, binary()),
        programs=bernoulli,
    ),
    Bad(
        "grey, observed as a view",
        ProgramError,
        "data at site 'x' contain 0.5 at [59, 2], outside the support of Bernoulli: ...",
        x=spoiled(59, 0.5, binary()),
        programs=views,
    ),
    Bad(
        "grey, observed after a computation",
        ProgramError,
        "examples from number 40 on: data at site 'x' contain 0.5 at [19, 2], outside the ...",
        x=spoiled(59, 0.25, binary() / 2),
        programs=scaled,
    ),
    Bad("empty", ValueError, "data holds no examples", x=torch.zeros(0, FEATURES)),
    Bad(
        "an empty tuple",
        ValueError,
        "data is an empty tuple; give a tensor, an array, or a tuple of them",
        x=(),
    ),
    Bad(
        "a number in a tensor",
        ValueError,
        "data holds a single number; it needs a first dimension, the examples",
        x=torch.tensor(3.0),
    ),
    Bad(
        "a number", TypeError, "data is a tensor, an array, or a tuple of them, not a float", x=3.0
    ),
    Bad(
        "nothing",
        TypeError,
        "data is a tensor, an array, or a tuple of them, not a NoneType",
        x=None,
    ),
    Bad(
        "a string",
        TypeError,
        "data is a tensor, an array, or a tuple of them, not a str",
        x="digits",
    ),
    Bad(
        "a list of lists",
        TypeError,
        "data is a tensor, an array, or a tuple of them, not a list",
        x=real(3).tolist(),
    ),
    Bad(
        "a list of tensors",
        TypeError,
        "data is a tensor, an array, or a tuple of them, not a list",
        x=[real(3)],
    ),
    Bad(
        "a loader",
        TypeError,
        "data is a tensor, an array, or a tuple of them, not a DataLoader",
        x=torch.utils.data.DataLoader(real()),
    ),
    Bad(
        "an array of words",
        TypeError,
        "data is an array of <U1, not of numbers: ...",
        x=np.array([["a", "b"]]),
    ),
    Bad(
        "unequal parts",
        ValueError,
        "the parts of data have different numbers of examples: [60, 59]",
        x=(real(60), real(59)),
    ),
    Bad(
        "two parts for one argument",
        ProgramError,
        "the guide cannot run on data of shape (20, 5) and ...: ... takes 2 ... 3 were given",
        x=(real(), real()),
    ),
    Bad(
        "whole numbers",
        ProgramError,
        "the guide cannot run on data of shape (20, 5): ... Long and Float; convert ...",
        x=binary().long(),
        programs=bernoulli,
    ),
    Bad(
        "float64 for float32",
        ProgramError,
        "the guide cannot run on data of shape (20, 5): ... Double and Float; convert ...",
        x=real().double(),
    ),
    Bad(
        "float64 array",
        ProgramError,
        "the guide cannot run on data of shape (20, 5): ... Double and Float; convert ...",
        x=real().double().numpy(),
    ),
    Bad(
        "float32 for float64",
        ProgramError,
        "the guide cannot run on data of shape (20, 5): ... Float and Double; convert ...",
        programs=lambda: tuple(program.double() for program in ours()),
    ),
    # validation
    Bad(
        "validation too narrow",
        ProgramError,
        "validation: the guide cannot run on data of shape (20, 4): MLP takes events of ...",
        options={"validation": real()[:, :4]},
    ),
    Bad(
        "NaN in validation",
        ProgramError,
        "validation: data at site 'x' contain nan at [59, 2]: remove or fill such entries ...",
        options={"validation": spoiled(59, float("nan"))},
    ),
    Bad(
        "grey validation",
        ProgramError,
        "validation: data at site 'x' contain 0.5 at [59, 2], outside the support of ...",
        x=binary(),
        programs=bernoulli,
        options={"validation": spoiled(59, 0.5, binary())},
    ),
    Bad(
        "empty validation",
        ValueError,
        "validation holds no examples",
        options={"validation": real()[:0]},
    ),
    Bad(
        "patience alone",
        ValueError,
        "patience needs validation data: give validation=",
        options={"patience": 3},
    ),
    # numbers
    Bad("no epochs", ValueError, f"epochs {WHOLE} 0", options={"epochs": 0}),
    Bad("half an epoch", ValueError, f"epochs {WHOLE} 0.5", options={"epochs": 0.5}),
    Bad("batch of 0", ValueError, f"batch_size {WHOLE} 0", options={"batch_size": 0}),
    Bad("batch of -1", ValueError, f"batch_size {WHOLE} -1", options={"batch_size": -1}),
    Bad("patience 0", ValueError, f"patience {WHOLE} 0", options={"patience": 0}),
    Bad("every 0", ValueError, f"checkpoint_every {WHOLE} 0", options={"checkpoint_every": 0}),
    Bad("negative lr", ValueError, "lr must be a positive number, not -1.0", options={"lr": -1.0}),
    Bad(
        "lr nan", ValueError, "lr must be a positive number, not nan", options={"lr": float("nan")}
    ),
    Bad(
        "lr a word", ValueError, "lr must be a positive number, not '1e-3'", options={"lr": "1e-3"}
    ),
    Bad(
        "negative lr_guide",
        ValueError,
        "lr_guide must be a positive number, not -1.0",
        options={"lr_guide": -1.0},
    ),
    Bad(
        "clip_norm 0",
        ValueError,
        "clip_norm is a positive number, not 0.0",
        options={"clip_norm": 0.0},
    ),
    Bad(
        "clip_norm a word",
        ValueError,
        "clip_norm is a positive number, not '1'",
        options={"clip_norm": "1"},
    ),
    Bad(
        "negative seed",
        ValueError,
        "seed is a whole number from 0 to 2**32 - 1, not -1",
        options={"seed": -1},
    ),
    Bad(
        "seed 0.5",
        ValueError,
        "seed is a whole number from 0 to 2**32 - 1, not 0.5",
        options={"seed": 0.5},
    ),
    # things
    Bad(
        "unknown schedule",
        ValueError,
        "schedule is one of 'constant', 'cosine', 'linear', or a function, not 'cosin'",
        options={"schedule": "cosin"},
    ),
    Bad("objective a word", TypeError, f"{ELBO_LINE} str", options={"objective": "ELBO"}),
    Bad(
        "objective a class",
        TypeError,
        f"{ELBO_LINE} Trace_ELBO: make one, Trace_ELBO()",
        options={"objective": Trace_ELBO},
    ),
    Bad(
        "optim made already",
        TypeError,
        "optim is a function from parameter groups to a torch optimiser, such as ..., not 'Adam'",
        options={"optim": "Adam"},
    ),
    Bad(
        "unknown device",
        ValueError,
        "device 'gpu' is not to be had here: ...",
        options={"device": "gpu"},
    ),
    Bad(
        "device without values",
        ValueError,
        "device 'meta' holds no values: nothing can be trained on it",
        options={"device": "meta"},
    ),
    Bad(
        "transform a word",
        TypeError,
        "transform is a function of a mini-batch, not 'binarise'",
        options={"transform": "binarise"},
    ),
    Bad(
        "transform to a list",
        TypeError,
        "transform must return a tensor, not a list",
        options={"transform": lambda x: x.tolist()},
    ),
    Bad(
        "transform that drops",
        ValueError,
        "transform must keep the 20 examples of the mini-batch, but returns ... (19, 5)",
        options={"transform": lambda x: x[:-1]},
    ),
    Bad(
        "one logger",
        TypeError,
        "loggers is a list of objects with a method log(row, step)",
        options={"loggers": PrintLogger()},
    ),
    Bad(
        "no logger",
        TypeError,
        "loggers is a list of objects with a method log(row, step)",
        options={"loggers": [print]},
    ),
    # the programs
    Bad(
        "exchanged",
        ProgramError,
        "site 'x' is observed in the guide: a guide samples, so remove its obs=",
        programs=lambda: ours()[::-1],
    ),
    Bad(
        "a class",
        ProgramError,
        "the model is the class Model: make one, Model(...)",
        programs=lambda: (vae.Model, ours()[1]),
    ),
    Bad(
        "no parameters",
        ValueError,
        "model and guide register no trainable parameters; nothing to optimise",
        programs=lambda: (still, still_guide),
    ),
    Bad(
        "all frozen",
        ValueError,
        "model and guide register no trainable parameters; nothing to optimise",
        programs=lambda: tuple(program.requires_grad_(False) for program in ours()),
    ),
    Bad(
        "no values",
        ValueError,
        "Model.likelihood.log_scale has no values on the meta device: give it some by ...",
        programs=lambda: (ours()[0].to("meta"), ours()[1]),
    ),
    Bad(
        "no sizes yet",
        ProgramError,
        "the guide cannot run on data of shape (20, 5): ... Call `forward` with a dummy batch ...",
        programs=lambda: (ours()[0], vae.Guide(DiagonalNormal(nn.LazyLinear(2 * LATENT)))),
    ),
    Bad(
        "a last batch of one",
        ProgramError,
        "the last mini-batch, of 1 (another batch_size may help): ... more than 1 value ...",
        x=binary(41),
        programs=noisy,
    ),
]


def call(bad: Bad, **more: Any) -> Any:
    options = {"epochs": 2, "batch_size": 20, "progress": False, **bad.options, **more}
    return fit(*bad.programs(), bad.x, **options)


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_bad_input_gives_one_clear_line_before_the_first_step(bad: Bad, tmp_path: Path):
    path = tmp_path / "folder" / "run.pt"
    programs = bad.programs()
    start = torch.get_rng_state()
    before = None if bad.name in ("a class", "no values", "no sizes yet") else trained(programs)
    with pytest.raises(bad.error) as caught:
        call(replace(bad, programs=lambda: programs), checkpoint=path)
    pattern = re.escape(bad.line).replace(re.escape("..."), ".*")
    assert re.fullmatch(pattern, str(caught.value)), str(caught.value)
    assert torch.equal(torch.get_rng_state(), start)
    assert not path.parent.exists()
    if before is not None:
        after = trained(programs)
        assert same({name: after[name] for name in before}, before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu():
    with pytest.raises(ValueError, match=r"^device 'cuda' is not to be had here: [^\n]+$"):
        call(Bad("", ValueError, "", options={"device": "cuda"}))


def test_a_device_that_is_there_works():
    assert len(call(Bad("", ValueError, "", options={"device": torch.device("cpu")}))) == 2


def test_data_that_a_program_converts_itself_work():
    """Whole numbers and float64 are refused only where the programs cannot take them."""
    model, guide = ours(likelihood="bernoulli")

    def convert(x: Tensor) -> None:
        pyro.module("converting", model)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", model.prior())
            pyro.sample("x", model.likelihood(z), obs=x.float())

    def encode(x: Tensor) -> None:
        guide(x.float())

    history = fit(convert, encode, binary().long(), epochs=2, batch_size=20, progress=False)
    assert len(history) == 2


# -- files -------------------------------------------------------------------------------------


def run(pair: Any, **options: Any) -> Any:
    return fit(*pair, real(), **{"epochs": 1, "batch_size": 20, "progress": False, **options})


def other(**change: Any) -> Any:
    """Programs that differ from `ours` in one respect."""
    torch.manual_seed(0)
    sizes = {"hidden": [4], "latent": LATENT, "scale": "shared", **change}
    decoder = MLP(sizes["latent"], FEATURES, hidden=sizes["hidden"])
    encoder = MLP(FEATURES, 2 * sizes["latent"], hidden=sizes["hidden"])
    likelihood = Bernoulli(decoder) if sizes["scale"] is None else Normal(decoder, sizes["scale"])
    return vae.Model(StandardNormal(sizes["latent"]), likelihood), vae.Guide(
        DiagonalNormal(encoder)
    )


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"hidden": [5]},
            "the saved state does not fit the model: 'likelihood.network.layers.0.weight' has "
            "shape (4, 2) in it, and (5, 2) here",
        ),
        (
            {"latent": 3},
            "the saved state does not fit the model: 'likelihood.network.layers.0.weight' has "
            "shape (4, 2) in it, and (4, 3) here",
        ),
        (
            {"scale": "per-dimension"},
            "the saved state does not fit the model: 'likelihood.log_scale' has shape () in it, "
            "and (5,) here",
        ),
        (
            {"hidden": [4, 4]},
            "the checkpoint was written with number of tensors in theta=5, not 7: ",
        ),
        ({"hidden": []}, "the checkpoint was written with number of tensors in theta=5, not 3: "),
    ],
    ids=str,
)
def test_a_checkpoint_of_other_programs_is_refused_and_changes_nothing(tmp_path, change, line):
    path = tmp_path / "run.pt"
    run(ours(), checkpoint=path)
    pair = other(**change)
    before = trained(pair)
    with pytest.raises(ValueError, match="^" + re.escape(line)) as caught:
        run(pair, resume=path)
    assert "\n" not in str(caught.value)
    assert same(trained(pair), before)


@pytest.mark.parametrize(
    ("content", "error", "line"),
    [
        (None, FileNotFoundError, "there is no checkpoint {}"),
        (b"", CheckpointError, "{} is empty; use the previous checkpoint"),
        (
            b"a poem",
            CheckpointError,
            "{} is not a whole pyro_vae checkpoint: truncated, damaged or another program's; use "
            "the previous checkpoint",
        ),
        ({"weights": {}}, CheckpointError, "the checkpoint is not of a run: it lacks 'settings'"),
        ("folder", CheckpointError, "{} is a folder; name the checkpoint file in it"),
        (
            "cut",
            CheckpointError,
            "{} is not a whole pyro_vae checkpoint: truncated, damaged or another program's; use "
            "the previous checkpoint",
        ),
        (
            "flipped",
            CheckpointError,
            "{} is damaged: its contents do not match its SHA-256; use the previous checkpoint",
        ),
    ],
    ids=["missing", "empty", "poem", "another state", "folder", "cut", "flipped"],
)
def test_a_file_that_is_no_checkpoint_of_a_run(tmp_path: Path, content, error, line):
    path, whole = tmp_path / "run.pt", tmp_path / "whole.pt"
    run(ours(), checkpoint=whole)
    if content == "folder":
        path.mkdir()
    elif content == "cut":
        path.write_bytes(whole.read_bytes()[:-100])
    elif content == "flipped":
        damaged = bytearray(whole.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save(path, content)
    pair = ours(1)
    before = trained(pair)
    with pytest.raises(error) as caught:
        run(pair, resume=path)
    assert str(caught.value) == line.format(path)
    assert same(trained(pair), before)


def test_a_file_in_the_way_of_the_checkpoints_folder_is_found_before_the_first_step(tmp_path):
    (tmp_path / "runs").write_text("a file")
    path = tmp_path / "runs" / "run.pt"
    pair = ours()
    before = trained(pair)
    with pytest.raises(OSError, match="^" + re.escape(f"cannot write {path}: ")):
        run(pair, checkpoint=path)
    assert same(trained(pair), before)


def test_a_folder_in_the_way_of_the_checkpoint_is_found_before_the_first_step(tmp_path):
    pair = ours()
    before = trained(pair)
    with pytest.raises(IsADirectoryError) as caught:
        run(pair, checkpoint=tmp_path)
    assert str(caught.value) == f"cannot write {tmp_path}: it is a folder"
    assert same(trained(pair), before)


def test_a_folder_that_cannot_be_written_is_found_before_the_first_step(tmp_path, monkeypatch):
    """As root every folder can be written; the system's refusal is put in its place."""
    pair = ours()
    before = trained(pair)

    def refuse(**_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(keeper.tempfile, "TemporaryFile", refuse)
    with pytest.raises(PermissionError) as caught:
        run(pair, checkpoint=tmp_path / "run.pt")
    assert str(caught.value) == f"cannot write {tmp_path / 'run.pt'}: Permission denied"
    assert same(trained(pair), before)


def test_the_folder_of_the_checkpoint_is_made(tmp_path: Path):
    path = tmp_path / "a" / "b" / "run.pt"
    run(ours(), checkpoint=path)
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]
