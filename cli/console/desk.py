"""What every page of the console works with."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from cli.athena import Athena, Bill
from cli.console.diagram import Diagram
from cli.console.journey import Journeys
from cli.console.logs import DeployedLogs, LocalLogs, Logs
from cli.console.recent import RecentEvents
from cli.control import Control
from cli.observation import Kept, Observer, Snapshot
from cli.templates import physical_ids
from headwater.archive.inventory import Damaged, Foreign
from operations.archive.local_sql import Answer, GivenUpError, LocalSql, TooManyRowsError
from operations.archive.objects import BucketObjects
from operations.errors import QueryError
from operations.target import Target

#: Of the archive, in seconds: a listing of a day costs a request for each thousand objects.
_LOCAL_TAIL_SECONDS: Final = 1.0
_DEPLOYED_TAIL_SECONDS: Final = 15.0

#: Of a query on this machine. All pages share the console's threads and memory: one that has no end would take them.
QUERY_SECONDS: Final = 60.0
MOST_ROWS: Final = 100_000
#: How long a query waits for the one before it.
TURN_SECONDS: Final = 5.0
_COMMAND: Final = "'headwater archive query' has no such limit"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to SQL, what it cost if it cost anything, and what was met beside it."""

    answer: Answer
    bill: Bill | None = None
    foreign: Sequence[Foreign] = ()
    damaged: Sequence[Damaged] = ()
    incomplete: bool = False


@dataclass
class Desk:
    """A stack, who looks at it, and what is kept between two requests. ``changes``: whether changes are allowed.

    ``stopping`` is set when the console ends.
    """

    target: Target
    observer: Observer
    changes: bool
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _sql_lock: threading.Lock = field(default_factory=threading.Lock)
    _local_sql: LocalSql | None = None

    @property
    def local(self) -> bool:
        return self.target.running is not None

    @cached_property
    def snapshots(self) -> Kept[Snapshot]:
        return Kept(self.observer.observe, self.observer.every)

    @cached_property
    def diagram(self) -> Diagram:
        return Diagram(self.observer.graph)

    @cached_property
    def recent(self) -> RecentEvents:
        every = _LOCAL_TAIL_SECONDS if self.local else _DEPLOYED_TAIL_SECONDS
        return RecentEvents(self.objects, every)

    @cached_property
    def objects(self) -> BucketObjects:
        return BucketObjects(self.target.client("s3"), self.target.output("ArchiveBucketName"))

    @cached_property
    def journeys(self) -> Journeys:
        return Journeys(self.observer.graph, self.observer.box.letters)

    def changed(self) -> None:
        """Something was changed from here: the next page shows it."""
        self.observer.box.forget()
        self.snapshots.forget()

    @cached_property
    def control(self) -> Control:
        """Of the local stack alone."""
        assert self.target.running is not None
        return Control(self.target.running)

    @cached_property
    def logs(self) -> Logs:
        if self.target.running is not None:
            return LocalLogs(Path(self.target.running.run_folder) / "logs")
        functions = [each.id for each in self.observer.graph.stations.values() if each.kind == "function"]
        physical = physical_ids(self.target)
        groups = {name: f"/aws/lambda/{physical[name]}" for name in functions if name in physical}
        return DeployedLogs(self.target.client("logs"), groups)

    def query(self, sql: str) -> Answered:
        """Answers one SELECT: on Athena for a deployed stack, on this machine for the local one."""
        if not self.local:
            workgroup, database = self.target.output("AnalyticsWorkGroupName"), self.target.output("AnalyticsDatabase")
            answer, bill = Athena(self.target.client("athena"), workgroup, database).query(sql)
            return Answered(answer, bill)
        # One at a time, over one copy: each query reads only the objects that are new.
        if not self._sql_lock.acquire(timeout=TURN_SECONDS):
            raise QueryError(
                f"another query is being answered: ask again when it is over, after {QUERY_SECONDS:.0f} s at most"
            )
        try:
            return self._query_here(sql)
        finally:
            self._sql_lock.release()

    def _query_here(self, sql: str) -> Answered:
        if self._local_sql is None:
            self._local_sql = LocalSql(self.objects).__enter__()
        local = self._local_sql
        ends = time.monotonic() + QUERY_SECONDS
        try:
            answer = local.query(
                sql, gives_up=lambda: self.stopping.is_set() or time.monotonic() > ends, most_rows=MOST_ROWS
            )
        except GivenUpError:
            if self.stopping.is_set():
                raise QueryError("the console stops, and the query with it") from None
            raise QueryError(
                f"the query took more than {QUERY_SECONDS:.0f} s and was stopped: have it read less; {_COMMAND}"
            ) from None
        except TooManyRowsError as error:
            raise QueryError(f"{error}: group them, or add a LIMIT; {_COMMAND}") from None
        return Answered(answer, None, local.foreign, local.damaged, local.incomplete)

    def close(self) -> None:
        with self._sql_lock:
            if self._local_sql is not None:
                self._local_sql.__exit__(None, None, None)
                self._local_sql = None
