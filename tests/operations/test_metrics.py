"""Metrics of a picture, of a learner, and over HTTP."""

import socket
import threading
import urllib.request
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text
from prometheus_client.registry import CollectorRegistry

from anabranch.errors import ConfigError
from config.records import Topics
from operations.families import FAMILIES, VERSIONS_MAX
from operations.metrics import Listener, Live, PictureCollector, exported, metrics_text
from operations.picture import Picture, Record
from support.told import NOW_S, ack, everything, full_report, heard, letter, report, signal, step, update

OPEN = "application/openmetrics-text; version=1.0.0"


def values(picture: Picture, **how: Any) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels but the model's, in the order of the labels' names."""
    found = {}
    for family in PictureCollector(lambda: picture, time_s=lambda: NOW_S, **how).collect():
        for name, labels, value, *_ in family.samples:
            found[name, *(text for label, text in sorted(labels.items()) if label not in ("model", "scope"))] = value
    return found


def test_every_family_says_something_of_a_picture_that_holds_everything() -> None:
    """None is a name alone."""
    families = {
        each.name: each.samples for each in PictureCollector(everything, live=live, time_s=lambda: NOW_S).collect()
    }
    assert len(families) >= len(FAMILIES) + 4
    assert [name for name, samples in families.items() if not samples] == []


def live() -> dict[tuple[str, str], Live]:
    return {("m", "global"): Live(events=321, records=330)}


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        (("anabranch_event_number",), 300),
        (("anabranch_unread_records",), 250),
        (("anabranch_report_age_seconds",), 10),
        (("anabranch_score", "accuracy", "window"), 0.9),
        (("anabranch_member_loss", "champion"), 0.2),
        (("anabranch_member_loss", "recruit"), 0.12),
        (("anabranch_members", "recruit"), 2),
        (("anabranch_members", "standing"), 0),
        (("anabranch_best_evidence_ratio",), 0.7),
        (("anabranch_detector_level_ratio", "adwin"), 0.5),
        (("anabranch_detector_level_ratio", "inputs"), 0.25),
        (("anabranch_signals_total", "adwin"), 1),
        (("anabranch_triggers_total",), 1),
        (("anabranch_updates_total", "swap"), 1),
        (("anabranch_announced_version",), 2),
        (("anabranch_announced_age_seconds",), 60),
        (("anabranch_swap_seconds_sum",), 40),
        (("anabranch_swap_seconds_bucket", "60.0"), 1),
        (("anabranch_swap_seconds_bucket", "20.0"), 0),
        (("anabranch_follower_convergence_seconds_sum",), 0.03),
        (("anabranch_followers", "2"), 1),
        (("anabranch_silent_followers",), 1),
        (("anabranch_pending_joins",), 40),
        (("anabranch_label_coverage_ratio", "3600"), 0.97),
        (("anabranch_dead_letters_total", "schema"), 1),
        (("anabranch_alerts_total", "answers"), 1),
        (("anabranch_group_gap",), pytest.approx(0.2)),
        (("anabranch_fairness_gap", "demographic-parity", "age", "gap"), 0.2),
        (("anabranch_fairness_gap", "demographic-parity", "age", "low"), pytest.approx(0.14)),
        (("anabranch_fairness_gap", "demographic-parity", "age", "high"), pytest.approx(0.3)),
        (("anabranch_label_balance_effect",), 0.2),
        (("anabranch_label_share_ratio", "true"), 0.17),
        (("anabranch_checkpoint_pause_seconds", "largest"), 0.05),
        (("anabranch_unusable_answers_total", "not a number"), 2),
        (("anabranch_learned_events_total",), 10),
        (("anabranch_label_endings_total", "labelled"), 0),
        (("anabranch_updates_total", "rollback"), 0),
        (("anabranch_unreadable_records_total", "model-reports"), 1),
    ],
    ids=str,
)
def test_what_is_told_is_what_is_exported(sample: tuple[str, ...], value: float) -> None:
    """Each number by the message that it came in."""
    assert values(everything())[sample] == value


def test_a_learner_that_is_here_goes_before_its_last_report() -> None:
    """Events are those of this moment, and what is learned from the first scrape on is counted."""
    far = {("m", "global"): Live(events=321, records=330)}
    collector = PictureCollector(everything, live=lambda: far)
    list(collector.collect())
    far["m", "global"] = Live(events=300, records=310)  # back to a checkpoint
    list(collector.collect())
    far["m", "global"] = Live(events=340, records=355)
    registry = CollectorRegistry()
    registry.register(collector)
    of = {"model": "m", "scope": "global"}
    found = [registry.get_sample_value(f"anabranch_{name}", of) for name in ("event_number", "learned_events_total")]
    assert found == [340, 40]
    assert registry.get_sample_value("anabranch_read_records_total", of) == 45


def test_who_has_read_what_was_there_counts_from_then_on() -> None:
    """Else each restart of who reads the topics would look to Prometheus like all that ever was, at once."""
    picture = everything()
    picture.count_from_now()
    before = values(picture)
    assert [name for name, value in before.items() if name[0].endswith("_total") and value] == [
        ("anabranch_unreadable_records_total", "model-reports")
    ]
    assert before["anabranch_swap_seconds_count",] == 0
    assert before["anabranch_announced_version",] == 2
    heard((NOW_S, full_report(310)), (NOW_S, letter(230)), picture=picture)
    after = values(picture)
    assert after["anabranch_learned_events_total",] == 10
    assert after["anabranch_dead_letters_total", "schema"] == 1


def test_an_empty_picture_is_exported_without_a_value() -> None:
    """Names and no numbers: nothing is invented before anything is told."""
    assert values(Picture()) == {}
    body, _ = metrics_text(Picture())
    assert b"# TYPE anabranch_learned_events_total counter" in body


def test_a_model_without_a_report_has_no_number_of_one() -> None:
    """A zero would look like a loss of zero."""
    found = values(heard((NOW_S, update(1, kind="first"))))
    assert found["anabranch_announced_version",] == 1
    assert not [name for name, *_ in found if "loss" in name or "unread" in name or "report" in name]
    assert found["anabranch_dead_letters_total", "schema"] == 0


def test_versions_are_bounded() -> None:
    """Twenty followers on twenty versions: the newest are told apart, and those that serve nothing."""
    told = heard(*((NOW_S, ack(f"f{n}", n)) for n in range(20)))
    found = {labels[0]: value for (name, *labels), value in values(told).items() if name == "anabranch_followers"}
    assert len(found) == VERSIONS_MAX + 2
    assert (found["19"], found["15"], found["older"], found["none"]) == (1, 1, 14, 1)


def test_a_follower_that_has_left_or_is_long_gone_counts_no_longer() -> None:
    """Neither as a follower nor as a silent one."""
    found = values(heard((NOW_S, ack("left", 1, left=True)), (NOW_S, ack("gone", 1, ts=NOW_S - 4000))))
    assert found["anabranch_silent_followers",] == 0
    assert ("anabranch_followers", "1") not in found


def test_a_swap_that_is_heard_before_its_trigger_is_timed_as_well() -> None:
    """Topics are read in no order."""
    trigger = signal(5)
    told = heard((NOW_S, update(2, trigger=trigger.id)), (NOW_S - 30, trigger))
    assert values(told)["anabranch_swap_seconds_sum",] == 30


def test_an_update_that_is_announced_twice_counts_once() -> None:
    """After a restart right after a commit, with the same (epoch, seq)."""
    picture = heard((NOW_S, update(2)))
    picture.hear(Record(NOW_S + 5, "model-updates", 0, 99, update(2)))
    assert values(picture)["anabranch_updates_total", "swap"] == 1


def test_counters_go_on_where_the_lists_of_the_picture_end() -> None:
    """The picture forgets old announcements and refused records; a counter must not go back."""
    told = [(NOW_S, update(n, kind="refresh")) for n in range(1, 700)]
    found = values(heard(*told, *((NOW_S, letter(n)) for n in range(300))))
    assert found["anabranch_updates_total", "refresh"] == 699
    assert found["anabranch_dead_letters_total", "schema"] == 300


def test_both_formats_are_read_by_their_own_parsers() -> None:
    """OpenMetrics where it is asked for, with the version of the last swap as an exemplar."""
    body, content_type = metrics_text(everything())
    assert content_type.startswith("text/plain")
    plain = {each.name for each in plain_text(body.decode())}
    body, content_type = metrics_text(everything(), accept=OPEN)
    assert content_type.startswith("application/openmetrics-text")
    families = {each.name: each for each in open_metrics(body.decode())}
    assert set(families) == {name.removesuffix("_total") for name in plain}
    (exemplar,) = [each.exemplar for each in families["anabranch_swap_seconds"].samples if each.exemplar]
    assert exemplar.labels == {"version": "2"}


def test_a_listener_hears_what_a_learner_tells_while_it_is_scraped() -> None:
    """Two threads: neither misses a message nor stumbles over the other."""
    listener = Listener(Picture(), topic=Topics(prefix="x-").name)
    registry = CollectorRegistry()
    collector = PictureCollector(lambda: listener.picture, lock=listener.lock)
    registry.register(collector)
    done = threading.Event()

    def tell() -> None:
        for n in range(1, 2000):
            listener.hear(report(n))
            listener.hear(update(n, kind="refresh"))
            listener.hear(step(n))
        done.set()

    thread = threading.Thread(target=tell)
    thread.start()
    scrapes = 0
    while not done.is_set():
        list(collector.collect())
        scrapes += 1
    thread.join()
    assert scrapes > 1
    assert registry.get_sample_value("anabranch_learned_events_total", {"model": "m", "scope": "global"}) == 1998
    labels = {"model": "m", "scope": "global", "kind": "refresh"}
    assert registry.get_sample_value("anabranch_updates_total", labels) == 1999
    assert listener.picture.models["m", "global"].updates[-1].topic == "x-model-updates"


def test_it_is_answered_over_http_until_the_block_ends() -> None:
    """As Prometheus asks, and plainly; with memory and CPU of the process."""
    collector = PictureCollector(lambda: heard((NOW_S, full_report(7))))
    with exported(collector, host="127.0.0.1", port=0) as port:
        address = f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(urllib.request.Request(address, headers={"Accept": OPEN})) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            list(open_metrics(answer.read().decode()))
        with urllib.request.urlopen(address) as answer:
            text = answer.read().decode()
    assert 'anabranch_event_number{model="m",scope="global"} 7.0' in text
    assert "process_resident_memory_bytes" in text
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_a_port_that_is_taken_is_named() -> None:
    """Before a learner begins."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"metrics: cannot listen on 127.0.0.1:{port}"),
            exported(PictureCollector(Picture), host="127.0.0.1", port=port),
        ):
            pass
