"""The inputs of tasks on tokens, for the tests of the readers."""

from __future__ import annotations

from bertsmith.records import Input

TAG = (
    Input("words", names=("words", "tokens", "form", "token"), or_else="text"),
    Input("text", names=("text", "sentence"), or_else="words"),
    Input(
        "tags",
        names=("tags", "ner_tags", "pos_tags", "upos", "labels"),
        required=False,
        or_else="spans",
        per_word=True,
    ),
    Input("spans", names=("spans", "entities", "label"), required=False, or_else="tags"),
)
ANSWER = (
    Input("question", names=("question", "query")),
    Input("passage", names=("passage", "context", "paragraph", "text")),
    Input("answers", names=("answers", "answer"), required=False),
    Input("is_impossible", names=("is_impossible",), required=False, or_else="answers"),
    Input("id", names=("id", "qas_id", "qid"), required=False, needed_to_train=False),
)
