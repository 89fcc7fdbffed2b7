"""Signed updates: what no trusted key has signed is not taken and displaces nobody; keys change without a gap."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anabranch import follow
from anabranch.errors import ConfigError, SignatureError
from anabranch.events import Headers
from anabranch.kafka.tail import Tail
from anabranch.kafka.updates import EPOCH_MAX, UPDATE_MAX_BYTES
from anabranch.messages import LearnedOrder, ModelUpdate, encode
from anabranch.order import identified
from anabranch.signatures import KEY, SIGNATURE, Signer, TrustedKeys
from commands import wiring
from consumers.announcer import update_key
from consumers.keys import on_loopback
from consumers.stores import MemoryStore
from support.loops import filled, loop_on, updates_in
from support.publisher import Publisher
from support.waiting import until


def signer_of(number: int) -> Signer:
    """A key that is the same in every run."""
    return Signer(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


OURS, NEXT, STRANGER = signer_of(1), signer_of(2), signer_of(3)


@pytest.fixture
def publisher(embedded: Any) -> Publisher:
    """A learner that signs, with one announced version."""
    made = Publisher(embedded.bootstrap, signer=OURS)
    made.announce(1)
    return made


def forge(publisher: Publisher, update: ModelUpdate, headers: Headers) -> None:
    """The update, with such headers."""
    publisher.sink.send(publisher.topic, key=update_key(update), value=encode(update), headers=headers)
    publisher.sink.flush()


# ── Keys and signatures ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_public_key_is_one_short_line_with_its_id() -> None:
    """So that it can be read out, compared, and written into a configuration."""
    name, _, key = OURS.public.partition(":")
    assert (len(name), len(key), OURS.id) == (16, 44, name)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], "trusted_keys is empty"),
        (["abc"], "'abc' is no public key; write the whole line"),
        ([OURS.public[:-9]], "is no public key"),
        ([OURS.id + ":" + NEXT.public.partition(":")[2]], "is not the id of the key behind it"),
    ],
)
def test_keys_that_are_none_are_refused_at_once(keys: list[str], said: str) -> None:
    """Also an empty list: whoever has revoked the last key trusts nobody, and not everybody."""
    with pytest.raises(ConfigError, match=said):
        follow("m", kafka={}, trusted_keys=keys)


GOOD = tuple(OURS.headers(b"data"))
BAD: dict[str, tuple[Headers, str]] = {
    "none": ((), "not signed"),
    "without a key": (GOOD[:1], "not signed"),
    "without a signature": (GOOD[1:], "not signed"),
    "of two signatures": ((*GOOD, GOOD[0]), "not signed"),
    "of two keys": ((*GOOD, (KEY, b"x")), "not signed"),
    "by a stranger": (STRANGER.headers(b"data"), f"not among `trusted_keys`: key {STRANGER.id}"),
    "by a stranger in our name": ((STRANGER.headers(b"data")[0], GOOD[1]), f"not of these bytes: key {OURS.id}"),
    "of other bytes": (OURS.headers(b"date"), "not of these bytes"),
    "cut short": (((SIGNATURE, GOOD[0][1][:-1]), GOOD[1]), "not of these bytes"),
    "of nothing": (((SIGNATURE, b""), GOOD[1]), "not of these bytes"),
    "by what is no name": ((GOOD[0], (KEY, b"\xff\n" * 5000)), "of no readable id, 10000 characters long"),
}


@pytest.mark.parametrize("headers", BAD.values(), ids=BAD)
def test_a_signature_that_is_not_good(headers: tuple[Headers, str]) -> None:
    """What a stranger writes comes into no log."""
    with pytest.raises(SignatureError, match=headers[1]):
        TrustedKeys([NEXT.public, OURS.public]).verify(b"data", headers[0])


def test_a_good_signature_among_other_headers() -> None:
    """Brokers and tracing add some of their own."""
    TrustedKeys([NEXT.public, f" {OURS.public}\n"]).verify(b"data", (("traceparent", b"00"), *GOOD))


# ── Following ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["unsigned", "by a stranger", "signature of another update"])
def test_forged_updates_neither_come_into_use_nor_displace_good_ones(
    publisher: Publisher, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However new they say they are, and however many: each is counted, one is told, and those that are good go on."""
    good = publisher.announce(2)
    count = 300
    for seq in range(count):
        forged = good.model_copy(update={"epoch": EPOCH_MAX, "seq": seq})
        headers = {"unsigned": (), "by a stranger": STRANGER.headers(encode(forged))}.get(
            how, OURS.headers(encode(good))
        )
        publisher.sink.send(publisher.topic, key=update_key(forged), value=encode(forged), headers=headers)
    publisher.sink.flush()
    with follow("m", kafka=publisher.kafka, trusted_keys=[OURS.public]) as model:
        assert model.wait(timeout_s=20).version == 2
        publisher.announce(3)
        assert model.wait(version=3, timeout_s=20).epoch == 1
        until(lambda: model.refusals == {"signature": count})
        assert model._candidates.waiting == {}
        assert "model-updates partition" in str(model.last_refusal)
    assert caplog.text.count("passed over") == 1


