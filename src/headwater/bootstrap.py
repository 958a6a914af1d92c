"""The composition root: the only module that builds clients and adapters, each once a container."""

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config

from headwater.application import Application, load
from headwater.change_stream.claim_checks import S3ClaimStore
from headwater.clock import utc_now
from headwater.event_store.dynamodb import DynamoDbEventStore
from headwater.ids import uuid7
from headwater.settings import ReceiverSettings, Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

    from headwater.accounts.credentials import Credentials
    from headwater.accounts.passwords import PasswordHasher
    from headwater.accounts.preferences import Preferences
    from headwater.accounts.profiles import Profiles
    from headwater.accounts.request_ledger import RequestLedger
    from headwater.accounts.use_cases import Accounts
    from headwater.applications.enrichment import Enrichment
    from headwater.applications.process import Applications, StepFunctions
    from headwater.applications.redrive import Lambda
    from headwater.applications.target import Target
    from headwater.archive.bi_export import BiExport
    from headwater.archive.compaction import Compaction
    from headwater.archive.objects import S3ObjectStore
    from headwater.archive.sources import ArchiverOfSources
    from headwater.change_stream.source_kinds import StreamKind
    from headwater.dead_letters.parked import ParkingLot
    from headwater.dead_letters.parking import Parking
    from headwater.dead_letters.patience import Patience
    from headwater.dead_letters.redrive import Redrive
    from headwater.dead_letters.resolver import Gates, Resolver
    from headwater.dead_letters.set_aside import SetAside
    from headwater.dead_letters.triage import Triage
    from headwater.domain.events import EventTypes
    from headwater.effects.consumer import QueueConsumer
    from headwater.effects.dynamodb import DynamoDbEffectLedger
    from headwater.fan_out.fan_out import FanOut
    from headwater.fan_out.publisher import Publisher
    from headwater.notifications.mailer import SesMailer
    from headwater.projections.dynamodb import DynamoDbReadModels
    from headwater.projections.leaderboard import Leaderboards
    from headwater.projections.projection import Projection
    from headwater.projections.read_models import ReadModelReader
    from headwater.projections.runner import ProjectionRunner
    from headwater.tracking.dynamodb import DynamoDbTracking
    from headwater.tracking.pages import TrackingPages
    from headwater.tracking.tracker import Tracker

#: Tries of a call, the first one included.
SDK_ATTEMPTS = 5
#: Standard mode backs off with jitter and retries throttles, timeouts and 5xx; the read timeout leaves room for a
#: second try within the shortest function timeout. The pool fits the threads that publishers and projections use.
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": SDK_ATTEMPTS},
    connect_timeout=2,
    read_timeout=10,
    max_pool_connections=32,
    tcp_keepalive=True,
    # Left to itself, botocore puts one together anew for each call, a tenth of what a call costs.
    user_agent="headwater",
)


#: Threads that write rows side by side: what a table answers in milliseconds is waited for once, not in a row.
_ROW_WRITERS = 8
#: Threads that ask the partitions of a leaderboard side by side.
_RANKING_QUERIES = 8

# What the builders below take from the machine, clients included, they take through the functions of this module (and
# `utc_now` and `uuid7`), so that the system can run as it is against another clock, without threads or a network.


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def executor(threads: int, name: str) -> Executor:
    return ThreadPoolExecutor(threads, thread_name_prefix=name)


def password_hasher() -> "PasswordHasher":
    from headwater.accounts.passwords import Argon2Passwords

    return Argon2Passwords()


@cache
def settings() -> Settings:
    return Settings.from_environment(os.environ)


@cache
def receiver_settings() -> ReceiverSettings:
    return ReceiverSettings.from_environment(os.environ)


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


class _OnFirstUse:
    """Stands for a client until somebody asks it for something."""

    #: A session builds one client at a time, whichever thread asks.
    _building = Lock()

    def __init__(self, client: Callable[[], object]) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        with self._building:
            client = self._client()
        return getattr(client, name)


def _on_first_use[T](client: Callable[[], T]) -> T:
    """A client that most containers never use: to build one takes 10 to 25 ms of a cold start."""
    return cast("T", _OnFirstUse(client))


@cache
def dynamodb() -> "DynamoDBClient":
    client: DynamoDBClient = _session().client("dynamodb", config=_CONFIG)
    return client


@cache
def s3() -> "S3Client":
    client: S3Client = _session().client("s3", config=_CONFIG)
    return client


@cache
def application() -> Application:
    """What the functions run, by the setting that names it."""
    return load(settings().application)


