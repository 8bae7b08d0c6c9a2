"""What the commands that answer with a trained model share: the choice of what computes, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertsmith.cli.show import Watch
    from bertsmith.infer import Predictor

BACKEND_HELP = (
    "what computes: torch, onnx or openvino (of two exported forms onnx-int8 or openvino-int8, too); auto, an exported "
    "form if there is one"
)


def say_what_answers(predictor: Predictor, watch: Watch) -> None:
    """Say which exported form answers, or why one that is there does not; of torch alone there is nothing to say."""
    if predictor.remark is not None:
        watch.say(predictor.remark, warning=True)
    if predictor.is_exported:
        watch.say(f"answering with the exported form {predictor.backend.description}")
