"""``probseg fit``, ``validate``, ``test`` and ``predict -c``: Lightning's command line over run folders."""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import shlex
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from probseg.data.datamodule import MultiRaterData
from probseg.errors import ProbsegError, warn
from probseg.io.atomic import replacing, write_text
from probseg.io.strict_yaml import read_yaml
from probseg.io.tables import write_csv
from probseg.models import Ensemble, SegmentationModule
from probseg.models.checkpoints import best_checkpoint, describe, load_weights, read_checkpoint
from probseg.results import example_positions, write_examples, write_results
from probseg.training.last_checkpoint import LastCheckpoint
from probseg.training.run_folder import clear_run, family_name, folder_of_config

__all__ = ["TrainingCLI", "run_training"]

# What Lightning says of small data and of an ensemble's members, and libraries of one another; not for users.
_IDLE_ADVICE = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*Checkpoint directory.*",
    ".*Experiment logs directory.*",
    ".*args parameter is intended.*",
    ".*sync_dist=True.*",  # figures are computed of the statistics of all processes, and repeats are dropped
    ".*Using `DistributedSampler`.*",
    ".*treespec, LeafSpec.*",
    "(?s).*JSONARGPARSE_DEPRECATION_WARNINGS.*",
    r"(?s).*v5\.0\.0.*",  # jsonargparse to Lightning, of names that change in its version 5
)
_HEADLINE = ("ged_v", "ged_u", "ged_floor", "hm_iou", "soft_dice", "nll", "ece")


