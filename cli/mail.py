"""`headwater mail`: what the local stack sent."""

from collections.abc import Callable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli import given
from operations.mailbox import Mail, sent_mails
from operations.output import as_json as json_text
from operations.output import counted, plain, shortened
from operations.target import Target


@click.group()
def mail() -> None:
    """Looks at the e-mails that the local stack sent."""


@mail.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_mails(target: Callable[[], Target], as_json: bool) -> None:
    """Lists the e-mails, oldest first."""
    mails = _mails(target())
    if as_json:
        for each in mails:
            click.echo(json_text({"id": each.message_id, "to": each.to, "subject": each.subject}))
        return
    ids = shortened(each.message_id for each in mails)
    table = Table(title=counted(len(mails), "e-mail"), title_justify="left")
    table.add_column("id", no_wrap=True, min_width=max(map(len, ids.values()), default=0))
    for column in ("to", "subject"):
        table.add_column(column, overflow="fold")
    for each in mails:
        table.add_row(ids[each.message_id], Text(plain(", ".join(each.to))), Text(plain(each.subject)))
    Console().print(table)


@mail.command()
@click.argument("message_id", callback=given.stated)
@click.option("--html", "as_html", is_flag=True, help="The HTML instead of the text.")
@click.pass_obj
def show(target: Callable[[], Target], message_id: str, as_html: bool) -> None:
    """Prints the e-mail with MESSAGE_ID, or with an id that begins so."""
    found = [each for each in _mails(target()) if each.message_id.startswith(message_id)]
    if len(found) != 1:
        raise click.ClickException(
            f"{len(found) or 'no'} e-mails have an id like {message_id}: see 'headwater mail list'"
        )
    click.echo(found[0].html if as_html else found[0].text)


def _mails(target: Target) -> Sequence[Mail]:
    if target.endpoint_url is None:
        raise click.ClickException("SES keeps no copy of what it sent: only the local stack's e-mails can be looked at")
    return sent_mails(target.endpoint_url)
