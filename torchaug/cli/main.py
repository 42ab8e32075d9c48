"""The command torchaug: which commands there are, and what becomes of their errors.

Exit codes: 0 done; 1 it started and failed; 2 it cannot work as given (the arguments, or what they name); 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import errno
import re
import sys
from collections.abc import Sequence

from jsonargparse import Namespace

from torchaug.cli.arguments import build_parser
from torchaug.cli.banks import drop, export, merge, verify
from torchaug.cli.demo import demo
from torchaug.cli.fit_arguments import KINDS
from torchaug.cli.generate import fit, synthesize
from torchaug.cli.loading import bench_loader
from torchaug.cli.terminal import Misuse, open_console

COMMANDS = {
    "demo": demo,
    "fit": fit,
    "synthesize": synthesize,
    "verify": verify,
    "drop": drop,
    "merge": merge,
    "export": export,
    "bench-loader": bench_loader,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; `torchaug --help` lists them.

    Args:
        argv: the arguments; None: those of the process.

    Returns:
        The exit code.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser(argv)
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    try:
        options = parser.parse_args(argv)
        if options.subcommand == "fit":
            options = parser.instantiate(options)  # a logger, say
    except SystemExit as leaving:  # --help and --version
        return int(leaving.code or 0)
    except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:  # the latter: of a value in a YAML
        return _fail(2, f"{_line(error)}; see torchaug --help")
    chosen: Namespace = options[options.subcommand]
    try:
        COMMANDS[options.subcommand](chosen, open_console())
    except KeyboardInterrupt as interrupt:
        return _fail(130, f"interrupted; {str(interrupt) or 'nothing was written'}")
    except Exception as error:
        if chosen.debug:
            raise
        return _fail(2 if isinstance(error, Misuse) else 1, _line(error))
    return 0


def _fail(code: int, text: str) -> int:
    print(f"torchaug: {text}", file=sys.stderr)
    return code


def _line(error: Exception) -> str:
    """An error in one line; one that no check of ours foresaw also says its type and how to see more."""
    text = " ".join(str(error).split())
    if isinstance(error, argparse.ArgumentTypeError):
        return f"--config: {text}"
    if isinstance(error, argparse.ArgumentError):
        return _misread(text)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{text}; what was made is kept: make room and run the same command again"
    if isinstance(error, (Misuse, ValueError, OSError, ImportError, FloatingPointError)) and text:
        return text
    return f"{type(error).__name__}: {text}; --debug shows where"


def _misread(text: str) -> str:
    """What the parser says of arguments, in the words of who gave them."""
    text = re.sub(rf"\b(?:{'|'.join(COMMANDS)})\.(\w+)", r"--\1", text)
    if text.endswith("required: --kind"):
        return f"fit: expected a kind ({', '.join(KINDS)}), got none"
    if text.startswith("Unexpected config: "):
        return f"--config: expected a YAML of options, got {text.removeprefix('Unexpected config: ')[:40]!r}..."
    unknown = re.search(r"does not accept option '([\w.]+)'", text)
    if unknown is not None:
        return f"--config: expected options, got {unknown[1]}"
    key, given = re.search(r'Parser key "([\w.]+)"', text), re.search(r"Given value: (.*)", text)
    if key is None or given is None:
        return text
    types = re.findall(r"- Expected an? (?:<class '(\w+)'>|typing\.Literal\[([^]]*)\])", text)
    wanted = dict.fromkeys(name or choices for name, choices in types)
    allowed = [{"NoneType": "null", "int": "a whole number", "float": "a number"}.get(name, name) for name in wanted]
    return f"--{key[1]}: expected {' or '.join(allowed) or 'another value'}, got {given[1]}"
