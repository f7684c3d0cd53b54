"""``probseg fit``, ``validate``, ``test`` and ``predict -c``: Lightning's command line over run folders."""

from __future__ import annotations

import argparse
import json
import logging
import math
import re
import shlex
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from probseg.data.datamodule import MultiRaterData
from probseg.errors import ProbsegError, warn
from probseg.io.atomic import replacing, write_text
from probseg.models import Ensemble, SegmentationModule
from probseg.models.checkpoints import best_checkpoint, describe, load_weights, read_checkpoint
from probseg.results import example_positions, write_examples, write_results

__all__ = ["TrainingCLI", "family_name", "run_training"]

_HEADLINE = ("ged_v", "ged_u", "ged_floor", "hm_iou", "soft_dice", "nll", "ece")


def family_name(class_path: str) -> str:
    """``probseg.models.ProbabilisticUNet`` to ``probabilistic_unet``."""
    name = class_path.rsplit(".", 1)[-1].replace("UNet", "Unet")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class TrainingCLI(LightningCLI):
    """LightningCLI whose runs are folders: ``config.yaml``, ``checkpoints/``, ``metrics.csv``, ``results.csv``."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what a run folder needs."""
        parser.add_argument("--out", type=str | None, default=None, help="The run folder; default: runs/FAMILY.")
        parser.add_argument("--overwrite", type=bool, default=False, help="Replace a run that is there already.")
        parser.add_argument(
            "--wandb", type=str | None, default=None, help="Also log to this Weights & Biases project; offline if need be."
        )
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults(
            {
                "checkpoint.monitor": "validation/nll",
                "checkpoint.mode": "min",
                "checkpoint.save_last": True,
                "checkpoint.filename": "best",
                "checkpoint.auto_insert_metric_name": False,
                "checkpoint.enable_version_counter": False,
            }
        )

    @property
    def _settings(self) -> Any:
        assert self.subcommand is not None
        return self.config[self.subcommand]

    @property
    def _family(self) -> str:
        return family_name(self._settings.model.class_path)

    def before_instantiate_classes(self) -> None:
        """Decide on the run folder, and refuse to write over another run."""
        settings = self._settings
        self.run = Path(settings.out or f"runs/{self._family}")
        settings.out = str(self.run)
        settings.checkpoint.dirpath = str(self.run / "checkpoints")
        settings.trainer.default_root_dir = str(self.run)
        taken = (self.run / "config.yaml").exists()
        if self.subcommand == "fit" and taken and not settings.overwrite and not settings.ckpt_path:
            raise ProbsegError(
                "E_OUTPUT_EXISTS",
                f"'{self.run}' holds a run already; give another --out, --overwrite=true, or --ckpt_path to go on",
            )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that logs to ``metrics.csv`` of the run folder, whatever else it logs to."""
        given = self._get(self.config_init, "trainer").get("logger")
        loggers: list[Logger] = list(given) if isinstance(given, list) else [given] if isinstance(given, Logger) else []
        if given is not False and self.subcommand in ("fit", "validate"):
            loggers.append(CSVLogger(str(self.run), name="", version=""))
        if self._settings.wandb:
            loggers += _wandb(self._settings.wandb, self.run)
        trainer = super().instantiate_trainer(logger=loggers or False, **kwargs)
        self._last = _LastValidation()
        trainer.callbacks.append(self._last)  # type: ignore[attr-defined]  # set by Trainer's connector
        self.model.config = json.loads(json.dumps(self._settings.model.as_dict()))
        return trainer

    # -- fit ----------------------------------------------------------------------------------------------------------

    def fit(self, **kwargs: Any) -> None:
        """Train; an ensemble's members one after the other, each as a run of its own."""
        start = time.monotonic()
        self._reached = (0, 0)
        if isinstance(self.model, Ensemble):
            self._fit_members(self.model)
        else:
            self.trainer.fit(**{**kwargs, "weights_only": True})
            self._reached = (self.trainer.global_step, self.trainer.current_epoch)
            self._validate_the_end()
        if not self.trainer.is_global_zero:
            return
        record = {
            "train_seconds": round(time.monotonic() - start, 1),
            "epochs": self._reached[1],
            "steps": self._reached[0],
            "seed": self._settings.seed_everything,
            "warm_start": _warm_start_of(self.model),
            "threads": torch.get_num_threads(),
        }
        write_text(self.run / "training.json", json.dumps(record, indent=2) + "\n")
        print(f"wrote {self.run}/checkpoints/best.ckpt")
        print(f"next: probseg test -c {self.run}/config.yaml")

    def _validate_the_end(self) -> None:
        """A training that steps or time ended inside an epoch has not been validated since; its end counts too."""
        keeper = self.trainer.checkpoint_callback
        if not isinstance(keeper, ModelCheckpoint) or keeper.monitor is None or self._last.step == self._reached[0]:
            return
        figures = self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)
        score, best = torch.tensor(float(figures[0][keeper.monitor])), keeper.best_model_score
        self.trainer.save_checkpoint(self.run / "checkpoints" / "last.ckpt")
        if best is None or (score < best if keeper.mode == "min" else score > best):
            self.trainer.save_checkpoint(self.run / "checkpoints" / "best.ckpt")

    def _fit_members(self, ensemble: Ensemble) -> None:
        states = []
        settings = self._settings
        for k in range(len(ensemble.members)):
            member = settings.clone()
            member.model = settings.model.init_args.member
            member.seed_everything = settings.seed_everything + k
            member.out = str(self.run / "members" / str(k))
            print(f"member {k + 1} of {len(ensemble.members)}", flush=True)
            with _no_arguments():
                cli = TrainingCLI.make(args=_as_arguments("fit", member))
            self._reached = (self._reached[0] + cli._reached[0], self._reached[1] + cli._reached[1])
            states.append(read_checkpoint(best_checkpoint(cli.run))["state_dict"])
        ensemble.bind(self.datamodule.info)
        ensemble.compose(states)
        self.trainer.validate(ensemble, datamodule=self.datamodule, verbose=False)
        checkpoint = {"state_dict": ensemble.state_dict(), "probseg": describe(ensemble)}
        for name in ("best.ckpt", "last.ckpt"):
            with replacing(self.run / "checkpoints" / name) as path:
                torch.save(checkpoint, path)

    # -- validate, test, predict --------------------------------------------------------------------------------------

    def _load(self) -> None:
        """The weights of ``--ckpt_path``, else the best of the run folder."""
        given = self._settings.ckpt_path
        path = Path(given) if given and given not in ("best", "last") else best_checkpoint(self.run)
        if given == "last":
            path = self.run / "checkpoints" / "last.ckpt"
        checkpoint = read_checkpoint(path)
        self.model.on_load_checkpoint(checkpoint)
        load_weights(self.model, checkpoint["state_dict"], path)

    def validate(self, model: SegmentationModule, datamodule: MultiRaterData, **kwargs: Any) -> None:
        """Every figure on the validation patients, printed and added to ``metrics.csv``."""
        self._load()
        self.trainer.validate(model, datamodule=datamodule, verbose=True)

    def test(self, model: SegmentationModule, datamodule: MultiRaterData, **kwargs: Any) -> None:
        """Every figure on the test patients with its interval, in ``results.csv`` and ``test/``."""
        self._load()
        self.trainer.test(model, datamodule=datamodule, verbose=False)
        evaluation = model.evaluation
        assert evaluation is not None
        for metric in evaluation.metrics:
            metric.sync() if torch.distributed.is_initialized() else None
        if not self.trainer.is_global_zero:
            return
        record = self.run / "training.json"
        training = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        summary = {
            "class_path": self._settings.model.class_path,
            "dataset": datamodule.info.to_dict(),
            "draws": model.draws.count,
            "seed": training.get("seed"),
            "train_seconds": training.get("train_seconds"),
            "warm_start": training.get("warm_start"),
            "epochs": training.get("epochs"),
            "command": "probseg " + shlex.join(sys.argv[1:]),
        }
        examples = datamodule.examples("test")
        figures = write_results(self.run, self._family, evaluation, examples, summary)
        positions = example_positions(evaluation.per_case()["rater_diversity"])
        shown = [examples[int(evaluation.index()[k])] for k in positions]
        if len({e.image.shape for e in shown}) == 1:
            write_examples(self.run, shown, lambda image: model(image.to(model.device), model.draws))
        for name in _HEADLINE:
            f = figures[name]
            print(f"{name:>10} {f.value:8.4f}  [{f.low:.4f}, {f.high:.4f}]  n = {f.n}")
        print(f"wrote {self.run}/results.csv and {self.run}/test/")
        print(f"next: probseg report {self.run} --out report.html")

    def predict(self, model: SegmentationModule, datamodule: MultiRaterData, **kwargs: Any) -> None:
        """Maps of every test case below ``predictions/`` of the run folder."""
        from probseg.inference.writer import PredictionWriter

        self._load()
        out = self.run / "predictions"
        self.trainer.callbacks.append(PredictionWriter(out, model.draws))  # type: ignore[attr-defined]
        self.trainer.predict(model, datamodule=datamodule, return_predictions=False)
        print(f"wrote {out}")

    @classmethod
    def make(cls, args: Any = None) -> TrainingCLI:
        """The command line with probseg's settings; runs the subcommand."""
        quiet = {"exit_on_error": False}
        return cls(
            SegmentationModule,
            MultiRaterData,
            subclass_mode_model=True,
            save_config_callback=RunConfig,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            trainer_defaults={"enable_progress_bar": sys.stderr.isatty(), "num_sanity_val_steps": 0, "enable_model_summary": False},
            parser_kwargs={**{name: dict(quiet) for name in cls.subcommands()}},
            args=args,
        )


