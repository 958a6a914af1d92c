"""What an application may declare, and what it is told of what it may not."""

import inspect
import sys
from dataclasses import replace
from types import ModuleType
from typing import ClassVar

import pytest

from arcade.app import APP
from headwater import bootstrap
from headwater.application import RESERVED_CONSUMERS, Application, Feature, function_of, load
from headwater.dead_letters.pointers import consumer_of
from headwater.declarations import DeclarationError
from headwater.domain.events import DomainEvent
from headwater.effects.effect import Effect, Prepare
from headwater.functions import consumers
from headwater.grants import Grant, read_histories
from headwater.projections.projection import Projection

HERE = r"tests/unit/test_application\.py"


class Placed(DomainEvent, frozen=True):
    aggregate_type: ClassVar[str] = "order"
    schema_version: ClassVar[int] = 1


class Paid(DomainEvent, frozen=True):
    aggregate_type: ClassVar[str] = "order"
    schema_version: ClassVar[int] = 1


def _nothing() -> Prepare:
    return lambda _: {}


def orders(name: str = "orders", *, ignores: tuple[type[DomainEvent], ...] = ()) -> Projection:
    return Projection(
        name=name, generation=1, initial={}, folds={Placed: lambda state, _, __: state}, ignores=list(ignores)
    )


def mail(name: str = "order_mail", *on: type[DomainEvent]) -> Effect:
    return Effect(name=name, about="Sends a mail", on=on or [Placed], prepare=_nothing)


def shop(*features: Feature) -> Application:
    return Application("shop", features)


def test_all_that_is_declared_is_known_by_its_name() -> None:
    app = shop(Feature("orders", events=[Placed], projections=[orders()]), Feature("mails", effects=[mail()]))

    assert (list(app.events), list(app.projections), list(app.effects)) == (["Placed"], ["orders"], ["order_mail"])


def test_two_events_of_one_name_are_refused() -> None:
    other = type("Placed", (DomainEvent,), {"__annotations__": {}, "__module__": __name__}, frozen=True)

    line = inspect.getsourcelines(Placed)[1]
    says = rf"^.*: there is another event Placed, at tests/unit/test_application.py:{line}: rename one$"
    for features in (
        [Feature("one", events=[Placed]), Feature("two", events=[other])],
        [Feature("one", events=[Placed, Placed])],
    ):
        with pytest.raises(DeclarationError, match=says):
            shop(*features)


@pytest.mark.parametrize("second", [orders("orders"), mail("orders")])
def test_two_consumers_of_one_name_are_refused(second: Projection | Effect) -> None:
    more = Feature("two", effects=[second]) if isinstance(second, Effect) else Feature("two", projections=[second])

    with pytest.raises(
        DeclarationError, match=rf"^{HERE}:\d+: there is another consumer orders, at {HERE}:\d+: rename one$"
    ):
        shop(Feature("one", events=[Placed], projections=[orders()]), more)


@pytest.mark.parametrize("name", ["fan_out", "redrive"])
def test_a_name_of_the_backbones_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match=rf"^{HERE}:\d+: {name} is a consumer of the backbone's"):
        shop(Feature("orders", events=[Placed], projections=[orders(name)]))


@pytest.mark.parametrize("name", ["top_10_games", "orders__by_day", "orders_", "summaries_of_orders"])
def test_a_name_that_its_function_could_not_tell_again_is_refused(name: str) -> None:
    says = rf"^{HERE}:\d+: the consumer's name '{name}' must be words"
    with pytest.raises(DeclarationError, match=says):
        shop(Feature("orders", events=[Placed], projections=[orders(name)]))
    with pytest.raises(DeclarationError, match=says):
        shop(Feature("orders", events=[Placed], effects=[mail(name)]))


@pytest.mark.parametrize("name", ["orders", "top10_games", "sixteen_letters_a"])
def test_a_function_tells_its_consumers_name_again(name: str) -> None:
    shop(Feature("orders", events=[Placed], projections=[orders(name)]))
    function = function_of(name)[:24]

    assert consumer_of(f"arn:aws:lambda:eu-west-1:1:function:stack-{function}-1A2B3C4D5E6F") == name


@pytest.mark.parametrize(
    "feature",
    [
        Feature("orders", events=[Placed], projections=[orders(ignores=(Paid,))]),
        Feature("orders", events=[Placed], effects=[mail("mail", Placed, Paid)]),
    ],
)
def test_an_event_that_no_feature_declares_is_refused(feature: Feature) -> None:
    with pytest.raises(DeclarationError, match=rf"^{HERE}:\d+: \w+ takes Paid, which no feature declares: add it to"):
        shop(feature)


def test_a_fifth_projection_reads_by_itself() -> None:
    four = [orders(f"orders{letter}") for letter in "abcd"]
    says = rf"^{HERE}:\d+: a shard serves no more than 4 projections that share its reads: give the newest one"
    with pytest.raises(DeclarationError, match=says):
        shop(Feature("orders", events=[Placed], projections=[*four, orders()]))

    shop(Feature("orders", events=[Placed], projections=[*four, replace(orders(), enhanced_fan_out=True)]))


@pytest.mark.parametrize(
    ("module", "says"),
    [("arcade.nowhere", "which is not there"), ("nowhere.app", "which is not there"), ("arcade", "must hold")],
)
def test_a_module_without_an_application_is_told(module: str, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        load(module)


def test_what_an_applications_module_lacks_is_told_as_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "shop_of_this_test":
                raise ModuleNotFoundError("No module named 'stripe'", name="stripe")

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match="stripe"):
        load("shop_of_this_test")


def test_the_application_is_what_the_module_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("shop_app")
    module.APP = shop()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop_app", module)

    assert load("shop_app") is module.APP
    assert load("arcade.app") is APP


def test_an_effect_acts_on_something() -> None:
    with pytest.raises(ValueError, match="acts on no event"):
        Effect(name="idle", about="Does nothing", on=[], prepare=_nothing)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"sid": "Read user"}, "letters and digits"),
        ({"actions": ["dynamodb:*"]}, "no wildcards"),
        ({"actions": ["Query"]}, "no wildcards"),
        ({"actions": []}, "names no action"),
        ({"resource": "*"}, "of the template"),
    ],
)
def test_a_grant_is_narrow(changed: dict[str, object], says: str) -> None:
    sound = {"sid": "ReadUser", "actions": ["dynamodb:Query"], "resource": "${EventsTable.Arn}"}

    with pytest.raises(ValueError, match=says):
        Grant(**(sound | changed))  # type: ignore[arg-type]


def test_an_error_names_the_line_of_the_declaration() -> None:
    with pytest.raises(DeclarationError) as error:
        Projection(name="orders", generation=1, initial={"pk": 1}, folds={})
    line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]

    assert str(error.value).startswith(f"tests/unit/test_application.py:{line}: projection orders: the runner keeps")


def test_histories_are_read_of_the_aggregates_that_are_named() -> None:
    assert list(read_histories("user", "order").leading_keys) == ["user#*", "order#*"]


def test_no_application_may_take_a_name_of_the_backbones_handlers() -> None:
    assert consumers._BACKBONE.keys() <= RESERVED_CONSUMERS


def test_a_handler_that_nobody_declares_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "application", shop)

    with pytest.raises(AttributeError, match="no consumer is called 'orders': neither the backbone nor"):
        consumers.orders  # noqa: B018  # asked as Lambda does
