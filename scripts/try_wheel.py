"""Run by scripts/build in a clean environment, beside the models/ and training/ folders of a user."""

import importlib
import pkgutil
import sys
import zipfile
from pathlib import Path

import models  # noqa: TID251 - the user's
import torchaug
import training  # noqa: TID251 - the user's

if {models.whose, training.whose} != {"user"}:
    sys.exit(f"build: `import models` and `import training` must find the user's, got {models} and {training}")
if not Path(torchaug.__file__).is_relative_to(sys.prefix):
    sys.exit(f"build: torchaug must come from the wheel, came from {torchaug.__file__}")
names = zipfile.ZipFile(sys.argv[1]).namelist()
strangers = {name.split("/")[0] for name in names if not name.startswith(("torchaug/", "torchaug_synth-"))}
if strangers:
    sys.exit(f"build: the wheel must hold torchaug alone, holds also {sorted(strangers)}")
modules = [module.name for module in pkgutil.walk_packages(torchaug.__path__, "torchaug.")]
for name in modules:
    importlib.import_module(name)
missing = {"torchaug.models", "torchaug.training", "torchaug.cli"} - set(modules)
lost = [name for name in ("torchaug/py.typed", "torchaug/explore/report.html.j2") if name not in names]
if missing or lost:
    sys.exit(f"build: the wheel lacks {sorted(missing) + lost}")
print(f"build: {len(modules)} modules import")
