"""A checkpoint is whole or not there, and gives back exactly what went in."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
import pickle
import random
import signal
import stat
import zipfile
from collections import Counter, OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_vae.training import files
from pyro_vae.training.checkpoint import CheckpointError, load, save
from pyro_vae.training.files import atomic_write
from pyro_vae.training.randomness import rng_state, set_rng_state


def fingerprint(value: Any) -> Any:
    """Type and bits of a nested value, so that NaN equals itself and 1 differs from 1.0."""
    if isinstance(value, torch.Tensor):
        bits = value.reshape(-1).view(torch.uint8) if value.numel() else value.reshape(-1)
        return ("tensor", value.dtype, tuple(value.shape), bits.tolist())
    if isinstance(value, dict):
        return ("dict", [(type(k), k, fingerprint(v)) for k, v in value.items()])
    if isinstance(value, list):
        return ("list", [fingerprint(item) for item in value])
    return (type(value), repr(value))


STATE = {
    "step": 12,
    "config": '{"latent": 10}',
    "optimizer": {"state": {0: {"exp_avg": torch.linspace(-1, 1, 50)}}, "param_groups": [{}]},
    "nothing": None,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.pt"


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([math.nan, math.inf, -math.inf, -0.0, 1e-45]),
        torch.tensor([True, False]),
        torch.tensor([2**63 - 1, -(2**63)]),
        torch.tensor(1 / 3, dtype=torch.float64),
        torch.tensor([1.5, math.nan], dtype=torch.bfloat16),
        torch.tensor([1.5], dtype=torch.float16),
        torch.tensor([1 + 2j]),
        torch.zeros(0, 3),
        torch.tensor(7, dtype=torch.uint8),
        torch.arange(6.0).reshape(2, 3).t(),
        torch.ones(1).expand(4),
        torch.nn.Parameter(torch.ones(2)),
    ],
    ids=lambda tensor: f"{tensor.dtype}-{tuple(tensor.shape)}",
)
def test_tensors_come_back_bit_for_bit(path: Path, tensor: torch.Tensor) -> None:
    save(path, {"t": tensor})
    loaded = load(path)["t"]
    assert fingerprint(loaded) == fingerprint(tensor.detach().contiguous())
    assert loaded.is_contiguous() and not loaded.requires_grad


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(state=st.dictionaries(st.text(max_size=5), plain_values, max_size=3))
def test_plain_values_come_back_with_their_types(
    state: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "plain.pt"
    save(path, state)
    assert fingerprint(load(path)) == fingerprint(state)


def test_what_is_converted(path: Path) -> None:
    save(
        path,
        {
            "tuple": (1, (2.0,)),
            "size": torch.Size([2, 3]),
            "ordered": OrderedDict(b=1, a=2),
            "milestones": Counter({30: 1}),
            "numpy": [np.float32(0.1), np.int64(3), np.bool_(True), np.float64("nan")],
        },
    )
    expected = {
        "tuple": [1, [2.0]],
        "size": [2, 3],
        "ordered": {"b": 1, "a": 2},
        "milestones": {30: 1},
        "numpy": [float(np.float32(0.1)), 3, True, math.nan],
    }
    assert fingerprint(load(path)) == fingerprint(expected)


def test_a_view_is_saved_without_the_storage_behind_it(path: Path) -> None:
    save(path, {"t": torch.zeros(1_000_000)[:3]})
    assert path.stat().st_size < 10_000


def test_shared_tensors_come_back_equal_under_both_names(path: Path) -> None:
    shared = torch.randn(3, generator=torch.Generator().manual_seed(0))
    save(path, {"encoder": shared, "decoder": shared})
    loaded = load(path)
    assert torch.equal(loaded["encoder"], shared) and torch.equal(loaded["decoder"], shared)


def test_equal_states_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        save(tmp_path / name, STATE)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_model_optimiser_and_schedule_go_through_a_file(path: Path) -> None:
    def parts() -> tuple[Any, Any, Any]:
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
        optim = torch.optim.AdamW(net.parameters(), amsgrad=True)
        return net, optim, torch.optim.lr_scheduler.MultiStepLR(optim, [2, 4])

    def step(net: Any, optim: Any, schedule: Any) -> None:
        optim.zero_grad()
        net(torch.arange(12.0).reshape(4, 3)).square().mean().backward()
        optim.step()
        schedule.step()

    torch_before = rng_state()
    straight, resumed = parts(), parts()
    for _ in range(3):
        step(*straight)
    save(path, {str(i): part.state_dict() for i, part in enumerate(straight)})
    for i, part in enumerate(resumed):
        part.load_state_dict(load(path)[str(i)])
    for _ in range(3):
        step(*straight)
        step(*resumed)
    set_rng_state(torch_before)
    a, b = straight[0].state_dict(), resumed[0].state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert straight[1].param_groups[0]["lr"] == resumed[1].param_groups[0]["lr"]


def test_torch_and_zip_tools_open_the_file(path: Path) -> None:
    save(path, STATE)
    assert fingerprint(torch.load(path, weights_only=True)) == fingerprint(STATE)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b'{"format":"pyro_vae","version":1,"sha256":"')


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"optimizer": {"state": {3: {"foo": len}}}}, "optimizer.state.3.foo: its type is builtin"),
        ({"a": [0, {"b": lambda: 0}]}, "a.1.b: its type is function"),
        ({"a": torch.float32}, "a: its type is dtype"),
        ({"a": {1, 2}}, "a: its type is set"),
        ({"a": b"raw"}, "a: its type is bytes"),
        ({"a": np.zeros(2)}, "a: its type is ndarray"),
        ({"a": np.complex128(1j)}, "a: its type is complex128"),
        ({"a": np.longdouble(1)}, "a: its type is longdouble"),
        ({"a": Pair(1, 2)}, "a: its type is Pair"),
        ({"a": 2**5000}, "a: its type is int"),
        ({"a": torch.nn.Linear(1, 1)}, "a: its type is Linear"),
        ({"a": torch.eye(2).to_sparse()}, "a: only dense tensors.*sparse_coo"),
        ({"a": torch.empty(2, device="meta")}, "a: only dense tensors.*meta"),
        ({"a": torch.nn.LazyLinear(2).weight}, "a: only dense tensors.*UninitializedParameter"),
        ({"a": {(1, 2): 3}}, r"the key \(1, 2\) in a: use a string"),
        ({True: 1}, "the key True at the top"),
        ([1, 2], "cannot save a list: the state is a dict"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_what_is_not_plain_is_named_and_nothing_is_written(
    tmp_path: Path, path: Path, state: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        save(path, state)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_contains_itself_is_refused(path: Path) -> None:
    state: dict[str, Any] = {}
    state["me"] = state
    with pytest.raises(TypeError, match=r"cannot save me: .*contains itself"):
        save(path, state)


def test_every_flipped_bit_is_found(path: Path) -> None:
    save(path, STATE)
    good = path.read_bytes()
    chance = random.Random(0)
    places = {*chance.sample(range(len(good)), 300), *range(len(good) - 140, len(good))}
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(CheckpointError, match=r"damaged.*use the previous checkpoint"):
            load(path)


def test_torch_alone_would_miss_flipped_bits(path: Path) -> None:
    """The reason for the digest: some flips change numbers and torch.load says nothing."""
    save(path, STATE)
    good = path.read_bytes()
    start = good.index(STATE["optimizer"]["state"][0]["exp_avg"].numpy().tobytes())
    bad = bytearray(good)
    bad[start] ^= 1
    path.write_bytes(bad)
    assert fingerprint(torch.load(path, weights_only=True)) != fingerprint(STATE)
    with pytest.raises(CheckpointError, match=f"{path} is damaged"):
        load(path)


def test_every_truncation_is_found(path: Path) -> None:
    save(path, STATE)
    good = path.read_bytes()
    for length in [*range(0, len(good), 97), len(good) - 1]:
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointError, match=r"empty|not a whole") as caught:
            load(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def seal(archive: bytes, version: int = 1) -> bytes:
    """The label that save() puts at the end, for contents of any kind."""
    label = b'{"format":"pyro_vae","version":%d,"sha256":"' % version
    size = len(label) + 66
    head = archive[:-2] + size.to_bytes(2, "little") + label
    return head + hashlib.sha256(head).hexdigest().encode() + b'"}'


def archive_of(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 7",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"epoch,elbo\n1,-100\n", "not a whole pyro_vae checkpoint"),
        (pickle.dumps({"a": 1}), "not a whole pyro_vae checkpoint"),
        (archive_of({"w": torch.ones(2)}), "not a whole pyro_vae checkpoint"),
        (seal(archive_of({"w": 1}), version=2), "has format version 2, this pyro_vae reads 1"),
        (seal(archive_of({"e": Evil()})), "was not written by pyro_vae"),
        (seal(archive_of(torch.nn.Linear(1, 1))), "was not written by pyro_vae"),
        (seal(archive_of([1, 2])), "was not written by pyro_vae"),
    ],
)
def test_foreign_files(
    path: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(os, "system", ran.append)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert ran == []


def test_the_forged_label_of_these_tests_is_the_real_one(path: Path) -> None:
    save(path, STATE)
    assert path.read_bytes() == seal(archive_of(STATE))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*gone\.pt"):
        load(tmp_path / "gone.pt")
    with pytest.raises(CheckpointError, match="is a folder; name the checkpoint file"):
        load(tmp_path)


def fail(error: BaseException) -> Any:
    def raises(*_: Any, **__: Any) -> None:
        raise error

    return raises


def half_way(error: BaseException) -> Any:
    def saves_half(_: Any, file: io.BytesIO) -> None:
        file.write(b"half")
        raise error

    return saves_half


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("place", ["torch.save", "write", "os.fsync", "Path.replace"])
def test_a_failed_save_leaves_the_old_one_and_no_litter(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, place: str
) -> None:
    save(path, {"step": 1})
    with monkeypatch.context() as patched:
        if place == "torch.save":
            patched.setattr(torch, "save", half_way(error))
        elif place == "write":
            opened = Path.open
            patched.setattr(Path, "open", lambda self, mode: Half(opened(self, mode), error))
        elif place == "os.fsync":
            patched.setattr(os, "fsync", fail(error))
        else:
            patched.setattr(Path, "replace", fail(error))
        with pytest.raises(type(error)) as caught:
            save(path, {"step": 2})
    if isinstance(error, OSError) and place != "torch.save":
        assert str(caught.value) == f"cannot write {path}: No space left"
        assert caught.value.errno == errno.ENOSPC
    assert load(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


class Half:
    """A file that takes half of what is written and then fails."""

    def __init__(self, file: Any, error: BaseException) -> None:
        self.file, self.error = file, error

    def write(self, data: bytes) -> None:
        self.file.write(data[: len(data) // 2])
        raise self.error

    def __enter__(self) -> Half:
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()


def test_a_real_size_limit(tmp_path: Path, path: Path) -> None:
    resource = pytest.importorskip("resource")
    save(path, {"step": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write .*run\.pt: File too large"):
            save(path, {"weights": torch.zeros(500_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_real_ctrl_c_while_the_file_goes_to_disk(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(path, {"step": 1})
    # A shell that starts a process in the background may have it ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                save(path, {"step": 2})
    finally:
        signal.signal(signal.SIGINT, before)
    assert load(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_file_and_folder_are_synced_in_this_order(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append(f"{kind}, renamed: {path.exists()}")

    monkeypatch.setattr(files.os, "fsync", fsync)
    save(path, {"step": 1})
    assert synced == ["file, renamed: False", "folder, renamed: True"]


def test_a_folder_that_cannot_be_synced_is_no_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    save(path, {"step": 1})
    assert load(path) == {"step": 1}


def test_folders_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "missing" / "run.pt"
    with pytest.raises(FileNotFoundError, match=f"cannot write {missing}: No such file"):
        save(missing, STATE)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"cannot write .*file/run\.pt: Not a directory"):
        save(tmp_path / "file" / "run.pt", STATE)
    with pytest.raises(IsADirectoryError, match="cannot write"):
        save(tmp_path, STATE)
    # Permissions do not stop the superuser, under whom tests may run, so the error is raised here.
    monkeypatch.setattr(Path, "open", fail(PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(PermissionError, match=r"^cannot write .*run\.pt: Permission denied$"):
        save(tmp_path / "run.pt", STATE)


def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path, path: Path) -> None:
    save(path, STATE)
    (tmp_path / "any").write_text("")
    assert path.stat().st_mode == (tmp_path / "any").stat().st_mode


def test_atomic_write_shows_nothing_until_it_ends(path: Path) -> None:
    path.write_text("old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def draw() -> list[float]:
    return [
        *torch.rand(2).tolist(),
        torch.randn(()).item(),
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),  # noqa: NPY002
        np.random.randn(),  # noqa: NPY002
    ]


def test_random_numbers_go_on_where_they_were(path: Path) -> None:
    start = rng_state()
    # An odd number of normal draws leaves one in store, which is part of the state.
    random.gauss(0, 1)
    np.random.randn()  # noqa: NPY002
    save(path, rng_state())
    expected = draw()
    draw()
    set_rng_state(load(path))
    assert draw() == expected
    set_rng_state(start)


def test_numpy_with_another_bit_generator(path: Path) -> None:
    before = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(0))
    try:
        save(path, rng_state())
        expected = np.random.rand()  # noqa: NPY002
        set_rng_state(load(path))
        assert np.random.rand() == expected  # noqa: NPY002
    finally:
        np.random.set_bit_generator(before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_random_numbers_and_map_location(path: Path) -> None:
    torch.cuda.manual_seed(3)
    torch.rand(5, device="cuda")
    save(path, {"rng": rng_state(), "t": torch.arange(3.0, device="cuda")})
    expected = torch.rand(4, device="cuda")
    state = load(path, map_location="cuda")
    assert state["t"].device.type == "cuda" and load(path)["t"].device.type == "cpu"
    set_rng_state(state["rng"])
    assert torch.equal(torch.rand(4, device="cuda"), expected)
