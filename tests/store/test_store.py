from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from probseg.case import Geometry, Source
from probseg.data.synthetic import DEFAULT_SITES, default_raters, generate, write
from probseg.errors import ProbsegError, ProbsegWarning
from probseg.io import nifti
from probseg.manifest import open_dataset
from probseg.records import Dataset
from probseg.store import STORE, Store, prepare, prepared, store_folder

CASES = 5


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = generate(CASES, 0, DEFAULT_SITES[:2], default_raters(3), (6, 40, 40))
    return write(cases, tmp_path_factory.mktemp("original") / "ct", 0)


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "ct"))


def contents(store: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((store / "cases").iterdir())}


def times(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in sorted(folder.rglob("*"))}


def test_cases_come_from_the_store_as_from_their_files(root: Path) -> None:
    dataset = open_dataset(root)
    done = prepare(dataset)
    assert (len(done.made), done.kept, done.removed) == (CASES, (), ())
    store = Store(dataset)
    for record in dataset.records:
        case, back = dataset.load(record), store.dataset.load(record)
        assert (back.case_id, back.patient_id, back.site) == (case.case_id, case.patient_id, case.site)
        assert (back.geometry, back.source) == (case.geometry, case.source)
        assert back.image.dtype == np.int16
        assert np.array_equal(back.image, case.image)
        assert list(back.masks) == list(case.masks)
        for one, other in zip(back.stacked(), case.stacked(), strict=True):
            assert np.array_equal(one, other)
        masks, rated = case.stacked()
        slab = store.read_slices(record, 2, 5, rows=(3, 30), columns=(10, 40))
        assert np.array_equal(slab.image, case.image[2:5, 3:30, 10:40])
        assert np.array_equal(slab.masks, masks[:, 2:5, 3:30, 10:40])
        assert (slab.rated == rated[:, 2:5, 3:30, 10:40]).all()


def test_packed_masks_are_no_larger_than_half(root: Path) -> None:
    done = prepare(open_dataset(root))
    assert done.raw_mask_bytes == CASES * 3 * 6 * 40 * 40
    assert done.mask_bytes <= done.raw_mask_bytes / 2


def test_a_second_run_does_nothing(root: Path) -> None:
    prepare(open_dataset(root))
    before = times(root)
    done = prepare(open_dataset(root))
    assert (done.made, len(done.kept), done.removed) == ((), CASES, ())
    assert times(root) == before
    assert prepare(open_dataset(root), check=True).made == ()
    assert {p: t for p, t in times(root).items() if p.endswith((".case", ".json"))}.items() <= before.items()


