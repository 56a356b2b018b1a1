"""One sees the run at a glance, in any width, and pays nothing for it."""

from __future__ import annotations

import io
import os
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pyro_vae.training import progress
from pyro_vae.training.progress import Progress

ROW = {"elbo": -98.124, "reconstruction": -80.3, "kl": 17.824, "valid_elbo": -99.31}


class Screen(io.StringIO):
    """A terminal of a given width that remembers each line it was painted."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    @property
    def paintings(self) -> list[str]:
        return [line for line in re.split(r"[\r\n]+", self.getvalue()) if line.strip()]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Screen]]:
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    controller, terminal = pty.openpty()

    def of_width(columns: int) -> Screen:
        termios.tcsetwinsize(terminal, (24, columns))
        fake = Screen(terminal)
        monkeypatch.setattr(sys, "stderr", fake)
        return fake

    yield of_width
    os.close(controller)
    os.close(terminal)


# A function: what a fixture itself puts into sys.stderr, pytest replaces before the test.
@pytest.fixture
def log_file(monkeypatch: pytest.MonkeyPatch) -> Callable[[], io.StringIO]:
    def opened() -> io.StringIO:
        fake = io.StringIO()
        monkeypatch.setattr(sys, "stderr", fake)
        return fake

    return opened


class Clock:
    """A clock that moves only when told to."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(progress, "time", fake)
    return fake


class Term:
    """A number that counts how often it is read, as a read of a GPU tensor waits for the GPU."""

    reads = 0

    def __float__(self) -> float:
        Term.reads += 1
        return -98.124


def run(total: int, steps: int = 2, start: int = 0, stop: int | None = None, **given: Any) -> None:
    with Progress(total, steps, start_epoch=start, **given) as shown:
        shown.note("compiling")
        for epoch in range(start + 1, (stop or total) + 1):
            for _ in range(steps):
                shown.step(elbo=-1.0, reconstruction=-0.5, kl=0.5)
            shown.epoch(ROW | {"epoch": epoch})


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (120, "ELBO -98.12 rec -80.30 KL 17.82 valid -99.31 nats"),
        (80, "ELBO -98.12 rec -80.30 KL 17.82 nats"),
        (70, "ELBO -98.12 rec -80.30 KL 17.82"),
        (60, "ELBO -98.12 rec -80.30"),
        (50, "ELBO -98.12"),
    ],
)
def test_the_bar_fits_its_window(screen: Callable[[int], Screen], columns: int, text: str) -> None:
    terminal = screen(columns)
    run(total=20)
    *_, last = terminal.paintings
    assert re.fullmatch(rf"epoch 20/20 100%\|\S+\| \d\d:\d\d<\d\d:\d\d {text}", last)
    assert max(map(len, terminal.paintings)) <= columns


def test_large_bounds_and_epochs_fit_eighty_columns(screen: Callable[[int], Screen]) -> None:
    terminal = screen(80)
    with Progress(200, 1) as shown:
        shown.epoch({"elbo": -12345.67, "reconstruction": -12245.67, "kl": 100.0})
    *_, last = terminal.paintings
    assert last.startswith("epoch   2/200   0%|") and len(last) <= 80
    assert last.endswith(" ELBO -12345.7 rec -12245.7 KL 100.00")


def test_epoch_and_percentage_follow_the_run(screen: Callable[[int], Screen], clock: Clock) -> None:
    terminal = screen(100)
    with Progress(4, steps_per_epoch=5) as shown:
        for _ in range(7):
            clock.now += 1
            shown.step(elbo=-1.0)
            if shown._done == 5:
                shown.epoch({"elbo": -1.0})
    begins = [line.split("|")[0] for line in terminal.paintings]
    assert begins[1:6] == [f"epoch 1/4 {p:>3}%" for p in (5, 10, 15, 20)] + ["epoch 2/4  25%"]
    assert begins[-1] == "epoch 2/4  35%"


def test_a_resumed_run_begins_where_it_was(screen: Callable[[int], Screen]) -> None:
    terminal = screen(100)
    run(total=20, start=10, stop=11)
    assert terminal.paintings[0].startswith("epoch 11/20  50%") or "50%" in terminal.paintings[0]
    assert terminal.paintings[-1].startswith("epoch 12/20  55%")


