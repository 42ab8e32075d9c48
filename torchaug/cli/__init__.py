"""The command line, and the only place that prints."""

from torchaug.cli.main import main

__all__ = ["main"]
