"""The card of a version: all that the log tells of it, as JSON, Markdown or one page of HTML.

A card is a plain table, so that JSON is the card itself; Markdown and HTML show its sections. What the log does not
tell is said to be unknown, and never guessed.
"""

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from river import base, compose

from anabranch.messages import DriftSignal, ModelUpdate
from operations.alerts.sinks import moment
from operations.registry import AliasChange, Announced, Since
from operations.stories import fired

Card = dict[str, Any]


class Section(NamedTuple):
    """A part of a card: a table of two columns, or of several with their heads."""

    title: str
    rows: list[tuple[str, ...]]
    heads: tuple[str, ...] = ()


def card(
    announced: Announced,
    since: Since,
    *,
    model: Mapping[str, Any],
    signal: DriftSignal | None,
    aliases: Sequence[str],
    history: Iterable[AliasChange],
) -> Card:
    """What is known of a version.

    Args:
        since: how it has done.
        model: what its bytes hold (`contents`), or why they could not be read.
        signal: the drift signal that brought it, if it is still on its topic.
        aliases: those that name it now.
        history: the changes of aliases of its model; those that are about this version are shown.
    """
    update = announced.update
    told = update.model_dump(mode="json")
    mine = [each._asdict() for each in history if update.version in (each.before, each.after)]
    return {
        "name": f"models:/{update.model}/{update.version}",
        **{key: told[key] for key in ("model", "scope", "version", "kind", "reason", "member", "parent")},
        "by": update.by,
        "envelope": update.envelope,
        "aliases": list(aliases),
        "announced": {key: told[key] for key in ("epoch", "seq", "event_number", "event_ts", "announced_ts")}
        | {"partition": announced.partition, "offset": announced.offset, "signature": announced.signature},
        "trigger": _trigger(update, signal),
        "trained_on": told["trained_on"],
        "positions": told["positions"],
        "order": update.order,
        "verdict": told["verdict"],
        "constraints": told["constraints"],
        "displaced_version": update.displaced_version,
        "restores": update.restores,
        "scores": {"then": told["scores"], "since": since.scores},
        "since": since._asdict(),
        "contents": dict(model),
        "artifact": told["artifact"],
        "versions": {"river": update.river, "python": update.python, "numpy": update.numpy},
        "alias_history": mine,
    }


def contents(unpacked: Any) -> dict[str, Any]:
    """What the bytes of a model hold.

    Args:
        unpacked: an `anabranch.artifact.Artifact`.
    """
    return {
        "spec": described(unpacked.model),
        "task": unpacked.task,
        "positive": unpacked.positive,
        "features": {name: unpacked.kinds.get(name, "") for name in sorted(unpacked.features)},
        "hidden": sorted(unpacked.hidden),
        "computed": dict(unpacked.derived),
        "canary_rows": len(unpacked.canary),
    }


def described(model: Any) -> str:
    """What a model is made of, as River says it; some of River's own cannot say it, and are then put together here.

    >>> from river import compose, linear_model
    >>> described(compose.SelectType(int, float) | linear_model.PARegressor())
    'SelectType(int, float) | PARegressor ( C=1. mode=1 eps=0.1 learn_intercept=True )'
    """
    if isinstance(model, base.Ensemble):  # it would say its members, each whole
        return f"{type(model).__name__} of {len(model) or getattr(model, 'n_models', 0)}"
    try:
        return " ".join(repr(model).split())
    except TypeError:  # SelectType sorts its types for it
        pass
    if isinstance(model, compose.SelectType):
        return f"SelectType({', '.join(each.__name__ for each in model.types)})"
    if isinstance(model, compose.Pipeline):
        return " | ".join(map(described, model.steps.values()))
    if isinstance(model, compose.TransformerUnion):
        return f"({' + '.join(map(described, model.transformers.values()))})"
    several = getattr(model, "models", None)
    held = several if isinstance(several, list) else [getattr(model, "model", None)]
    return f"{type(model).__name__}({', '.join(described(each) for each in held if each is not None)})"


