"""A loop as people write it by hand: confluent-kafka, records by the thousand."""

from confluent_kafka import Consumer
from work import TOPIC, asked_for

bootstrap, work, group = asked_for()
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
consumer.subscribe([TOPIC])
ended = False
while not ended:
    for message in consumer.consume(1000, timeout=0.1):
        if message.error():
            raise SystemExit(str(message.error()))
        if work.take(message.value(), message.timestamp()[1]):
            ended = True
            break
work.tell()
consumer.close()
