"""What costs time about a draft, done before its transaction: schema and the guard's features."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, cast

from .contract import Contract
from .guard import Features, Lexicon, default_lexicon, features, lexicon
from .message import Draft, words_in
from .refusals import ContractViolation
from .schemas import Schema, compiled, together

MAX_EXAMPLE_CHARS = 1_000

logger = logging.getLogger(__name__)


class Checked(NamedTuple):
    """A draft that its contract allows.

    `endings` are the positions of the terminal rules whose type and `when` it meets; `features`
    are None where no guard is on; `may_hush` is False where no notice can have reached the sender.
    """

    contract: Contract
    endings: tuple[int, ...] = ()
    features: Features | None = None
    may_hush: bool = True


def checked(contract: Contract, draft: Draft) -> Checked:
    """The draft's body against the contract, and what the guard keeps of its text.

    Raises:
        ContractViolation: The body does not pass the schema of its type.
    """
    with together():
        declared = contract.types.get(draft.type)
        if declared is not None and declared.body is not None:
            _must_pass(draft, _schemas(contract)[draft.type], declared.example)
        endings = tuple(
            at
            for at, rule in enumerate(contract.terminal)
            if rule.type == draft.type and _meets(contract, at, draft)
        )
    return Checked(contract, endings, features_of(contract, draft.content))


@lru_cache(maxsize=256)
def _schemas(contract: Contract) -> Mapping[str | int, Schema]:
    """The schemas of its types by name, and those of its terminal rules by position."""
    bodies = ((one.name, one.body) for one in contract.types.values() if one.body is not None)
    whens = ((at, one.when) for at, one in enumerate(contract.terminal) if one.when is not None)
    return {key: compiled(document) for key, document in chain(bodies, whens)}


def _meets(contract: Contract, rule: int, draft: Draft) -> bool:
    if contract.terminal[rule].when is None:
        return True
    schema = _schemas(contract)[rule]
    return schema.accepts(_body(draft, schema.document))


def _must_pass(draft: Draft, schema: Schema, example: Any) -> None:
    violation = schema.violation(_body(draft, schema.document))
    if violation is None:
        return
    passing = example  # it was held against the schema when the contract was read
    shown = json.dumps(passing, ensure_ascii=False)
    raise ContractViolation(
        f"The body of this {draft.type} is wrong: {violation.path} {violation.rule}.",
        advice=f"Nothing was stored. A body that would pass: {shown[:MAX_EXAMPLE_CHARS]}",
        messageType=draft.type,
        path=violation.path,
        rule=violation.rule,
        schema=violation.schema,
        example=passing,
    )


def _body(draft: Draft, schema: Any) -> Any:
    """The content that a schema speaks of: without its type and text, unless it knows these."""
    content = draft.content
    if isinstance(content, str):
        return content
    known: Any = cast("Any", schema).get("properties", {}) if isinstance(schema, dict) else {}
    return {
        key: value
        for key, value in content.items()
        if key in known or not ((key == "type" and value == draft.type) or key == "text")
    }


def features_of(contract: Contract, content: str | dict[str, Any]) -> Features | None:
    """What the guard keeps of a content; None where it is off."""
    if not contract.guard.on:
        return None
    if isinstance(content, dict):
        content = {key: value for key, value in content.items() if key != "type"}
    try:
        return features("\n".join(words_in(content)), _lexicon(contract))
    except Exception:
        # A guard that fails must not hold a message back.
        logger.exception("The guard could not read a message")
        return None


@lru_cache(maxsize=256)
def _lexicon(contract: Contract) -> Lexicon:
    ours, words = default_lexicon(), contract.guard.words
    if not words:
        return ours
    praise = words.get("praise", ())
    own = lexicon((), (*words.get("courtesy", ()), *praise), praise, words.get("stop", ()))
    return Lexicon(
        ours.courtesy | own.courtesy,
        ours.warmth | own.warmth,
        {**own.phrases, **ours.phrases},
        ours.stop | own.stop,
        ours.beginnings | own.beginnings,
    )
