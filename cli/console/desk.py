"""What every page of the console works with."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from cli.archive_objects import BucketObjects
from cli.athena import Athena, Bill
from cli.console.diagram import Diagram
from cli.console.journey import Journeys
from cli.console.logs import DeployedLogs, LocalLogs, Logs
from cli.console.recent import RecentEvents
from cli.control import Control
from cli.local_sql import Answer, LocalSql
from cli.observation import Kept, Observer, Snapshot
from cli.target import Target
from cli.templates import physical_ids
from headwater.archive.inventory import Damaged, Foreign

#: Of the archive, in seconds: a listing of a day costs a request for each thousand objects.
_LOCAL_TAIL_SECONDS: Final = 1.0
_DEPLOYED_TAIL_SECONDS: Final = 15.0


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
        with self._sql_lock:
            if self._local_sql is None:
                self._local_sql = LocalSql(self.objects).__enter__()
            local = self._local_sql
            answer = local.query(sql)
            return Answered(answer, None, local.foreign, local.damaged, local.incomplete)

    def close(self) -> None:
        with self._sql_lock:
            if self._local_sql is not None:
                self._local_sql.__exit__(None, None, None)
                self._local_sql = None
