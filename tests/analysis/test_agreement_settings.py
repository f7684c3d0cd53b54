import pytest

from probseg.analysis.agreement_settings import AgreementSettings
from probseg.errors import ProbsegError
from probseg.labels import LabelSet

LABELS = LabelSet.binary("lung")


@pytest.mark.parametrize(
    ("choice", "rule"),
    [
        ({"tolerances_mm": (2.0, 1.0)}, r"must rise, in mm, but are \[2.0, 1.0\]"),
        ({"tolerances_mm": (1.0, 1.0)}, "must rise"),
        ({"tolerances_mm": (-1.0,)}, "must rise"),
        ({"tolerances_mm": (float("nan"),)}, "must rise"),
        ({"samples": 0}, "must be 1 or more, but are 0"),
    ],
)
def test_what_cannot_be_chosen(choice, rule):
    with pytest.raises(ProbsegError, match=f"E_ARGUMENT: .*{rule}"):
        AgreementSettings(**choice)


def test_a_region_must_be_one_of_the_label_set():
    assert AgreementSettings("lung").checked(LABELS).region_text() == "voxels that any rater calls 'lung'"
    assert AgreementSettings().checked(LABELS).region_text() == "voxels that any rater drew"
    assert AgreementSettings("whole").checked(LABELS).region_text() == "the whole image"
    with pytest.raises(ProbsegError, match="E_ARGUMENT: region 'liver'"):
        AgreementSettings("liver").checked(LABELS)
