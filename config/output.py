"""Sections about what goes out: announcements, checkpoints, scoring, metrics, the dashboard."""

from typing import Literal

from pydantic import Field, SecretStr

from config.sections import Seconds, Section


class Publish(Section):
    """When the champion is announced besides at swaps, and with which signature."""

    key: str | None = Field(
        None,
        description="file of the private key that signs updates (`anabranch keys new`); without it they are unsigned",
    )
    warm_up_events: int = Field(200, ge=1, description="accepted events before the first champion is announced")
    refresh_level: float = Field(
        100.0,
        ge=0,
        description="evidence that followers lose by their copy at which it is announced again; 0 = not asked",
    )
    refresh_gap: int | None = Field(
        None,
        ge=0,
        description="accepted events between two such announcements; None = 0, and above 100 kB 50 or one each 10 kB",
    )
    refresh_events: int = Field(10_000, ge=0, description="announce at the latest after so many; 0 = never")
    refresh_interval: float = Field(0.0, ge=0, description="and after so many seconds of event time; 0 = never")
    bytes_per_s: int = Field(
        1_000_000,
        ge=0,
        description="of models, on average, a second of event time: a refresh waits until it fits; 0 = no bound",
    )
    blocks: int = Field(
        0, ge=0, description="learn and announce so many events at a time; between, members are as they were announced"
    )
    report_events: int = Field(2_000, ge=1, description="accepted events between two reports")
    report_interval: Seconds = Field(10.0, description="and so often by the clock, without them too; 0 = never")
    versions_kept: int = Field(100, ge=2, description="whose bytes stay on the artifacts' topic")
    predictions: bool = Field(
        False,
        description="tell on `model-predictions` what the champion answered to each event when it was asked",
    )
    canary_rows: int = Field(
        8, ge=1, le=100, description="of events whose predictions go with a model, for followers to check it by"
    )


class Checkpoint(Section):
    """Where and when the state is kept."""

    store: str = Field("checkpoints", description="a folder, file:///folder, or s3://bucket/prefix with [s3]")
    every_events: int = Field(50_000, ge=1, description="records between two checkpoints, at most")
    every: Seconds = Field(10.0, description="time between two checkpoints, at most, while records come")
    keep: int = Field(5, ge=2, description="blobs kept")


class Score(Section):
    """How `anabranch score` answers. Of several models in a process the first file's host, limits and tokens count."""

    host: str = Field("127.0.0.1", description="where it listens")
    port: int = Field(8080, ge=0, le=65535, description="the port; 0 = any that is free")
    tokens: tuple[SecretStr, ...] = Field(
        (), description="bearer tokens, one of which a request has to bring; () = everybody may ask"
    )
    concurrency_max: int = Field(64, ge=1, description="requests at once; those beyond are answered 429 at once")
    body_max_bytes: int = Field(1_000_000, ge=1, description="a longer request is answered 413")
    rows_max: int = Field(1_000, ge=1, description="events in one request, at most")
    timeout: Seconds = Field(10.0, description="in which a request has to be here, as a whole")
    trusted_keys: tuple[str, ...] | None = Field(
        None,
        description="public keys (`anabranch keys show`), one of which has signed every model; for `learn --from` too",
    )
    acks: bool = Field(True, description="tell on `model-acks` which version it serves: see `anabranch followers`")
    predictions: bool = Field(False, description="answer each event of the events topic, too, on `model-predictions`")
    predictions_start: Literal["latest", "earliest"] = Field(
        "latest", description="where that begins, for a group that has answered nothing yet"
    )
    max_age: Seconds | None = Field(
        None, description="an older model answers nothing; let `publish.refresh_interval` be shorter"
    )
    min_version: int = Field(0, ge=0, description="a version before it answers nothing")
    partitioner: Literal["crc32", "murmur2"] = Field(
        "crc32",
        description='with scope = "partition": how producers choose the partition of a key; confluent-kafka and '
        "librdkafka do it by crc32, the Java client by murmur2",
    )
    by_partition: Literal["own", "average"] = Field(
        "own",
        description='with scope = "partition": the model of its own partition answers for a key; or the mean of all '
        "partitions' models for everybody, with a key or without",
    )
    compute: bool = Field(
        True,
        description="compute what a request lacks of [features] and [memory], if what they are computed of came with "
        "the model; as of its announcement, or with learn_along as of now",
    )
    explore: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the rankings that are drawn at random from the candidates, so that rankers can be judged "
        "that were never shown; each item then comes with its `propensity`",
    )
    learn_along: bool = Field(
        False, description="learn along with the learner, and answer by the model that it has now"
    )


class MetricsSettings(Section):
    """Where `anabranch learn` answers Prometheus; the scorer does on its own port. See docs/METRICS.md."""

    host: str = Field("127.0.0.1", description="where it listens")
    port: int | None = Field(None, ge=0, le=65535, description="the port; 0 = any that is free; None = not at all")


class Dashboard(Section):
    """What `anabranch dashboard` shows, where, and to whom. Of several models in a process the first file's counts."""

    host: str = Field("127.0.0.1", description="where it listens")
    port: int = Field(8090, ge=0, le=65535, description="the port; 0 = any that is free")
    tokens: tuple[SecretStr, ...] = Field((), description="one of which a reader has to enter; () = everybody may look")
    action_tokens: tuple[SecretStr, ...] = Field(
        (), description="one of which a person has to enter for each action; () = nobody can do anything from the page"
    )
    origins: tuple[str, ...] = Field(
        (), description="addresses under which browsers know it besides its own, as `https://models.example.org`"
    )
    history: Seconds = Field(86_400.0, description="how far back it begins to read the topics")
    records_max: int = Field(1_000_000, ge=1, description="that it reads of a partition's backlog, the newest")
    clients_max: int = Field(200, ge=1, description="pages that are open at once")
    queue_max: int = Field(64, ge=1, description="messages that wait for a page; one that is slower begins anew")
