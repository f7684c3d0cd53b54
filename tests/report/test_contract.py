"""The report reads what a test writes: the two ends of the run folder held together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from probseg.data.examples import Examples
from probseg.distribution import SegmentationDistribution
from probseg.manifest import open_dataset
from probseg.report import build_report, load_run
from probseg.results import evaluate_raters, write_examples


def test_what_the_raters_leave_is_read_back(tmp_path: Path) -> None:
    data = open_dataset("lidc-sample").select(splits=["test"])
    data = replace(data, records=data.records[:6])
    examples = Examples(data, {p: k for k, p in enumerate(data.patients)})
    figures = evaluate_raters(tmp_path / "raters", examples, data.info, command="probseg demo")
    write_examples(
        tmp_path / "raters",
        [examples[0], examples[1]],
        lambda image: SegmentationDistribution(torch.randn(2, 3, len(image), 2, *image.shape[2:])),
    )
    run = load_run(tmp_path / "raters")
    assert run.is_raters and run.draws == 1 and run.cases is not None and len(run.cases.case_ids) == 6
    assert abs(run.figure("ged_v").value - figures["ged_v"].value) < 1e-5 and not run.figure("nll").defined
    assert run.figure("ged_v").n == figures["ged_v"].n
    assert run.reliability is not None and run.examples is not None and len(run.examples) == 2
    assert "LIDC-IDRI" in build_report([tmp_path / "raters"], tmp_path / "report.html").read_text(encoding="utf-8")
