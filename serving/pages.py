"""The description of the interface: for machines as OpenAPI, for people as one page that needs nothing else."""

from html import escape
from importlib import metadata
from typing import Any

VERSION = metadata.version("anabranch")

_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["features"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "description": "comes back with the answer"},
        "ts": {"description": "when it happens: features that are computed are those of then; without it, of now"},
        "features": {
            "type": "object",
            "additionalProperties": {"type": ["number", "string", "boolean", "null"]},
            "description": "unknown ones are left out and named in the answer, missing ones too",
        },
    },
}
_PREDICTION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "epoch": {"type": "integer"},
        "seq": {"type": "integer"},
        "events": {"type": "integer", "description": "labelled events that the model has learned"},
        "age_s": {"type": "number", "description": "seconds since it was what the learner had"},
        "behind": {"type": "integer", "description": "events that the learner is ahead, where it learns along"},
        "prediction": {"description": "the label (binary: true for the positive class), or the number"},
        "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
        "computed": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "description": "features that the event lacked, and that were computed of earlier events and labels",
        },
        "missing": {"type": "array", "items": {"type": "string"}},
        "unknown": {"type": "array", "items": {"type": "string"}},
    },
}
_ITEM = {"type": ["string", "number"]}
_RANKING_ASKED = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "description": "of the request; comes back with the answer"},
        "user": {"type": ["string", "number"], "description": "whom it is for, if known"},
        "features": {**_EVENT["properties"]["features"], "description": "the context"},
        "candidates": {"type": "array", "items": _ITEM, "description": "to choose from; without it, all known items"},
        "exclude": {"type": "array", "items": _ITEM, "description": "not wanted, beside what the user has taken"},
        "n": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10},
        "ts": {"description": "not used"},
    },
}
_RANKING = {
    "type": "object",
    "properties": {
        **{name: _PREDICTION["properties"][name] for name in ("id", "model", "version", "events", "age_s")},
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "item": {"type": "string"},
                    "score": {"type": "number"},
                    "propensity": {"type": "number", "description": "with which it is listed (score.explore)"},
                    "cold": {"enum": ["user", "item", "model"], "description": "why the model did not rank it itself"},
                },
            },
        },
        "explored": {"type": "boolean", "description": "the list was drawn from the candidates (score.explore)"},
        "shown": {"type": "string", "description": "the list as the feature `shown` of its feedback events"},
    },
}
_EXPLANATION = {
    "type": "object",
    "properties": {
        **{name: _PREDICTION["properties"][name] for name in ("id", "model", "version", "epoch", "seq", "events")},
        "prediction": {"description": "what is explained: the label, or the number"},
        "about": {"description": "the label whose log-odds or probability is divided up; not there for a number"},
        "against": {"description": "in log-odds, the label that it is weighed against"},
        "unit": {"enum": ["log-odds", "margin", "probability", "number"]},
        "base": {"type": "number", "description": "on average over the events that came with the model"},
        "value": {"type": "number", "description": "of this event: the base and all contributions"},
        "method": {"enum": ["exact", "tree and sampled", "sampled"]},
        "rows": {"type": "integer", "description": "events that it is compared with"},
        "contributions": {
            "type": "array",
            "description": "the largest first",
            "items": {
                "type": "object",
                "properties": {
                    "feature": {"type": "string"},
                    "value": {"description": "of the event; null: it is missing"},
                    "amount": {"type": "number"},
                    "error": {"type": "number", "description": "standard error, where the amount is sampled"},
                },
            },
        },
        "words": {"type": "array", "items": {"type": "string"}, "description": "the same in sentences"},
        **{name: _PREDICTION["properties"][name] for name in ("computed", "missing", "unknown")},
    },
}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}, "field": {"type": "string"}}}

_SCHEMAS: dict[str, Any] = {
    "Event": _EVENT,
    "Prediction": _PREDICTION,
    "RankingAsked": _RANKING_ASKED,
    "Ranking": _RANKING,
    "Explanation": _EXPLANATION,
    "Error": _ERROR,
}

