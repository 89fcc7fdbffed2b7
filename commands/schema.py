"""`anabranch schema`: the JSON Schemas of the messages."""


def schema() -> None:
    """Print the JSON Schema of every message, keyed by the message's name."""
    import orjson

    from anabranch.messages import PUBLISHED

    schemas = {kind.__name__: kind.model_json_schema() for kind in PUBLISHED}
    print(orjson.dumps(schemas, option=orjson.OPT_INDENT_2).decode())
