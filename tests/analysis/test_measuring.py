import json
from dataclasses import replace

import joblib
import numpy as np
import pytest

from probseg.analysis.agreement import analyse, merge
from probseg.analysis.agreement_settings import AgreementSettings
from probseg.analysis.case_files import to_plain
from probseg.analysis.measuring import case_file, measure
from probseg.case import Case, Geometry
from probseg.errors import ProbsegError, ProbsegWarning
from probseg.io import nifti
from probseg.labels import LabelSet
from probseg.manifest import open_dataset
from probseg.records import DatasetInfo

INFO = DatasetInfo("toy", 2, LabelSet.binary("nodule"), (0.0, 1.0))
SETTINGS = AgreementSettings(samples=20)


def case(k):
    y, x = np.indices((9, 9)) - 4
    masks = {r: (np.hypot(x - j, y) < 2 + k % 3).astype(np.uint8) for j, r in enumerate("AB")}
    geometry = Geometry((9, 9), (1.0, 0.5), slice_thickness_mm=2.0)
    return Case(f"c{k}", f"p{k // 2}", "", np.zeros((0, 9, 9)), masks, geometry)


CASES = [case(k) for k in range(6)]


def plain(measured):
    return [to_plain(m.statistics) for m in measured]


ALONE = plain(measure(CASES, INFO, SETTINGS))


@pytest.mark.parametrize("backend", ["threading", "sequential"])
def test_any_backend_gives_the_same_in_the_same_order(backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert plain(measure(CASES, INFO, SETTINGS)) == ALONE


def test_cases_are_read_one_by_one_and_let_go():
    read = []

    def cases():
        for c in CASES:
            read.append(c.case_id)
            yield c

    done = measure(cases(), INFO, SETTINGS)
    assert next(done).statistics.case_id == "c0"
    assert read == ["c0"]
    assert len(list(done)) == 5


def test_what_is_known_is_not_measured_again(tmp_path, monkeypatch):
    first = list(measure(CASES[:4], INFO, SETTINGS, keep=tmp_path))
    assert [m.reused for m in first] == [False] * 4
    again = list(measure(CASES, INFO, SETTINGS, keep=tmp_path))
    assert [m.reused for m in again] == [True] * 4 + [False] * 2
    assert plain(again) == ALONE
    # not even looked at
    monkeypatch.setattr("probseg.analysis.measuring.case_statistics", None)
    assert plain(measure(CASES, INFO, SETTINGS, keep=tmp_path)) == ALONE


def changes():
    one = CASES[0]
    other = {**one.masks, "A": 1 - one.masks["A"]}
    unstable = replace(INFO, stable_raters=False)
    yield "a mask", replace(one, masks=other), INFO, SETTINGS, None
    yield "a name", replace(one, masks={"C": one.masks["A"], "B": one.masks["B"]}), INFO, SETTINGS, None
    yield "rated", replace(one, rated={"A": np.ones((9, 1), bool) & (np.arange(9) > 0)[:, None]}), INFO, SETTINGS, None
    yield "a patient", replace(one, patient_id="other"), INFO, SETTINGS, None
    yield "spacing", replace(one, geometry=Geometry((9, 9), (1.0, 1.0))), INFO, SETTINGS, None
    yield "region", one, INFO, replace(SETTINGS, region="whole"), None
    yield "tolerance", one, INFO, replace(SETTINGS, tolerances_mm=(1.0,)), None
    yield "the dataset", one, unstable, SETTINGS, None
    yield "a prediction", one, INFO, SETTINGS, {"c0": one.masks["A"]}


@pytest.mark.parametrize("change", list(changes()), ids=lambda change: change[0])
def test_whatever_changes_is_measured_again(tmp_path, change):
    _, changed, info, settings, predictions = change
    list(measure(CASES[:1], INFO, SETTINGS, keep=tmp_path))
    (found,) = measure([changed], info, settings, predictions, keep=tmp_path)
    assert not found.reused
    (found,) = measure([changed], info, replace(settings, samples=99), predictions, keep=tmp_path)
    assert found.reused


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 0}', None])
def test_a_damaged_file_is_measured_again(tmp_path, damage):
    list(measure(CASES[:1], INFO, SETTINGS, keep=tmp_path))
    path = case_file(tmp_path, "c0")
    whole = path.read_text(encoding="utf-8")
    if damage is None:
        data = json.loads(whole)
        del data["statistics"]["votes"]
        damage = json.dumps(data)
    path.write_text(damage, encoding="utf-8")
    (found,) = measure(CASES[:1], INFO, SETTINGS, keep=tmp_path)
    assert not found.reused
    assert path.read_text(encoding="utf-8") == whole


