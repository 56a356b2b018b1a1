"""What a run is worth, and the last lines that it prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyro_vae import evaluation
from pyro_vae.families import Family, Finding, View

from .folder import RunFolder


@dataclass(frozen=True)
class FullReport:
    """The report of any two programs, and what the family found besides."""

    plain: evaluation.Report
    findings: Sequence[Finding]

    def to_dict(self) -> dict[str, Any]:
        """Both as plain numbers, as ``report.json`` holds them."""
        return {**self.plain.to_dict(), **{f.name: f.value for f in self.findings}}

    def lines(self, title: str) -> list[str]:
        """Both for people, in nats per example with standard errors."""
        first = f"{title}: {self.plain.n:,} examples, nats per example"
        return [first, *str(self.plain).splitlines(), *(f.line for f in self.findings if f.line)]


def report_on(family: Family, view: View, particles: int, seed: int = 0) -> FullReport:
    """What programs are worth on these examples."""
    plain = evaluation.evaluate(*view.programs, *view.arguments, particles=particles, seed=seed)
    return FullReport(plain, family.findings(view))


def show_report(report: FullReport, folder: RunFolder, name: str, pictures: Sequence[Path]) -> None:
    """Print the report, and where everything is."""
    print("\n".join(report.lines(f"{name} test")))
    if pictures:
        print(f"pictures: {folder.pictures}/ ({', '.join(p.stem for p in pictures)})")
    print(f"run:      {folder.path}/ (checkpoint, config, history, report)")