def test_several_processes_give_the_same_bytes(root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(root)
    prepare(dataset)
    prepare(dataset, tmp_path / "other", workers=2)
    assert contents(tmp_path / "other") == contents(root / STORE)


def change_mask(root: Path) -> str:
    """Draw one voxel more, and set size and time of the file back as a careless tool might."""
    record = open_dataset(root).records[1]
    path = root / record.readings[0].mask
    before = path.stat()
    array, geometry = nifti.read(path)
    array = array.astype(np.uint8)
    array[0, 0, 0] = 0 if array[0, 0, 0] else 1
    nifti.write(path, array, geometry)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return record.case_id


def touch(root: Path) -> None:
    for path in root.rglob("*.nii.gz"):
        os.utime(path, (1, 1))


def test_a_changed_mask_is_noticed_and_only_its_case_made_anew(root: Path) -> None:
    prepare(open_dataset(root))
    changed = change_mask(root)
    with pytest.raises(ProbsegError, match=f"E_STALE_STORE.*'{changed}'.*probseg prepare"):
        Store(open_dataset(root))
    store = prepared(open_dataset(root))
    record = next(r for r in store.dataset.records if r.case_id == changed)
    case, back = open_dataset(root).load(record), store.dataset.load(record)
    assert np.array_equal(back.stacked()[0], case.stacked()[0])
    assert prepare(open_dataset(root)).made == ()


def test_only_the_changed_case_is_made(root: Path) -> None:
    prepare(open_dataset(root))
    changed = change_mask(root)
    assert prepare(open_dataset(root)).made == (changed,)


def test_touched_files_of_the_same_bytes_are_read_but_not_converted(root: Path) -> None:
    prepare(open_dataset(root))
    before = contents(root / STORE)
    cases = times(root / STORE / "cases")
    touch(root)
    Store(open_dataset(root))  # the bytes decide
    assert prepare(open_dataset(root)).made == ()
    assert times(root / STORE / "cases") == cases
    assert contents(root / STORE) == before
    stamps = times(root / STORE / "stamps")
    prepare(open_dataset(root))
    assert times(root / STORE / "stamps") == stamps


def test_split_site_and_window_may_change_but_label_values_may_not(root: Path) -> None:
    prepare(open_dataset(root))
    table = (root / "cases.csv").read_text().replace(",train", ",test").replace("site-a", "elsewhere")
    (root / "cases.csv").write_text(table)
    description = yaml.safe_load((root / "dataset.yaml").read_text())
    description["window"] = [-100, 100]
    (root / "dataset.yaml").write_text(yaml.safe_dump(description))
    store = Store(open_dataset(root))
    record = store.dataset.records[0]
    assert store.dataset.load(record).site == record.site
    description["labels"]["unknown"] = 77
    (root / "dataset.yaml").write_text(yaml.safe_dump(description))
    assert len(prepare(open_dataset(root)).made) == CASES


def test_a_case_that_is_gone_leaves_the_store(root: Path) -> None:
    prepare(open_dataset(root))
    gone = open_dataset(root).records[-1].case_id
    lines = (root / "cases.csv").read_text().splitlines()
    (root / "cases.csv").write_text("\n".join(x for x in lines if not x.startswith(gone)) + "\n")
    done = prepare(open_dataset(root))
    assert (done.made, done.removed) == ((), (gone,))
    assert f"{gone}.case" not in contents(root / STORE)


@pytest.mark.parametrize("harm", ["cut", "flip", "unlink", "stamp"])
def test_damage_to_the_store_is_made_good(root: Path, harm: str) -> None:
    prepare(open_dataset(root))
    before = contents(root / STORE)
    victim = sorted((root / STORE / "cases").iterdir())[2]
    data = bytearray(victim.read_bytes())
    if harm == "cut":
        victim.write_bytes(data[:-5])
    elif harm == "flip":
        data[-5] ^= 1
        victim.write_bytes(data)
    elif harm == "unlink":
        victim.unlink()
    else:
        for path in (root / STORE / "stamps").iterdir():
            path.write_text("{")
    done = prepare(open_dataset(root), check=harm == "flip")
    assert len(done.made) == (0 if harm == "stamp" else 1)
    assert contents(root / STORE) == before


def test_a_killed_preparation_goes_on_where_it_was(root: Path, tmp_path: Path) -> None:
    reference = contents(prepare(open_dataset(root), tmp_path / "reference").folder)
    store = root / STORE
    # Slow enough to be caught with a case half written; what is written is the same.
    code = (
        "import contextlib, sys, time, probseg.io.prepared as module\n"
        "from probseg.cli import main\n"
        "replacing = module.replacing\n"
        "@contextlib.contextmanager\n"
        "def slowly(path):\n"
        "    with replacing(path) as temporary:\n"
        "        yield temporary\n"
        "        time.sleep(0.03)\n"
        "module.replacing = slowly\n"
        f"sys.exit(main(['prepare', {str(root)!r}, '--workers', '1']))\n"
    )
    rng = np.random.default_rng(0)
    midway = 0
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        had = len(list(store.glob("cases/*.case")))
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(store.glob("cases/*"))) > had:
                time.sleep(float(rng.uniform(0, 0.04)))
                break
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        midway += 0 < len([n for n in contents(store) if n in reference]) < CASES
        if len([n for n in contents(store) if n in reference]) == CASES:
            shutil.rmtree(store)
        else:
            assert all(data == reference[name] for name, data in contents(store).items() if name in reference)
    assert midway
    prepare(open_dataset(root))
    assert contents(store) == reference
    assert sorted(p.stem for p in (store / "stamps").iterdir()) == sorted(Path(n).stem for n in reference)