def test_a_note_shows_at_once_and_goes_with_the_next_step(
    screen: Callable[[int], Screen], clock: Clock
) -> None:
    terminal = screen(100)
    with Progress(2, 2) as shown:
        shown.note("compiling {model}")
        assert terminal.paintings[-1].endswith("compiling {model}")
        shown.step(elbo=-1.0)
        assert terminal.paintings[-1].endswith("ELBO -1.00 nats")


def test_steps_read_tensors_ten_times_a_second_at_most(
    screen: Callable[[int], Screen], clock: Clock
) -> None:
    terminal = screen(100)
    Term.reads = 0
    with Progress(1, 10_000) as shown:
        for _ in range(5_000):
            clock.now += 1 / 5_000
            shown.step(elbo=Term(), reconstruction=Term(), kl=Term())
    assert 3 * 9 <= Term.reads <= 3 * 11
    assert len(terminal.paintings) <= 14


@pytest.mark.parametrize("enabled", [False, None])
def test_without_a_bar_steps_read_nothing(
    log_file: Callable[[], io.StringIO], enabled: bool | None
) -> None:
    written = log_file()
    Term.reads = 0
    with Progress(1, 10, enabled=enabled) as shown:
        for _ in range(10):
            shown.step(elbo=Term(), reconstruction=Term(), kl=Term())
    assert Term.reads == 0 and written.getvalue() == ""


def test_silence(log_file: Callable[[], io.StringIO], capsys: pytest.CaptureFixture[str]) -> None:
    written = log_file()
    run(total=3, enabled=False)
    assert written.getvalue() == "" and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("given", "epochs"),
    [
        ({"total": 3}, [1, 2, 3]),
        ({"total": 25}, [1, 3, 6, 9, 12, 15, 18, 21, 24, 25]),
        ({"total": 100}, [1, *range(10, 101, 10)]),
        ({"total": 100, "start": 50}, [51, 60, 70, 80, 90, 100]),
        ({"total": 100, "stop": 34}, [1, 10, 20, 30, 34]),
        ({"total": 100, "stop": 30}, [1, 10, 20, 30]),
    ],
)
def test_a_log_file_gets_about_ten_plain_lines(
    log_file: Callable[[], io.StringIO], given: dict[str, int], epochs: list[int]
) -> None:
    written = log_file()
    run(**given)
    note, *lines = written.getvalue().splitlines()
    assert note == "compiling" and "\r" not in written.getvalue()
    terms = "ELBO -98.12  rec -80.30  KL 17.82  valid -99.31 nats  (0 s)"
    assert lines == [f"epoch {epoch}/{given['total']}  {terms}" for epoch in epochs]


def test_true_gives_a_bar_in_a_file_too(log_file: Callable[[], io.StringIO]) -> None:
    written = log_file()
    run(total=2, enabled=True)
    assert "\repoch 2/2 100%|" in written.getvalue()


def test_an_interrupted_bar_leaves_a_clean_line(screen: Callable[[int], Screen]) -> None:
    terminal = screen(80)
    with pytest.raises(KeyboardInterrupt), Progress(2, 2) as shown:
        shown.epoch(ROW)
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith("\n")
    assert terminal.paintings[-1].endswith("ELBO -98.12 rec -80.30 KL 17.82 nats")


def test_a_process_without_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    run(total=2)


def test_the_environment_can_switch_the_bar_off(
    screen: Callable[[int], Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tqdm.std.tqdm.__init__", off(sys.modules["tqdm.std"].tqdm.__init__))
    terminal = screen(80)
    run(total=2)
    assert terminal.getvalue() == ""


def off(init: Any) -> Any:
    """What TQDM_DISABLE=1 in the environment does, which tqdm reads when it is imported."""
    return lambda self, *args, **given: init(self, *args, disable=True, **given)


def test_a_notebook_without_widgets_gets_a_bar_and_no_warning(
    log_file: Callable[[], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = log_file()
    shell = types.SimpleNamespace(kernel=object(), config={"IPKernelApp": {}})
    ipython = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", types.ModuleType("zmqshell"))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    for name in ("tqdm.auto", "tqdm.autonotebook", "tqdm.notebook"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    # Recorded, since tqdm itself catches a warning that is raised as an error.
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run(total=2)
    assert [str(warning.message) for warning in warned] == []
    assert "\repoch 2/2 100%|" in written.getvalue()
