"""The lane: one event's way through the champion, its shadows, the detectors and the arena, as a pure fold.

It reads no clock, no network and no random source: the same records in the same order, with the same inputs
(`LaneInputs`) between them, give the same state and the same messages.
"""

from collections.abc import Collection

from anabranch.errors import LearnError
from anabranch.events import AcceptedEvent, AcceptedLabel, Findings, Prediction
from anabranch.messages import Alert, Message
from learners.arena.members import Member, Timed
from learners.emitted import NOTHING, Emitted, Learned, Promotion
from learners.labels import Resolved
from learners.labels.pending import Waiting
from learners.lane_inputs import LaneInputs
from learners.lateness import ASKED, RIPE_FROM
from learners.models.fence import is_fault
from learners.observed import LOOK_EVERY_NTH
from learners.parts import Delayed

UNUSABLE_BANDS, UNUSABLE_MIN = (0.01, 0.1, 0.5), 10
"""Shares of a champion's answers that cannot be used from which on it is an alert, if they are so many at least."""
_NOWHERE = AcceptedEvent("", {}, None, 0.0, 0, 0)


class Lane(LaneInputs):
    """One model's fold over its records."""

    # ── the fold ────────────────────────────────────────────────────────────────────────────────────────────────

    def on_event(self, event: AcceptedEvent) -> Emitted:
        """Every member predicts; if the event brings its label, every member is scored and learns too.

        Where labels are late, `end_due` is to be asked after each event and label.

        Raises:
            LearnError: the champion raised; the lane must be restored from before the event.
        """
        champion = self.succession.champion
        self.lateness.asked += 1
        if self.quarantine is not None:
            self.quarantine.asked()
        if self._is_clocked:
            self.join.saw(event.ts)
        if self.derived is not None:
            event = self.derived.on_event(event)
        try:
            answer = champion.predict(event.x) if self.timed is None else self.timed.predict(champion, event.x)
        except BaseException as error:
            if not is_fault(error):
                raise
            raise _choked(event, error, learned=self.events) from error
        answers = {champion.name: answer}
        if self.published.is_asked:
            self.published.ask(event, answers, question=self.lateness.asked)
        if self.shadows.members:
            self.arena.predict(event, answers, event_number=self.events, timed=self.timed)
        if self.ranked is not None:
            self.ranked.on_event(event, champion, self.shadows.members)
        alert = self._unusable(event, answer) if answer.unusable else None
        if self.blend.judges:
            blended = self.blend.answer(answers)
            answer = blended if blended is not None and self.blend.serves else answer
        if self.segmented is not None:
            answer = self.segmented.ask(event, answer, answers)
        if self.asked is not None:
            self.asked(event, answer)
        if not self.lateness.asked % LOOK_EVERY_NTH:
            self.watch.look(self._shown(event).x)
        go_on = self._watched if self._watches_events else self._go_on
        emitted = go_on(event, answer, answers)
        return emitted if alert is None else Emitted([alert]).and_then(emitted)

    def _unusable(self, event: AcceptedEvent, answer: Prediction) -> Alert | None:
        """The champion's answer cannot be used: what there is to tell, the first time and when they are many."""
        unusable, number = self.champion.unusable, self.events
        unusable.note(answer.unusable, event_number=number, window=self._window)
        if self.blend.serves:
            return None  # it is not what is served
        share = unusable.share(event_number=number, window=self._window)
        band = sum(share >= each for each in UNUSABLE_BANDS) if unusable.count >= UNUSABLE_MIN else 0
        if unusable.count > 1 and band <= self.unusable_band:
            self.unusable_band = band
            return None
        self.unusable_band = band
        often = f"{100 * share:.3g} % of the last answers" if band else "an answer"
        reason = (
            f"{often} of the champion, {self.champion.name}, cannot be used: {answer.unusable}. Such an answer counts "
            "as wrong, and nothing is announced while they are many; is what the model computes with scaled?"
        )
        return self.reports.alert(event, "answers", reason, event_number=number, level="alert" if band else "info")

    def _watched(self, event: AcceptedEvent, answer: Prediction, answers: dict[str, Prediction]) -> Emitted:
        """The same, with signals that need no label."""
        number = self.events + (event.y is not None)
        watched = answer if self.segmented is None else answers[self.champion.name]
        findings = self.watch.on_event(self._shown(event), watched, event_number=number, withheld=self._withheld)
        emitted = self._go_on(event, answer, answers)
        return emitted if findings is None else emitted.and_then(self._drifted(event, findings))

    def _shown(self, event: AcceptedEvent) -> AcceptedEvent:
        """What signals are shown of an event: no keys, and no labels of before."""
        return event if self.derived is None else self.derived.shown(event)

    def _go_on(self, event: AcceptedEvent, answer: Prediction, answers: dict[str, Prediction]) -> Emitted:
        """Learn the event, or keep it until its label comes."""
        join = self.join
        if event.y is not None:
            if self._is_clocked:
                join.brought_its_label(event)
            return self._learn(event, answer, answers)
        if self._is_clocked:
            join.counts.asked(join.clock)
        else:
            join.saw(event.ts)
        self.lateness.mark(answers)
        emitted = Emitted(self._transitions(event)) if self.lifecycle.pending else NOTHING
        for label in join.ask(Waiting(event, answer, answers, join.clock)):
            if join.look(label) == "wanted":
                emitted = emitted.and_then(self._resolve(join.take(label), event, ts=label.ts))
        return emitted

    def on_label(self, label: AcceptedLabel, *, by: AcceptedEvent | None = None) -> Emitted:
        """A label: members are scored on what they predicted when its event was asked, and learn.

        The features of then are what is learned. A label whose event is not there yet is kept for it.

        Args:
            label: one that `join.look` finds "wanted", or "early".
            by: the event once more, which brought the label. Retraining reads that one, if its features are those of
                then.

        Raises:
            LearnError: the champion raised; the lane must be restored from before the label.
        """
        if self._is_clocked:
            self.join.saw(label.ts)
        resolved = self.join.take(label)
        if resolved is None:
            return NOTHING
        return self._resolve(resolved, label, ts=label.ts, whole=by is not None and by.x == resolved.waiting.event.x)

    def end_due(self, *, unlearnable: Collection[str] = ()) -> Emitted | None:
        """One event ends whose label has not come in time; None if none is due. To be asked until it is None.

        Args:
            unlearnable: ids of events that end without a label, since the champion raises on them.

        Raises:
            LearnError: the champion raised; it names the event, as no record is to blame.
        """
        join = self.join
        if not join.is_due:
            return None
        # The place of the event that was learned last: no record says that time is up.
        at = self.newest or _NOWHERE
        resolved = join.end_oldest(learns=not unlearnable or join.next_due() not in unlearnable)
        try:
            return NOTHING if resolved is None else self._resolve(resolved, at, ts=join.clock)
        except LearnError as error:
            error.waiting = resolved.waiting.event.id if resolved else ""
            raise

    def _resolve(
        self,
        resolved: Resolved | None,
        at: AcceptedEvent | AcceptedLabel,
        *,
        ts: float,
        whole: bool = False,
    ) -> Emitted:
        """An event ends. What happens now has the place of the record that ends it.

        Args:
            ts: when its label became known.
            whole: whether that record holds the event's features, too.
        """
        if resolved is None:
            return NOTHING
        if resolved.y is None:
            return self._unlabelled(resolved.waiting.event)
        waiting, y, ending = resolved.waiting, resolved.y, resolved.ending
        if self._is_clocked and ending == "labelled" and not resolved.corrects:
            loss = None if waiting.served.unusable else self.task.loss(y, waiting.served)
            self.join.counts.labelled(waiting.asked_ts, ts, loss=loss, positive=y is True)
        event = waiting.event._replace(y=y, partition=at.partition, offset=at.offset)
        if resolved.corrects:
            return self._learn_again(event, ts)
        learns = ending == "labelled" or self.join.learns_default
        return self._learn(event, waiting.served, waiting.answers, whole=whole, learns=learns, ts=ts, ending=ending)

    def _unlabelled(self, event: AcceptedEvent) -> Emitted:
        """An event ends of which nothing will be known."""
        if self.ranked is not None:
            self.arena.compare(self.ranked.on_end(event, self.champion, taken=None))
        return NOTHING

    def _learn_again(self, event: AcceptedEvent, ts: float) -> Emitted:
        """A correction: every member learns the event once more, and is not scored."""
        if self.succession.frozen:
            return NOTHING
        lesson = event if self.to_tell is None else self._tell(event, ts, "labelled", corrects=True)
        if self.jobs.under_way:
            self.notes += self.recruits.remember(lesson)
        self._teach(self.succession.champion, event, self.events + 1, timed=self.timed)
        self.arena.catch_up(event, self.events + 1, asked=())
        if self.segmented is not None:
            self.segmented.again(event, event_number=self.events)
        return Emitted(self._transitions(event)) if self.lifecycle.pending else NOTHING

    def _tell(self, event: AcceptedEvent, ts: float | None, ending: str, *, corrects: bool = False) -> AcceptedEvent:
        """What is learned is told, and lineage counts in what was told: the event with its place there."""
        assert self.to_tell is not None  # who calls has looked
        number, self.examples = self.examples, self.examples + 1
        self.to_tell.append(Learned(number, event, event.ts if ts is None else ts, ending, corrects))
        self.lineage.append(self._examples_on, number)
        return event._replace(partition=self._examples_on, offset=number)

    # ── one labelled event ──────────────────────────────────────────────────────────────────────────────────────

    def _learn(
        self,
        event: AcceptedEvent,
        served: Prediction,
        answers: dict[str, Prediction],
        *,
        whole: bool = True,
        learns: bool = True,
        ts: float | None = None,
        ending: str = "labelled",
    ) -> Emitted:
        """Score and teach every member; `answers` are those given when the event was asked, by member.

        Args:
            whole: the event's record holds both the features that are learned and the label, so it can be read again.
            learns: otherwise members are only scored.
            ts: when the label became known, if not with the event.
            ending: how the event ends.
        """
        self._learn_left_over()
        self.events += 1
        frozen = bool(self.succession.frozen)
        learns = learns and not frozen
        lesson: AcceptedEvent | None = None if frozen else event
        if self.to_tell is not None:
            lesson = self._tell(event, ts, ending) if learns else None
        elif whole and learns:
            self.lineage.append(event.partition, event.offset)
        if self.derived is not None and learns:
            self.derived.on_label(event, event.ts if ts is None else ts)
        self._score(event, served, answers, event.ts if ts is None else ts)
        lateness, window, ripe = self.lateness, float(self._window), self.events > RIPE_FROM
        if lateness.lag or ASKED in answers:  # with prompt labels the mean stays 0
            ripe = lateness.note(answers, labels=self.events)
            window = lateness.lead_events(window)
        champion = self.succession.champion
        loss, seen, cost = self._judge(champion, event, answers, window, ripe)
        rollout = self.succession.rollout
        if rollout.share is not None and loss is not None and (other := answers.get(rollout.displaced)) is not None:
            rollout.judge(loss, self.task.loss(event.y, other))
        # In blocks members stay as they were announced; before there is anything to be equal to, they learn at once.
        if learns and self._blocks and self.published.version is not None:
            self.block.append(Delayed(event, self.events, tuple(answers)))
            learns = False
        if learns:
            self._teach(champion, event, self.events, timed=self.timed)
        if self.segmented is not None:
            self._learn_segment(event, answers, loss, learns=learns)
        self.newest = event
        self.canary.append(event.x)
        if self.shadows.members:
            self.arena.judge(
                event, loss, answers, timed=self.timed, window=window, learns=learns, event_number=self.events
            )
        if self.standing.any or self.arena.rounds is not None:
            self._look_after(lesson or event, answers, window, frozen=frozen)
        if self._is_regression:
            self._rescale(event, served)
        emitted = self._conclude(event, cost, seen, lesson)
        if self.observer is not None:
            self.observer(event, served, answers, self)
        return emitted

    def _learn_left_over(self) -> None:
        """Where blocks were taken out while one waited, that one is learned before newer events."""
        if self.block and not self._blocks and not self.succession.frozen:
            self._learn_block()

    def _learn_segment(
        self, event: AcceptedEvent, answers: dict[str, Prediction], loss: float | None, *, learns: bool
    ) -> None:
        assert self.segmented is not None  # who calls has looked
        succession = self.succession
        self.segmented.on_label(
            event,
            answers,
            loss,
            champion=succession.champion.name,
            event_number=self.events,
            learns=learns,
            may_change=succession.may_change,
        )

    def _look_after(self, event: AcceptedEvent, answers: dict[str, Prediction], window: float, *, frozen: bool) -> None:
        """Fill standing places; where shadows play in rounds, one may end with this event."""
        arena, champion, tends = self.arena, self.succession.champion, self.standing.any and not frozen
        if tends:
            arena.tend(event, answers, champion=champion, event_number=self.events)
        if arena.rounds is not None:
            arena.end_round(event, champion=champion, event_number=self.events, window=window, tends=tends)

    def _score(self, event: AcceptedEvent, served: Prediction, answers: dict[str, Prediction], ts: float) -> None:
        """What was served is scored; of rankers, only what was taken says anything."""
        if self.ranked is not None:
            self.ranked.on_label(event.x, event.y, answers)
            self.arena.compare(self.ranked.on_end(event, self.champion, taken=self.task.judges(event.y)))
            if self.task.judges(event.y):
                self.ranked.on_take(event.y, answers)
                model = self.champion.model
                if self.ranked.looks(model):
                    self.ranked.look(model, self.task.rows(model, [event.x])[0])
        if self._is_multiclass:
            self.task.fence.learned(event.y)
        if self.ranked is None or self.task.judges(event.y):
            self.scores.update(event.y, served)
            self.observed.labelled(event, served, ts, event_number=self.events)

    def _judge(
        self, champion: Member, event: AcceptedEvent, answers: dict[str, Prediction], window: float, ripe: bool
    ) -> tuple[float | None, Prediction | None, float | None]:
        """The champion's loss; and of what serves, it or a blend, the answer and its loss. None: it was not asked.

        What was shown and not taken is judged by the positions of what was taken, and by no loss of its own.
        """
        if self.ranked is not None and not self.task.judges(event.y):
            return None, None, None
        own = answers.get(champion.name)  # none, if the champion entered after the question
        loss = None
        if own is not None:
            loss = self.task.loss(event.y, own)
            champion.note_loss(loss, window=window)
            if champion.groups is not None:
                self.constraints.note(champion, event.grouped_by, event.y, own)
        seen, cost = self.blend.judge(event, answers, ripe=ripe) if self.blend.judges else (own, loss)
        if not self.blend.serves:
            seen, cost = own, loss
        # None if another version was announced since: its contest is over.
        copied = answers.get(self.published.key)
        if copied is not None and cost is not None:
            self.published.judge(cost, event.y, copied)
        return loss, seen, cost

    def _rescale(self, event: AcceptedEvent, served: Prediction) -> None:
        """A larger error than any before is what all others are measured by."""
        if self.task.judged(event.y, served):
            self.watch.rescaled()
            self.standing.rescaled()

    def _teach(self, champion: Member, event: AcceptedEvent, event_number: int, *, timed: Timed | None) -> None:
        try:
            champion.learn(event.x, event.y) if timed is None else timed.learn(champion, event.x, event.y)
        except BaseException as error:
            if not is_fault(error):
                raise
            raise _choked(event, error, learned=event_number - 1) from error

    def _learn_block(self) -> None:
        """Every member learns what it was asked since the last announcement, in the order of the labels."""
        block, self.block = self.block, []
        champion = self.succession.champion
        for event, number, asked in block:
            if event.id in self.unlearnable:
                self.unlearned.append(event)
                continue
            if number > champion.entered:
                try:
                    self._teach(champion, event, number, timed=None)
                except LearnError as error:
                    error.waiting = event.id  # its record may lie before the checkpoint that is gone back to
                    raise
            self.arena.catch_up(event, number, asked=asked)

    def _conclude(
        self, event: AcceptedEvent, loss: float | None, own: Prediction | None, lesson: AcceptedEvent | None
    ) -> Emitted:
        """What there is to say after the event: drift, a swap, a publication, a report. Mostly nothing."""
        number, succession = self.events, self.succession
        promotion = None if self.quarantine is None else self._quarantined(event)
        may_change = succession.may_change
        if self.jobs.under_way and lesson is not None:
            self.notes += self.recruits.remember(lesson)
        findings = self.watch.update(loss, event_number=number, seen=event, answer=own, withheld=self._withheld)
        emitted = NOTHING if findings is None else self._drifted(event, findings)
        if promotion is None and self.arena.ahead and not self.blend.serves:
            promotion = self._contest(event)
        if promotion is None and may_change and succession.rollout.share is not None:
            promotion = self._roll_out(event)
        if promotion is None and may_change and self.blend.turns(number):
            promotion = self._turn(event)
        if number >= self.shadows.due or number >= succession.due:
            succession.times_up(number)
        # What could not be announced is not to be learned either.
        may_learn = self.block and not succession.frozen and number >= succession.held_until
        if may_learn and self.published.is_due(event, number):
            self._learn_block()
        if promotion is None and succession.publication_due(event, number):
            promotion = succession.publish_as_it_is(self._context(event))
        reports = number % self._report_events == 0
        if promotion is None and not self.lifecycle.pending and not reports:
            return emitted
        told: list[Message] = [*self._transitions(event)]
        if reports:
            told.append(self._report(event))
        return emitted.and_then(Emitted(told, promotion=promotion))

    # ── drift, and going live ───────────────────────────────────────────────────────────────────────────────────

    def _drifted(self, event: AcceptedEvent, findings: Findings) -> Emitted:
        """The signals, and the job if they add up to a trigger."""
        self.arena.wake()
        signals = [
            self.reports.signal(
                event, each, findings, event_number=self.events, window=self.recruits.ranges(each.shift.window_events)
            )
            for each in findings.fired
        ]
        if not findings.triggered:
            return Emitted(signals)
        job = self.recruits.trigger(
            findings.fired, signal=signals[0].id, champion=self.champion, event_number=self.events
        )
        self.watch.trained()
        return Emitted(signals, [] if job is None else [job])

    def _withheld(self, event_number: int) -> str:
        """Why no retraining can begin on the event with this number, though the signals add up to one."""
        withheld = self._no_retraining(event_number)
        if withheld:
            self.notes.append(f"trigger at event {event_number} passed over: {withheld}")
        return withheld

    def _quarantined(self, event: AcceptedEvent) -> Promotion | None:
        """Labels are not as they were: learning stops by itself; the champion as it is then, for who learns along."""
        assert self.quarantine is not None  # who calls has looked
        why = "" if self.succession.frozen else self.quarantine.on_label(event.y)
        if not why:
            return None
        self.succession.frozen = f"by itself: {why}"
        reason = f"frozen {self.succession.frozen}"
        self.lifecycle.stay(self.champion.name, reason=reason, noted=True, level="alert")
        return self._announced_as_it_is(self._context(event), reason)

    def _contest(self, event: AcceptedEvent) -> Promotion | None:
        """A shadow has evidence enough: the swap, if nothing holds it back."""
        self.arena.ahead = False
        return self._begun_with(self.succession.contest(self._context(event)))

    def _roll_out(self, event: AcceptedEvent) -> Promotion | None:
        """A champion that followers have beside the displaced one takes its next step, if it has come so far."""
        succession = self.succession
        if succession.displaced is None:
            return succession.complete(self._context(event), reason="the displaced champion has left")
        return succession.go_on(self._context(event)) if succession.rollout.may_go_on else None

    def _turn(self, event: AcceptedEvent) -> Promotion | None:
        """Let the blend answer, or the champion again, if it is time."""
        return self._begun_with(self.blend.turn(self._context(event)))


def _choked(event: AcceptedEvent, error: BaseException, *, learned: int) -> LearnError:
    return LearnError(partition=event.partition, offset=event.offset, learned=learned, cause=error)