# By path and method: what it is for.
_PATHS: dict[tuple[str, str], str] = {
    ("post", "/api/predict"): "answer one event, or a list of events, by one version of the model",
    ("post", "/api/models/{model}/predict"): "the same, where several models are served",
    ("post", "/api/rank"): "the best items for one user or context, best first",
    ("post", "/api/models/{model}/rank"): "the same, where several models are served",
    ("post", "/api/explain"): "why an event is answered so: what each of its features contributed",
    ("post", "/api/models/{model}/explain"): "the same, where several models are served",
    ("get", "/api/models"): "the models, and which version of each is in use",
    ("get", "/healthz"): "the process is alive",
    ("get", "/readyz"): "every model answers; if not, why",
    ("get", "/metrics"): "for Prometheus",
    ("get", "/v2"): "Open Inference Protocol: the server",
    ("get", "/v2/health/live"): "Open Inference Protocol: alive",
    ("get", "/v2/health/ready"): "Open Inference Protocol: every model answers",
    ("get", "/v2/models/{model}"): "Open Inference Protocol: what the model takes and gives",
    ("get", "/v2/models/{model}/ready"): "Open Inference Protocol: the model answers",
    ("post", "/v2/models/{model}/infer"): "Open Inference Protocol: one input for each feature",
}
_REFUSALS = {
    "400": "not JSON, or no request of the protocol",
    "401": "no token, or a wrong one",
    "404": "no such model, or a version that is not in use",
    "408": "the request did not come in time",
    "413": "too long",
    "422": "a field is wrong; it is named",
    "429": "too many at once; Retry-After says when to try again",
    "503": "no model yet, or too old a one; the reason is told",
}


def openapi(models: list[str]) -> dict[str, Any]:
    """The interface in OpenAPI 3.1."""
    paths: dict[str, Any] = {}
    for (method, path), summary in _PATHS.items():
        paths.setdefault(path, {})[method] = _operation(method, path, summary, models)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Anabranch: scoring", "version": VERSION},
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }


def _operation(method: str, path: str, summary: str, models: list[str]) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "responses": {"200": {"description": "answered"}}}
    if "{model}" in path:
        schema = {"type": "string", "enum": models}
        operation["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": schema}]
    if path.startswith("/api") and method == "post":
        event = {"$ref": "#/components/schemas/Event"}
        body: dict[str, Any] = {"oneOf": [event, {"type": "array", "items": event}]}
        answer = {"$ref": "#/components/schemas/Prediction"}
        if path.endswith("/explain"):
            answer = {"$ref": "#/components/schemas/Explanation"}
        if path.endswith("/rank"):
            body, answer = {"$ref": "#/components/schemas/RankingAsked"}, {"$ref": "#/components/schemas/Ranking"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        operation["responses"]["200"]["content"] = {"application/json": {"schema": answer}}
    if method == "post":
        error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        for status, why in _REFUSALS.items():
            operation["responses"][status] = {"description": why, "content": error}
    return operation


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "code,pre{font:14px/1.5 ui-monospace,monospace}pre{background:#f4f4f4;padding:.8rem;overflow:auto}"
    "table{border-collapse:collapse;width:100%}td{border-top:1px solid #ddd;padding:.4rem;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{background:#161616;color:#eee}pre{background:#242424}"
    "td{border-color:#444}a{color:#8cf}}"
)


def page(models: list[str], address: str) -> str:
    """The interface on one page, with a command that can be tried."""
    rows = "".join(
        f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td>{escape(why)}</td></tr>"
        for (method, path), why in _PATHS.items()
    )
    refusals = "".join(f"<tr><td>{status}</td><td>{escape(why)}</td></tr>" for status, why in _REFUSALS.items())
    path = "api/predict" if len(models) == 1 else f"api/models/{models[0]}/predict"
    curl = f"curl {address}{path} -H 'Content-Type: application/json' -d '{{\"features\": {{\"amount\": 12.5}}}}'"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Anabranch: scoring</title><style>{_STYLE}</style><h1>Scoring: {escape(', '.join(models))}</h1>"
        f"<p>Answers are given by the newest model that its learner has announced; each says by which version, and how "
        f"old it is. For machines: <a href=openapi.json>openapi.json</a>.</p><pre>{escape(curl)}</pre>"
        f"<table>{rows}</table><h2>When it does not answer</h2>"
        f'<p>The body is <code>{{"error": …}}</code>, and names the field where one is to blame.</p>'
        f"<table>{refusals}</table></html>"
    )
