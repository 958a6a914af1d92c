"""The console answers its own pages under its own address, and nobody else."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from cli.console.guard import Guard

PORT = 8088
OWN = f"http://127.0.0.1:{PORT}"


def served(key: str | None = None, base: str = OWN, port: int = PORT) -> TestClient:
    def page(_: Request) -> PlainTextResponse:
        return PlainTextResponse("a page")

    app = Starlette(routes=[Route("/", page, methods=["GET", "POST"])])
    return TestClient(Guard(app, port, key), base_url=base, follow_redirects=False)


@pytest.mark.parametrize("base", [OWN, f"http://localhost:{PORT}"])
def test_it_answers_on_loopback_and_allows_no_foreign_script_or_frame(base: str) -> None:
    answer = served(base=base).get("/")

    assert answer.text == "a page"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("base", ["http://evil.example:8088", "http://127.0.0.1:9999", "http://127.0.0.1.nip.io:8088"])
def test_a_name_that_somebody_points_to_loopback_gets_nothing(base: str) -> None:
    answer = served(base=base).get("/")

    assert answer.status_code == 421
    assert f"answers at {OWN} alone" in answer.text


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null", f"http://localhost:{PORT}", f"{OWN}0"])
def test_a_change_from_another_page_is_refused(origin: str | None) -> None:
    answer = served().post("/", headers={} if origin is None else {"origin": origin})

    assert answer.status_code == 403
    assert "own pages alone" in answer.text


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_on_the_port_of_http_a_browser_names_none(name: str) -> None:
    client = served(base=f"http://{name}", port=80)

    assert client.get("/").text == "a page"
    assert client.post("/", headers={"origin": f"http://{name}"}).text == "a page"
    assert served(base=f"http://{name}").get("/").status_code == 421


def test_a_change_from_its_own_page_is_taken() -> None:
    assert served().post("/", headers={"origin": OWN}).text == "a page"


def test_a_deployed_stacks_console_wants_its_key_once() -> None:
    client = served(key="secret")

    assert client.get("/").status_code == 403
    assert client.get("/?key=wrong").status_code == 403
    assert client.post("/", headers={"origin": OWN}).status_code == 403

    shown = client.get("/?key=secret")
    assert (shown.status_code, shown.headers["location"]) == (303, "/")
    assert "httponly" in shown.headers["set-cookie"].lower()
    assert "samesite=strict" in shown.headers["set-cookie"].lower()
    assert client.get("/").text == "a page"


@pytest.mark.parametrize(
    "others",
    [
        'prefs={"a": [1, 2]}',
        "a[b]=1",
        "a,b=1",
        "junk",
        'a="not closed',
        "x=\xe9\xff",
        "Path=/",
        f"headwater-console-{PORT}=of an earlier run",
        f"headwater-console-{PORT}=\xe9",
        f'headwater-console-{PORT}="\\777"',
    ],
)
def test_cookies_of_other_servers_neither_hide_the_key_nor_are_it(others: str) -> None:
    own = f"headwater-console-{PORT}=secret"
    client = served(key="secret")

    for cookies in (f"{others}; {own}", f"{own}; {others}", f"{others};{own.replace('secret', '"secret"')}"):
        assert client.get("/", headers={b"cookie": cookies.encode("latin-1")}).text == "a page"
    assert client.get("/", headers={b"cookie": others.encode("latin-1")}).status_code == 403
    assert client.get("/", headers={b"cookie": f"{own}s; x{own}; {own}".encode()}).text == "a page"
    assert client.get("/", headers={b"cookie": f"{own}s; x{own}".encode()}).status_code == 403
