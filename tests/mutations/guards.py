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
        module="headwater.projections.folding",
        guard="        applied = folded.applied.get(inbox.gate, 0)\n"
        "        deliveries, reads_on = inbox.deliveries, inbox.reads_on\n",
        without="        applied = min(inbox.deliveries, default=1) - 1\n"
        "        deliveries, reads_on = inbox.deliveries, inbox.reads_on\n",
        tests=("tests/unit/projections", SIMULATION),
    ),
    Mutation(
        name="gap-healing",
        rule="1, version gate: a gap is read from the event store",
        module="headwater.projections.folding",
        guard="stored, whole = self._history.missing(inbox.aggregate_id, applied, arrived)",
        without="stored, whole = dict[int, Delivery](), True",
        tests=("tests/unit/projections", SIMULATION),
    ),
    Mutation(
        name="gap-refused",
        rule="1, version gate: a gap that stays is parked, never skipped",
        module="headwater.projections.folding",
        guard="            if applied + 1 not in deliveries:\n",
        without="            applied = min((v for v in deliveries if v > applied), default=applied + 1) - 1\n"
        "            if applied + 1 not in deliveries:\n",
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
        module="headwater.projections.folding",
        guard="    return inbox.gate in row.parked_from or (\n",
        without="    return (\n",
        tests=("tests/unit/projections/test_parking.py",),
    ),
    Mutation(
        name="park-before-acknowledge",
        rule="6, parking: nothing is acknowledged or marked that is not on the queue",
        module="headwater.projections.runner",
        guard="        except Exception as error:  # noqa: BLE001"
        "  # the queue's trouble, or the table's, and this aggregate's alone\n"
        "            return inbox.failures(stop.applied, error)\n",
        without="        except Exception:  # noqa: BLE001\n            pass\n",
        tests=("tests/unit/projections/test_parking.py",),
    ),
    Mutation(
        name="redrive-reads-on",
        rule="6, parking: what was acknowledged while the mark stood is applied by the redrive that clears it",
        module="headwater.projections.settling",
        guard="                if not folded.full and "
        "not any(inbox.redriven or inbox.reads_on for inbox in inboxes):\n",
        without="                if not folded.full:\n",
        tests=("tests/unit/projections/test_parking.py",),
    ),
    Mutation(
        name="poison-is-parked-not-retried",
        rule="6, parking: what no other try can help is parked at once, so that its neighbours flow",
        module="headwater.projections.runner",
        guard="        if stop.inbox.aggregate_id in verdicts.park:\n",
        without="        if None in verdicts.park:\n",
        tests=("tests/simulation/test_poison.py",),
    ),
    Mutation(
        name="redrive-reports-what-it-did-not-reach",
        rule="6, parking: a redrive that the store stops takes no mark away",
        module="headwater.projections.folding",
        guard="            deliveries, reads_on = {**deliveries, **stored}, not whole\n",
        without="            deliveries, reads_on = {**deliveries, **stored}, False\n",
        tests=("tests/unit/projections/test_parking.py",),
    ),
    Mutation(
        name="discard-gives-up-one-event",
        rule="6, parking: a discard passes over the event at which the aggregate stands, and over no other",
        module="headwater.projections.folding",
        guard="            if inbox.given_up and folded.applied.get(inbox.gate, 0) + 1 == inbox.given_up:\n"
        "                folded.applied[inbox.gate] = inbox.given_up\n",
        without="            if inbox.given_up and folded.applied.get(inbox.gate, 0) + 1 == inbox.given_up:\n"
        "                folded.applied[inbox.gate] = inbox.given_up + 1\n",
        tests=("tests/unit/projections/test_parking.py",),
    ),
    Mutation(
        name="gap-is-proven",
        rule="1, version gate: a plain query that lacks a version proves nothing",
        module="headwater.projections.history",
        guard="            if needed not in self._events.present(aggregate_id, {needed, above}):\n",
        without="            if above:\n",
        tests=("tests/unit/projections/test_waiting.py",),
    ),
    Mutation(
        name="unreadable-version-has-one-dead-letter",
        rule="6, parking: what fan_out has judged is not parked by each reader",
        module="headwater.projections.history",
        guard="            if broken and (proven or broken.version == needed):\n"
        "                raise UnreadableVersionError(str(broken)) from broken\n",
        without="            if broken and (proven or broken.version == needed):\n                raise broken\n",
        tests=("tests/unit/projections/test_waiting.py",),
    ),
    Mutation(
        name="waiting-heals-by-itself",
        rule="1, version gate: a gate that waits for a version goes on when that arrives",
        module="headwater.projections.folding",
        guard="row.waits_for[inbox.gate] not in inbox.deliveries\n",
        without="inbox.deliveries is not None\n",
        tests=("tests/unit/projections/test_waiting.py",),
    ),
    Mutation(
        name="healing-reads-on",
        rule="1, version gate: what was acknowledged above a mark comes from the event store",
        module="headwater.projections.folding",
        guard="            inbox.reads_on = inbox.reads_on or inbox.gate in row.waits_for\n",
        without="",
        tests=("tests/unit/projections/test_waiting.py",),
    ),
    Mutation(
        name="healing-that-stops-comes-again",
        rule="1, version gate: a healing that is interrupted is not acknowledged",
        module="headwater.projections.inbox",
        guard="        if self.redriven or self.reads_on:\n",
        without="        if self.redriven:\n",
        tests=("tests/unit/projections/test_waiting.py",),
    ),
    Mutation(
        name="marks-yield-to-whoever-moved-on",
        rule="6, parking: a gate that has moved on meanwhile gets no mark below it",
        module="headwater.projections.settling",
        guard="        while row.applied.get(inbox.gate, 0) == applied:\n",
        without="        while True:\n",
        tests=("tests/unit/projections/test_waiting.py",),
    ),
    Mutation(
        name="passing-over-one-version",
        rule="6, parking: fan_out's discard passes over its own version, and over no other",
        module="headwater.projections.runner",
        guard="passed = bool(stops) and stops[0].version == version and",
        without="passed = bool(stops) and",
        tests=("tests/unit/projections/test_waiting.py",),
    ),
    Mutation(
        name="refused-writes-are-narrowed-down",
        rule="6, parking: of a write that is refused, the event at fault is found",
        module="headwater.projections.settling",
        guard="            if cause and (refused <= 1 or kind_of(cause) in BLAMELESS):\n",
        without="            if cause:\n",
        tests=("tests/unit/projections/test_blame.py",),
    ),
    Mutation(
        name="neighbours-of-a-refused-write-are-tried-alone",
        rule="6, parking: aggregates that share a row with poison are applied",
        module="headwater.projections.settling",
        guard="            row, events = error.row, error.events\n            if len(inboxes) == 1:\n",
        without="            row, events = error.row, error.events\n            if inboxes:\n",
        tests=("tests/unit/projections/test_blame.py",),
    ),
    Mutation(
        name="unforeseen-errors-are-set-aside",
        rule="6, parking: what nobody foresaw holds a shard up for thirty seconds at the most",
        module="headwater.projections.runner",
        guard="        elif stop.inbox.aggregate_id in verdicts.set_aside:\n",
        without="        elif None in verdicts.set_aside:\n",
        tests=("tests/unit/projections/test_blame.py",),
    ),
    Mutation(
        name="one-read-survives-an-item-that-is-no-row",
        rule="3: what cannot be read stops its own aggregates alone",
        module="headwater.projections.runner",
        guard="        except UnreadableRowsError as error:\n            return error.rows,",
        without="        except ZeroDivisionError as error:\n            return error.rows,",
        tests=("tests/unit/projections/test_blame.py",),
    ),
    Mutation(
        name="rows-keep-to-their-limit",
        rule="10: a row leaves room in its item for its marks",
        module="headwater.projections.dynamodb",
        guard="    if len(str(marshalled)) * 4 > limits.row_bytes and ",
        without="    if not marshalled and ",
        tests=("tests/unit/projections/test_blame.py", "tests/contract/test_read_models.py"),
    ),
    Mutation(
        name="keys-are-measured-in-bytes",
        rule="10: a key holds so many bytes, not characters",
        module="headwater.projections.dynamodb",
        guard="        return 0 < len(text.encode()) <= limit\n",
        without="        return 0 < len(text) <= limit\n",
        tests=("tests/contract/test_read_models.py",),
    ),
    Mutation(
        name="boards-survive-a-row-that-cannot-be-read",
        rule="read models: everybody else is answered",
        module="headwater.projections.leaderboard",
        guard="            return Standing.parse(row.ranked_by)\n        except ValueError:\n",
        without="            return Standing.parse(row.ranked_by)\n        except ZeroDivisionError:\n",
        tests=("tests/unit/projections/test_leaderboard.py",),
    ),
    Mutation(
        name="gates-respect-marks",
        rule="dead letters: what lies above a mark is not parked by the resolver",
        module="headwater.projections.gates",
        guard="        mark = row.parked_from.get(gate) or row.waits_for.get(gate) or event.version\n",
        without="        mark = event.version\n",
        tests=("tests/unit/projections/test_gates.py",),
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
        module="headwater.projections.folding",
        guard="            if inbox.given_up and folded.applied.get(inbox.gate, 0) + 1 == inbox.given_up:\n",
        without="            if inbox.given_up and row.parked_from.get(inbox.gate) == inbox.given_up:\n",
        tests=("tests/unit/projections/test_leaderboard.py",),
    ),
    Mutation(
        name="discard-applies-what-it-can",
        rule="6, parking: an event that can be applied by now is not given up",
        module="headwater.projections.runner",
        guard="        stops = self._heal("
        "[inbox for inbox in inboxes if _standing(self._settling.row(inbox.key), inbox)])\n",
        without="        stops = [\n"
        "            Stop(inbox, PermanentError(), row.parked_from[inbox.gate] - 1)\n"
        "            for inbox in inboxes\n"
        "            if inbox.gate in (row := self._settling.row(inbox.key)).parked_from\n"
        "        ]\n",
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
        guard="                self._put_all(row, [request, *items])\n",
        without="                for item in items:\n"
        "                    self._client.put_item(**item)\n"
        "                self._client.put_item(**request)\n",
        tests=("tests/contract/test_read_models.py",),
    ),
    Mutation(
        name="transactions-stay-within-their-limit",
        rule="10: service limits; a batch of more rows than a transaction takes is split",
        module="headwater.projections.folding",
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
        module="headwater.projections.inbox",
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
        module="headwater.projections.settling",
        guard="        if self._before_write and folded.events:\n"
        "            self._before_write("
        "RowChange(key=key, before=row.state, after=folded.state, events=folded.events))\n"
        "        self._rows.put(moved, parts)\n",
        without="        self._rows.put(moved, parts)\n"
        "        if self._before_write:\n"
        "            self._before_write("
        "RowChange(key=key, before=row.state, after=folded.state, events=folded.events))\n",
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
