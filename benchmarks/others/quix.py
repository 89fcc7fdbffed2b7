"""Quix Streams: its dataframe, a function a record; its checkpoint every five seconds, as it comes."""

import warnings

warnings.filterwarnings("ignore")

from quixstreams import Application  # noqa: E402
from work import TOPIC, asked_for  # noqa: E402

bootstrap, work, group = asked_for()
app = Application(broker_address=bootstrap, consumer_group=group, auto_offset_reset="earliest", loglevel="ERROR")
frame = app.dataframe(app.topic(TOPIC, value_deserializer="bytes"))


def take(value: bytes, _key: object, timestamp_ms: int, _headers: object) -> None:
    """One event; the last one ends the application."""
    if work.take(value, timestamp_ms):
        work.tell()
        app.stop()


frame.update(take, metadata=True)
app.run()