class _LastValidation(Callback):
    """Remembers after which step the model was validated last."""

    step = -1

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Note the step."""
        self.step = trainer.global_step


class RunConfig(SaveConfigCallback):
    """Writes ``config.yaml`` when fitting starts; other commands leave the run's own config alone."""

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Only for fit, and for an ensemble, whose members fit apart."""
        if stage == "fit" or (isinstance(pl_module, Ensemble) and stage == "validate"):
            super().setup(trainer, pl_module, stage)


def _warm_start_of(model: Any) -> str | None:
    return getattr(model, "warm_start", None)


def _as_arguments(subcommand: str, settings: Any) -> dict[str, Any]:
    plain = settings.as_dict()
    plain.pop("config", None)
    return {"subcommand": subcommand, subcommand: plain}


@contextmanager
def _no_arguments() -> Iterator[None]:
    """Lightning warns when it is given arguments while the process has some of its own."""
    before, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = before


def _wandb(project: str, run: Path) -> list[Logger]:
    """A Weights & Biases logger, offline where its server cannot be reached; a warning and none where it fails."""
    import socket

    import wandb

    try:
        socket.create_connection(("api.wandb.ai", 443), timeout=3).close()
        offline = False
    except OSError:
        offline = True
        warn("W_WANDB_OFFLINE", "Weights & Biases cannot be reached; the run is logged offline, sync it with wandb sync")
    try:
        run.mkdir(parents=True, exist_ok=True)
        logger = WandbLogger(name=run.name, project=project, save_dir=str(run), offline=offline)
        logger.experiment  # noqa: B018  # connects now, so that a failure is met before training
        return [logger]
    except (wandb.Error, OSError) as error:
        warn("W_WANDB", f"Weights & Biases cannot be used and is left out: {error}")
        return []


def run_training(argv: list[str]) -> int:
    """Run a Lightning subcommand; every error of the configuration is one E_SCHEMA line."""
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.argv = ["probseg", *argv]
    with warnings.catch_warnings():
        # Advice of Lightning about worker counts and log intervals that small data make pointless.
        for message in (".*does not have many workers.*", ".*smaller than the logging interval.*", ".*Checkpoint directory.*"):
            warnings.filterwarnings("ignore", message=message)
        try:
            TrainingCLI.make()
        except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:
            raise ProbsegError("E_SCHEMA", _shorten(str(error))) from error
    return 0


def _shorten(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines)[:400] if lines else "the configuration is not valid"
