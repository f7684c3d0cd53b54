import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from probseg.analysis.disagreement import Findings, contradictions, foreground_membership
from probseg.analysis.patterns import drawn_patterns
from probseg.labels import LabelClass, LabelGroup, LabelSet

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid"), LabelClass(3, "lung")),
    (LabelGroup("opacity", ("glass", "solid"), value=9),),
    unknown=255,
)  # dense: 0 background, 1 glass, 2 solid, 3 lung, 4 opacity, 5 unknown
LEAVES = hnp.arrays(np.uint8, (3, 4, 6), elements=st.sampled_from([0, 0, 1, 2, 3]))
ANY = hnp.arrays(np.uint8, (3, 4, 6), elements=st.sampled_from([0, 0, 0, 1, 2, 4, 5]))
RATED = hnp.arrays(bool, (3, 4, 6))


def kinds(a, b, rated=None):
    masks = np.stack([a, b])
    found = drawn_patterns(masks, len(LABELS.values), rated)
    return Findings(found, LABELS).kinds(0, 1).sum(axis=1).tolist()


def test_by_hand():
    a = np.array([[1, 1, 2, 0, 0, 0, 3], [0, 0, 0, 0, 0, 0, 0]], np.uint8)
    b = np.array([[0, 1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 2, 0]], np.uint8)
    # class: third column (solid, glass). extent: first (a's finding is seen by b), fourth (b's by a).
    # presence: a's lung in the corner, which b's solid touches by corner but does not share; and that solid.
    assert kinds(a, b) == [1, 2, 2]
    assert kinds(b, a) == [1, 2, 2]


def test_a_finding_is_seen_as_a_whole():
    # The other drew another class on one voxel of it: seen, so the rest is extent and not presence.
    a = np.array([[1, 1, 1, 1]], np.uint8)
    assert kinds(a, np.array([[0, 0, 0, 2]], np.uint8)) == [1, 0, 3]
    # Corners connect.
    assert kinds(np.array([[1, 0], [0, 1]], np.uint8), np.array([[0, 0], [0, 1]], np.uint8)) == [0, 0, 1]


def test_open_labels_contradict_nothing():
    a = np.array([[1, 3, 0, 1, 4]], np.uint8)
    b = np.array([[4, 4, 4, 5, 2]], np.uint8)
    # glass and opacity may be one; lung and opacity are not; background against opacity is one's finding alone,
    # but it hangs together with what both drew; unknown says nothing
    assert contradictions(a[0], b[0], LABELS).tolist() == [False, True, True, False, False]
    assert kinds(a, b) == [1, 0, 1]
    assert foreground_membership(LABELS).tolist() == [0, 1, 1, 1, 1, -1, -1]


def test_what_was_not_rated_is_as_if_it_were_not_there():
    a = np.array([[1, 1, 1, 0]], np.uint8)
    b = np.array([[1, 1, 0, 0]], np.uint8)
    rated = np.ones((2, 1, 4), bool)
    assert kinds(a, b, rated) == [0, 0, 1]
    rated[1, 0, 1] = False
    # cut in two: the first voxel is agreed on, and the third is a finding of its own
    assert kinds(a, b, rated) == [0, 1, 0]


def definition(a, b, known):
    """Voxel by voxel, for leaf classes."""
    differ = (a != b) & known
    by_class = differ & (a > 0) & (b > 0)
    presence = np.zeros_like(differ)
    for one, other in ((a, b), (b, a)):
        found, n = ndimage.label((one > 0) & known, np.ones((3,) * a.ndim))
        for k in range(1, n + 1):
            if not ((found == k) & (other > 0)).any():
                presence |= found == k
    return [int(x.sum()) for x in (by_class, presence, differ & ~by_class & ~presence)]


@settings(max_examples=60)
@given(LEAVES, LEAVES, RATED, RATED)
def test_the_definition(a, b, rated_a, rated_b):
    everywhere = np.ones_like(rated_a)
    assert kinds(a, b) == definition(a, b, everywhere)
    assert kinds(a, b, np.stack([rated_a, rated_b])) == definition(a, b, rated_a & rated_b)


@settings(max_examples=60)
@given(hnp.arrays(np.uint8, (3, 3, 4, 6), elements=st.sampled_from([0, 0, 1, 2, 3, 4, 5])))
def test_the_parts_sum_to_the_whole_and_a_third_rater_does_not_matter(masks):
    found = drawn_patterns(masks, len(LABELS.values))
    three = Findings(found, LABELS)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        differ = contradictions(masks[i], masks[j], LABELS)
        parts = three.kinds(i, j)
        assert parts.sum() == differ.sum()
        np.testing.assert_array_equal(parts.sum(axis=1), kinds(masks[i], masks[j]))
        np.testing.assert_array_equal(parts, three.kinds(j, i))
        for name in LABELS.structures:
            member = LABELS.membership(name)
            a, b = member[found.labels[i]], member[found.labels[j]]
            one_only = (a != b) & (a != -1) & (b != -1)
            # what is in one of the two only is a contradiction, so its parts sum as well
            assert parts[:, one_only].sum() == found.voxels[one_only].sum()


def test_many_findings_of_many_combinations():
    """More findings times combinations than a table has room for."""
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 4, (8, 96, 96)).astype(np.uint8) * (rng.random((8, 96, 96)) < 0.15).astype(np.uint8)
    found = drawn_patterns(masks, len(LABELS.values))
    findings = ndimage.label(masks[0] > 0, np.ones((3, 3)))[1]
    assert findings * len(found.voxels) > 4 * np.count_nonzero(masks[0]) + (1 << 16)
    parts = Findings(found, LABELS).kinds(0, 1).sum(axis=1).tolist()
    assert parts == definition(masks[0], masks[1], np.ones(masks.shape[1:], bool))
