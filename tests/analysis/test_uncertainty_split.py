import math

import numpy as np
import pytest

from probseg.analysis.detection import auroc
from probseg.analysis.uncertainty_split import split_sentence, split_table, uncertainty_split
from probseg.analysis.voxel_ranking import disagreement_counts
from probseg.errors import ProbsegError
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS as MAPS

PATIENTS = [f"p{k}" for k in range(40)]


def data(seed, shift_map, dispute_map, strength=2.0):
    """Forty scans, half of them of another site; one map rises with the site and one where raters differ."""
    rng = np.random.default_rng(seed)
    other = np.arange(40) % 2 == 0
    scores = {name: rng.normal(size=40) + strength * other * (name == shift_map) for name in MAPS}
    counts = {name: [] for name in MAPS}
    for _ in range(40):
        masks = rng.integers(0, 2, (2, 200)).astype(np.uint8)
        differs = masks[0] != masks[1]
        for name in MAPS:
            uncertainty = 0.3 * rng.random(200) + 0.1 * strength * differs * (name == dispute_map)
            counts[name].append(disagreement_counts(uncertainty, masks, 2))
    return scores, other, {name: np.array(c) for name, c in counts.items()}


def test_a_split_that_holds():
    scores, other, counts = data(0, "epistemic", "ambiguity")
    found = uncertainty_split(scores, other, counts, PATIENTS, samples=200)
    for name in MAPS:
        assert found.shift[name].value == pytest.approx(auroc(scores[name], other))
    assert found.shift["epistemic"].low > 0.7 and found.dispute["ambiguity"].low > 0.7
    assert found.shift["noise"].low < 0.5 < found.shift["noise"].high
    assert found.dispute["noise"].low < 0.5 < found.dispute["noise"].high
    assert found.shift_difference.value == pytest.approx(
        found.shift["epistemic"].value - found.shift["ambiguity"].value
    )
    sentence = split_sentence(found)
    assert sentence.startswith("The split holds on this data: epistemic")
    assert sentence.count("better than") == 2 and f"{found.dispute_difference.low:+.3f}" in sentence
    table = split_table(found)
    assert [row[0] for row in table.rows] == list(MAPS) and len(table.columns) == len(table.rows[0]) == 9


@pytest.mark.parametrize(
    ("shift_map", "dispute_map", "opening"),
    [
        ("ambiguity", "epistemic", "The split does not hold"),
        ("epistemic", "noise", "Whether the split holds on this data remains open"),
    ],
)
def test_a_split_that_does_not_hold_or_is_not_known_to(shift_map, dispute_map, opening):
    sentence = split_sentence(uncertainty_split(*data(1, shift_map, dispute_map), PATIENTS, samples=200))
    assert sentence.startswith(opening)


def test_one_site_cannot_tell():
    scores, _, counts = data(2, "epistemic", "ambiguity")
    found = uncertainty_split(scores, np.zeros(40, bool), counts, PATIENTS, samples=20)
    assert math.isnan(found.shift["epistemic"].value)
    assert "cannot be measured" in split_sentence(found) and "undefined" in split_sentence(found)
    with pytest.raises(ProbsegError, match="there is no ambiguity"):
        uncertainty_split({"epistemic": [1.0]}, [True], {"epistemic": counts["epistemic"][:1]}, ["a"])
