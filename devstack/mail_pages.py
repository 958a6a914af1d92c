"""The e-mails that the emulator's SES accepted, as pages beside the API."""

from __future__ import annotations

import html
from typing import Final

from operations.mailbox import Mail, sent_mails

PATH: Final = "/_mails"
"""Where the local stack shows them. API Gateway has no such path: nothing of the application is hidden by it."""

type Page = tuple[int, list[tuple[str, str]], bytes]

_TEXT: Final = "text/plain; charset=utf-8"
_HTML: Final = "text/html; charset=utf-8"
_LIST: Final = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>E-mails</title>
    <style>
      body {{ margin: 2rem; font-family: system-ui, sans-serif; color: #1f2933; }}
      table {{ border-collapse: collapse; }}
      th, td {{ padding: .4rem 1rem .4rem 0; border-bottom: 1px solid #d9e2ec; text-align: left; }}
    </style>
  </head>
  <body>
    <h1>{count} e-mail(s), the newest first</h1>
    <table>
      <tr><th>to</th><th>subject</th><th></th><th></th></tr>
{rows}
    </table>
  </body>
</html>
"""
_ROW: Final = (
    '      <tr><td>{to}</td><td>{subject}</td><td><a href="{path}/{id}">HTML</a></td>'
    '<td><a href="{path}/{id}.txt">text</a></td></tr>'
)


def page(endpoint_url: str, path: str) -> Page:
    """Status, headers and body of the list (``/_mails``) or of one e-mail (``/_mails/<id>``, ``/_mails/<id>.txt``)."""
    mails = sent_mails(endpoint_url)
    wanted = path.removeprefix(PATH).strip("/")
    if not wanted:
        return _page(200, _HTML, _list(mails))
    for mail in mails:
        if wanted == mail.message_id:
            return _page(200, _HTML, mail.html)
        if wanted == f"{mail.message_id}.txt":
            head = f"From: {mail.sender}\nTo: {', '.join(mail.to)}\nSubject: {mail.subject}\n\n"
            return _page(200, _TEXT, head + mail.text)
    return _page(404, _TEXT, f"There is no e-mail {wanted}; {PATH} lists those that there are.\n")


def _list(mails: list[Mail]) -> str:
    rows = (
        _ROW.format(
            to=html.escape(", ".join(mail.to)), subject=html.escape(mail.subject), path=PATH, id=mail.message_id
        )
        for mail in reversed(mails)
    )
    return _LIST.format(count=len(mails), rows="\n".join(rows))


def _page(status: int, kind: str, text: str) -> Page:
    # What a user wrote is escaped when the e-mail is made; should it ever not be, no script of it runs here.
    policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    return status, [("content-type", kind), ("content-security-policy", policy)], text.encode()
