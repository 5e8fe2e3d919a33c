"""The command `restorer`: its commands, and what becomes of their errors."""

import errno
import os
import sys
from collections.abc import Sequence
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
from restorer.errors import RestorerError

INTERRUPTED = 130  # 128 + SIGINT, as shells say it
_COMPLETION = "_RESTORER_COMPLETE"  # the variable by which a shell asks what might come next
LISTENER_LEFT = 141  # 128 + SIGPIPE, what a program that does not handle it ends with

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
    try:
        command = typer.main.get_command(app)
        if asked := os.environ.get(_COMPLETION):
            from typer.completion import shell_complete

            return shell_complete(command, {}, "restorer", _COMPLETION, asked)
        with heeded(), command.make_context("restorer", list(sys.argv[1:] if words is None else words)) as context:
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


def _drop_unsent() -> None:
    """What standard output could not take; Python flushes it once more at exit, and would complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explained(error: OSError) -> str:
    if error.errno == errno.EBADF:
        return "standard input or output is closed; open it, e.g. by `< take.wav` or `> new.wav`"
    return f"{one_line(str(error.filename or 'a file'))}: {error.strerror or error}"


def _advised(error: typer.TyperException) -> str:
    """typer's message on one line, and where to read more."""
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}; see `{context.command_path if context else 'restorer'} --help`"
