"""The arguments of torchaug fit: those of every kind of generator, and the kind's own, from the signature of its class."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser, set_dumper

from torchaug.cli import values
from torchaug.cli.arguments import SOURCE, add_columns
from torchaug.cli.bounds import bounds

KINDS = {
    "vae": "images: quick, hard to break, somewhat soft",
    "gan": "images: sharper, minutes to hours",
    "table-diffusion": "rows of a table: the best of the three; also: table",
    "table-vae": "rows of a table: the quickest",
    "table-gan": "rows of a table",
    "audio-vae": "sounds, by their spectrograms; also: audio",
}
SHORT = {"table": "table-diffusion", "audio": "audio-vae"}
TRAINER = (
    "accelerator",
    "strategy",
    "devices",
    "num_nodes",
    "precision",
    "accumulate_grad_batches",
    "logger",
    "log_every_n_steps",
    "deterministic",
    "benchmark",
    "profiler",
    "plugins",
    "detect_anomaly",
)
"""What of Lightning's Trainer is a user's to choose; `fit` sets the rest."""


def add_kind(command: ArgumentParser, words: Sequence[str]) -> None:
    """The kind of torchaug fit, and the options of the kind that is among the words: others take seconds to import."""
    set_dumper("yaml", _yaml)
    command.usage = "torchaug fit KIND [options]"
    command.add_argument("kind", metavar="KIND", choices=(*KINDS, *SHORT), help="what to train")
    named = [name for word in words if (name := SHORT.get(word, word)) in KINDS][:1]
    for name in named:
        _add_options(command)
        if name.startswith("table-"):
            text = "of each number or date, known beforehand, for --epsilon: age=0:120,day=2024-01-01:2024-12-31"
            command.add_argument("--bounds", type=bounds, metavar="C=L:H,...", help=text)
            add_columns(command)
        else:
            text = "default, none or a .json or .yaml of a chain, for training (default: default for a gan, else none)"
            command.add_argument("--augment", metavar="NAME", help=text)
        _add_settings(command, name)
        _add_trainer(command)
    if not named:
        lines = (f"  {name:16} {text}" for name, text in KINDS.items())
        command.epilog = "\n".join(["kinds, each with options of its own (torchaug fit KIND --help):", *lines])


def _yaml(options: Any) -> str:
    """What --print_config prints: text that looks like a number stands in quotes.

    PyYAML leaves 1e3 without, since to it that is text; the parser reads a number.
    """
    import yaml

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'" if _is_number(value) else None)

    dumper: Any = type("Dumper", (yaml.SafeDumper,), {})
    dumper.add_representer(str, text)
    printed: str = yaml.dump(options, Dumper=dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    return printed


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _add_options(kind: ArgumentParser) -> None:
    add = kind.add_argument
    add("--config", action="config", metavar="FILE", help="a YAML of options; --print_config prints one")
    add("--data", required=True, metavar="SOURCE", help=SOURCE)
    add("--size", type=values.sides(8, 256), metavar="H[xW]", help="pixels that every image gets, 8 to 256")
    add("--label", type=values.column, metavar="COLUMN", help="a table's column of classes, or none (default: label)")
    add("--steps", type=values.whole(1), metavar="N", help="of the optimiser (default: as suits the kind)")
    add("--minutes", type=values.minutes, metavar="T", help="time to train, instead of --steps")
    add("--batch-size", type=values.whole(1), metavar="N", help="samples of a step (default: as suits the kind)")
    add("--holdout", type=values.share, metavar="S", help="share kept to watch by (default: 0.1; 0 with --epsilon)")
    add("--seed", type=values.whole(0), default=0, metavar="N", help="the same gives the same (default: 0)")
    add("--out", type=Path, default=Path("generator"), metavar="FOLDER", help="(default: generator)")
    add("--resume", action="store_true", help="go on from the checkpoint in the folder, after Ctrl-C or a kill")
    add("--epsilon", type=values.positive, metavar="E", help="train with differential privacy of rows, such as 8")
    add("--delta", type=values.positive, metavar="D", help="chance that epsilon fails (default: 1e-5)")
    add("--max-norm", type=values.positive, metavar="C", help="what a row's gradient is clipped to (default: 1)")


def _add_settings(kind: ArgumentParser, name: str) -> None:
    """--model.latent and so on; null, as they are by default, lets the data decide."""
    from torchaug.training.load import KINDS as CLASSES

    settings = CLASSES[name].settings()
    if name == "gan":
        settings["gamma"] = float | Literal["auto"]  # which `fit` takes
    for setting, hint in settings.items():
        kind.add_argument(f"--model.{setting}", type=hint | None, default=None)
    names = ", ".join(settings)
    kind.epilog = textwrap.fill(
        f"--model.NAME V sets {names} (default: what suits the data). --trainer.NAME V sets Lightning's "
        f"{', '.join(TRAINER[:7])} or others.",
        78,
    )


def _add_trainer(kind: ArgumentParser) -> None:
    import lightning.pytorch as L

    skipped = set(inspect.signature(L.Trainer.__init__).parameters) - {"self", *TRAINER}
    kind.add_class_arguments(L.Trainer, "trainer", skip=skipped, instantiate=False, fail_untyped=False)
    kind.set_defaults({"trainer.devices": 1, "trainer.logger": False})