def _trigger(update: ModelUpdate, signal: DriftSignal | None) -> dict[str, Any]:
    if not update.trigger:
        return {"id": "", "words": "nothing: no retraining brought this version"}
    if signal is None:
        return {"id": update.trigger, "words": "a request, or a signal that is no longer on its topic"}
    words = f"{fired(signal)}; the change began about event {signal.change_point:,}"
    return {"id": update.trigger, "words": words}


# ── How a card is shown ─────────────────────────────────────────────────────────────────────────────────────────────


def sections(card: Card) -> Iterator[Section]:
    """The parts of a card, for people."""
    yield Section("What it is", _identity(card))
    yield Section("What it comes from", _origin(card))
    yield Section("What it learned", _learned(card))
    yield Section("How it was judged", _judged(card))
    yield Section("Scores, then and since", scores([card]), ("score", "then", "since"))
    if card["since"]["groups"]:
        yield Section("Groups", [(name, number(rate)) for name, rate in card["since"]["groups"].items()])
    for each in card["since"]["fairness"]:
        yield Section(f"Fairness by {each['feature']}", _gaps(each), ("criterion", "gap", "95 %", "lowest", "highest"))
    yield Section("What it is made of", _made_of(card))
    if card["alias_history"]:
        yield Section("Aliases", alias_rows(card["alias_history"]), ALIAS_HEADS)


def _gaps(fairness: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            each["criterion"],
            number(each["difference"]),
            f"{number(each['low'])} to {number(each['high'])}",
            each["least"],
            each["most"],
        )
        for each in fairness["gaps"]
    ]


def _identity(card: Card) -> list[tuple[str, ...]]:
    told = card["announced"]
    return [
        ("version", f"{card['version']} of {card['model']} ({card['scope']})"),
        ("aliases now", ", ".join(card["aliases"]) or "none"),
        (
            "announced",
            f"{moment(told['announced_ts'])}, as {card['kind']}, epoch {told['epoch']}, number {told['seq']}",
        ),
        ("why", card["reason"]),
        ("asked for by", card["by"] or "nobody: the learner decided"),
        ("change envelope", card["envelope"] or "not told: announced before there was one"),
        ("where on the log", f"partition {told['partition']}, offset {told['offset']}"),
        ("signature", told["signature"]),
    ]


def _origin(card: Card) -> list[tuple[str, ...]]:
    return [
        ("parent", version(card["parent"])),
        ("displaced", version(card["displaced_version"])),
        ("restores", version(card["restores"])),
        ("member", card["member"]),
        ("trigger", card["trigger"]["words"]),
        ("trigger's id", card["trigger"]["id"] or "none"),
    ]


def _learned(card: Card) -> list[tuple[str, ...]]:
    trained = card["trained_on"]
    note = f" ({trained['note']})" if trained["note"] else ""
    whole = [each for each in trained["ranges"] if each["end"] > each["start"]]
    ranges = ", ".join(f"{each['partition']}: {each['start']} to {each['end'] - 1}" for each in whole)
    positions = ", ".join(f"{place}: {offset}" for place, offset in sorted(card["positions"].items()))
    return [
        ("events learned by the learner", f"{card['announced']['event_number']:,}"),
        ("before it entered", f"{trained['events']:,} events{note}"),
        ("ranges (partition: offsets)", ranges or "none"),
        ("next offsets", positions or "none told"),
        ("in the learned order after", card["order"] or "none: it learns no more, or no order is told"),
    ]


def _judged(card: Card) -> list[tuple[str, ...]]:
    verdict, constraints = card["verdict"], card["constraints"]
    if verdict is None:
        rows: list[tuple[str, ...]] = [("verdict", "none: it has won no contest")]
    else:
        low, high = number(verdict["low"]), number(verdict["high"])
        rows = [
            ("contested events", f"{verdict['events']:,}"),
            ("gain in mean loss", f"{number(verdict['gain'])} (95 %: {low} to {high})"),
            ("evidence", f"{number(verdict['evidence'])} times what a win needs"),
        ]
        if verdict.get("gap_won") is not None:
            rows.append(("gap between groups, narrower by", number(verdict["gap_won"])))
            rows.append(("mean loss lately, higher by", number(verdict["lost"])))
    return [*rows, *((f"constraint {name}", number(value)) for name, value in sorted(constraints.items()))]


