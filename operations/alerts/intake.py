"""Rules about what comes in and goes out: records, labels, refused records, learners and followers that say nothing."""

from operations.alerts.finding import Asked, Finding, against, duration, listed
from operations.families import SILENT_S, followers
from operations.picture import LETTERS_MAX, ModelPicture

LETTERS_LEAST = 10
"""A handful of refused records is no rate."""
COVERED_EVENTS = 100


def unread(model: ModelPicture, asked: Asked) -> Finding | None:
    """Records on the brokers that are still to be read."""
    number = model.report.unread if model.report else None
    return None if number is None else against(asked.rule, number, f"{number:,} records are unread")


def no_labels(model: ModelPicture, asked: Asked) -> Finding | None:
    """How long nothing was learned although records came."""
    learned = model.counts.learned
    if not learned.last or model.report is None:  # nothing was learned yet: labels may take weeks
        return None
    last_s = learned.began_s if learned.grew_s is None else learned.grew_s
    came = model.counts.came_s > last_s
    value = model.report_at_s - last_s if came else 0.0
    waiting = f"; {model.report.pending:,} events wait for theirs" if model.report.pending else ""
    said = f"records come, and none could be learned for {duration(value)}{waiting}"
    return against(asked.rule, value, said if came else "labels come", since_s=last_s if came else None)


def dead_letters(model: ModelPicture, asked: Asked) -> Finding | None:
    """The share of refused records among all within the window."""
    letters = model.letters
    if not letters:
        return None
    begin_s = asked.now_s - asked.rule.window
    if len(letters) == LETTERS_MAX:
        begin_s = max(begin_s, letters[0].at_s)  # those before are not known any more
    # What is learned is told by reports: letters after the last one have nothing to be compared with yet.
    end_s = model.report_at_s if model.report else asked.now_s
    refused = sum(begin_s <= each.at_s <= end_s for each in letters)
    learned = _learned_since(model, begin_s)
    share = refused / (refused + learned) if refused >= LETTERS_LEAST else 0.0
    return against(asked.rule, share, f"{refused:,} records were refused and {learned:,} learned: {share:.0%}")


def _learned_since(model: ModelPicture, begin_s: float) -> int:
    numbers = [point.event_number for point in model.points if point.at_s >= begin_s]
    before = [point.event_number for point in model.points if point.at_s < begin_s][-1:] or numbers[:1]
    return numbers[-1] - before[0] if numbers else 0


def coverage(model: ModelPicture, asked: Asked) -> Finding | None:
    """The share of events that have their label at the age by which most labels that come have come."""
    labels = model.report.labels if model.report else None
    if labels is None:
        return None
    mature_s = labels.coverage.mature_age_s
    old = [each for each in labels.coverage.by_age if each.age_s >= mature_s and each.asked >= COVERED_EVENTS]
    if not old:
        return None
    first = min(old, key=lambda each: each.age_s)
    return against(
        asked.rule, first.share, f"{first.share:.0%} of the events have a label after {duration(first.age_s)}"
    )


def learner_silent(model: ModelPicture, asked: Asked) -> Finding | None:
    """How long a learner that tells by the clock has told nothing."""
    bound_s, reported_s = asked.rule.above or 0.0, model.report_at_s
    if model.report is None or not tells_by_the_clock(asked) or asked.now_s - asked.moment.listening_s < bound_s:
        return None
    silent_s = asked.now_s - reported_s
    return against(asked.rule, silent_s, f"no report for {duration(silent_s)}", since_s=reported_s)


def tells_by_the_clock(asked: Asked) -> bool:
    """Whether reports come without events, and several in the time after which their lack is told."""
    interval_s = asked.settings.publish.report_interval
    return 0 < 2 * interval_s <= (asked.rule.above or 0.0)


def followers_silent(model: ModelPicture, asked: Asked) -> Finding | None:
    """Followers that have said nothing for a minute and a half, and did not say that they leave."""
    if not model.acks or asked.now_s - asked.moment.listening_s < SILENT_S:
        return None
    silent = [each for each in followers(model, asked.now_s) if asked.now_s - each.ts > SILENT_S]
    names = f": {listed([each.follower for each in silent])}" if silent else ""
    since_s = min((each.ts for each in silent), default=None)
    return against(asked.rule, len(silent), f"{len(silent)} followers say nothing{names}", since_s=since_s)


def followers_behind(model: ModelPicture, asked: Asked) -> Finding | None:
    """Followers that are there, and serve another version long after a newer one was announced."""
    newest = model.newest
    if newest is None or not model.acks or asked.now_s - newest.announced_ts < asked.rule.window:
        return None
    there = [each for each in followers(model, asked.now_s) if asked.now_s - each.ts <= SILENT_S]
    behind = [each for each in there if (each.epoch, each.seq) < (newest.epoch, newest.seq)]
    why = next((f"; one says: {each.last_refusal}" for each in behind if each.last_refusal), "")
    names = f": {listed([each.follower for each in behind])}{why}" if behind else ""
    said = f"{len(behind)} followers do not serve version {newest.version}{names}"
    return against(asked.rule, len(behind), said)
