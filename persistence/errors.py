"""What the code of Redis and PostgreSQL raises."""


class UnstorableError(ValueError):
    """A value that PostgreSQL cannot hold; writing the batch again cannot help."""


class PostgresURLError(ValueError):
    """The URL is not one of a PostgreSQL database."""


class SchemaError(RuntimeError):
    """The schema of the database is not the one that this meterd works with."""


class SupersededError(Exception):
    """Another recorder has the claim, or the batch came from another Redis."""


class NotLeadingError(Exception):
    """Another daemon holds the lease; this one may not go on."""


class FunctionsError(Exception):
    """Redis cannot hold the function library, or holds a newer one than this meterd has."""


class StateLostError(Exception):
    """Redis knows less than PostgreSQL; the message names what is missing and the next step."""


class UnverifiedStateError(Exception):
    """No daemon has verified the state of this Redis since its start: nothing may be written."""


class RecorderFencedError(Exception):
    """Another recorder has started: this one may remove nothing from the outbox."""


class PreflightError(Exception):
    """This Redis cannot be used; the message gives the cause and the next step."""


class HoldError(Exception):
    """What holds everything can't be resolved like this; the message gives the next step."""
