"""RoBERTa (Liu et al. 2019), and what shares its form: XLM-RoBERTa, CamemBERT."""

from bertsmith.families import Family, HeadForm
from bertsmith.families.bert import DEFAULTS, FIXED, KEYS, NAMES


def _family(model_type: str, *, class_name: str, vocabulary: int) -> Family:
    return Family(
        model_type=model_type,
        prefix="roberta.",
        keys=KEYS,
        defaults={**DEFAULTS, "vocabulary": vocabulary},
        fixed=FIXED,
        names=NAMES,
        heads={
            "sequence": HeadForm(
                architecture=f"{class_name}ForSequenceClassification",
                names={"dense": "classifier.dense", "output": "classifier.out_proj"},
                activation="tanh",
                dropout_key="classifier_dropout",
                dropout_before=True,
            ),
            "token": HeadForm(
                architecture=f"{class_name}ForTokenClassification",
                names={"output": "classifier"},
                dropout_key="classifier_dropout",
            ),
            "span": HeadForm(
                architecture=f"{class_name}ForQuestionAnswering", names={"output": "qa_outputs"}, dropout_key=None
            ),
            "masked": HeadForm(
                architecture=f"{class_name}ForMaskedLM",
                names={"dense": "lm_head.dense", "norm": "lm_head.layer_norm", "output": "lm_head"},
                activation="gelu",
                dropout_key=None,
                pretrained=("dense", "norm", "output"),
                tied="lm_head.decoder.weight",
            ),
        },
        # its pooler is never pretrained (there is no next-sentence prediction), so no head starts from it
        known=(
            "roberta.pooler.",
            "lm_head.",
            "classifier.",
            "qa_outputs.",
            "roberta.embeddings.position_ids",
        ),
        positions_after_padding=True,
    )


FAMILIES = (
    _family("roberta", class_name="Roberta", vocabulary=50_265),
    _family("xlm-roberta", class_name="XLMRoberta", vocabulary=30_522),
    _family("camembert", class_name="Camembert", vocabulary=30_522),
)