def event_types() -> "EventTypes":
    """All that this application's code reads and writes."""
    return application().events


@cache
def event_store() -> DynamoDbEventStore:
    return DynamoDbEventStore(dynamodb(), settings().events_table, event_types(), sleep=sleep)


@cache
def claim_store() -> S3ClaimStore:
    return S3ClaimStore(_on_first_use(s3), settings().archive_bucket)


@cache
def read_models() -> "DynamoDbReadModels":
    from headwater.projections.dynamodb import DynamoDbReadModels

    return DynamoDbReadModels(dynamodb(), settings().read_models_table, sleep=sleep)


@cache
def read_model_reader() -> "ReadModelReader":
    from headwater.incidents import LoggedIncidents
    from headwater.projections.read_models import ReadModelReader

    return ReadModelReader(read_models(), LoggedIncidents("http_api"), executor(_RANKING_QUERIES, "rankings"))


def _parking(consumer: str, kind: "StreamKind") -> "Parking":
    from headwater.dead_letters.parking import Parking

    return Parking(consumer, kind, parking_lot(), event_types(), utc_now, aside=_lot(settings().set_aside_queue))


def _triage(consumer: str, kind: "StreamKind") -> "Triage":
    from headwater.dead_letters.triage import Triage

    return Triage(kind, _parking(consumer, kind), _patience(consumer))


def _patience(consumer: str) -> "Patience":
    from headwater.dead_letters.first_failures import DynamoDbFirstFailures
    from headwater.dead_letters.patience import Patience
    from headwater.incidents import LoggedIncidents

    failures = DynamoDbFirstFailures(_on_first_use(dynamodb), settings().ledger_table)
    return Patience(consumer, failures, LoggedIncidents(consumer), utc_now)


@cache
def projection(name: str) -> "ProjectionRunner":
    """Keeps the rows of a projection that the application declares."""
    from headwater.projections.runner import ProjectionRunner

    declared = application().projections[name]
    return ProjectionRunner(
        declared,
        read_models(),
        event_store(),
        claim_store(),
        event_types(),
        before_write=declared.before_write() if declared.before_write else None,
        writers=executor(_ROW_WRITERS, name),
        parking=_parking(name, "kinesis"),
        patience=_patience(name),
        sleep=sleep,
    )


@cache
def leaderboards() -> "Leaderboards":
    from headwater.incidents import LoggedIncidents
    from headwater.projections.leaderboard import Leaderboards

    return Leaderboards(read_model_reader(), LoggedIncidents("http_api"))


@cache
def archiver() -> "ArchiverOfSources":
    from headwater.archive.archiver import Archiver
    from headwater.archive.objects import S3ObjectStore
    from headwater.archive.sources import ArchiverOfSources
    from headwater.incidents import LoggedIncidents

    objects, incidents = S3ObjectStore(s3(), settings().archive_bucket), LoggedIncidents("archiver")
    events = Archiver(objects, incidents, now=utc_now)
    applications = Archiver(objects, incidents, source="applications", now=utc_now)
    return ArchiverOfSources({settings().applications_table: applications}, otherwise=events)


@cache
def given_up_batches() -> "S3ObjectStore":
    """What the archiver gave up."""
    from headwater.archive.objects import S3ObjectStore

    return S3ObjectStore(s3(), settings().failed_batches_bucket)


@cache
def compaction() -> "Compaction":
    from headwater.archive import s3_objects

    return s3_objects.compaction(s3(), settings().archive_bucket)


@cache
def bi_export() -> "BiExport":
    from headwater.archive.bi_export import BiExport
    from headwater.archive.growing_objects import S3GrowingObjects
    from headwater.incidents import LoggedIncidents

    bucket = settings().archive_bucket
    return BiExport(
        S3GrowingObjects(s3(), bucket),
        claim_store(),
        bucket,
        _triage("bi_export", "kinesis"),
        LoggedIncidents("bi_export"),
        types=event_types(),
        sleep=sleep,
    )


@cache
def credentials() -> "Credentials":
    from headwater.accounts.credentials import Credentials
    from headwater.accounts.items import DynamoDbItems

    table = settings().credentials_table
    return Credentials(DynamoDbItems(dynamodb(), table), table)


@cache
def preferences() -> "Preferences":
    from headwater.accounts.items import DynamoDbItems
    from headwater.accounts.preferences import Preferences

    return Preferences(DynamoDbItems(dynamodb(), settings().preferences_table), event_store())


@cache
def request_ledger() -> "RequestLedger":
    from headwater.accounts.items import DynamoDbItems
    from headwater.accounts.request_ledger import RequestLedger

    ledger = settings().ledger_table
    return RequestLedger(DynamoDbItems(dynamodb(), ledger), ledger)


