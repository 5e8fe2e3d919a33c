"""What can go wrong for a user. Every message says what, where and the remedy, in one line."""


class RestorerError(Exception):
    """A failure that the user can act on; the command line prints its one line and exits with `exit_code`."""

    exit_code = 1


class UsageError(RestorerError):
    """A value that was asked for does not make sense (a cutoff above Nyquist, a gap written backwards)."""

    exit_code = 2


class AudioError(RestorerError):
    """A recording cannot be read or written."""


class WeightsError(RestorerError):
    """A weights file cannot be found, read or used."""
