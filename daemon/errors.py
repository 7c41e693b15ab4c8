"""What the service raises outside the gateway, the embedded servers and the migration."""


class HistoryError(Exception):
    """The journal can't be folded; the message says why."""


class DemoError(Exception):
    """The demonstration did not go as it must; the message says what happened."""


class DaemonError(Exception):
    """The daemon can't go on; the message says why and what to do."""


class PartitionsError(Exception):
    """The data was made with another number of partitions; the message names both."""


class RayStartError(Exception):
    """Ray has not started, and more time would not have helped."""


class RayStartTimeoutError(RayStartError):
    """Ray has not started in time; more time may help."""


class RecoverError(Exception):
    """Nothing can be, or may be, rebuilt; the message says why and what to do."""


class ArchiveError(Exception):
    """Nothing can be, or may be, archived, or an archive can't be read; the message says why."""


class ResourceNotFoundError(LookupError):
    """No resource has this name; the message names those that exist."""


class ConfigFileError(Exception):
    """The file is missing, unreadable or not a list of sections; the message says where."""


class SettingsError(Exception):
    """A setting is unknown, wrong or impossible; the message names each with its place."""
