"""A training that waits for its turn: so many steps when asked, then how long they took and their losses.

Run as ``python training_turns.py KIND STACK START RUN``; each line on standard input asks for the next steps, and each
line ``TURN {...}`` on standard output answers. Measured is processor time from one step's beginning to that of the step
a turn later, so that loading, logging and whatever the trainer does between steps count, and other work on the machine
does not.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from plain_unet import PlainUNet
from pytorch_lightning import Callback, LightningModule, Trainer

STEPS = 4  # a turn
BATCH = 8
RATE, DECAY = 0.003, 0.01  # those of experiments/lidc_sample/deterministic.yaml
CHANNELS = {"four": (24, 48, 72, 96), "five": (24, 48, 72, 96, 96)}
_EXPERIMENTS = Path(__file__).parents[1] / "experiments"


class Turns(Callback):
    """Holds the training until standard input asks for more."""

    def __init__(self) -> None:
        self._losses: list[Any] = []
        self._start = 0.0

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Before the first step of a turn: answer for the last one, and wait."""
        if trainer.fit_loop.total_batch_idx % STEPS:
            return
        if self._losses:
            seconds = time.process_time() - self._start
            answer = {"seconds": seconds, "losses": [float(loss) for loss in self._losses]}
            print(f"TURN {json.dumps(answer)}", flush=True)
        self._losses.clear()
        sys.stdin.readline()
        self._start = time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss."""
        self._losses.append(outputs["loss"].detach())


def train_ours(stack: Path, start: Path, run: Path, levels: str) -> None:
    """``probseg fit`` with the settings of the experiments, but for what draws at random or ends the training."""
    from probseg.cli import main

    network = "--model.init_args.network.init_args"
    words = [
        *(w for name in ("trainer", "lidc_sample/deterministic") for w in ("-c", f"{_EXPERIMENTS / name}.yaml")),
        *(f"--data.root={stack}", f"--data.batch_size={BATCH}", f"--data.epoch_length={BATCH * 100}"),
        *("--trainer.limit_val_batches=0", "--trainer.max_epochs=-1", "--trainer.accelerator=cpu", f"--out={run}"),
        "--trainer.callbacks=[{class_path: training_turns.Turns}]",
        *("--model.init_args.warmup=0.0", "--model.init_args.schedule=probseg.models.Constant"),
        *(f"{network}.dropout=0.0", f"{network}.channels={list(CHANNELS[levels])}"),
        f"--model.init_args.warm_start={start}",
    ]
    sys.exit(main(["fit", *words]))


def train_plain(kind: str, stack: Path, start: Path, run: Path) -> None:
    """Lightning as its tutorials have it, in 32 bits."""
    import numpy as np
    import torch
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    class Plain(LightningModule):
        """A network and the mean cross entropy over four raters."""

        def __init__(self) -> None:
            super().__init__()
            self.network = _plain_network(kind, start)

        def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
            image, masks = batch
            logits = self.network(image)
            losses = [F.cross_entropy(logits, masks[:, rater]) for rater in range(masks.shape[1])]
            loss = sum(losses) / len(losses)
            self.log("train/loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=RATE, weight_decay=DECAY)

    with np.load(stack) as arrays:
        image = torch.from_numpy(arrays["image"]).unsqueeze(1)
        masks = torch.from_numpy(arrays["masks"]).long()
    loader = DataLoader(TensorDataset(image.repeat(100, 1, 1, 1), masks.repeat(100, 1, 1, 1)), batch_size=BATCH)
    trainer = Trainer(
        default_root_dir=run,
        max_epochs=-1,
        accelerator="cpu",
        callbacks=[Turns()],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Plain(), loader)


def _plain_network(kind: str, start: Path) -> Any:
    import torch

    if kind == "monai":
        from monai.networks.nets import BasicUNet

        torch.manual_seed(0)
        widths = CHANNELS["five"]
        return BasicUNet(2, 1, 2, (*widths, widths[0]))
    if kind == "settings":
        from probseg.networks import UNet

        network = UNet(channels=CHANNELS["four"]).to(memory_format=torch.contiguous_format)
    else:
        network = PlainUNet(CHANNELS["four"])
    network.load_state_dict(torch.load(start, weights_only=True))
    return network


if __name__ == "__main__":
    asked, *paths = sys.argv[1:]
    given = [Path(p) for p in paths]
    if asked in CHANNELS:
        train_ours(*given, asked)
    else:
        train_plain(asked, *given)
