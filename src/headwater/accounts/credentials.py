"""What CredentialsTable holds: a person's password hash, and the guard that makes an address unique.

The table has no stream, so nothing in it reaches the archive or a consumer. Its writes commit with the events.
"""

from collections.abc import Sequence

from headwater.accounts.items import Items
from headwater.domain.user import email_key
from headwater.event_store.store import ConditionalWrite, PutNew, Remove, Replace


class Credentials:
    """Plans writes for an append's transaction; reads what they must expect."""

    def __init__(self, items: Items, table: str) -> None:
        self._items = items
        self._table = table

    def password_hash(self, user_id: str) -> str | None:
        """None if the user has no credentials, or none any more."""
        item = self._items.get(_credentials(user_id))
        return None if item is None else str(item["password_hash"])

    def claim(self, user_id: str, email: str, password_hash: str) -> Sequence[ConditionalWrite]:
        """Takes the address and keeps the hash; refused if the address is taken."""
        return [
            self._guard(user_id, email),
            PutNew(self._table, {"pk": _credentials(user_id), "password_hash": password_hash, "email": email}),
        ]

    def move(self, user_id: str, old_email: str, new_email: str) -> Sequence[ConditionalWrite]:
        """Takes the new address and frees the old one; refused if the new one is taken, or if the old moved since."""
        writes: list[ConditionalWrite] = []
        if email_key(old_email) != email_key(new_email):
            writes += [self._guard(user_id, new_email), *self._free(user_id, old_email)]
        item = self._items.get(_credentials(user_id))
        if item is not None:
            writes.append(Replace(self._table, {**item, "email": new_email}, expected=item))
        return writes

    def release(self, user_id: str, email: str) -> Sequence[ConditionalWrite]:
        """Removes all that there is; refused if it changed since."""
        writes = list(self._free(user_id, email))
        item = self._items.get(_credentials(user_id))
        if item is not None:
            writes.append(Remove(self._table, {"pk": item["pk"]}, expected=item))
        return writes

    def remove(self, user_id: str, addresses: Sequence[str]) -> None:
        """Removes what there still is of a deleted user, at once; an address that somebody else has since stays."""
        self._items.remove(_credentials(user_id))
        for address in addresses:
            self._items.remove(_guard(address), user_id=user_id)

    def _guard(self, user_id: str, email: str) -> PutNew:
        return PutNew(self._table, {"pk": _guard(email), "user_id": user_id})

    def _free(self, user_id: str, email: str) -> Sequence[ConditionalWrite]:
        # A user who was appended by hand has no guard: there is nothing to remove, and nothing to fail for.
        owner = {"user_id": user_id}
        item = self._items.get(_guard(email))
        if item is None or item["user_id"] != user_id:
            return []
        return [Remove(self._table, {"pk": item["pk"]}, expected=owner)]


def _credentials(user_id: str) -> str:
    return f"credentials#{user_id}"


def _guard(email: str) -> str:
    return f"email#{email_key(email)}"