def scores(cards: Sequence[Card]) -> list[tuple[str, ...]]:
    """By score, of each card the value when it was announced and the newest of its reports."""
    names = sorted({name for each in cards for told in each["scores"].values() for name in told})
    rows = [
        (name, *(number(each["scores"][when].get(name)) for each in cards for when in ("then", "since")))
        for name in names
    ]
    losses = [value for each in cards for value in ("", number(each["since"]["loss"]))]
    events = [value for each in cards for value in ("", f"{each['since']['events']:,}")]
    return [*rows, ("mean loss", *losses), ("events since", *events)]


def _made_of(card: Card) -> list[tuple[str, ...]]:
    held, artifact = card["contents"], card["artifact"]
    rows: list[tuple[str, ...]] = [("size", f"{artifact['size_bytes']:,} bytes"), ("sha256", artifact["sha256"])]
    rows += [(name, text or "not told") for name, text in card["versions"].items()]
    if "spec" not in held:
        return [*rows, ("model", f"not read: {held.get('fault', 'its bytes were not asked for')}")]
    features = ", ".join(f"{name} ({kind})" if kind else name for name, kind in held["features"].items())
    positive = "" if held["positive"] is None else f", positive: {held['positive']}"
    return [
        *rows,
        ("task", f"{held['task']}{positive}"),
        ("features", features or "none"),
        ("canary rows", str(held["canary_rows"])),
        ("model and its seeds", held["spec"]),
    ]


ALIAS_HEADS = ("when", "alias", "from", "to", "by", "why")


def alias_rows(history: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The history of aliases as rows under `ALIAS_HEADS`."""
    return [
        (
            moment(each["ts"]),
            each["alias"],
            version(each["before"]),
            version(each["after"]),
            each["by"] or "the learner",
            each["reason"],
        )
        for each in history
    ]


def number(value: float | None) -> str:
    """A measure as people read it; nothing where there is none."""
    return "–" if value is None else f"{value:.4g}"


def version(value: int | None) -> str:
    """The number of a version, if there is one."""
    return "none" if value is None else str(value)


def markdown(card: Card) -> str:
    """The card as Markdown."""
    lines = [f"# {card['name']}", ""]
    for section in sections(card):
        heads = section.heads or ("", "")
        rows = [heads, tuple("---" for _ in heads), *(tuple(map(_cell, row)) for row in section.rows)]
        lines += [f"## {section.title}", "", *(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    # A reason is written by people, and a model's text has several lines.
    return " ".join(html.escape(text, quote=False).replace("|", "\\|").split())


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884 }}
td {{ overflow-wrap: anywhere; white-space: pre-wrap }} tbody th {{ width: 14rem; font-weight: normal; opacity: .75 }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>"""


def page(card: Card) -> str:
    """The card as one page of HTML that needs nothing else."""
    return _PAGE.format(title=html.escape(card["name"]), body="\n".join(map(_table, sections(card))))


def _table(section: Section) -> str:
    heads = "".join(f'<th scope="col">{html.escape(each)}</th>' for each in section.heads)
    rows = "".join(map(_row, section.rows))
    thead = f"<thead><tr>{heads}</tr></thead>" if heads else ""
    return f"<h2>{html.escape(section.title)}</h2><table>{thead}<tbody>{rows}</tbody></table>"


def _row(row: Sequence[str]) -> str:
    cells = "".join(f"<td>{html.escape(each)}</td>" for each in row[1:])
    return f'<tr><th scope="row">{html.escape(row[0])}</th>{cells}</tr>'


# ── Two versions beside each other ──────────────────────────────────────────────────────────────────────────────────

_OF_EVERY_VERSION = ("name", "version", "aliases", "alias_history", "since", "scores")
"""These differ between any two, or are what a comparison is about."""


def differences(before: Card, after: Card) -> dict[str, tuple[Any, Any]]:
    """What is not the same in two cards, by the path of its key, with both values; None: it is not there."""
    first, second = ({k: v for k, v in each.items() if k not in _OF_EVERY_VERSION} for each in (before, after))
    left, right = dict(_flat(first)), dict(_flat(second))
    paths = sorted(left.keys() | right.keys())
    return {path: (left.get(path), right.get(path)) for path in paths if left.get(path) != right.get(path)}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _flat(each, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
