"""What the arcade is made of. The template's setting APPLICATION names this module."""

from typing import Final

from headwater.accounts import cleanup, preferences
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
from headwater.notifications import change_notice, welcome_email
from headwater.projections.achievements import ACHIEVEMENTS
from headwater.projections.leaderboard import LEADERBOARD
from headwater.projections.player_profiles import PLAYER_PROFILES


def _welcome_email() -> Prepare:
    from headwater import bootstrap

    return welcome_email.WelcomeEmail(bootstrap.mailer()).prepare


def _change_notice() -> Prepare:
    from headwater import bootstrap

    return change_notice.ChangeNotice(bootstrap.mailer(), bootstrap.event_store()).prepare


def _default_resources() -> Prepare:
    from headwater import bootstrap

    return preferences.DefaultResources(bootstrap.preferences()).prepare


def _account_cleanup() -> Prepare:
    from headwater import bootstrap

    return cleanup.AccountCleanup(bootstrap.credentials(), bootstrap.preferences(), bootstrap.event_store()).prepare


_WRITE_PREFERENCES: Final = Grant(
    sid="WritePreferences",
    actions=["dynamodb:PutItem"],
    resource="${PreferencesTable.Arn}",
    leading_keys=["user#*"],
)

USERS: Final = Feature(
    "users",
    events=[UserRegistered, UserEmailChanged, UserProfileChanged, UserDeleted],
    effects=[
        Effect(
            name=preferences.CONSUMER,
            about="Gives new users what every user has",
            on=[UserRegistered],
            prepare=_default_resources,
            grants=[_WRITE_PREFERENCES],
        ),
        Effect(
            name=cleanup.CONSUMER,
            about="Removes what a deleted user leaves behind",
            on=[UserDeleted],
            prepare=_account_cleanup,
            grants=[
                read_histories("user"),
                Grant(
                    sid="RemoveCredentials",
                    actions=["dynamodb:DeleteItem"],
                    resource="${CredentialsTable.Arn}",
                    leading_keys=["credentials#*", "email#*"],
                ),
                _WRITE_PREFERENCES,
            ],
        ),
    ],
)
PLAYERS: Final = Feature("players", events=[PlayCompleted], projections=[PLAYER_PROFILES, LEADERBOARD])
BADGES: Final = Feature("badges", events=[BadgeEarned], projections=[BADGE_PROGRESS, ACHIEVEMENTS])
NOTIFICATIONS: Final = Feature(
    "notifications",
    effects=[
        Effect(
            name=welcome_email.CONSUMER,
            about="Sends the welcome e-mail",
            on=[UserRegistered],
            prepare=_welcome_email,
            mails=True,
        ),
        Effect(
            name=change_notice.CONSUMER,
            about="Tells people of changes to their accounts",
            on=[UserEmailChanged, UserProfileChanged],
            prepare=_change_notice,
            mails=True,
            grants=[read_histories("user")],
        ),
    ],
)
APPLICATIONS: Final = Feature(
    "applications",
    redriving=[
        Grant(sid="EnrichActions", actions=["dynamodb:BatchGetItem"], resource="${ApplicationsTable.Arn}"),
        # The inbox itself, in the account domain's account, lets in that function's role alone.
        Grant(sid="TellThroughTarget", actions=["lambda:InvokeFunction"], resource="${ApplicationTargetFunction.Arn}"),
    ],
)
ACTIVITY: Final = Feature("activity", events=[ActivityRecorded])

APP: Final = Application("arcade", [USERS, PLAYERS, BADGES, NOTIFICATIONS, APPLICATIONS, ACTIVITY])
