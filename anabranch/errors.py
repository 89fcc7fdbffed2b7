"""The exceptions of Anabranch: broken rules, for people to act on.

Expected failures (a bad event, a disqualified shadow, a retraining job that died) are data, not exceptions.

    AnabranchError
    ├── ConfigError          the configuration cannot be used; says where and what to write instead
    │   └── ModelSpecError   the model in it cannot be built
    ├── LearnError           the champion raised while predicting or learning; carries the event's place
    ├── LearningFrozen       it raised on too many events in a row; what is not learned is still in the log
    ├── OwnershipLost        another process owns the model now; this one must stop (exit code 75)
    ├── SessionExpired       the broker took this process for dead, nobody has taken over; begin from the checkpoint
    ├── CheckpointError      no checkpoint can be restored, or it belongs to another log or an incompatible program
    │   ├── CheckpointMissing  its bytes are not in the store: the one before it is taken
    │   └── CheckpointCorrupt  its bytes are not what they were: likewise
    ├── StoreUnavailable     the store does not answer, or takes nothing: nothing is lost in it, and it is waited for
    ├── LogTruncated         the log no longer holds offsets that are needed
    ├── KafkaUnavailable     the brokers do not answer, or a topic does not exist
    │   └── KafkaRefused     and waiting does not mend it: a password, a certificate, a host's name, a topic
    │       └── KafkaForbidden  a right that somebody has to grant
    ├── ArtifactError        a published model cannot be used; the follower keeps the one it has
    │   ├── ArtifactMissing  its bytes are not where they were announced; they may come yet
    │   └── SignatureError   none of the keys that are trusted has signed its update
    ├── ExplanationError     an answer cannot be explained (serving/explanation)
    ├── StateTreeError       a model's state cannot be turned into bytes, or bytes into a state (anabranch/statetree)
    ├── UnreadableMessage    bytes that are not the message they should be (anabranch/messages/codec.py)
    ├── NotCarriedOut        a worker could not carry out a retraining job; says why (consumers/jobs/topic.py)
    ├── ProcessEnded         a process has ended without a result; says how (consumers/jobs/processes.py)
    ├── AuditError           a file of an audit is not what was written (operations/audit.py)
    ├── NoChampionYet        a follower was asked before the first model came
    ├── ModelTooOld          its model is older than `max_age` or `min_version` allow
    └── ModelRetired         its model was taken out of service; says since when, by whom and why
"""

from collections.abc import Collection, Mapping
from difflib import get_close_matches


class AnabranchError(Exception):
    """The root of every exception that Anabranch raises on purpose."""


class ConfigError(AnabranchError):
    """The configuration cannot be used."""


class ModelSpecError(ConfigError):
    """The configured model cannot be built."""


class LearnError(AnabranchError):
    """The champion raised on an event, so its state can no longer be trusted.

    Args:
        partition: of the event.
        offset: of the event.
        learned: how many events were learned before it.
        cause: what the model raised.
    """

    def __init__(self, *, partition: int, offset: int, learned: int, cause: BaseException) -> None:
        super().__init__(
            f"the champion raised {type(cause).__name__}: {cause} on partition {partition} offset {offset}"
        )
        self.partition = partition
        self.offset = offset
        self.learned = learned
        self.cause = cause
        self.topic = ""
        """Of the record that was being taken, once somebody knows it."""
        self.waiting = ""
        """The id of an event that was to be learned without a record: its label has not come in time, or it is of a
        block."""


class LearningFrozen(AnabranchError):
    """The champion raised on too many events in a row; says on which, and what to do."""


class OwnershipLost(AnabranchError):
    """Another process owns the model now; nothing this one holds may be written any more."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h; supervisors are told not to restart on it


class SessionExpired(AnabranchError):
    """The broker took this process for dead, and nobody has taken over: what it owns has to be restored."""


class CheckpointError(AnabranchError):
    """No checkpoint can be restored."""


class CheckpointMissing(CheckpointError):
    """The bytes of a checkpoint are not in the store."""


class CheckpointCorrupt(CheckpointError):
    """The bytes of a checkpoint, or of the manifest, are torn or were changed."""


class StoreUnavailable(AnabranchError):
    """The store of the checkpoints does not answer, or takes nothing: a disk that is full, a host that is away."""


class LogTruncated(AnabranchError):
    """The log no longer holds offsets that are needed."""


class KafkaUnavailable(AnabranchError):
    """The brokers do not answer, or a topic does not exist."""


class KafkaRefused(KafkaUnavailable):
    """The brokers cannot be used as configured, or lack a topic: waiting does not mend it."""


class KafkaForbidden(KafkaRefused):
    """The brokers do not let this user do what is needed: somebody has to grant it."""


class ArtifactError(AnabranchError):
    """A published model cannot be used.

    Args:
        check: which one it has not passed; by it followers count what they refuse.
    """

    check = "other"

    def __init__(self, fault: object, *, check: str = "") -> None:
        super().__init__(fault)
        self.check = check or self.check


class ArtifactMissing(ArtifactError):
    """The bytes of a published model are not where they were announced; they may come yet."""

    check = "missing"


class SignatureError(ArtifactError):
    """None of the keys that are trusted has signed an update.

    Args:
        fault: what is wrong, in the same words for all such records: of many, a log tells the first.
        key: who is said to have signed.
    """

    check = "signature"

    def __init__(self, fault: str, *, key: str = "") -> None:
        super().__init__(f"{fault}: key {key}" if key else fault)
        self.fault = fault


class ExplanationError(AnabranchError):
    """A model's answer to an event cannot be explained."""


class NoChampionYet(AnabranchError):
    """A prediction was asked for before the first model came."""


class ModelTooOld(AnabranchError):
    """The model in use is older than was allowed: nothing is answered rather than something stale."""


class ModelRetired(AnabranchError):
    """The model was taken out of service by somebody: nothing is answered until it is reinstated."""


def did_you_mean(
    word: str, known: Collection[str], *, cutoff: float = 0.6, show: str = "`{}`", instead: str = ""
) -> str:
    """The end of an error about a word that nobody knows: the nearest that is known, or else what `instead` says.

    Args:
        known: the words; or by each word as it is compared, how it is shown.
        cutoff: how near it has to be, from 0 to 1.
        show: how it is shown.

    >>> did_you_mean("delat", ["delta", "clock"]), did_you_mean("delta", [], instead="it takes none")
    ('did you mean `delta`?', 'it takes none')
    """
    near = get_close_matches(word, known, n=1, cutoff=cutoff)
    if not near:
        return instead
    shown = known[near[0]] if isinstance(known, Mapping) else near[0]
    return f"did you mean {show.format(shown)}?"