def test_a_case_that_cannot_be_a_file_is_refused(tmp_path):
    with pytest.raises(ProbsegError, match="E_BAD_CASE_ID"):
        list(measure([replace(CASES[0], case_id="../c")], INFO, SETTINGS, keep=tmp_path))


def folder(root, cases=3):
    """A dataset of files, whose last mask is foreground throughout, which reading warns of."""
    rows = ["case_id,patient_id,site,image,rater,mask"]
    geometry = Geometry((2, 6, 6), (2.0, 1.0, 1.0))
    for k in range(cases):
        nifti.write(root / f"i{k}.nii.gz", np.zeros((2, 6, 6), np.int16), geometry)
        for r in "AB":
            mask = np.zeros((2, 6, 6), np.uint8)
            mask[:, 1 : 3 + k, 1:4] = 1
            mask[0, 0, 0] = r == "B"
            if (k, r) == (cases - 1, "B"):
                mask[:] = 1
            nifti.write(root / f"m{k}{r}.nii.gz", mask, geometry)
            rows.append(f"c{k},p{k},,i{k}.nii.gz,{r},m{k}{r}.nii.gz")
    (root / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (root / "dataset.yaml").write_text(
        "name: toy\ndimensions: 3\nwindow: [0, 1]\nlabels:\n  classes:\n"
        "    - {value: 0, name: background}\n    - {value: 1, name: nodule}\n",
        encoding="utf-8",
    )
    return open_dataset(root)


def test_files_are_read_where_they_are_measured_and_their_faults_are_told_again(tmp_path):
    (tmp_path / "data").mkdir()
    dataset = folder(tmp_path / "data")
    keep = tmp_path / "keep"
    alone = list(measure(dataset, dataset.info, SETTINGS, keep=keep))
    assert [len(m.warned) for m in alone] == [0, 0, 1]
    assert alone[2].warned[0][0] == "W_FULL_MASK"
    again = list(measure(dataset, dataset.info, SETTINGS, keep=keep))
    assert [(m.reused, m.warned) for m in again] == [(True, m.warned) for m in alone]
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert plain(measure(dataset, dataset.info, SETTINGS)) == plain(alone)
    # the same voxels in a file of other bytes: measured again, because nobody has looked at the voxels
    mask = tmp_path / "data" / "m0A.nii.gz"
    mask.write_bytes(mask.read_bytes() + b"\0")
    assert [m.reused for m in measure(dataset, dataset.info, SETTINGS, keep=keep)] == [False, True, True]
    with pytest.warns(ProbsegWarning, match="W_FULL_MASK"):
        analyse(dataset, samples=20)


@pytest.mark.journey
@pytest.mark.filterwarnings("ignore")  # dask's own
def test_a_cluster_of_two_dask_workers(tmp_path):
    distributed = pytest.importorskip("distributed")
    (tmp_path / "data").mkdir()
    dataset = folder(tmp_path / "data")
    alone = plain(measure(dataset, dataset.info, SETTINGS))
    with (
        # Both in this process, which starts at once, but over a socket, so that all is sent as between machines.
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            dashboard_address=None,
            local_directory=str(tmp_path),
        ) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        assert len(client.scheduler_info()["workers"]) == 2
        found = list(measure(dataset, dataset.info, SETTINGS, keep=tmp_path / "keep"))
        in_memory = plain(measure(CASES, INFO, SETTINGS, jobs=-1))
    assert plain(found) == alone
    assert in_memory == ALONE
    assert [m.warned[0][0] for m in found if m.warned] == ["W_FULL_MASK"]
    assert merge([m.statistics for m in found], dataset.info, SETTINGS).to_dict()["cases"] == 3


def test_no_jobs_measure_nothing():
    with pytest.raises(ProbsegError, match="E_ARGUMENT: jobs must be"):
        list(measure(CASES, INFO, SETTINGS, jobs=0))


def test_a_process_that_dies_is_told_in_one_sentence(monkeypatch):
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    class Pool:
        n_jobs = 2

        def __init__(self, **_):
            pass

        def __call__(self, tasks):
            call, arguments, keywords = next(iter(tasks))
            yield call(*arguments, **keywords)
            raise TerminatedWorkerError("killed")

    monkeypatch.setattr(joblib, "Parallel", Pool)
    done = measure(CASES, INFO, SETTINGS, jobs=2)
    assert next(done).statistics.case_id == "c0"
    with pytest.raises(ProbsegError, match="E_WORKER_DIED: a process was killed"):
        next(done)
