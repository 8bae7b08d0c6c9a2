"""ELECTRA (Clark et al. 2020): BERT with embeddings narrower than the layers; generator and discriminator."""

from bertsmith.families import Family, HeadForm
from bertsmith.families.bert import DEFAULTS, FIXED, KEYS, NAMES

FAMILIES = (
    Family(
        model_type="electra",
        prefix="electra.",
        keys={**KEYS, "embedding_width": "embedding_size"},
        defaults={**DEFAULTS, "width": 256, "heads": 4, "inner_width": 1_024, "embedding_width": 128},
        fixed=FIXED,
        names={**NAMES, "embeddings.projection": "embeddings_project"},
        heads={
            "sequence": HeadForm(
                architecture="ElectraForSequenceClassification",
                names={"dense": "classifier.dense", "output": "classifier.out_proj"},
                activation="gelu",
                dropout_key="classifier_dropout",
                dropout_before=True,
            ),
            "token": HeadForm(
                architecture="ElectraForTokenClassification",
                names={"output": "classifier"},
                dropout_key="classifier_dropout",
            ),
            "span": HeadForm(
                architecture="ElectraForQuestionAnswering", names={"output": "qa_outputs"}, dropout_key=None
            ),
            # the generator's; a discriminator has none
            "masked": HeadForm(
                architecture="ElectraForMaskedLM",
                names={
                    "dense": "generator_predictions.dense",
                    "norm": "generator_predictions.LayerNorm",
                    "output": "generator_lm_head",
                },
                activation="gelu",
                dropout_key=None,
                pretrained=("dense", "norm", "output"),
                tied="generator_lm_head.weight",
            ),
        },
        known=(
            "generator_predictions.",
            "generator_lm_head.",
            "discriminator_predictions.",
            "classifier.",
            "qa_outputs.",
            "electra.embeddings.position_ids",
        ),
    ),
)