def test_a_record_that_is_read_again_is_counted_once(publisher: Publisher) -> None:
    """A follower that lost its broker reads the topic from its beginning."""
    forge(publisher, publisher.announce(2), ())
    forge(publisher, publisher.announce(3), ())
    with follow("m", kafka=publisher.kafka, trusted_keys=[OURS.public]) as model:
        model.wait(version=3, timeout_s=20)
        with model._updates() as again:
            assert len(list(again.until_caught_up())) == 3
        until(lambda: model.refusals == {"signature": 2})


def test_what_is_not_signed_is_not_parsed(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser's own faults are out of a stranger's reach."""
    seen: list[bytes] = []
    monkeypatch.setattr("anabranch.kafka.updates.decode", lambda kind, value: seen.append(value))
    publisher.sink.send(publisher.topic, key="m/global/2", value=b"[" * 100_000)
    publisher.sink.flush()
    with follow("m", kafka=publisher.kafka, trusted_keys=[STRANGER.public]) as model:
        until(lambda: model.refusals == {"signature": 2})
    assert seen == []


def test_the_size_is_looked_at_before_the_signature(publisher: Publisher) -> None:
    """A megabyte takes milliseconds to verify."""
    value = b" " * (UPDATE_MAX_BYTES + 1)
    publisher.sink = type(publisher.sink)({**publisher.kafka, "message.max.bytes": 4 * UPDATE_MAX_BYTES})
    publisher.sink.send(publisher.topic, key="m/global/2", value=value, headers=OURS.headers(value))
    publisher.sink.flush()
    with follow("m", kafka=publisher.kafka, trusted_keys=[OURS.public]) as model:
        assert model.wait(timeout_s=20).version == 1
        until(lambda: model.refusals == {"size": 1})


def test_keys_change_without_a_gap(publisher: Publisher) -> None:
    """Who trusts both follows before and after the change; who trusts the old one only stays where it was."""
    both = [OURS.public, NEXT.public]
    with (
        follow("m", kafka=publisher.kafka, trusted_keys=both) as follows,
        follow("m", kafka=publisher.kafka, trusted_keys=both[:1]) as stays,
    ):
        follows.wait(timeout_s=20)
        stays.wait(timeout_s=20)
        publisher.signer = NEXT
        publisher.announce(2)
        follows.wait(version=2, timeout_s=20)
        until(lambda: stays.refusals == {"signature": 1})
        assert f"key {NEXT.id}" in str(stays.last_refusal)
        assert (follows.refusals, stays.version) == ({}, 1)


def test_a_key_that_was_taken_out_is_revoked(publisher: Publisher) -> None:
    """What it has signed counts no more, however new: the newest good one is of the key that is left."""
    publisher.signer = NEXT
    publisher.announce(2)
    publisher.signer = OURS  # whoever has stolen it
    publisher.announce(9)
    with follow("m", kafka=publisher.kafka, trusted_keys=[NEXT.public]) as model:
        assert model.wait(timeout_s=20).version == 2
        assert model.refusals == {"signature": 2}


def test_older_updates_that_are_played_again_change_nothing(publisher: Publisher) -> None:
    """Their signatures are good; they are not newer."""
    old = publisher.announce(2)
    publisher.announce(3)
    used: list[int] = []
    with follow(
        "m", kafka=publisher.kafka, trusted_keys=[OURS.public], on_update=lambda update: used.append(update.version)
    ) as model:
        model.wait(version=3, timeout_s=20)
        for _ in range(20):
            publisher.say(old)
        publisher.announce(4)
        model.wait(version=4, timeout_s=20)
    assert used == [3, 4]


def test_a_learner_that_begins_to_sign_later(publisher: Publisher) -> None:
    """Who asks for no signature notices nothing; who does takes the first that has one."""
    publisher.signer = None
    publisher.announce(2)
    kafka = publisher.kafka
    with follow("m", kafka=kafka) as easy, follow("m", kafka=kafka, trusted_keys=[NEXT.public]) as strict:
        assert easy.wait(timeout_s=20).version == 2
        until(lambda: strict.refusals == {"signature": 2})
        assert strict.version is None
        publisher.signer = NEXT
        publisher.announce(3)
        assert easy.wait(version=3, timeout_s=20).version == 3
        assert strict.wait(version=3, timeout_s=20).version == 3


def test_a_learner_that_has_lost_its_checkpoints_goes_on_from_what_it_has_signed(publisher: Publisher) -> None:
    """A forged epoch would make all that it announces from then on unusable."""
    good = publisher.announce(2)
    forge(publisher, good.model_copy(update={"epoch": EPOCH_MAX}), ())
    announced = wiring.announced(publisher.settings, "global", signer=OURS)
    assert announced is not None
    assert (announced.epoch, announced.version) == (1, 2)
    # With a key that has signed nothing yet, all count.
    newest = wiring.announced(publisher.settings, "global", signer=NEXT)
    assert newest is not None
    assert newest.epoch == EPOCH_MAX


def test_who_learns_along_takes_the_order_from_its_learner_only(embedded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forged one would teach the model whatever lies on a topic."""
    publisher = Publisher(embedded.bootstrap)
    for number, signer in enumerate((OURS, STRANGER, None)):
        order = identified(
            LearnedOrder(id="", follows="", model="m", epoch=1, checkpoint=1, began=0.0, event_number=number, version=1)
        )
        headers = () if signer is None else signer.headers(encode(order))
        publisher.sink.send("model-learned", key=order.id, value=encode(order), headers=headers)
    publisher.sink.flush()
    live = follow("m", kafka=publisher.kafka, learn_along=True, trusted_keys=[OURS.public])._live
    assert live is not None
    told: list[int] = []
    monkeypatch.setattr(live.along, "tell", lambda order, ts: told.append(order.event_number))
    with Tail(publisher.kafka, ["model-learned"]) as tail:
        for message in tail.until_caught_up():
            live._hear(message)
    assert told == [0]


# ── Signing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_loop_signs_what_followers_make_their_models_of() -> None:
    """Every update, message of the order and record of the audit, as it lies on the topic; nothing else, and without a
    key nothing."""
    log, plain = filled(), filled()
    for each, signer in ((log, OURS), (plain, None)):
        loop_on(each, MemoryStore(), signer=signer).run(until_end=True)
    keys = TrustedKeys([OURS.public])
    for (topic, partition), records in log.records.items():
        for record in records:
            if topic in {"model-updates", "model-learned", "model-audit"}:
                keys.verify(record.value or b"", record.headers)
            else:
                assert record.headers == ()
        if topic != "model-audit":  # which names the key
            assert [record.value for record in records] == [each.value for each in plain.records[topic, partition]]
    assert log.values("model-updates")
    assert not any(record.headers for records in plain.records.values() for record in records)


def test_what_was_decided_under_one_key_goes_out_under_the_next() -> None:
    """The outbox holds updates and no signatures: a learner that comes back with a new key signs with that."""
    log, store = filled(), MemoryStore()
    loop = loop_on(log, store, signer=OURS)
    loop.run(until_end=True)
    loop.owner.outbox = [updates_in(log)[-1]]
    loop.ports.signer = NEXT
    loop.owner._publish_outbox()
    *before, last = log.records["model-updates", 0]
    assert before[-1].value == last.value
    TrustedKeys([NEXT.public]).verify(last.value or b"", last.headers)


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("localhost:9092", True),
        ("127.0.0.1:9092,127.1.2.3", True),
        ("PLAINTEXT://[::1]:9092", True),
        ("kafka:9092", False),
        ("localhost:9092,10.0.0.7:9092", False),
        ("localhost.example.com:9092", False),
    ],
)
def test_brokers_on_this_machine_are_known(address: str, here: bool) -> None:
    """Elsewhere, others may write to them."""
    assert on_loopback({"bootstrap.servers": address}) is here
