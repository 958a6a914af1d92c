"""An HTTP request as API Gateway delivers it (payload format 2.0), and the answer that it expects."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from headwater.domain.fields import InvalidFieldError, InvalidFieldsError

#: Far above any command's size and far below what Lambda takes (6 MB).
BODY_BYTES = 64 * 1024

_TOKEN = re.compile(r"[A-Za-z0-9._~:-]{1,128}")
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json(?:\s*;\s*charset=\"?utf-8\"?)?\s*", re.IGNORECASE)
_VERSION_TAG = re.compile(r'"(0|[1-9][0-9]{0,17})"')
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)
_NOT_A_NUMBER = re.compile(r"NaN|Infinity|[0-9][eE]\+?[0-9]{3}")


class BodyTooLargeError(Exception):
    """The body is above the limit."""

    def __init__(self) -> None:
        super().__init__(f"a body has at most {BODY_BYTES} bytes")


class UnsupportedMediaTypeError(Exception):
    """The body is not declared as JSON."""

    def __init__(self) -> None:
        super().__init__("send the body as UTF-8 JSON with Content-Type: application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """``headers`` by lower-case name; ``route_key`` is the API's route that took it, ``$default`` if no other did.

    ``principal`` is whose signature it bears, None without one: an IAM user's id, or of an assumed role the id and the
    session's name, after a colon. ``caller`` is that without the session, which changes from one retry to the next.
    ``query`` is decoded; of a parameter that is there twice it holds both values, with a comma between.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: str | None
    is_base64: bool
    request_id: str
    route_key: str
    principal: str | None

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "Request":
        """
        Raises
        ------
        ValueError
            The event is no request of an HTTP API.
        """
        try:
            context = event["requestContext"]
            stage, path = context["stage"], event["rawPath"]
            return cls(
                method=context["http"]["method"],
                path=path if stage == "$default" else path.removeprefix(f"/{stage}"),
                query=event.get("queryStringParameters") or {},
                headers={name.lower(): value for name, value in event["headers"].items()},
                body=event.get("body"),
                is_base64=bool(event.get("isBase64Encoded")),
                request_id=context["requestId"],
                route_key=context["routeKey"],
                principal=_principal(context),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(
                f"the event has no {error} of API Gateway's payload 2.0: invoke this function through its HTTP API"
            ) from error

    @property
    def caller(self) -> str | None:
        return None if self.principal is None else self.principal.partition(":")[0]

    @property
    def correlation_id(self) -> str:
        """The client's, if it is a plain token, so that a conversation can be followed across systems."""
        given = self.headers.get("x-correlation-id", "")
        return given if _TOKEN.fullmatch(given) else self.request_id

    @property
    def idempotency_key(self) -> str | None:
        """The key of a POST that may be repeated, bare or, as in the IETF draft, in quotes."""
        key = self.headers.get("idempotency-key")
        if key is None:
            return None
        if len(key) > 2 and key[0] == key[-1] == '"':
            key = key[1:-1]
        if not _TOKEN.fullmatch(key):
            raise _invalid("Idempotency-Key", "must be 1 to 128 letters, digits or . _ ~ : -")
        return key

    @property
    def expected_version(self) -> int | None:
        """The version in If-Match; None without the header, or for ``*``."""
        tag = self.headers.get("if-match", "*").strip()
        if tag == "*":
            return None
        version = _VERSION_TAG.fullmatch(tag)
        if version is None:
            raise _invalid("If-Match", 'must be one version in quotes, such as "3"')
        return int(version[1])

    def whole_number(self, name: str, least: int, most: int, *, default: int) -> int:
        """A parameter of the query.

        Raises
        ------
        InvalidFieldsError
        """
        text = self.query.get(name)
        if text is None:
            return default
        # int() alone would take signs, spaces, other scripts and a megabyte.
        number = int(text) if _DIGITS.fullmatch(text) else least - 1
        if not least <= number <= most:
            raise _invalid(name, f"must be a whole number from {least} to {most}")
        return number

    def json_object(self) -> Mapping[str, Any]:
        """The body as a JSON object.

        Raises
        ------
        UnsupportedMediaTypeError, BodyTooLargeError, InvalidFieldsError
        """
        if not _JSON_TYPE.fullmatch(self.headers.get("content-type", "")):
            raise UnsupportedMediaTypeError
        value = _loads(self._body_bytes())
        if not isinstance(value, dict):
            raise _invalid("body", "must be a JSON object")
        return value

    def _body_bytes(self) -> bytes:
        body = self.body or ""
        # Before decoding: base64 is a third longer than what it holds.
        if len(body) > BODY_BYTES * (4 / 3 if self.is_base64 else 1) + 4:
            raise BodyTooLargeError
        try:
            content = base64.b64decode(body, validate=True) if self.is_base64 else body.encode()
        except (binascii.Error, UnicodeEncodeError):
            raise _invalid("body", "must be UTF-8 text") from None
        if len(content) > BODY_BYTES:
            raise BodyTooLargeError
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer on its way out; ``body`` is JSON's Python form."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_response(self, correlation_id: str) -> dict[str, Any]:
        """The answer in API Gateway's format. No cache may keep it: profiles are personal, errors pass."""
        headers = {"content-type": "application/json", "cache-control": "no-store", "x-correlation-id": correlation_id}
        return {
            "statusCode": self.status,
            "headers": {**headers, **self.headers},
            "body": orjson.dumps(self.body).decode(),
            "isBase64Encoded": False,
        }


def _invalid(field_: str, problem: str) -> InvalidFieldsError:
    return InvalidFieldsError([InvalidFieldError(field_, problem)])


def _principal(context: Mapping[str, Any]) -> str | None:
    iam = (context.get("authorizer") or {}).get("iam") or {}
    return str(iam["userId"]) if iam.get("userId") else None


def _loads(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    # NaN, Infinity and 1e999 are no JSON, yet what many clients send: read them, so that the field can be named.
    try:
        if _NOT_A_NUMBER.search(text := content.decode()):
            return json.loads(text)
    except (ValueError, RecursionError):
        pass
    raise _invalid("body", problem)