@cache
def accounts() -> "Accounts":
    from headwater.accounts.use_cases import Accounts

    return Accounts(
        store=event_store(),
        credentials=credentials(),
        requests=request_ledger(),
        passwords=password_hasher(),
        clock=utc_now,
        new_id=uuid7,
    )


@cache
def profiles() -> "Profiles[Projection]":
    from headwater.accounts.profiles import Profiles
    from headwater.projections.achievements import ACHIEVEMENTS
    from headwater.projections.player_profiles import PLAYER_PROFILES

    return Profiles(event_store(), read_model_reader(), PLAYER_PROFILES, ACHIEVEMENTS, utc_now)


@cache
def kinesis() -> "KinesisClient":
    client: KinesisClient = _session().client("kinesis", config=_CONFIG)
    return client


@cache
def sns() -> "SNSClient":
    client: SNSClient = _session().client("sns", config=_CONFIG)
    return client


@cache
def sqs() -> "SQSClient":
    client: SQSClient = _session().client("sqs", config=_CONFIG)
    return client


@cache
def ses() -> "SESV2Client":
    # No retries: SES has no idempotency token, so a second try after a lost answer would be a second e-mail.
    config = _CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    client: SESV2Client = _session().client("sesv2", config=config)
    return client


@cache
def fan_out() -> "FanOut":
    from headwater.fan_out.event_items import DynamoDbEventItems
    from headwater.fan_out.fan_out import FanOut
    from headwater.fan_out.kinesis import KinesisPublisher
    from headwater.fan_out.sns import SENDERS, SnsPublisher
    from headwater.incidents import LoggedIncidents
    from headwater.sending import RetryPolicy

    retry = RetryPolicy(sleep=sleep)
    publishers: list[Publisher] = [
        KinesisPublisher(kinesis(), settings().events_stream, claim_store(), retry=retry),
        SnsPublisher(sns(), settings().events_topic, claim_store(), retry=retry, executor=executor(SENDERS, "sns")),
    ]
    return FanOut(
        publishers,
        LoggedIncidents("fan_out"),
        _triage("fan_out", "dynamodb"),
        DynamoDbEventItems(_on_first_use(dynamodb), settings().events_table),
        event_types(),
        executor=executor(len(publishers), "fan-out"),
    )


@cache
def effect_ledger() -> "DynamoDbEffectLedger":
    from headwater.effects.dynamodb import DynamoDbEffectLedger

    return DynamoDbEffectLedger(dynamodb(), settings().ledger_table, clock=utc_now, new_token=uuid7)


@cache
def mailer() -> "SesMailer":
    from headwater.notifications.mailer import SesMailer

    return SesMailer(ses(), settings().sender_address, settings().email_configuration_set)


@cache
def effect(name: str) -> "QueueConsumer":
    """The consumer of an effect that the application declares."""
    from headwater.change_stream.postponement import SqsPostponement
    from headwater.effects.consumer import OnUnconfirmed, QueueConsumer
    from headwater.incidents import LoggedIncidents

    declared = application().effects[name]
    # A second e-mail is a nuisance, a missing one a loss: the operator decides. What else there is changes nothing.
    on_unconfirmed = OnUnconfirmed(settings().on_unconfirmed_email) if declared.mails else OnUnconfirmed.RESUME
    return QueueConsumer(
        name,
        declared.handles,
        declared.prepare(),
        claims=claim_store(),
        types=event_types(),
        ledger=effect_ledger(),
        incidents=LoggedIncidents(name),
        on_unconfirmed=on_unconfirmed,
        postponement=SqsPostponement(sqs()),
        clock=utc_now,
    )


@cache
def parking_lot() -> "ParkingLot":
    return _lot(settings().parked_records_queue)


def _lot(queue_url: str) -> "ParkingLot":
    from headwater.dead_letters.counted import CountedParkingLot
    from headwater.dead_letters.parked import SqsParkingLot
    from headwater.sending import RetryPolicy

    return CountedParkingLot(SqsParkingLot(sqs(), queue_url, claim_store(), retry=RetryPolicy(sleep=sleep)))


@cache
def dynamodbstreams() -> "DynamoDBStreamsClient":
    client: DynamoDBStreamsClient = _session().client("dynamodbstreams", config=_CONFIG)
    return client


