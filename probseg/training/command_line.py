"""``probseg fit``, ``validate``, ``test`` and ``predict -c``: Lightning's command line over run folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from jsonargparse import ActionYesNo
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from probseg.data.datamodule import MultiRaterData
from probseg.errors import ProbsegError
from probseg.family import family_name
from probseg.io.strict_yaml import read_yaml
from probseg.models import Ensemble, SegmentationModule
from probseg.models.calibration import STORED
from probseg.models.checkpoints import read_checkpoint
from probseg.models.exported import is_weights
from probseg.training.checkpoint_files import WholeCheckpoints
from probseg.training.compiling import compile_networks
from probseg.training.evaluating import load_trained, predict_run, test_run, validate_run
from probseg.training.faults import is_first_process
from probseg.training.fitting import LastValidation, Record, fit_one, require_same_model, tell_what_is_kept
from probseg.training.last_checkpoint import LastCheckpoint
from probseg.training.members import compose_members, member_settings
from probseg.training.metrics_table import MetricsTable
from probseg.training.precision import usable_precision
from probseg.training.run_folder import clear_run, folder_of_config, is_finished, newest_checkpoint

__all__ = ["TrainingCLI", "shortened"]


class TrainingCLI(LightningCLI):
    """LightningCLI whose runs are folders: ``config.yaml``, ``checkpoints/``, ``metrics.csv``, ``results.csv``."""

    run: Path
    start: Path | None = None  # the checkpoint that a training goes on from
    finished = False  # whether there is nothing left to train
    _asked: str  # the command that is run

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what a run folder needs."""
        parser.add_argument("--out", type=str | None, default=None, help="The run folder; default: runs/FAMILY.")
        parser.add_argument("--overwrite", type=bool, default=False, help="Replace a run that is there already.")
        parser.add_argument(
            "--resume",
            action=ActionYesNo,
            default=False,
            help="Go on with the run that is there, or begin it; a finished one is left as it is.",
        )
        parser.add_argument(
            "--compile",
            type=bool | str,
            default=False,
            help="Compile the network for its training steps (torch.compile): true, or the name of a backend.",
        )
        parser.add_argument(
            "--calibration",
            type=str,
            default=STORED,
            help="For validate, test and predict: stored, what probseg calibrate fitted, if anything; none; or the "
            "class path of a calibrator of your own, to let it be imported.",
        )
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

    # -- before anything is made --------------------------------------------------------------------------------------

    def before_instantiate_classes(self) -> None:
        """Decide on the run folder, and refuse to write over another run."""
        settings = self._settings
        self.run = Path(settings.out or f"runs/{self._family}")
        if self.subcommand != "fit":
            self.run = folder_of_config(settings) or self.run
        else:  # so that the run's config works from any directory
            roots = settings.data.root
            settings.data.root = _resolved(roots) if isinstance(roots, str) else [_resolved(root) for root in roots]
            settings.data.store = settings.data.store and str(Path(settings.data.store).resolve())
        settings.out = str(self.run)
        settings.checkpoint.dirpath = settings.last.dirpath = str(self.run / "checkpoints")
        settings.checkpoint.save_last = False  # LastCheckpoint does, at steps from which a training can go on
        settings.trainer.default_root_dir = str(self.run)
        if self.subcommand == "fit":
            if settings.calibration != STORED:
                raise ProbsegError("E_SCHEMA", "--calibration is for validate, test and predict; fit trains without it")
            self._decide_where_to_start(settings)
        elif settings.resume:
            raise ProbsegError("E_SCHEMA", f"--resume is for fit; {self.subcommand} begins anew")

    def _decide_where_to_start(self, settings: Any) -> None:
        """A new run, or one that goes on; the choice is not part of the run's config."""
        if settings.resume and (settings.overwrite or settings.ckpt_path):
            raise ProbsegError("E_SCHEMA", "--resume goes on with a run; leave --overwrite and --ckpt_path out")
        self.resume, settings.resume = settings.resume, False
        if self.resume:
            self.finished = is_finished(self.run)
            self.start = newest_checkpoint(self.run)
            self._require_same_seed(settings)
        elif settings.ckpt_path:
            self.start = Path(settings.ckpt_path)
            if is_weights(self.start):
                raise ProbsegError(
                    "E_SCHEMA",
                    f"'{self.start}' holds weights and no state of a training to go on with; begin another with "
                    "--model.init_args.warm_start",
                )
            read_checkpoint(self.start)
        elif any((self.run / "checkpoints").glob("*.ckpt")) and not settings.overwrite:
            raise ProbsegError(
                "E_OUTPUT_EXISTS",
                f"'{self.run}' holds a run already; give --resume to go on with it, --overwrite=true, or another --out",
            )
        settings.ckpt_path = None

    def _require_same_seed(self, settings: Any) -> None:
        config = self.run / "config.yaml"
        begun = None
        if self.start is not None and config.is_file():
            begun = (read_yaml(config, finite=False) or {}).get("seed_everything")
        if begun not in (None, settings.seed_everything):
            raise ProbsegError("E_SCHEMA", f"the run was begun with --seed_everything={begun}; give that, too")

    def instantiate_classes(self) -> None:
        """Build model, data and trainer; whatever refuses its settings does so in one line."""
        try:
            super().instantiate_classes()
        except (MisconfigurationException, TypeError, ValueError) as error:
            if isinstance(error.__cause__, ProbsegError):  # jsonargparse lists it among the types that did not fit
                raise error.__cause__ from error
            raise ProbsegError("E_SCHEMA", shortened(str(error))) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that logs to ``metrics.csv`` of the run folder, whatever else it logs to."""
        given = self._get(self.config_init, "trainer").get("logger")
        loggers: list[Logger] = list(given) if isinstance(given, list) else [given] if isinstance(given, Logger) else []
        if given is not False and self.subcommand == "fit":
            loggers.insert(0, MetricsTable(self.run))  # the first says where config.yaml goes
        if self._settings.wandb and not isinstance(self.model, Ensemble):  # whose members log, each a run of its own
            from probseg.training.weights_and_biases import wandb_loggers  # wandb is slow to import

            loggers += wandb_loggers(self._settings.wandb, self.run)
        trainer = super().instantiate_trainer(logger=loggers or False, precision=self._precision(), **kwargs)
        trainer.callbacks.append(LastValidation())  # type: ignore[attr-defined]  # set by Trainer's connector
        strategy = trainer.strategy
        plain = isinstance(strategy, SingleDeviceStrategy | DDPStrategy)
        if plain and type(strategy.checkpoint_io) is TorchCheckpointIO:
            strategy.checkpoint_io = WholeCheckpoints()
        self.model.config = json.loads(json.dumps(self._settings.model.as_dict()))
        return trainer

    def _precision(self) -> Any:
        asked = self._settings.trainer.precision
        usable = usable_precision(asked, self._settings.trainer.accelerator)
        if usable != asked and self.subcommand == "fit" and is_first_process():
            print(f"precision is {usable}: this hardware has no bfloat16, and {asked} would take longer")
        return usable

    # -- the subcommands ----------------------------------------------------------------------------------------------

    def fit(self, model: SegmentationModule, datamodule: MultiRaterData, **kwargs: Any) -> None:
        """Train; an ensemble's members one after the other, each as a run of its own."""
        if self.finished:
            print(f"{self.run} is finished; to train it further, give --ckpt_path={self.run}/checkpoints/last.ckpt")
            return
        if self.trainer.is_global_zero:
            self._clear_what_is_stale()
        if self.start is not None:
            require_same_model(self.start, model) if self.resume else tell_what_is_kept(self.start, model)
        seed, backend = self._settings.seed_everything, self._settings.compile
        if backend and not isinstance(model, Ensemble):  # whose members are compiled, each in a run of its own
            compile_networks(model, "inductor" if backend is True else backend)
        try:
            if isinstance(model, Ensemble):
                self._save_config_of_an_ensemble()
                record = compose_members(self.trainer, model, datamodule, self.run, self._fit_member)
            else:
                record = fit_one(self.trainer, model, datamodule, self.start, seed)
        except ProbsegError:
            if self.trainer.is_global_zero and not any(self.run.rglob("*.ckpt")):
                clear_run(self.run)
            raise
        for logger in self.trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish()
        if self.trainer.is_global_zero:
            record.write(self.run)
            print(f"wrote {self.run}/checkpoints/best.ckpt")
            print(f"next: probseg test -c {self.run}/config.yaml")

    def _clear_what_is_stale(self) -> None:
        """Figures of the run before must not stand beside this one's weights."""
        if self.start is None and not self.resume:
            clear_run(self.run) if self._settings.overwrite else None
        Record.path(self.run).unlink(missing_ok=True)
        for unfinished in (self.run / "checkpoints").glob(".tmp*"):  # of a process that was killed while it saved
            unfinished.unlink(missing_ok=True)

    def _save_config_of_an_ensemble(self) -> None:
        """Its trainer fits nothing, so that the callback has to be told."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]  # set by Trainer's connector
            if isinstance(callback, RunConfig):
                callback.composing = True

    def _fit_member(self, number: int) -> Path:
        member = member_settings(self._settings, self.run, number)
        member.resume = self.resume
        print(f"member {number + 1} of {self._settings.model.init_args.size}", flush=True)
        plain = member.as_dict()
        plain.pop("config", None)
        return TrainingCLI.make(args={"subcommand": "fit", "fit": plain}).run

    def validate(self, model: SegmentationModule, datamodule: MultiRaterData, **kwargs: Any) -> None:
        """Every figure on the validation patients."""
        load_trained(model, self.run, self._settings.ckpt_path, self._settings.calibration)
        validate_run(self.trainer, model, datamodule, self.run, self._family)

    def test(self, model: SegmentationModule, datamodule: MultiRaterData, **kwargs: Any) -> None:
        """Every figure on the test patients with its interval."""
        load_trained(model, self.run, self._settings.ckpt_path, self._settings.calibration)
        test_run(self.trainer, model, datamodule, self.run, self._settings.model.class_path)

    def predict(self, model: SegmentationModule, datamodule: MultiRaterData, **kwargs: Any) -> None:
        """Maps of every test case."""
        checkpoint = load_trained(model, self.run, self._settings.ckpt_path, self._settings.calibration)
        predict_run(self.trainer, model, datamodule, self.run, checkpoint, self._settings.overwrite)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        """Only the command that is run has its arguments: to describe those of all takes four times as long."""
        if subcommand == self._asked:
            return super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        self._subcommand_method_arguments[subcommand] = []
        return self.init_parser(**kwargs)

    def _parse_ckpt_path(self) -> None:
        """Lightning would import the classes that a checkpoint names; the config alone says what a model is."""

    @classmethod
    def make(cls, args: Any = None) -> TrainingCLI:
        """The command line with probseg's settings; runs the subcommand."""
        quiet = {"exit_on_error": False, "allow_abbrev": False}  # --trainer.max_epoch is a typo, not max_epochs
        asked = args["subcommand"] if isinstance(args, dict) else (sys.argv[1:] if args is None else args)[0]
        return type(cls.__name__, (cls,), {"_asked": asked})(
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


class RunConfig(SaveConfigCallback):
    """Writes ``config.yaml`` when fitting starts; other commands leave the run's own config alone."""

    composing = False

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Only for fit, and for an ensemble that is composed of members that were fitted apart."""
        if stage == "fit" or self.composing:
            super().setup(trainer, pl_module, stage)


def shortened(text: str) -> str:
    """A library's report of a wrong setting as one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines)[:400] if lines else "the configuration is not valid"


def _resolved(root: str) -> str:
    """The path of a dataset from anywhere; the name of the bundled sample is none."""
    return str(Path(root).resolve()) if Path(root).exists() else root
