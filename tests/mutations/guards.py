"""The guards, each with what stands in its place once it is taken away, and the tests that must notice.

A later feature adds its guards here. ``guard`` is source text that stands exactly once in its module; a test holds it
to that, so that a refactoring cannot quietly disarm a mutation.
"""

from dataclasses import dataclass

#: Runs of the whole graph under faults; the strongest witness, and the slowest.
SIMULATION = "tests/simulation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """``rule`` is the delivery rule of docs/architecture.md, or the contract, that the guard holds."""

    name: str
    rule: str
    module: str
    guard: str
    without: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        name="version-gate",
        rule="1, version gate: a lower version is a duplicate",
        module="headwater.projections.runner",
        guard="        applied = folded.applied.get(inbox.gate, 0)\n        deliveries = inbox.deliveries\n",
        without="        applied = min(inbox.deliveries) - 1\n        deliveries = inbox.deliveries\n",
        tests=("tests/unit/projections", SIMULATION),
    ),
    Mutation(
        name="gap-healing",
        rule="1, version gate: a gap is read from the event store",
        module="headwater.projections.runner",
        guard="missing, broken = self._load(inbox.aggregate_id, applied)",
        without="missing: Sequence[RecordedEvent] = []",
        tests=("tests/unit/projections", SIMULATION),
    ),
    Mutation(
        name="gap-refused",
        rule="1, version gate: a gap that stays is retried, never skipped",
        module="headwater.projections.runner",
        guard="                    raise broken or GapError(\n",
        without="                    applied = min(v for v in deliveries if v > applied) - 1\n"
        "                    continue\n                    raise broken or GapError(\n",
        tests=("tests/unit/projections",),
    ),
    Mutation(
        name="gate-moves-with-effect",
        rule="1 and 2: gate and effect in one conditional write",
        module="headwater.projections.dynamodb",
        guard='            request["ConditionExpression"] = "revision = :read"\n',
        without='            request["ConditionExpression"] = "revision >= :read OR revision < :read"\n',
        tests=("tests/contract/test_read_models.py", SIMULATION),
    ),
    Mutation(
        name="mark-holds-back",
        rule="6, parking: later events of a parked aggregate never overtake it",
        module="headwater.projections.runner",
        guard="            if inbox.gate in row.parked_from and not inbox.redriven:\n",
        without="            if False:\n",
        tests=("tests/unit/projections/test_parking.py",),
    ),
    Mutation(
        name="park-before-acknowledge",
        rule="6, parking: nothing is acknowledged or marked that is not on the queue",
        module="headwater.projections.runner",
        guard="                if failed is not None:\n",
        without="                if False:\n",
        tests=("tests/unit/projections/test_parking.py",),
    ),
    Mutation(
        name="redrive-reads-on",
        rule="6, parking: what was acknowledged while the mark stood is applied by the redrive that clears it",
        module="headwater.projections.runner",
        guard="                if not folded.full and not redriven:\n",
        without="                if not folded.full:\n",
        tests=("tests/unit/projections/test_parking.py",),
    ),
    Mutation(
        name="poison-is-parked-not-retried",
        rule="6, parking: what no other try can help is parked at once, so that its neighbours flow",
        module="headwater.projections.runner",
        guard="            except PERMANENT as error:\n                if inbox.redriven:\n",
        without="            except ZeroDivisionError as error:\n                if inbox.redriven:\n",
        tests=("tests/simulation/test_poison.py",),
    ),
    Mutation(
        name="redrive-reports-what-it-did-not-reach",
        rule="6, parking: a redrive that stops below what it was given takes nothing off",
        module="headwater.projections.runner",
        guard="        if broken and inbox.redriven:\n            raise broken\n",
        without="",
        tests=("tests/unit/projections/test_parking.py",),
    ),
    Mutation(
        name="discard-gives-up-one-event",
        rule="6, parking: a discard passes over the event at which the aggregate stands, and over no other",
        module="headwater.projections.runner",
        guard="            if inbox.given_up and folded.applied.get(inbox.gate, 0) + 1 == inbox.given_up:\n"
        "                folded.applied[inbox.gate] = inbox.given_up\n",
        without="            if inbox.given_up and inbox.gate in row.parked_from:\n"
        "                folded.applied[inbox.gate] = row.parked_from[inbox.gate]\n",
        tests=("tests/unit/projections/test_parking.py",),
    ),
    Mutation(
        name="archive-without-holes",
        rule="a pointer is let go only once all its records are parked",
        module="headwater.archive.lookup",
        guard="        self._demand_no_holes(pointer)\n",
        without="",
        tests=("tests/unit/archive/test_lookup.py",),
    ),
    Mutation(
        name="discard-never-sets-a-gate-back",
        rule="1, version gate: what a discard has passed over and gone beyond is not folded again",
        module="headwater.projections.runner",
        guard="            if inbox.given_up and folded.applied.get(inbox.gate, 0) + 1 == inbox.given_up:\n",
        without="            if inbox.given_up and row.parked_from.get(inbox.gate) == inbox.given_up:\n",
        tests=("tests/unit/projections/test_leaderboard.py",),
    ),
    Mutation(
        name="discard-applies-what-it-can",
        rule="6, parking: an event that can be applied by now is not given up",
        module="headwater.projections.runner",
        guard="        outcome = self._process(records, marked, [])\n",
        without="        outcome = BatchOutcome(len(records))\n",
        tests=("tests/unit/projections/test_parking.py",),
    ),
    Mutation(
        name="ignored-events-stop-no-award",
        rule="badges: an event that the fold ignores is not read",
        module="headwater.badges.awarder",
        guard="            if event.type == PlayCompleted.__name__:\n",
        without="            if isinstance(event.payload, PlayCompleted):\n",
        tests=("tests/unit/badges", "tests/simulation/test_poison.py"),
    ),
    Mutation(
        name="many-aggregates-many-gates",
        rule="1, version gate: one for each source aggregate",
        module="headwater.projections.projection",
        guard="        return aggregate_id if aggregate_type in self.many else aggregate_type\n",
        without="        return aggregate_type\n",
        tests=("tests/unit/projections",),
    ),
    Mutation(
        name="parts-move-with-their-checkpoint",
        rule="1: when one aggregate changes several rows, a checkpoint row moves with them in one transaction",
        module="headwater.projections.dynamodb",
        guard="                self._put_all(row, [request, "
        '*({"TableName": self._table, "Item": _item(part)} for part in parts)])\n',
        without="                for part in parts:\n"
        "                    self._client.put_item(TableName=self._table, Item=_item(part))\n"
        "                self._client.put_item(**request)\n",
        tests=("tests/contract/test_read_models.py",),
    ),
    Mutation(
        name="transactions-stay-within-their-limit",
        rule="10: service limits; a batch of more rows than a transaction takes is split",
        module="headwater.projections.runner",
        guard="            if self._projection.part and self._overflows(before, state):\n",
        without="            if not self._most_parts and self._overflows(before, state):\n",
        tests=("tests/unit/projections",),
    ),
    Mutation(
        name="tombstones-leave-the-index",
        rule="read models: a deleted player is on no leaderboard",
        module="headwater.projections.projection",
        guard="        return changed | {part: None for part in old if part not in new}\n",
        without="        return changed\n",
        tests=("tests/unit/projections",),
    ),
    Mutation(
        name="tombstone-is-final",
        rule="read models: a late event does not bring a deleted row back",
        module="headwater.projections.projection",
        guard="        if state is None or evolve is None:\n            return None\n",
        without="        if evolve is None:\n            return None\n"
        "        if state is None:\n            state = dict(self.initial)\n",
        tests=("tests/unit/projections", SIMULATION),
    ),
    Mutation(
        name="held-back-records-fail",
        rule="3: past an aggregate's first failure nothing is acknowledged",
        module="headwater.projections.runner",
        guard="        above = self.above(applied)\n",
        without="        above = self.above(applied)[-1:]\n",
        tests=("tests/unit/projections", SIMULATION),
    ),
    Mutation(
        name="unreadable-record-stops-its-aggregate",
        rule="3: stop at the first failure of an aggregate",
        module="headwater.fan_out.fan_out",
        guard="                if event and event.aggregate_id in stopped:\n",
        without="                if event and event.aggregate_id == stopped:\n",
        tests=("tests/unit/fan_out",),
    ),
    Mutation(
        name="lowest-sequence-number",
        rule="3: the lowest failed sequence number is reported, as a number and not as text",
        module="headwater.change_stream.batch",
        guard="        lowest = min((failure.identifier for failure in self.failures), key=int)\n",
        without="        lowest = max((failure.identifier for failure in self.failures), key=int)\n",
        tests=("tests/unit/change_stream", SIMULATION),
    ),
    Mutation(
        name="failed-records-are-seen",
        rule="4, no answer is ignored: PutRecords' failed records",
        module="headwater.fan_out.kinesis",
        guard='            if result.get("ErrorCode")\n',
        without="            if result is None\n",
        tests=("tests/unit/fan_out", SIMULATION),
    ),
    Mutation(
        name="a-keys-records-are-resent-in-order",
        rule="4: from a key's first failed record on, its records are sent again",
        module="headwater.fan_out.kinesis",
        guard="                if aggregate_id in stopped:\n"
        "                    refused[position] = stopped[aggregate_id]\n"
        "        return refused\n",
        without="                if position in errors:\n"
        "                    refused[position] = stopped[aggregate_id]\n"
        "        return refused\n",
        tests=("tests/unit/fan_out",),
    ),
    Mutation(
        name="failed-entries-are-seen",
        rule="4, no answer is ignored: PublishBatch's and SendMessageBatch's Failed",
        module="headwater.sending",
        guard="        if position in failed:\n",
        without="        if position in failed and False:\n",
        tests=("tests/unit/fan_out",),
    ),
    Mutation(
        name="missing-entries-are-seen",
        rule="4, no answer is ignored: an entry in neither list of PublishBatch or SendMessageBatch",
        module="headwater.sending",
        guard="        elif position not in taken:\n",
        without="        elif position is None:\n",
        tests=("tests/unit/fan_out",),
    ),
    Mutation(
        name="unprocessed-keys-are-read",
        rule="4, no answer is ignored: UnprocessedKeys",
        module="headwater.batch_get",
        guard="            left = unread\n",
        without="            left = ()\n",
        tests=("tests/unit/projections", SIMULATION),
    ),
    Mutation(
        name="archive-name-by-first-record",
        rule="archive: the name depends only on the first record",
        module="headwater.archive.archiver",
        guard="                _part(parts, days[0], lines[0]).add(some, lines)\n",
        without="                _part(parts, days[0], lines[-1]).add(some, lines)\n",
        tests=("tests/unit/archive",),
    ),
    Mutation(
        name="archive-never-overwrites",
        rule="archive: PUT carries If-None-Match",
        module="headwater.archive.objects",
        guard='IfNoneMatch="*", ',
        without="",
        tests=("tests/contract/test_archive_objects.py", SIMULATION),
    ),
    Mutation(
        name="archive-keeps-what-an-object-lacks",
        rule="archive: records that the stored object lacks go under the longer name",
        module="headwater.archive.archiver",
        guard=" if _identity(line := envelope.line(record))[0] not in stored]\n",
        without=" if _identity(line := envelope.line(record))[0] == ()]\n",
        tests=("tests/unit/archive", SIMULATION),
    ),
    Mutation(
        name="effect-ledger",
        rule="5, effects are keyed by event id: a claim is exclusive",
        module="headwater.effects.dynamodb",
        guard='        condition = "attribute_not_exists(pk)"\n',
        without='        condition = "attribute_exists(pk) OR attribute_not_exists(pk)"\n',
        tests=("tests/contract/test_effect_ledger.py", SIMULATION),
    ),
    Mutation(
        name="effect-is-confirmed",
        rule="5: an effect is confirmed after it happened",
        module="headwater.effects.consumer",
        guard="            self._ledger.confirm(claim)\n",
        without="            self._ledger.release(claim)\n",
        tests=("tests/unit/effects", SIMULATION),
    ),
    Mutation(
        name="refused-effects-end",
        rule="5: what is refused for good is settled, and not asked for again",
        module="headwater.effects.consumer",
        guard="            self._ledger.confirm(claim, refused=True)\n",
        without="            self._ledger.release(claim)\n",
        tests=("tests/unit/effects",),
    ),
    Mutation(
        name="effects-are-claimed-each-on-its-own",
        rule="5: an effect that happened is not repeated for another one of its event that did not",
        module="headwater.effects.consumer",
        guard='        effect_id = f"{event.event_id}#{name}" if name else event.event_id\n',
        without="        effect_id = event.event_id\n",
        tests=("tests/unit/notifications", SIMULATION),
    ),
    Mutation(
        name="removed-preferences-keep-their-key",
        rule="a deleted user's record is not made again by a registration that comes late",
        module="headwater.accounts.preferences",
        guard='        self._items.put({"pk": _pk(user_id)})\n',
        without="        self._items.remove(_pk(user_id))\n",
        tests=("tests/unit/accounts", SIMULATION),
    ),
    Mutation(
        name="fan-out-reads-data",
        rule="6, poison: what nobody could read is judged once, by fan_out, and not published",
        module="headwater.change_stream.cloud_events",
        guard="    types.reader(*attributes).read(data, event_id)\n",
        without="    types.reader(*attributes)\n",
        tests=("tests/unit/test_event_codec.py",),
    ),
    Mutation(
        name="moments-are-read",
        rule="events: a played_at that is no moment is refused at reading, not by everybody's leaderboard",
        module="headwater.domain.events",
        guard="            if not is_moment(getattr(payload, name)):\n",
        without="            if not getattr(payload, name):\n",
        tests=("tests/unit/test_event_codec.py",),
    ),
    Mutation(
        name="no-moment-breaks-a-ranking",
        rule="events: a moment holds no #, at which the leaderboard's index is split",
        module="headwater.domain.constraints",
        guard='    if "#" in value or not value.isascii():\n',
        without="    if not value.isascii():\n",
        tests=("tests/unit/test_event_codec.py",),
    ),
    Mutation(
        name="events-belong-to-their-aggregates",
        rule="events: an event's type and its aggregate's agree",
        module="headwater.domain.events",
        guard="        if aggregate_type != reader.aggregate_type:\n",
        without="        if not reader.aggregate_type:\n",
        tests=("tests/unit/change_stream/test_cloud_events.py", "tests/contract/test_event_store.py"),
    ),
    Mutation(
        name="append-demands-limits",
        rule="event item: nothing is appended that is beyond the limits of its type or of a destination",
        module="headwater.event_store.codec",
        guard="    if not derived:\n        demand_limits(read)\n",
        without="",
        tests=("tests/contract/test_event_store.py",),
    ),
    Mutation(
        name="append-reads-what-it-writes",
        rule="event item: what an append takes, every reader can read",
        module="headwater.event_store.codec",
        guard="    read = decode(item, types)\n",
        without="    read = event\n",
        tests=("tests/contract/test_event_store.py",),
    ),
    Mutation(
        name="awards-of-older-plays",
        rule="events that today's consumers apply stay readable: a play beyond today's limits earns its badges",
        module="headwater.badges.awarder",
        guard=", derived=True",
        without="",
        tests=("tests/unit/test_every_reader.py",),
    ),
    Mutation(
        name="limits-bind-appends-alone",
        rule="events that today's consumers apply stay readable: limits do not bind reading",
        module="headwater.domain.events",
        guard="        return payload\n\n\nEVENT_TYPES",
        without="        if list(problems(payload)):\n            raise MalformedEventError(event_id)\n"
        "        return payload\n\n\nEVENT_TYPES",
        tests=("tests/unit/test_every_reader.py",),
    ),
    Mutation(
        name="names-can-be-seen",
        rule="HTTP API: a name of nothing visible is refused",
        module="headwater.domain.events",
        guard="rules=(single_line, visible)",
        without="rules=(single_line,)",
        tests=("tests/unit/http/test_http_api.py",),
    ),
    Mutation(
        name="a-newer-event-ends-a-history",
        rule="1, version gate: what newer code wrote is not skipped, nor does it break what can be loaded before it",
        module="headwater.event_store.dynamodb",
        guard="            except (MalformedEventError, UnknownEventError) as error:\n",
        without="            except MalformedEventError as error:\n",
        tests=("tests/contract/test_event_store.py",),
    ),
    Mutation(
        name="append-condition",
        rule="event item: an append demands that its version is free",
        module="headwater.event_store.dynamodb",
        guard='            "Item": item,\n            "ConditionExpression": "attribute_not_exists(aggregate_id)",\n',
        without='            "Item": item,\n',
        tests=("tests/contract/test_event_store.py", SIMULATION),
    ),
    Mutation(
        name="own-append-is-recognised",
        rule="event item: an append whose answer was lost succeeds when tried again",
        module="headwater.event_store.dynamodb",
        guard="            if stored[0].event_id == append.events[0].event_id:\n                return True\n",
        without="",
        tests=("tests/contract/test_event_store.py",),
    ),
    Mutation(
        name="request-ledger",
        rule="HTTP API: a POST repeated under its Idempotency-Key acts once",
        module="headwater.accounts.use_cases",
        guard="also=[*([remembered] if remembered else []), *also]",
        without="also=[*also]",
        tests=("tests/unit/accounts", SIMULATION),
    ),
    Mutation(
        name="award-before-progress",
        rule="badges: the award is appended first, then the progress row moves",
        module="headwater.projections.runner",
        guard="            if self._before_write and folded.events:\n"
        "                self._before_write("
        "RowChange(key=key, before=row.state, after=folded.state, events=folded.events))\n"
        "            moved = self._next_row(key, row, folded)\n"
        "            try:\n"
        "                self._rows.put(moved, self._parts(key, row, moved) if self._projection.part else ())\n",
        without="            moved = self._next_row(key, row, folded)\n"
        "            try:\n"
        "                self._rows.put(moved, self._parts(key, row, moved) if self._projection.part else ())\n"
        "                if self._before_write:\n"
        "                    self._before_write(\n"
        "                        RowChange(key=key, before=row.state, after=folded.state, events=folded.events)\n"
        "                    )\n",
        tests=("tests/unit/badges", SIMULATION),
    ),
    Mutation(
        name="expiry-is-no-deletion",
        rule="6: TTL removals are expiries, not deletions by a person",
        module="headwater.change_stream.dynamodb",
        guard="    return Operation.EXPIRE if operation is Operation.REMOVE and by_ttl else operation\n",
        without="    return operation if by_ttl else operation\n",
        tests=("tests/unit/change_stream", "tests/unit/fan_out"),
    ),
    Mutation(
        name="only-inserts-are-fanned-out",
        rule="event item: a MODIFY is an incident, not an event",
        module="headwater.fan_out.fan_out",
        guard="            case Operation.INSERT:\n",
        without="            case Operation.INSERT | Operation.MODIFY:\n",
        tests=("tests/unit/fan_out",),
    ),
    Mutation(
        name="unknown-identifier-fails-the-batch",
        rule="mapping: an identifier that is not in the batch fails all of it",
        module="devstack.event_source_mapping",
        guard="        if position is None:\n            return None\n",
        without="        if position is None:\n            continue\n",
        tests=("tests/unit/devstack/test_event_source_mapping.py",),
    ),
    Mutation(
        name="checkpoint-waits-for-every-record",
        rule="mapping: the checkpoint never passes a record that is not settled",
        module="devstack.event_source_mapping",
        guard="        settled = min(unsettled, default=end) - self._first_unsettled\n",
        without="        settled = max(unsettled, default=end) - self._first_unsettled\n",
        tests=("tests/unit/devstack/test_event_source_mapping.py",),
    ),
    Mutation(
        name="failed-batch-to-its-end",
        rule="dead letters: a range that a shard does not give whole is not parked in part",
        module="headwater.dead_letters.shards",
        guard='        raise RecordsGoneError(f"{pointer.shard_id} ends before {pointer.last}")\n',
        without="        return\n",
        tests=("tests/unit/dead_letters",),
    ),
    Mutation(
        name="failed-batch-from-its-beginning",
        rule="dead letters: a shard that goes on with its oldest record has forgotten the batch's first",
        module="headwater.dead_letters.shards",
        guard="            if reached is None and number(page[0]) != pointer.first:\n",
        without="            if False:\n",
        tests=("tests/unit/dead_letters", "tests/contract/test_shards.py"),
    ),
    Mutation(
        name="filter-applied-again",
        rule="dead letters: what the mapping's filter had dropped is dropped again",
        module="headwater.dead_letters.resolver",
        guard="            if criteria is not None:\n",
        without="            if False:\n",
        tests=("tests/unit/dead_letters",),
    ),
    Mutation(
        name="applied-is-not-parked",
        rule="dead letters: what the consumer's gates hold is left out",
        module="headwater.dead_letters.resolver",
        guard="            if gates is not None:\n",
        without="            if False:\n",
        tests=("tests/unit/dead_letters",),
    ),
    Mutation(
        name="unknown-shape-is-kept",
        rule="dead letters: a message that nobody knows is kept before it is done",
        module="headwater.dead_letters.resolver",
        guard="            self._unresolved.keep(body, str(error))\n",
        without="",
        tests=("tests/unit/dead_letters",),
    ),
    Mutation(
        name="archive-holds-the-whole-batch",
        rule="dead letters: fewer records than the batch had are not all of them",
        module="headwater.archive.lookup",
        guard="        if found < pointer.records:\n",
        without="        if False:\n",
        tests=("tests/unit/archive/test_lookup.py",),
    ),
    Mutation(
        name="the-first-ending-counts",
        rule="an application that was decided is not decided again, and whoever comes late is told so",
        module="headwater.applications.process",
        guard="        if not self._process.answer(token, ending) and "
        "(status := self._open(application_id, ending)) is not None:\n"
        "            raise ApplicationNotReadyError(status, answered=True)\n",
        without="        self._process.answer(token, ending)\n",
        tests=("tests/unit/applications",),
    ),
    Mutation(
        name="one-run-a-day",
        rule="the archive: no two runs compact a day at once, which would mix their objects",
        module="headwater.archive.day_claims",
        guard='        if claim and claim["run"] != run and claim["until"] > timestamp(now):\n',
        without='        if claim and claim["run"] == "":\n',
        tests=("tests/unit/archive/test_compaction.py",),
    ),
    Mutation(
        name="each-batch-to-its-source",
        rule="the archive: what comes from the applications' table is not archived as events",
        module="headwater.archive.sources",
        guard="        return self._by_table.get(table, self._otherwise).archive(records)\n",
        without="        return (self._otherwise if table else self._otherwise).archive(records)\n",
        tests=("tests/unit/archive/test_sources.py",),
    ),
    Mutation(
        name="each-record-has-its-element",
        rule="a Pipe's target takes a whole batch or none",
        module="headwater.applications.elements",
        guard="    if [element.position for element in elements] != list(range(expected)):\n",
        without="    if expected < 0:\n",
        tests=("tests/unit/applications", SIMULATION),
    ),
    Mutation(
        name="refused-messages-are-named",
        rule="4, no answer is ignored: SendMessageBatch's Failed, told to the Pipe",
        module="headwater.applications.target",
        guard="        failures = [Failure(told[position].event_id, error) for position, error in refused.items()]\n",
        without="        failures = [Failure(told[position].event_id, error) for position, error in {}.items()]\n",
        tests=("tests/unit/applications", SIMULATION),
    ),
    Mutation(
        name="what-cannot-be-told-is-parked",
        rule="6: what no retry helps is parked with its reason",
        module="headwater.applications.target",
        guard="                    self._parking.park(element)\n",
        without="                    pass\n",
        tests=("tests/unit/applications", SIMULATION),
    ),
    Mutation(
        name="a-known-action-is-not-tracked-again",
        rule="5: a message that comes twice counts once",
        module="headwater.domain.tracking",
        guard="    if any(earlier.action_id == step.action_id for earlier in known.history):\n",
        without="    if any(earlier is step for earlier in known.history):\n",
        tests=("tests/unit/domain/test_tracking.py", SIMULATION),
    ),
    Mutation(
        name="history-goes-by-time",
        rule="a queue promises no order: the history is sorted by the actions' times",
        module="headwater.domain.tracking",
        guard="    return replace(known, history=tuple(sorted((*known.history, step), key=lambda each: each.place)))\n",
        without="    return replace(known, history=(*known.history, step))\n",
        tests=("tests/unit/domain/test_tracking.py", SIMULATION),
    ),
    Mutation(
        name="tracked-over-what-was-read",
        rule="2: fold, then write once, under the condition that nobody else wrote",
        module="headwater.tracking.dynamodb",
        guard='            request["ConditionExpression"] = "revision = :read"\n',
        without='            request["ConditionExpression"] = "revision >= :read OR revision < :read"\n',
        tests=("tests/contract/test_tracking_store.py", SIMULATION),
    ),
)
