"""What a description in JSON Schema cannot say of the API, for data that is meant to be right.

Data that is meant to be wrong is left alone.
"""

from datetime import datetime
from uuid import uuid4

import schemathesis
from hypothesis import strategies as st
from schemathesis.generation.modes import GenerationMode

# Times are RFC 3339 in UTC, from 1970 to 9999; generators of `date-time` know neither limit.
schemathesis.openapi.format(
    "date-time",
    st.datetimes(min_value=datetime(1970, 1, 1)).map(
        lambda time: time.isoformat(timespec="milliseconds") + "Z"
    ),
)


def whole_numbers(value):
    """JSON Schema takes 5.0 for an integer; on the wire an integer has no fraction."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: whole_numbers(item) for name, item in value.items()}
    return value


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """Imports are JSON, a value a line; what is generated for them is the text itself."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if case.headers and "Idempotency-Key" in case.headers:
        # A key that is used again answers again what it answered, of an endpoint, say, that has been deleted since.
        case.headers["Idempotency-Key"] = str(uuid4())
    query = case.query
    if query:
        # Only the server makes cursors, and each is good for the list that it came from.
        query.pop("after", None)
        # There is no relevance without words.
        if query.get("sort") == "relevance" and not str(query.get("q", "")).strip():
            query.pop("sort")
    if isinstance(case.body, (dict, list)):
        case.body = whole_numbers(case.body)
