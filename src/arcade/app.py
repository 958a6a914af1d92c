"""What the arcade is made of. The template's setting APPLICATION names this module.

Each function imports it at its cold start: what an effect does is imported where that is built.
"""

from typing import Final

from headwater.application import Application, Feature
from headwater.badges.progress import BADGE_PROGRESS
from headwater.domain.events import (
    ActivityRecorded,
    BadgeEarned,
    PlayCompleted,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.effects.effect import Effect, Prepare
from headwater.grants import Grant, read_histories
from headwater.projections.achievements import ACHIEVEMENTS
from headwater.projections.leaderboard import LEADERBOARD
from headwater.projections.player_profiles import PLAYER_PROFILES


def _welcome_email() -> Prepare:
    from headwater import bootstrap
    from headwater.notifications.welcome_email import WelcomeEmail

    return WelcomeEmail(bootstrap.mailer()).prepare


def _change_notice() -> Prepare:
    from headwater import bootstrap
    from headwater.notifications.change_notice import ChangeNotice

    return ChangeNotice(bootstrap.mailer(), bootstrap.event_store()).prepare


def _default_resources() -> Prepare:
    from headwater import bootstrap
    from headwater.accounts.preferences import DefaultResources

    return DefaultResources(bootstrap.preferences()).prepare


def _account_cleanup() -> Prepare:
    from headwater import bootstrap
    from headwater.accounts.cleanup import AccountCleanup

    return AccountCleanup(bootstrap.credentials(), bootstrap.preferences(), bootstrap.event_store()).prepare


_WRITE_PREFERENCES: Final = Grant(
    sid="WritePreferences",
    actions=["dynamodb:PutItem"],
    resource="${PreferencesTable.Arn}",
    leading_keys=["user#*"],
)
_REMOVE_CREDENTIALS: Final = Grant(
    sid="RemoveCredentials",
    actions=["dynamodb:DeleteItem"],
    resource="${CredentialsTable.Arn}",
    leading_keys=["credentials#*", "email#*"],
)
#: Pipe and target of the applications, which a redrive goes through again.
_ENRICH_ACTIONS: Final = Grant(
    sid="EnrichActions", actions=["dynamodb:BatchGetItem"], resource="${ApplicationsTable.Arn}"
)
#: The inbox itself, in the account domain's account, lets in that function's role alone.
_TELL_THROUGH_TARGET: Final = Grant(
    sid="TellThroughTarget", actions=["lambda:InvokeFunction"], resource="${ApplicationTargetFunction.Arn}"
)

DEFAULT_RESOURCES: Final = Effect(
    name="default_resources",
    about="Gives new users what every user has",
    on=[UserRegistered],
    prepare=_default_resources,
    grants=[_WRITE_PREFERENCES],
)
ACCOUNT_CLEANUP: Final = Effect(
    name="account_cleanup",
    about="Removes what a deleted user leaves behind",
    on=[UserDeleted],
    prepare=_account_cleanup,
    grants=[read_histories("user"), _REMOVE_CREDENTIALS, _WRITE_PREFERENCES],
)
WELCOME_EMAIL: Final = Effect(
    name="welcome_email",
    about="Sends the welcome e-mail",
    on=[UserRegistered],
    prepare=_welcome_email,
    mails=True,
)
CHANGE_NOTICE: Final = Effect(
    name="change_notice",
    about="Tells people of changes to their accounts",
    on=[UserEmailChanged, UserProfileChanged],
    prepare=_change_notice,
    mails=True,
    grants=[read_histories("user")],
)

APP: Final = Application(
    "arcade",
    [
        Feature(
            "users",
            events=[UserRegistered, UserEmailChanged, UserProfileChanged, UserDeleted],
            effects=[DEFAULT_RESOURCES, ACCOUNT_CLEANUP],
        ),
        Feature("players", events=[PlayCompleted], projections=[PLAYER_PROFILES, LEADERBOARD]),
        Feature("badges", events=[BadgeEarned], projections=[BADGE_PROGRESS, ACHIEVEMENTS]),
        Feature("notifications", effects=[WELCOME_EMAIL, CHANGE_NOTICE]),
        Feature("applications", redriving=[_ENRICH_ACTIONS, _TELL_THROUGH_TARGET]),
        Feature("activity", events=[ActivityRecorded]),
    ],
)
