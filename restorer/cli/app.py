"""The command `restorer`: its commands, and what becomes of their errors."""

import errno
import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import typer

from restorer.cli.bank import bank
from restorer.cli.bench import bench
from restorer.cli.detect import detect
from restorer.cli.doctor import about, doctor
from restorer.cli.generate import generate
from restorer.cli.signals import Terminated, heeded
from restorer.cli.speak import one_line, say
from restorer.cli.tasks import bwe, declip, inpaint, repair
from restorer.cli.train import train
from restorer.cli.weights import weights
from restorer.errors import RestorerError, UsageError

INTERRUPTED = 130  # 128 + SIGINT, as shells say it
_COMPLETION = "_RESTORER_COMPLETE"  # the variable by which a shell asks what might come next
LISTENER_LEFT = 141  # 128 + SIGPIPE, what a program that does not handle it ends with
_WITHOUT_VALUE = re.compile("--[a-z-]+=")
_PLAIN = {
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "{given} must be a whole number",
    "Input should be a valid number, unable to parse string as a number": "{given} must be a number",
    "Input should be": "{given} must be",
}

app = typer.Typer(
    name="restorer",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all is well, 1 failure, 2 wrong use, 3 some of several files failed, 130 interrupted.",
)
for command in (bwe, declip, inpaint, repair, detect, generate, train, bank, doctor):
    app.command()(command)
app.add_typer(bench)
app.add_typer(weights)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(about())
        raise typer.Exit


@app.callback()
def restorer(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show version, prior and device.")
    ] = False,
) -> None:
    """Restores recordings: lost highs (bwe), gaps (inpaint), clipping (declip)."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command line `words` (default: this process's) and returns its exit code."""
    words = list(sys.argv[1:] if words is None else words)
    try:
        command = typer.main.get_command(app)
        if asked := os.environ.get(_COMPLETION):
            from typer.completion import shell_complete

            return shell_complete(command, {}, "restorer", _COMPLETION, asked)
        _require_no_empty(words)
        with heeded(), command.make_context("restorer", words) as context:
            command.invoke(context)
        sys.stdout.flush()
        return 0
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:
        say(f"restorer: {_advised(error)}")
        return error.exit_code
    except RestorerError as error:
        say(f"restorer: {one_line(str(error))}")
        return error.exit_code
    except Terminated as request:
        say("restorer: asked to end")
        return request.exit_code
    except KeyboardInterrupt:
        say("restorer: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return LISTENER_LEFT
    except OSError as error:
        say(f"restorer: {_explained(error)}")
        return RestorerError.exit_code
    finally:
        _drop_unsent()


def _require_no_empty(words: Sequence[str]) -> None:
    """Raises UsageError for an empty name, which would stand for the folder that we are in, with all that is in it."""
    for before, word in pairwise(("restorer", *words)):
        if not word or _WITHOUT_VALUE.fullmatch(word):
            raise UsageError(f"the argument behind {word[:-1] or before} is empty; is a variable unset?")


def _drop_unsent() -> None:
    """What standard output could not take; Python flushes it once more at exit, and would complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explained(error: OSError) -> str:
    if error.errno == errno.EBADF:
        return "standard input or output is closed; open it, e.g. by `< take.wav` or `> new.wav`"
    return f"{one_line(str(error.filename or _nameless()))}: {error.strerror or error}"


def _nameless() -> str:
    """What an error was about that names no file: standard output, if that holds what it could not pass on."""
    try:
        sys.stdout.flush()
    except OSError:
        return "standard output"
    return "a file, or standard output"


def _advised(error: typer.TyperException) -> str:
    """typer's message on one line, and where to read more."""
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{_plain(message, error.__cause__)}; see `{context.command_path if context else 'restorer'} --help`"


def _plain(message: str, cause: BaseException | None) -> str:
    """The message without the terms of pydantic, by which typer reads values."""
    if not isinstance(cause, ValueError) or not hasattr(cause, "errors"):
        return message
    given = cause.errors()[0]["input"]
    for terms, words in _PLAIN.items():
        message = message.replace(terms, words.format(given=repr(str(given))))
    return message
