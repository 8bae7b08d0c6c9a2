"""BERT (Devlin et al. 2019), and what shares its form: MiniLM, BioBERT, the sentence encoders made from it."""

from collections.abc import Mapping

from bertsmith.families import Family, HeadForm

NAMES: Mapping[str, str | tuple[str, ...]] = {
    "embeddings.word": "embeddings.word_embeddings",
    "embeddings.position": "embeddings.position_embeddings",
    "embeddings.segment": "embeddings.token_type_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
    "layers.{i}.attention.query_key_value": (
        "encoder.layer.{i}.attention.self.query",
        "encoder.layer.{i}.attention.self.key",
        "encoder.layer.{i}.attention.self.value",
    ),
    "layers.{i}.attention.output": "encoder.layer.{i}.attention.output.dense",
    "layers.{i}.attention_norm": "encoder.layer.{i}.attention.output.LayerNorm",
    "layers.{i}.feed_forward.inner": "encoder.layer.{i}.intermediate.dense",
    "layers.{i}.feed_forward.output": "encoder.layer.{i}.output.dense",
    "layers.{i}.feed_forward_norm": "encoder.layer.{i}.output.LayerNorm",
}

MASKED: Mapping[str, str] = {
    "dense": "cls.predictions.transform.dense",
    "norm": "cls.predictions.transform.LayerNorm",
    "output": "cls.predictions",
}

KEYS = {
    "vocabulary": "vocab_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "inner_width": "intermediate_size",
    "positions": "max_position_embeddings",
    "segments": "type_vocab_size",
    "activation": "hidden_act",
    "norm_epsilon": "layer_norm_eps",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "initializer_range": "initializer_range",
}

# transformers' BertConfig, which leaves out of config.json what equals its defaults
DEFAULTS = {
    "vocabulary": 30_522,
    "width": 768,
    "layers": 12,
    "heads": 12,
    "inner_width": 3_072,
    "positions": 512,
    "segments": 2,
    "activation": "gelu",
    "norm_epsilon": 1e-12,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "initializer_range": 0.02,
}

FIXED = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}

# The shapes that were published: base and large by Devlin et al. 2019 (§3), the others by Turc et al. 2019 (§4).
SIZES: Mapping[str, Mapping[str, int]] = {
    name: {"layers": layers, "width": width, "heads": width // 64, "inner_width": 4 * width}
    for name, layers, width in (
        ("tiny", 2, 128),
        ("mini", 4, 256),
        ("small", 4, 512),
        ("medium", 8, 512),
        ("base", 12, 768),
        ("large", 24, 1024),
    )
}

FAMILIES = (
    Family(
        model_type="bert",
        prefix="bert.",
        keys=KEYS,
        defaults=DEFAULTS,
        fixed=FIXED,
        names=NAMES,
        heads={
            "sequence": HeadForm(
                architecture="BertForSequenceClassification",
                names={"dense": "bert.pooler.dense", "output": "classifier"},
                activation="tanh",
                dropout_key="classifier_dropout",
                pretrained=("dense",),
            ),
            "token": HeadForm(
                architecture="BertForTokenClassification",
                names={"output": "classifier"},
                dropout_key="classifier_dropout",
            ),
            "span": HeadForm(architecture="BertForQuestionAnswering", names={"output": "qa_outputs"}, dropout_key=None),
            "masked": HeadForm(
                architecture="BertForMaskedLM",
                names=MASKED,
                activation=None,
                dropout_key=None,
                pretrained=tuple(MASKED),
                tied="cls.predictions.decoder.weight",
                # of the pooler, which a head for whole texts starts from, masked words teach nothing
                keeps=("bert.pooler.",),
            ),
            "pretraining": HeadForm(
                architecture="BertForPreTraining",
                names={**MASKED, "pooler": "bert.pooler.dense", "next": "cls.seq_relationship"},
                activation=None,
                dropout_key=None,
                pretrained=(*MASKED, "pooler", "next"),
                tied="cls.predictions.decoder.weight",
            ),
        },
        known=("bert.pooler.", "cls.", "classifier.", "qa_outputs.", "bert.embeddings.position_ids"),
    ),
)
