"""The bank of one process, made by the actors of a local Ray."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from torchaug.data import digits
from torchaug.training import synthesize_ray
from torchaug.training.fit import fit
from torchaug.training.load import load_generator
from torchaug.training.synthesize import synthesize
from torchaug.training.synthesize_ray import synthesize_with_ray

ROOT = Path(__file__).parent.parent
COUNTS = {"3": 21, "7": 10, "8": 9}
OPTIONS: dict[str, Any] = {"seed": 5, "shard_size": 8}  # 40 images in 5 shards


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.fixture
def local_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Ray on two CPUs, which reports to nobody and leaves nothing behind."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray leaves one in the home folder
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    import ray

    options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "object_store_memory": 100 << 20}
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:  # short: names of sockets are
        ray.init(num_cpus=2, _temp_dir=folder, **options)
        try:
            yield ray
        finally:
            ray.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(900)  # on a busy machine Ray takes minutes to start an actor again
@pytest.mark.filterwarnings("ignore:`use_.*` is deprecated:DeprecationWarning")  # Ray, of its own settings
def test_actors_make_the_bank_of_one_process_even_when_one_dies(local_ray: Any, tmp_path: Path) -> None:
    checkpoint = fit("vae", digits(), out=tmp_path / "generator", steps=3, every=0)
    synthesize(load_generator(checkpoint), COUNTS, tmp_path / "alone", **OPTIONS)
    synthesize(load_generator(checkpoint), COUNTS, tmp_path / "bank", rank=1, world_size=4, **OPTIONS)
    died = tmp_path / "died"

    class DiesOnce(synthesize_ray.ShardMaker):  # defined here, so that it goes to the actors by value
        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            if 2 in batch["shard"] and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesize_ray, "ShardMaker", DiesOnce)
        bank = synthesize_with_ray(checkpoint, COUNTS, tmp_path / "bank", actors=2, **OPTIONS)
    assert died.exists()
    assert len(bank) == 40
    assert files(tmp_path / "bank") == files(tmp_path / "alone")
    again = synthesize_with_ray(checkpoint, COUNTS, tmp_path / "bank", actors=2, **OPTIONS)  # nothing left to do
    assert again.fingerprint == bank.fingerprint
    with pytest.raises(ValueError, match=r"expected a class the generator knows .*, got 'owl'"):
        synthesize_with_ray(checkpoint, {"owl": 1}, tmp_path / "other")
    with pytest.raises(ValueError, match="actors must be at least 1, got 0"):
        synthesize_with_ray(checkpoint, COUNTS, tmp_path / "other", actors=0)
    assert not (tmp_path / "other").exists()


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"needs ray; pip install 'torchaug-synth\[ray\]'"):
        synthesize_with_ray("nowhere", COUNTS, tmp_path)