class TrainingCLI(LightningCLI):
    """LightningCLI whose runs are folders: ``config.yaml``, ``checkpoints/``, ``metrics.csv``, ``results.csv``."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what a run folder needs."""
        parser.add_argument("--out", type=str | None, default=None, help="The run folder; default: runs/FAMILY.")
        parser.add_argument("--overwrite", type=bool, default=False, help="Replace a run that is there already.")
        parser.add_argument(
            "--wandb",
            type=str | None,
            default=None,
            help="Also log to this Weights & Biases project; offline if need be.",
        )
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(LastCheckpoint, "last")
        parser.set_defaults(
            {
                "checkpoint.monitor": "validation/nll",
                "checkpoint.mode": "min",
                "checkpoint.save_last": False,
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
        if self.subcommand != "fit":
            self.run = folder_of_config(settings) or self.run
        elif Path(settings.data.root).exists():  # so that the run's config works from any directory
            settings.data.root = str(Path(settings.data.root).resolve())
            settings.data.store = settings.data.store and str(Path(settings.data.store).resolve())
        settings.out = str(self.run)
        settings.checkpoint.dirpath = settings.last.dirpath = str(self.run / "checkpoints")
        settings.trainer.default_root_dir = str(self.run)
        taken = any((self.run / "checkpoints").glob("*.ckpt"))
        if self.subcommand == "fit" and taken and not settings.overwrite and not settings.ckpt_path:
            raise ProbsegError(
                "E_OUTPUT_EXISTS",
                f"'{self.run}' holds a run already; give another --out, --overwrite=true, or --ckpt_path to go on",
            )

    def instantiate_classes(self) -> None:
        """Build model, data and trainer; whatever refuses its settings does so in one line."""
        try:
            super().instantiate_classes()
        except (MisconfigurationException, TypeError, ValueError) as error:
            if isinstance(error.__cause__, ProbsegError):  # jsonargparse lists it among the types that did not fit
                raise error.__cause__ from error
            raise ProbsegError("E_SCHEMA", _shorten(str(error))) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that logs to ``metrics.csv`` of the run folder, whatever else it logs to."""
        given = self._get(self.config_init, "trainer").get("logger")
        loggers: list[Logger] = list(given) if isinstance(given, list) else [given] if isinstance(given, Logger) else []
        if given is not False and self.subcommand == "fit":
            loggers.insert(0, CSVLogger(str(self.run), name="", version=""))  # the first says where config.yaml goes
        if self._settings.wandb and not isinstance(self.model, Ensemble):  # whose members log, each a run of its own
            from probseg.training.weights_and_biases import wandb_loggers  # wandb is slow to import

            loggers += wandb_loggers(self._settings.wandb, self.run)
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
        given = self._settings.ckpt_path
        if given:
            read_checkpoint(Path(given))
        elif self._settings.overwrite and self.trainer.is_global_zero:
            clear_run(self.run)  # figures of the run before must not stand beside this one's weights
        try:
            if isinstance(self.model, Ensemble):
                self._fit_members(self.model)
            else:
                self.trainer.fit(**{**kwargs, "weights_only": True})
                self._reached = (self.trainer.global_step, self.trainer.current_epoch)
                self._validate_the_end()
        except ProbsegError:
            if self.trainer.is_global_zero and not any(self.run.rglob("*.ckpt")):
                clear_run(self.run)
            raise
        for logger in self.trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish()
        if not self.trainer.is_global_zero:
            return
        record = {
            "train_seconds": round(time.monotonic() - start, 1),
            "epochs": self._reached[1],
            "steps": self._reached[0],
            "seed": self._settings.seed_everything,
            "warm_start": self.model.warm_start,
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
        self.trainer.save_checkpoint(self.run / "checkpoints" / "last.ckpt")
        if not figures or keeper.monitor not in figures[0]:  # nothing was validated, or something of training is kept
            if not keeper.best_model_path:
                warn("W_NO_VALIDATION", f"{keeper.monitor} was never measured, so best.ckpt is the end of the training")
                self.trainer.save_checkpoint(self.run / "checkpoints" / "best.ckpt")
            return
        score, best = torch.tensor(float(figures[0][keeper.monitor])), keeper.best_model_score
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
            cli = TrainingCLI.make(args=_as_arguments("fit", member))
            self._reached = (self._reached[0] + cli._reached[0], self._reached[1] + cli._reached[1])
            states.append(read_checkpoint(best_checkpoint(cli.run))["state_dict"])
        ensemble.bind(self.datamodule.info)
        ensemble.compose(states)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]  # set by Trainer's connector
            if isinstance(callback, RunConfig):
                callback.composing = True
        self.trainer.validate(ensemble, datamodule=self.datamodule, verbose=False)
        checkpoint = {"state_dict": ensemble.state_dict(), "probseg": describe(ensemble.info, ensemble.config)}
        for name in ("best.ckpt", "last.ckpt"):
            with replacing(self.run / "checkpoints" / name) as path:
                torch.save(checkpoint, path)

    # -- validate, test, predict --------------------------------------------------------------------------------------

    def _load(self) -> Path:
        """Take the weights of ``--ckpt_path``, else the best of the run folder; returns the checkpoint."""
        given = self._settings.ckpt_path
        path = Path(given) if given and given not in ("best", "last") else best_checkpoint(self.run)
        if given == "last":
            path = self.run / "checkpoints" / "last.ckpt"
        checkpoint = read_checkpoint(path)
        self.model.on_load_checkpoint(checkpoint)
        load_weights(self.model, checkpoint["state_dict"], path)
        return path

    def validate(self, model: SegmentationModule, datamodule: MultiRaterData, **kwargs: Any) -> None:
        """Every figure on the validation patients, printed and written to ``validation.csv``."""
        self._load()
        figures = self.trainer.validate(model, datamodule=datamodule, verbose=True)
        if self.trainer.is_global_zero:
            rows = [(self._family, name.removeprefix("validation/"), v) for name, v in (figures or [{}])[0].items()]
            write_csv(self.run / "validation.csv", ("family", "metric", "value"), rows)
            print(f"wrote {self.run}/validation.csv")
            print(f"next: probseg test -c {self.run}/config.yaml")

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
            "draws_asked": model.draws.count,
            "seed": training.get("seed"),
            "train_seconds": training.get("train_seconds"),
            "warm_start": training.get("warm_start"),
            "epochs": training.get("epochs"),
            "command": "probseg " + shlex.join(sys.argv[1:]),
        }
        examples = datamodule.examples("test")
        positions = example_positions(evaluation.per_case()["rater_diversity"])
        shown = [examples[int(evaluation.index()[k])] for k in positions]
        for shape in list({e.image.shape for e in shown})[:1]:  # volumes of several shapes: those of one
            alike = [e for e in shown if e.image.shape == shape]
            summary["draws"] = write_examples(self.run, alike, lambda image: model(image.to(model.device), model.draws))
        figures = write_results(self.run, self._family, evaluation, examples, summary)
        for name in _HEADLINE:
            f = figures[name]
            print(f"{name:>10} {f.value:8.4f}  [{f.low:.4f}, {f.high:.4f}]  n = {f.n}")
        print(f"wrote {self.run}/results.csv and {self.run}/test/")
        print(f"next: probseg report {self.run} --out report.html")

    def predict(self, model: SegmentationModule, datamodule: MultiRaterData, **kwargs: Any) -> None:
        """Maps of every test case below ``predictions/`` of the run folder."""
        from probseg.inference import PredictionSettings, PredictionWriter, ScanPredictor, dataset_scans, scan_loader
        from probseg.inference.writer import file_sha256

        predictor = ScanPredictor(model, PredictionSettings(model.draws), file_sha256(self._load()))
        scans = dataset_scans(datamodule.part("test"), datamodule.info.dimensions)
        writer = PredictionWriter(self.run / "predictions", self._settings.overwrite)
        self.trainer.callbacks.append(writer)  # type: ignore[attr-defined]
        self.trainer.predict(predictor, dataloaders=scan_loader(scans), return_predictions=False)
        if writer.failures:
            raise ProbsegError("E_SCANS_FAILED", f"{len(writer.failures)} of {len(scans)} scans failed; see above")
        print(f"wrote {writer.out}: {len(writer.written)} scans; volumes.csv, manifest.json")
        print(f"next: look at {writer.out / writer.written[0] / 'preview.png'}")

    def _parse_ckpt_path(self) -> None:
        """Lightning would import the classes that a checkpoint names; the config alone says what a model is."""

    @classmethod
    def make(cls, args: Any = None) -> TrainingCLI:
        """The command line with probseg's settings; runs the subcommand."""
        quiet = {"exit_on_error": False, "allow_abbrev": False}  # --trainer.max_epoch is a typo, not max_epochs
        return cls(
            SegmentationModule,
            MultiRaterData,
            subclass_mode_model=True,
            save_config_callback=RunConfig,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            trainer_defaults={
                "enable_progress_bar": sys.stderr.isatty(),
                "num_sanity_val_steps": 0,
                "enable_model_summary": False,
            },
            parser_kwargs={**quiet, **{name: dict(quiet) for name in cls.subcommands()}},
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

    composing = False

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Only for fit, and for an ensemble that is composed of members that were fitted apart."""
        if stage == "fit" or self.composing:
            super().setup(trainer, pl_module, stage)


def _as_arguments(subcommand: str, settings: Any) -> dict[str, Any]:
    plain = settings.as_dict()
    plain.pop("config", None)
    return {"subcommand": subcommand, subcommand: plain}


def run_training(argv: list[str]) -> int:
    """Run a Lightning subcommand; every error of the configuration is one line of E_PARSE or E_SCHEMA."""
    for path in _configs(argv):
        read_yaml(
            path, finite=False
        )  # the parser would take the last of two equal keys, and follow aliases without end
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    before = sys.argv
    sys.argv = [before[0], *argv]  # the first word and these are how Lightning starts further processes
    with warnings.catch_warnings():
        for message in _IDLE_ADVICE:
            warnings.filterwarnings("ignore", message=message)
        try:
            TrainingCLI.make()
        except (argparse.ArgumentError, argparse.ArgumentTypeError, MisconfigurationException) as error:
            raise ProbsegError("E_SCHEMA", _shorten(str(error))) from error
        finally:
            sys.argv = before
    return 0


def _configs(argv: list[str]) -> list[Path]:
    """The config files that the arguments name, but for empty ones, which say nothing."""
    named = [b for a, b in itertools.pairwise(argv) if a in ("-c", "--config")]
    named += [a.removeprefix("--config=") for a in argv if a.startswith("--config=")]
    return [Path(name) for name in named if os.path.isfile(name) and os.path.getsize(name)]  # noqa: PTH113, PTH202


def _shorten(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines)[:400] if lines else "the configuration is not valid"
