"""Which server has which partition: one has all, or several share them, or a cluster does."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeAlias, TypeVar

from meterd.cluster_url import is_cluster, url_of_partition

RedisUrls: TypeAlias = str | Sequence[str]
"""One URL, or several: partition p is at the URL number p modulo their number."""

C = TypeVar("C")


class RedisServers:
    """The servers that have the partitions, by their URLs."""

    def __init__(self, urls: RedisUrls) -> None:
        """Name them in the order that counts: partition p is at ``urls[p % len(urls)]``.

        Raises:
            ValueError: there is none, or a cluster beside another one.
        """
        self.urls = (urls,) if isinstance(urls, str) else tuple(urls)
        if not self.urls:
            raise ValueError("name one URL at least")
        self._is_cluster = any(map(is_cluster, self.urls))
        if len(self.urls) > 1 and self._is_cluster:
            raise ValueError("a cluster has all partitions: name no other URL beside it")

    @property
    def first(self) -> str:
        """The URL of partition 0's server."""
        return self.url_of(0)

    def url_of(self, partition: int) -> str:
        """Where a partition is; equal for partitions that share connections."""
        url = self.urls[partition % len(self.urls)]
        return url_of_partition(url, partition) if self._is_cluster else url

    def groups(self, partitions: int) -> dict[str, list[int]]:
        """The partitions, of so many, that share connections, by URL."""
        found: dict[str, list[int]] = {}
        for number in range(partitions):
            found.setdefault(self.url_of(number), []).append(number)
        return found


class ByServer(Generic[C]):
    """One of something for each server, a client for example, made when it is first needed."""

    def __init__(self, servers: RedisServers, make: Callable[[str], C]) -> None:
        """``make`` makes one for a URL."""
        self.servers = servers
        self._make = make
        self._made: dict[str, C] = {}

    def of(self, partition: int) -> C:
        """The one of the server that has a partition."""
        return self.at(self.servers.url_of(partition))

    def at(self, url: str) -> C:
        """The one of a server."""
        made = self._made.get(url)
        # Of two threads that come at once, both get the same one.
        return made if made is not None else self._made.setdefault(url, self._make(url))

    def made(self) -> list[C]:
        """All that were made."""
        return list(self._made.values())

    def groups(self, partitions: int) -> Iterator[tuple[C, list[int]]]:
        """Each one that is needed for so many partitions, with the partitions that it has."""
        for url, numbers in self.servers.groups(partitions).items():
            yield self.at(url), numbers

    def split(self, partitions: Iterable[int]) -> dict[str, list[int]]:
        """The places in a list of partitions, by the URL of their server."""
        found: dict[str, list[int]] = {}
        for place, number in enumerate(partitions):
            found.setdefault(self.servers.url_of(number), []).append(place)
        return found
