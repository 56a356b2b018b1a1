"""The last lines of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyro_vae.evaluation import Report

from .folder import RunFolder


def report_lines(report: Report, title: str) -> list[str]:
    """What a report says, in nats per example, with standard errors."""
    return [f"{title}: {report.n:,} examples, nats per example", *str(report).splitlines()]


def show_report(report: Report, folder: RunFolder, name: str, pictures: Sequence[Path]) -> None:
    """Print the report, and where everything is."""
    print("\n".join(report_lines(report, f"{name} test")))
    if pictures:
        print(f"pictures: {folder.pictures}/ ({', '.join(p.stem for p in pictures)})")
    print(f"run:      {folder.path}/ (checkpoint, config, history, report)")
