"""The function's environment, typed. The only module that reads it.

Every variable is set in its template's Globals, so each function demands all that its stack has: a stack that lacks
one fails at its first cold start, by name, and not at the first event that happens to need it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self


class MissingSettingError(RuntimeError):
    """Environment variables that the template must set are missing or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _FromEnvironment:
    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Reads each field from the variable of its name in capitals.

        Raises
        ------
        MissingSettingError
            Names every variable that is missing or empty.
        """
        names = {field.name: field.name.upper() for field in fields(cls)}
        missing = sorted(variable for variable in names.values() if not environment.get(variable))
        if missing:
            raise MissingSettingError(
                f"missing environment variable(s): {', '.join(missing)}; set them in its template under Globals"
            )
        return cls(**{name: environment[variable] for name, variable in names.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(_FromEnvironment):
    """The module of the application, names of template.yaml's data resources, of the function that a redrive tells
    through, and the policy on e-mails that may have been sent (hold, repeat).
    """

    application: str
    events_table: str
    credentials_table: str
    read_models_table: str
    ledger_table: str
    preferences_table: str
    archive_bucket: str
    events_stream: str
    events_topic: str
    sender_address: str
    email_configuration_set: str
    on_unconfirmed_email: str
    parked_records_queue: str
    set_aside_queue: str
    unresolved_pointers_queue: str
    failed_batches_bucket: str
    applications_table: str
    application_process: str
    application_inbox_queue: str
    application_target_function: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings(_FromEnvironment):
    """Names of the data resources of the account domain's stack (receiver.yaml)."""

    tracking_table: str
