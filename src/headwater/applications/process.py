"""Applications as their applicants and staff move them. What they want is told to the process, which alone writes.

The process is statemachines/application_process.asl.json. It is started with an application, named by its id, so that
starting it again does nothing; and it waits for one answer, under a token that it keeps where no stream is.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson
from botocore.exceptions import ClientError

from headwater.applications.enrichment import APPLICATION_ITEM
from headwater.attribute_values import unmarshal_item
from headwater.domain.tracking import is_final

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: What Step Functions says of a token that was answered before, or that waits no more (SendTaskSuccess, API reference).
_ANSWERED: Final = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})


class ApplicationNotFoundError(Exception):
    """Nobody has applied under this id, or the process has not recorded it yet."""

    def __init__(self) -> None:
        super().__init__("there is no application with this id (one that was just made is there within seconds)")


class ApplicationDecidedError(Exception):
    """It has reached another ending."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the application is {status} already: an ending is final")


class ApplicationNotReadyError(Exception):
    """The process waits for no decision: not yet, or because it has one and is recording it."""

    def __init__(self, status: str, *, answered: bool) -> None:
        why = "a decision on it is being recorded" if answered else "not ready for a decision yet"
        super().__init__(f"the application is {status}, and {why}: look again in a moment")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApplication:
    """What somebody applies for. ``note`` may be empty; ``actor`` is who asked."""

    account_id: str
    kind: str
    title: str
    note: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an application is to end: with a final ``status``. ``note`` may be empty."""

    status: str
    note: str
    actor: str


class Process(Protocol):
    """The running process of each application."""

    def start(self, application_id: str, application: NewApplication) -> None:
        """Starts it; does nothing if it was started before."""
        ...

    def answer(self, token: str, ending: Ending) -> bool:
        """Ends its waiting; whether it was still waiting under this token."""
        ...


class ProcessReader(Protocol):
    """What the process has written."""

    def application(self, application_id: str) -> Mapping[str, Any] | None:
        """The application's own item, by a consistent read."""
        ...

    def token(self, application_id: str) -> str | None:
        """The token under which the process waits for a decision; None if it does not."""
        ...


class Applications:
    """The use cases."""

    def __init__(self, process: Process, reader: ProcessReader) -> None:
        self._process = process
        self._reader = reader

    def apply(self, application_id: str, application: NewApplication) -> None:
        """Hands an application in. It is there once the process has recorded it."""
        self._process.start(application_id, application)

    def read(self, application_id: str) -> Mapping[str, Any]:
        """
        Raises
        ------
        ApplicationNotFoundError
        """
        item = self._reader.application(application_id)
        if item is None:
            raise ApplicationNotFoundError
        return item

    def withdraw(self, application_id: str, account_id: str, ending: Ending) -> None:
        """As `end`, for the account whose application it is; another one's is not found."""
        if self.read(application_id)["account_id"] != account_id:
            raise ApplicationNotFoundError
        self.end(application_id, ending)

    def end(self, application_id: str, ending: Ending) -> None:
        """Answers what the process waits for: staff's decision, or the applicant's withdrawal. The first one counts.

        Raises
        ------
        ApplicationNotFoundError, ApplicationDecidedError, ApplicationNotReadyError
        """
        status = self._open(application_id, ending)
        if status is None:
            return
        token = self._reader.token(application_id)
        if token is None:
            raise ApplicationNotReadyError(status, answered=False)
        if not self._process.answer(token, ending) and (status := self._open(application_id, ending)) is not None:
            raise ApplicationNotReadyError(status, answered=True)

    def _open(self, application_id: str, ending: Ending) -> str | None:
        """The status of an application that has not ended; None if it ended as it was to."""
        status: str = self.read(application_id)["status"]
        if status == ending.status:
            return None
        if is_final(status):
            raise ApplicationDecidedError(status)
        return status


class StepFunctions(Protocol):
    """The two operations of boto3's Step Functions client that are used."""

    def start_execution(self, **request: Any) -> Any: ...

    def send_task_success(self, **request: Any) -> Any: ...


class StepFunctionsProcess:
    """Implements `Process`."""

    def __init__(self, client: StepFunctions, state_machine: str) -> None:
        self._client = client
        self._state_machine = state_machine

    def start(self, application_id: str, application: NewApplication) -> None:
        given = orjson.dumps({"application_id": application_id, **asdict(application)}).decode()
        try:
            self._client.start_execution(stateMachineArn=self._state_machine, name=application_id, input=given)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise

    def answer(self, token: str, ending: Ending) -> bool:
        try:
            self._client.send_task_success(taskToken=token, output=orjson.dumps(asdict(ending)).decode())
        except ClientError as error:
            if error.response["Error"]["Code"] in _ANSWERED:
                return False
            raise
        return True


class DynamoDbProcessReader:
    """Implements `ProcessReader` on ApplicationsTable and CredentialsTable."""

    def __init__(self, client: "DynamoDBClient", applications: str, credentials: str) -> None:
        self._client = client
        self._applications = applications
        self._credentials = credentials

    def application(self, application_id: str) -> Mapping[str, Any] | None:
        key = {"pk": {"S": f"APPLICATION#{application_id}"}, "sk": {"S": APPLICATION_ITEM}}
        answer = self._client.get_item(TableName=self._applications, Key=key, ConsistentRead=True)
        return unmarshal_item(answer["Item"]) if "Item" in answer else None

    def token(self, application_id: str) -> str | None:
        key = {"pk": {"S": f"decision#{application_id}"}}
        answer = self._client.get_item(TableName=self._credentials, Key=key, ConsistentRead=True)
        return str(unmarshal_item(answer["Item"])["task_token"]) if "Item" in answer else None
