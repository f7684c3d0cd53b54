"""Matrices of raters: known ones are found again, the loss against a slow one, and nobody judged too soon."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from probseg.batch import Batch, Example, collate
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.labels import LabelClass, LabelSet
from probseg.models import RaterConfusion
from probseg.networks import UNet
from probseg.records import DatasetInfo

NAMES = ("careful", "generous", "colourblind")
# Rows are the truth: what a rater calls background, glass and solid.
KNOWN = torch.tensor(
    [
        [[0.98, 0.01, 0.01], [0.02, 0.96, 0.02], [0.01, 0.02, 0.97]],
        [[0.80, 0.15, 0.05], [0.05, 0.90, 0.05], [0.02, 0.03, 0.95]],
        [[0.95, 0.03, 0.02], [0.05, 0.60, 0.35], [0.05, 0.30, 0.65]],
    ]
)
LABELS = LabelSet((LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")))
INFO = DatasetInfo("toy", 2, LABELS, (0.0, 1.0), raters=NAMES)


def confused(images: int = 40) -> tuple[torch.Tensor, Batch]:
    """Two squares on a background, told apart by their grey, and three raters who call every voxel by their matrix."""
    generator = torch.Generator().manual_seed(0)
    truths, examples = [], []
    for k in range(images):
        truth = torch.zeros(16, 16, dtype=torch.int64)
        for label in (1, 2):
            row, column = torch.randint(0, 9, (2,), generator=generator).tolist()
            truth[row : row + 8, column : column + 8] = label
        image = (truth / 2 + 0.08 * torch.randn(16, 16, generator=generator)).clamp(0, 1)[None].float()
        called = [torch.multinomial(a[truth].reshape(-1, 3), 1, generator=generator).reshape(16, 16) for a in KNOWN]
        masks = torch.stack(called).to(torch.uint8)
        rated = torch.ones_like(masks, dtype=torch.bool)
        truths.append(truth)
        examples.append(Example(image, masks, rated, k, k, str(k), "", torch.ones(2), (0, 1, 2), (images,) * 3))
    return torch.stack(truths), collate(examples)


@pytest.mark.parametrize(("hidden", "trace_weight"), [(0, 0.01), (4, 0.05)])
def test_known_confusion_is_found_again(pointwise, hidden, trace_weight, monkeypatch):
    """Of 10 000 voxels a rater, to within 0.06 of every entry; and the truth, which no rater drew, in 98 of 100."""
    truth, batch = confused()
    torch.manual_seed(0)
    model = RaterConfusion(pointwise(3), hidden=hidden, trace_weight=trace_weight, warmup_identity=0.3)
    model.bind(INFO)
    model._trainer = SimpleNamespace()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(150):
        monkeypatch.setattr(model, "_progress", lambda step=step: step / 150)
        optimizer.zero_grad()
        model.loss(batch)["loss"].backward()
        optimizer.step()
    model.eval()
    found = torch.stack([model.confusion_of(name, batch.image if hidden else None) for name in NAMES])
    torch.testing.assert_close(found, KNOWN, atol=0.06, rtol=0)
    assert (found - torch.eye(3)).abs().max() > 0.3, "it started elsewhere"
    with torch.no_grad():
        model.choose_rater("truth")
        assert (model(batch.image, Draws(1)).mode == truth).float().mean() > 0.98
        model.choose_rater("colourblind")
        probs = model(batch.image, Draws(1)).mean  # (batch, classes, *space)
        said = torch.stack([probs.movedim(1, -1)[truth == i].mean(dim=0) for i in range(3)])
        torch.testing.assert_close(said, KNOWN[2], atol=0.06, rtol=0)


def slow_loss(model: RaterConfusion, batch: Batch) -> tuple[float, float]:
    """Cross entropy and mean diagonal, voxel by voxel; whoever is not known has the mean matrix."""
    classes = model.num_classes
    logits = model.network(batch.image).softmax(dim=1)
    features = model.unet.features(batch.image)
    every = [model.matrices(torch.full((len(batch), 1), r), features)[:, 0] for r in range(3)]
    every = [torch.stack(every).mean(dim=0) if r < 0 else every[r] for r in (0, 1, 2, -1)]  # at -1 the mean
    cost = total = 0.0
    diagonal, mass = torch.zeros(classes), torch.zeros(classes)
    for b in range(len(batch)):
        present = [m for m in range(batch.masks.shape[1]) if batch.rated[b, m].any()]
        for m in present:
            matrix = every[int(batch.rater[b, m])][b]
            for y, x in torch.nonzero(batch.rated[b, m]).tolist():
                a = matrix[:, :, *((y // 2, x // 2) if model.hidden else (0, 0))]
                p = logits[b, :, y, x]
                allowed = model.admissible[int(batch.masks[b, m, y, x])]
                share = 1 / len(present)
                cost -= share * (p @ a)[allowed].sum().log().item()
                total += share
                if batch.rater[b, m] >= 0:
                    diagonal += share * p * a.diagonal()
                    mass += share * p
    return cost / total, (diagonal / mass).mean().item()


@pytest.mark.parametrize("hidden", [0, 3])
@torch.no_grad()
def test_the_loss_equals_a_slow_one(named, named_batch, hidden):
    """Groups and unknown, unrated voxels, an absent rater and a stranger included."""
    torch.manual_seed(0)
    model = RaterConfusion(UNet(1, 3, (4, 8)), hidden=hidden, trace_weight=0.5).eval()
    model.bind(named)
    for name, value in model.named_parameters():
        if name.startswith("matrices"):
            value.copy_(torch.randn(value.shape))
    terms = model.loss(named_batch)
    cost, diagonal = slow_loss(model, named_batch)
    assert terms["cross_entropy"].item() == pytest.approx(cost, rel=1e-4)
    assert terms["diagonal"].item() == pytest.approx(diagonal, rel=1e-4)
    assert terms["loss"].item() == pytest.approx(cost + 0.5 * diagonal, rel=1e-4)


def test_a_group_has_the_mass_of_its_classes_after_the_matrix(named):
    """By hand: the truth is background, and Ann calls background glass or solid with 0.3 and 0.2."""

    class Sure(torch.nn.Module):
        in_channels, num_classes, feature_channels, dimensions = 1, 3, 1, 2

        def features(self, image):
            return image

        def head(self, features, space):
            return torch.tensor([30.0, 0.0, 0.0]).reshape(1, 3, 1, 1).expand(len(features), 3, *space)

        def forward(self, image):
            return self.head(image, image.shape[2:])

    model = RaterConfusion(Sure(), trace_weight=0.0)
    model.bind(named)
    with torch.no_grad():
        model.matrices.change[0, 0] = torch.tensor([0.5, 0.3, 0.2]).log() - model.matrices.start[0]
    group = torch.full((1, 1, 2), 3, dtype=torch.uint8)  # opacity: glass or solid
    rated = torch.ones_like(group, dtype=torch.bool)
    batch = collate([Example(torch.zeros(1, 1, 2), group, rated, 0, 0, "a", "", torch.ones(2), (0,), (1,))])
    assert model.loss(batch)["loss"].item() == pytest.approx(-torch.tensor(0.5).log().item(), rel=1e-5)


def test_nobody_is_judged_before_the_network_has_an_idea(named, named_batch, monkeypatch):
    model = RaterConfusion(UNet(1, 3, (4, 8)), warmup_identity=0.2, trace_weight=0.5).train()
    model.bind(named)
    model._trainer = SimpleNamespace()
    over = {"share": 0.1}
    monkeypatch.setattr(model, "_progress", lambda: over["share"])
    early = model.loss(named_batch)
    early["loss"].backward()
    gradients = {n: p.grad for n, p in model.named_parameters()}
    assert all(not gradients[n].any() for n in gradients if n.startswith("matrices"))
    assert all(g is not None for g in gradients.values()), "every parameter takes part, for distributed training"
    assert early["loss"] == early["cross_entropy"]
    over["share"] = 0.2
    late = model.loss(named_batch)
    late["loss"].backward()
    assert model.matrices.change.grad.any()
    assert late["loss"].item() == pytest.approx((late["cross_entropy"] + 0.5 * late["diagonal"]).item())


def test_matrices_by_name(named):
    model = RaterConfusion(UNet(1, 3, (4, 8)))
    model.bind(named)
    with torch.no_grad():
        model.matrices.change.normal_()
    found = model.confusion_of("Ben")
    torch.testing.assert_close(found.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(found, (model.matrices.start + model.matrices.change[1]).softmax(dim=1).detach())
    assert torch.equal(model.confusion_of("truth"), torch.eye(3))
    with pytest.raises(ProbsegError, match="E_UNKNOWN_RATER"):
        model.confusion_of("Dora")
    voxels = RaterConfusion(UNet(1, 3, (4, 8)), hidden=2)
    voxels.bind(named)
    with pytest.raises(ProbsegError, match="E_USAGE: every voxel has matrices of its own"):
        voxels.confusion_of("Ben")


@pytest.mark.parametrize("wrong", [{"hidden": -1}, {"trace_weight": -0.1}, {"warmup_identity": 1.0}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA: hidden and trace_weight"):
        RaterConfusion(UNet(1, 3, (4, 8)), **wrong)
