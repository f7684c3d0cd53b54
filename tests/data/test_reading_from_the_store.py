"""The data module over a prepared store: made when needed, the same in every worker, weighted by site."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from pytorch_lightning import seed_everything

from probseg.batch import Batch
from probseg.data.datamodule import MultiRaterData
from probseg.data.synthetic import DEFAULT_SITES, default_raters, generate, write
from probseg.data.transforms import FlipAndTurn, Intensity
from probseg.data.weights import EqualSites, SiteShares
from probseg.errors import ProbsegError
from probseg.store import STORE


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = generate(6, 0, DEFAULT_SITES[:2], default_raters(2), (5, 32, 32))
    return write(cases, tmp_path_factory.mktemp("module") / "ct", 0, shares=(0.5, 0.17, 0.0, 0.33))


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "ct"))


def test_the_store_is_made_when_it_is_first_needed_and_then_used(root: Path) -> None:
    data = MultiRaterData(str(root), slices=True)
    assert not (root / STORE).exists()
    data.prepare_data()
    files = sorted((root / STORE / "cases").iterdir())
    assert len(files) == 6
    before = [p.stat().st_mtime_ns for p in files]
    again = MultiRaterData(str(root), slices=True, batch_size=4)
    assert len(next(iter(again.val_dataloader())).case_ids) > 1
    assert [p.stat().st_mtime_ns for p in files] == before


def test_a_stale_store_is_made_anew(root: Path) -> None:
    MultiRaterData(str(root)).prepare_data()
    victim = sorted((root / STORE / "cases").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:-3])
    data = MultiRaterData(str(root))
    assert sum(len(data.examples(s)) for s in ("train", "validation", "test")) == 6


def test_the_store_may_lie_elsewhere(root: Path, tmp_path: Path) -> None:
    MultiRaterData(str(root), store=str(tmp_path / "fast")).prepare_data()
    assert (tmp_path / "fast" / "cases").is_dir()
    assert not (root / STORE).exists()


def test_a_stack_stays_in_memory() -> None:
    data = MultiRaterData("lidc-sample")
    data.prepare_data()
    assert data.store is None
    with pytest.raises(ProbsegError, match="E_SCHEMA: dataset 'lidc-sample' is kept in memory"):
        MultiRaterData("lidc-sample", store="somewhere")


def epoch(root: Path, workers: int) -> list[Batch]:
    seed_everything(3, verbose=False)
    data = MultiRaterData(
        str(root),
        batch_size=2,
        slices=True,
        crop=[16, 16],
        transforms=[FlipAndTurn(), Intensity()],
        num_workers=workers,
        epoch_length=8,
    )
    return list(data.train_dataloader())


@pytest.mark.parametrize("workers", [0, 2])
# Python warns of forking beside threads; the workers touch none of them.
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_seed_gives_the_same_batches_in_every_worker(root: Path, workers: int) -> None:
    first, second = epoch(root, workers), epoch(root, workers)
    assert len(first) == 4
    for a, b in zip(first, second, strict=True):
        assert a.case_ids == b.case_ids
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.masks, b.masks)
        assert torch.equal(a.rated, b.rated)
    assert len({float(b.image.sum()) for b in first}) == 4  # workers do not repeat one another


def test_only_the_chosen_sites(root: Path) -> None:
    every = MultiRaterData(str(root))
    site = every.dataset.sites[0]
    one = MultiRaterData(str(root), sites=[site])
    assert {e.site for e in one.examples("train").entries} == {site}
    with pytest.raises(ProbsegError, match="E_UNKNOWN_SITE: dataset 'synthetic-ct' has no site 'nowhere'"):
        MultiRaterData(str(root), sites=[site, "nowhere"]).part("train")


def drawn_sites(root: Path, **options: object) -> Counter[str]:
    torch.manual_seed(0)
    data = MultiRaterData(str(root), slices=True, batch_size=50, epoch_length=400, **options)  # type: ignore[arg-type]
    entries = data.examples("train").entries
    return Counter(entries[k].site for batch in data.train_dataloader() for k in batch.index.tolist())


def test_sites_are_drawn_as_the_weights_say(root: Path) -> None:
    a, b = MultiRaterData(str(root)).dataset.sites
    equal = drawn_sites(root, weights=EqualSites())
    assert equal[a] + equal[b] == 400
    assert equal[a] == pytest.approx(200, abs=4 * 10)  # four standard deviations of a fair coin
    skewed = drawn_sites(root, weights=SiteShares({a: 0.9, b: 0.1}))
    assert skewed[a] == pytest.approx(360, abs=4 * 6)
