"""How fast training is, beside the same network in plain Lightning and MONAI's BasicUNet.

Two trainings run as processes of their own, for memory settings belong to a process, and take turns of a few steps.
Each has one thread (set OMP_NUM_THREADS for another number), and what counts is its processor time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from timing import Comparison, Timed, compare, main
from training_turns import BATCH, CHANNELS, STEPS

from probseg.networks import UNet

_HERE = Path(__file__).parent
# Whoever runs the benchmark may have set the allocator's parameters; both trainings begin without.
_ALLOCATOR = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "THP_MEM_ALLOC_ENABLE")


class _Training:
    """A training in a process of its own, which goes on by a turn when called."""

    def __init__(self, kind: str, folder: Path) -> None:
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        for name in _ALLOCATOR:
            environment.pop(name, None)
        levels = kind if kind in CHANNELS else "four"
        words = [kind, folder / "stack.npz", folder / f"{levels}.pt", folder / f"run-{kind}"]
        self._errors = (folder / f"{kind}.txt").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, str(_HERE / "training_turns.py"), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            cwd=folder,
        )

    def __call__(self) -> Timed:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("TURN "):
                answer = json.loads(line.removeprefix("TURN "))
                return Timed(answer["seconds"], np.array(answer["losses"]))
        self._errors.seek(0)
        raise RuntimeError(f"a training ended: {self._errors.read().decode(errors='replace')[-2000:]}")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()


@contextmanager
def _trainings(*kinds: str) -> Iterator[list[_Training]]:
    """Trainings on the same images and, where the networks are the same, from the same weights."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator = np.random.default_rng(0)
        image = generator.random((BATCH, 128, 128), dtype=np.float32)
        blobs = generator.random((BATCH, 4, 16, 16)).repeat(8, 2).repeat(8, 3) > 0.8
        image[blobs.any(axis=1)] += 0.5
        np.savez(folder / "stack.npz", image=np.minimum(image, 1), masks=blobs, split=np.full(BATCH, "train"))
        for levels, channels in CHANNELS.items():
            torch.manual_seed(0)
            torch.save(UNet(channels=channels).state_dict(), folder / f"{levels}.pt")
        running = [_Training(kind, folder) for kind in kinds]
        try:
            yield running
        finally:
            for training in running:
                training.stop()


def _same_losses(ours: Timed, peer: Timed) -> bool:
    return bool(np.allclose(ours.result, peer.result, rtol=1e-3))


def _with_speeds(comparison: Comparison) -> Comparison:
    images = STEPS * BATCH
    ours, peer = (images / float(np.median(s)) for s in (comparison.ours_s, comparison.peer_s))
    return replace(comparison, further={"images_per_s": ours, "peer_images_per_s": peer})


def train_step() -> Iterator[Comparison]:
    """The default network and settings against the same network as one writes it down, in plain Lightning."""
    with _trainings("four", "plain") as (ours, peer):
        yield _with_speeds(compare("train_step", ours, peer, "the same U-Net in plain Lightning fp32", _same_losses))


def train_step_settings() -> Iterator[Comparison]:
    """What settings alone give: our implementation of the network on both sides."""
    with _trainings("four", "settings") as (ours, peer):
        name = "probseg's UNet module in plain Lightning fp32"
        yield _with_speeds(compare("train_step_settings", ours, peer, name, _same_losses))


def train_monai() -> Iterator[Comparison]:
    """Another network with as many channels at each level; equal are the images, and that both learn."""

    def both_learn(ours: Timed, peer: Timed) -> bool:
        return all(x.result[-1] < x.result[0] for x in (ours, peer))

    with _trainings("five", "monai") as (ours, peer):
        yield _with_speeds(compare("train_monai", ours, peer, "MONAI BasicUNet in plain Lightning fp32", both_learn))


if __name__ == "__main__":
    sys.exit(main((train_step, train_step_settings, train_monai), __doc__ or ""))