@cache
def dead_letters() -> "Resolver":
    from headwater.applications.parking import CONSUMER as APPLICATION_STATUS
    from headwater.archive.lookup import ArchivedRecords
    from headwater.archive.objects import S3ObjectStore
    from headwater.dead_letters.parked_spans import DynamoDbParkedSpans
    from headwater.dead_letters.resolver import FILTERS, Resolver
    from headwater.dead_letters.shards import DynamoDbStream, KinesisStream, StreamShards
    from headwater.dead_letters.unresolved import SqsUnresolvedPointers
    from headwater.incidents import LoggedIncidents
    from headwater.projections.gates import ProjectionGates

    # The others have no gates.
    gates: dict[str, Gates] = {
        name: ProjectionGates(each, read_models(), event_types()) for name, each in application().projections.items()
    }
    events_stream = KinesisStream(kinesis())
    return Resolver(
        {
            "dynamodb": StreamShards(DynamoDbStream(dynamodbstreams()), sleep=sleep),
            "kinesis": StreamShards(events_stream, sleep=sleep),
        },
        ArchivedRecords(
            S3ObjectStore(s3(), settings().archive_bucket),
            given_up_batches(),
            events_stream.hash_keys,
            DynamoDbParkedSpans(dynamodb(), settings().ledger_table),
            event_types(),
            sources={APPLICATION_STATUS: "applications"},
            now=utc_now,
        ),
        parking_lot(),
        SqsUnresolvedPointers(sqs(), settings().unresolved_pointers_queue),
        LoggedIncidents("dead_letters"),
        types=event_types(),
        gates=gates,
        filters=FILTERS,
    )


@cache
def redrive() -> "Redrive":
    from headwater.applications.parking import CONSUMER
    from headwater.applications.redrive import LambdaTeller, PipeRedrive
    from headwater.dead_letters.redrive import Redrive
    from headwater.projections.passing_over import PassingOver

    marking = {name: projection(name) for name in application().projections}
    teller = LambdaTeller(lambda_client(), settings().application_target_function)
    pipe = PipeRedrive(application_enrichment(), teller)
    return Redrive(
        {
            "fan_out": fan_out().redrive,
            "bi_export": bi_export().redrive,
            CONSUMER: pipe.redrive,
            **{name: runner.redrive for name, runner in marking.items()},
        },
        {"fan_out": PassingOver(marking).discard, **{name: runner.discard for name, runner in marking.items()}},
        {name: runner.release for name, runner in marking.items()},
    )


@cache
def set_aside() -> "SetAside":
    from headwater.change_stream.postponement import SqsPostponement
    from headwater.dead_letters.set_aside import SetAside

    return SetAside(redrive(), claim_store(), SqsPostponement(sqs()))


@cache
def lambda_client() -> "Lambda":
    # A function is waited for as long as it may run; a second invocation tells nobody anything new.
    client: Lambda = _session().client("lambda", config=_CONFIG.merge(Config(read_timeout=70)))
    return client


@cache
def stepfunctions() -> "StepFunctions":
    client: StepFunctions = _session().client("stepfunctions", config=_CONFIG)
    return client


@cache
def applications() -> "Applications":
    from headwater.applications.process import Applications, DynamoDbProcessReader, StepFunctionsProcess

    names = settings()
    return Applications(
        StepFunctionsProcess(stepfunctions(), names.application_process),
        DynamoDbProcessReader(dynamodb(), names.applications_table, names.credentials_table),
    )


@cache
def application_enrichment() -> "Enrichment":
    from headwater.applications.enrichment import DynamoDbApplications, Enrichment

    return Enrichment(DynamoDbApplications(dynamodb(), settings().applications_table, sleep))


@cache
def application_target() -> "Target":
    from headwater.applications.parking import CONSUMER, ElementParking
    from headwater.applications.target import Target
    from headwater.sending import QueueSender, RetryPolicy

    inbox = QueueSender(sqs(), settings().application_inbox_queue, retry=RetryPolicy(sleep=sleep))
    parking = ElementParking(parking_lot(), utc_now, aside=_lot(settings().set_aside_queue))
    return Target(inbox, parking, _patience(CONSUMER))


# The account domain's functions (receiver.yaml): another stack, and by intent another AWS account.


@cache
def _tracking() -> "DynamoDbTracking":
    from headwater.tracking.dynamodb import DynamoDbTracking

    return DynamoDbTracking(dynamodb(), receiver_settings().tracking_table, sleep)


@cache
def tracker() -> "Tracker":
    from headwater.tracking.tracker import Tracker

    return Tracker(_tracking())


@cache
def tracking_pages() -> "TrackingPages":
    from headwater.tracking.pages import TrackingPages

    return TrackingPages(_tracking(), utc_now)
