"""What the migration raises."""


class CutoverError(Exception):
    """The cut-over can't be then; the message says why."""


class FlushTimeoutError(RuntimeError):
    """What was opened does not reach Postgres."""


class CannotResolveError(ValueError):
    """A record can't belong to that chat; the message says why."""


class ChangedMeanwhileError(RuntimeError):
    """Somebody else changed a record between looking and writing; looking again helps."""


class LegacyError(RuntimeError):
    """The old tables are not as the settings ``legacy:`` say; the message names each setting."""
