import json
from dataclasses import replace

import numpy as np
import pytest

from probseg.analysis.agreement import merge
from probseg.analysis.agreement_settings import AgreementSettings
from probseg.analysis.case_files import to_plain
from probseg.analysis.measuring import case_file, measure
from probseg.analysis.shards import MEASURED, SHARD, Shard, describes, gather, write_shard
from probseg.errors import ProbsegError
from probseg.manifest import open_dataset

SETTINGS = AgreementSettings(tolerances_mm=(0.5, 1.0), samples=30)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "toy.npz"
    rng = np.random.default_rng(0)
    y, x = np.indices((12, 12)) - 6
    masks = np.stack([[np.hypot(x - rng.normal(), y) < 2 + rng.random() * 2 for _ in "ABC"] for _ in range(7)])
    np.savez(
        path,
        image=np.zeros((7, 12, 12), np.uint8),
        masks=masks.astype(np.uint8),
        annotator=np.array(list("ABC")),
        patient=np.array(["p0", "p0", "p1", "p2", "p3", "p3", "p4"]),
        case=np.array([f"c{k}" for k in range(7)]),
        pixel_spacing_mm=np.full(7, 0.7),
        slice_thickness_mm=np.full(7, 1.0),
    )
    return open_dataset(path)


def run(dataset, folder, text, settings=SETTINGS):
    shard = Shard.parse(text)
    list(measure(shard.of(dataset), dataset.info, settings, keep=folder / MEASURED))
    write_shard(folder, dataset, settings, shard)
    return folder


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_any_number_of_shards_is_one_run(dataset, tmp_path, count):
    folders = [run(dataset, tmp_path / str(i), f"{i}/{count}") for i in range(1, count + 1)]
    found = gather(folders[::-1])
    assert found.settings == SETTINGS
    assert found.info == dataset.info
    alone = [m.statistics for m in measure(dataset, dataset.info, SETTINGS)]
    assert [to_plain(m.statistics) for m in found.cases] == [to_plain(s) for s in alone]
    reports = [merge(s, dataset.info, SETTINGS) for s in (alone, [m.statistics for m in found.cases])]
    assert len({json.dumps(r.to_dict(), allow_nan=False) for r in reports}) == 1
    assert repr(reports[0].tables()) == repr(reports[1].tables())


def test_a_shard_says_what_it_is_of(dataset, tmp_path):
    folder = run(dataset, tmp_path / "a", "2/3")
    assert describes(folder, dataset, SETTINGS, Shard(2, 3))
    for other in (Shard(1, 3), Shard(2, 4)):
        assert not describes(folder, dataset, SETTINGS, other)
    assert not describes(folder, dataset, replace(SETTINGS, region="whole"), Shard(2, 3))
    assert not describes(folder, dataset.select(exclude=["A"]), SETTINGS, Shard(2, 3))
    assert not describes(folder, dataset, SETTINGS, Shard(2, 3), {"c1": "digest of its prediction"})
    assert not describes(tmp_path / "b", dataset, SETTINGS, Shard(2, 3))


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_shard(text):
    with pytest.raises(ProbsegError, match=r"E_ARGUMENT: a shard is I/N with I from 1 to N, such as 2/8"):
        Shard.parse(text)


def test_parts_that_do_not_make_a_whole(dataset, tmp_path):
    one, two = (run(dataset, tmp_path / str(i), f"{i}/2") for i in (1, 2))
    with pytest.raises(ProbsegError, match=r"E_FILE_MISSING: shard 2/2 is missing"):
        gather([one])
    with pytest.raises(ProbsegError, match=r"E_FILE_MISSING: .* is no whole shard"):
        gather([one, tmp_path / "nowhere"])
    whole = run(dataset, tmp_path / "whole", "2/2", replace(SETTINGS, region="whole"))
    with pytest.raises(ProbsegError, match=r"E_SHARDS: .* are of different runs: settings differ"):
        gather([one, whole])
    fewer = run(dataset.select(exclude=["A"]), tmp_path / "fewer", "2/2")
    with pytest.raises(ProbsegError, match=r"E_SHARDS: .* inputs differ"):
        gather([one, fewer])
    three = run(dataset, tmp_path / "three", "2/3")
    with pytest.raises(ProbsegError, match=r"E_SHARDS: .* shards differ"):
        gather([one, three])
    case_file(two / MEASURED, "c1").unlink()
    with pytest.raises(ProbsegError, match=r"E_FILE_MISSING: .* lacks case 'c1'"):
        gather([one, two])
    (two / SHARD).write_text("{", encoding="utf-8")
    with pytest.raises(ProbsegError, match=r"E_FILE_MISSING: .* is no whole shard"):
        gather([one, two])
