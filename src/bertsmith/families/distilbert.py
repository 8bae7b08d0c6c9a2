"""DistilBERT (Sanh et al. 2019): BERT's form at half the depth, without segments and without a pooler."""

from bertsmith.families import Family, HeadForm
from bertsmith.families.bert import DEFAULTS

FAMILIES = (
    Family(
        model_type="distilbert",
        prefix="distilbert.",
        keys={
            "vocabulary": "vocab_size",
            "width": "dim",
            "layers": "n_layers",
            "heads": "n_heads",
            "inner_width": "hidden_dim",
            "positions": "max_position_embeddings",
            "activation": "activation",
            "dropout": "dropout",
            "attention_dropout": "attention_dropout",
            "initializer_range": "initializer_range",
        },
        defaults={**DEFAULTS, "layers": 6, "segments": 0},
        names={
            "embeddings.word": "embeddings.word_embeddings",
            "embeddings.position": "embeddings.position_embeddings",
            "embeddings.norm": "embeddings.LayerNorm",
            "layers.{i}.attention.query_key_value": (
                "transformer.layer.{i}.attention.q_lin",
                "transformer.layer.{i}.attention.k_lin",
                "transformer.layer.{i}.attention.v_lin",
            ),
            "layers.{i}.attention.output": "transformer.layer.{i}.attention.out_lin",
            "layers.{i}.attention_norm": "transformer.layer.{i}.sa_layer_norm",
            "layers.{i}.feed_forward.inner": "transformer.layer.{i}.ffn.lin1",
            "layers.{i}.feed_forward.output": "transformer.layer.{i}.ffn.lin2",
            "layers.{i}.feed_forward_norm": "transformer.layer.{i}.output_layer_norm",
        },
        heads={
            "sequence": HeadForm(
                architecture="DistilBertForSequenceClassification",
                names={"dense": "pre_classifier", "output": "classifier"},
                activation="relu",
                dropout_key="seq_classif_dropout",
            ),
            "token": HeadForm(
                architecture="DistilBertForTokenClassification", names={"output": "classifier"}, dropout_key="dropout"
            ),
            "span": HeadForm(
                architecture="DistilBertForQuestionAnswering", names={"output": "qa_outputs"}, dropout_key="qa_dropout"
            ),
            "masked": HeadForm(
                architecture="DistilBertForMaskedLM",
                names={"dense": "vocab_transform", "norm": "vocab_layer_norm", "output": "vocab_projector"},
                activation=None,
                dropout_key=None,
                pretrained=("dense", "norm", "output"),
                tied="vocab_projector.weight",
            ),
        },
        known=(
            "vocab_",
            "pre_classifier.",
            "classifier.",
            "qa_outputs.",
            "distilbert.embeddings.position_ids",
        ),
    ),
)
