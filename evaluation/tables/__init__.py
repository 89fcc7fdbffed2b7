"""Tables as streams: how a CSV or a Parquet file becomes events."""
