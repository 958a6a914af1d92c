"""What publishers share: cutting requests and sending again."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headwater.failures import FailureKind
from headwater.sending import RetryPolicy, SendError, send_with_retries, split

BUSY = SendError("busy", FailureKind.TRANSIENT, again=True)


@given(
    sizes=st.lists(st.integers(min_value=1, max_value=50), max_size=60),
    count=st.integers(min_value=1, max_value=10),
    size=st.integers(min_value=50, max_value=120),
)
def test_requests_hold_everything_once_in_order_and_within_both_limits(sizes: list[int], count: int, size: int) -> None:
    requests = list(split(range(len(sizes)), dict(enumerate(sizes)), count, size))

    assert [position for request in requests for position in request] == list(range(len(sizes)))
    assert all(len(request) <= count and sum(sizes[position] for position in request) <= size for request in requests)
    # Greedy, so no request could have taken the first entry of the next.
    for request, following in pairwise(requests):
        assert len(request) == count or sum(sizes[position] for position in [*request, following[0]]) > size


def test_pauses_grow_up_to_a_cap_and_are_drawn_at_random() -> None:
    pauses: list[float] = []
    policy = RetryPolicy(attempts=6, base_seconds=0.1, cap_seconds=1.0, sleep=pauses.append)

    send_with_retries([0], lambda _: {0: BUSY}, policy)

    assert len(pauses) == 5
    assert all(0 <= pause <= ceiling for pause, ceiling in zip(pauses, [0.2, 0.4, 0.8, 1.0, 1.0], strict=True))


def test_a_permanent_refusal_is_kept_while_others_are_sent_again() -> None:
    rounds: list[list[int]] = []

    def send(positions: Sequence[int]) -> Mapping[int, SendError]:
        rounds.append(list(positions))
        return {0: SendError("no", FailureKind.REFUSED), 2: BUSY} if 0 in positions else {}

    refused = send_with_retries([0, 1, 2], send, RetryPolicy(sleep=lambda _: None))

    assert rounds == [[0, 1, 2], [2]]
    assert sorted(refused) == [0]
    assert refused[0].kind is FailureKind.REFUSED