def test_an_error_leaves_what_is_done(root: Path) -> None:
    dataset = open_dataset(root)
    (root / dataset.records[3].readings[0].mask).write_bytes(b"no mask")
    with pytest.raises(ProbsegError):
        prepare(dataset)
    assert len(list((root / STORE / "cases").iterdir())) == 3


def test_warnings_of_reading_come_through_from_other_processes(root: Path) -> None:
    dataset = open_dataset(root)
    for record in dataset.records[:2]:
        path = root / record.readings[0].mask
        array, geometry = nifti.read(path)
        nifti.write(path, np.full_like(array, dataset.info.labels.values[1]).astype(np.uint8), geometry)
    for workers in (1, 2):
        shutil.rmtree(root / STORE, ignore_errors=True)
        with pytest.warns(ProbsegWarning, match="W_FULL_MASK") as caught:
            prepare(dataset, workers=workers)
        assert len(caught) == 2


def test_one_stack_needs_no_store() -> None:
    for call in (store_folder, prepare, Store):
        with pytest.raises(ProbsegError, match=r"E_NO_STORE.*NPZ stack"):
            call(open_dataset("lidc-sample"))


def test_without_a_store_the_error_says_how_to_make_it(root: Path) -> None:
    with pytest.raises(ProbsegError, match=r"E_NO_STORE.*probseg prepare"):
        Store(open_dataset(root))


def test_a_store_that_cannot_be_written_is_an_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ProbsegError, match="E_NOT_WRITABLE"):
        prepare(open_dataset(root), tmp_path / "file" / "store")


def test_the_store_does_not_confuse_what_else_reads_the_folder(root: Path) -> None:
    before = open_dataset(root)
    prepare(before)
    after = open_dataset(root)
    assert (after.info, after.records) == (before.info, before.records)
    cases = generate(2, 1, DEFAULT_SITES[:1], default_raters(2), (4, 32, 32))
    write(cases, root, 1, overwrite=True)  # a prepared dataset is replaced with its store
    assert not (root / STORE).exists()


def test_a_selection_reads_its_raters_only(root: Path) -> None:
    dataset = open_dataset(root)
    store = prepared(dataset)
    out = dataset.raters[0]
    part: Dataset = store.dataset.select(exclude=[out])
    for record, case in zip(part.records, part, strict=True):
        assert out not in case.masks
        assert len(store.read_slices(record, 0, 1).masks) == len(record.readings)


def test_many_cases_do_not_use_up_the_file_descriptors(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probseg.store.reading._OPEN_AT_ONCE", 2)
    store = prepared(open_dataset(root))
    before = len(list(Path("/dev/fd").iterdir()))
    for record in [*store.dataset.records, *store.dataset.records]:
        store.read_slices(record, 0, 1)
    assert len(list(Path("/dev/fd").iterdir())) <= before + 2


def test_a_pickled_store_reads_the_same(root: Path) -> None:
    store = prepared(open_dataset(root))
    record = store.dataset.records[0]
    slab = store.read_slices(record, 0, 6)
    from joblib import Parallel, delayed

    (again,) = Parallel(n_jobs=2)([delayed(store.read_slices)(record, 0, 6)])
    assert all(np.array_equal(a, b) for a, b in zip(slab, again, strict=True))
    assert pickle.loads(pickle.dumps(store.case(record))).key == store.case(record).key


def test_a_stamp_says_what_the_case_was_made_from(root: Path) -> None:
    prepare(open_dataset(root))
    record = open_dataset(root).records[0]
    stamp = json.loads((root / STORE / "stamps" / f"{record.case_id}.json").read_text())
    named = [entry[0] for entry in stamp["files"]]
    assert {r.mask for r in record.readings} < set(named)
    assert sum(name.startswith("images/") for name in named) == 6  # every file of the series


def test_source_and_geometry_survive(root: Path) -> None:
    store = prepared(open_dataset(root))
    case = store.dataset.load(store.dataset.records[0])
    assert isinstance(case.geometry, Geometry)
    assert case.source == Source(root / store.dataset.records[0].image, case.source.geometry)
