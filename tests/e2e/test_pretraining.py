"""`bertsmith adapt`, `pretrain` and `train --adapt`: what they write, that it opens, and that a killed run resumes."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.testing import assert_close

import bertsmith
from bertsmith.checkpoint import load_pretrained
from bertsmith.cli import run
from bertsmith.config import Settings
from bertsmith.errors import BundleError, DataError, InputError, SettingsError, TrainingError
from bertsmith.events import Event, Said, Stepped
from bertsmith.families import families
from bertsmith.families.bert import SIZES
from bertsmith.nn.encoder import Encoder
from bertsmith.pretraining import adapt, pretrain, resolve_corpus
from bertsmith.tasks.nsp import Nsp
from tiny import TEXTS, Case, bundle_of, without_mask, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from bertsmith.pretraining import Adapted

BERT = Case(families()["bert"])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of two or three sentences, a sentence a line, each sentence followed by the same one everywhere."""
    chance = random.Random(0)
    documents = []
    for number in range(60):
        sentences = (*TEXTS, *TEXTS)[number % 6 : number % 6 + chance.randint(2, 3)]
        documents.append("\n".join(sentences))
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return path


def made(command: str, **values: Any) -> Adapted:
    values = {"max_length": 64, "batch_size": 16, "threads": 1, "device": "cpu", "sentences": "lines", **values}
    events: list[Event] = values.pop("events", [])
    again, stop = values.pop("resume", False), values.pop("stop", lambda: False)
    found, new, task, settings = resolve_corpus(values, command=command)
    if command == "adapt":
        return adapt(found, task, settings, resume=again, listen=events.append, stop=stop)
    return pretrain(found, new, task, settings, resume=again, listen=events.append, stop=stop)


@pytest.mark.parametrize("next_sentence", [False, True])
def test_adapting_lowers_the_loss_and_opens_everywhere(
    next_sentence: bool, corpus: Path, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    import transformers

    folder = tmp_path / "adapted"
    result = made(
        "adapt", corpus=str(corpus), encoder=str(tiny_checkpoint(BERT)), out=str(folder), next_sentence=next_sentence,
        max_steps=200, learning_rate=3e-3, dropout=0.0, dev_fraction=0.2,
        **({} if next_sentence else {"packing": "documents"}),
    )  # fmt: skip
    assert result.before is not None
    assert result.evaluation is not None
    before, after = result.before["loss"], result.evaluation.scores.values["loss"].value
    unigram = result.evaluation.scores.baseline["loss"].value
    assert before is not None
    assert after is not None
    assert unigram is not None
    assert after < unigram - 0.5 < before, (before, unigram, after)
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == []

    auto: Any = transformers.BertForPreTraining if next_sentence else transformers.AutoModelForMaskedLM
    theirs, info = auto.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    ours = bertsmith.load(folder, device="cpu")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("The plot is thin; the [MASK] are old, the end is near.", return_tensors="pt")
    with torch.no_grad():
        output = theirs.eval()(**inputs)
    logits = output.prediction_logits if next_sentence else output.logits
    (at,) = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero()[0].tolist()
    best = logits[0, at].softmax(-1).topk(3)
    if not next_sentence:
        (filled,) = bertsmith.fill(ours, ["The plot is thin; the ____ are old, the end is near."], top=3)
        assert [each.id for each in filled.blanks[0]] == best.indices.tolist()
        assert [each.probability for each in filled.blanks[0]] == pytest.approx(best.values.tolist(), abs=1e-5)

    # … and as the encoder of a task
    write_tsv(tmp_path / "train.tsv")
    trained = bertsmith.train(
        "classify",
        Settings(
            train=tmp_path / "train.tsv", encoder=str(folder), out=tmp_path / "task", max_steps=2, dev_fraction=0.0,
            threads=1, device="cpu",
        ),
    )  # fmt: skip
    assert trained.bundle.training["encoder"]["name"] == str(folder)


def write_tsv(path: Path) -> Path:
    rows = [(text, "long" if len(text) > 30 else "short") for text in TEXTS]
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")
    return path


def test_an_encoder_from_nothing(corpus: Path, tmp_path: Path) -> None:
    import transformers

    events: list[Event] = []
    result = made(
        "pretrain", corpus=str(corpus), out=str(tmp_path / "new"), size="tiny", vocabulary_size=200, max_steps=200,
        learning_rate=2e-3, dev_fraction=0.2, dropout=0.0, events=events,
    )  # fmt: skip
    assert result.evaluation is not None
    scores = result.evaluation.scores
    assert (scores.values["loss"].value or 9) < (scores.baseline["loss"].value or 0) - 0.5
    assert "next_accuracy" in scores.values
    config = json.loads((tmp_path / "new" / "config.json").read_text(encoding="utf-8"))
    assert (config["num_hidden_layers"], config["hidden_size"]) == (2, 128)
    assert config["architectures"] == ["BertForPreTraining"]
    assert result.bundle.training["encoder"]["name"] == "from nothing (tiny)"
    reference: Any = transformers.BertForPreTraining
    theirs, info = reference.from_pretrained(tmp_path / "new", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert theirs.config.vocab_size == result.bundle.tokenizer.vocab_size <= 200
    chance = bertsmith.next_sentence(tmp_path / "new", [("the film is old.", "and the end is near.")])
    assert 0 < chance[0] < 1


@pytest.mark.parametrize(("size", "millions"), [("base", 110), ("large", 335), ("tiny", 4.4), ("mini", 11.2)])
def test_the_published_sizes(size: str, millions: float) -> None:
    """Devlin et al. 2019, §3, and Turc et al. 2019, count the encoder with its pooler and 30,522 pieces."""
    family = families()["bert"]
    raw = {family.keys[name]: value for name, value in SIZES[size].items()}
    with torch.device("meta"):
        encoder = Encoder(family.read_config(raw, source=""))
    width = encoder.config.width
    count = sum(parameter.numel() for parameter in encoder.parameters()) + width * width + width
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize("command", ["adapt", "pretrain"])
def test_a_stopped_run_resumes_to_the_bit(
    command: str, corpus: Path, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    start = {"encoder": str(tiny_checkpoint(BERT))} if command == "adapt" else {"size": "tiny", "vocabulary_size": 200}
    values = {"corpus": str(corpus), "max_steps": 12, "batch_size": 8, **start}
    whole = made(command, out=str(tmp_path / "whole"), **values)

    steps: list[Event] = []
    with pytest.raises(TrainingError, match=rf"go on with: bertsmith {command} --resume"):
        made(command, out=str(tmp_path / "parts"), events=steps, stop=lambda: _steps(steps) >= 5, **values)
    assert (tmp_path / "parts.partial" / "corpus" / "store.json").is_file()
    again: list[Event] = []
    resumed = made(command, out=str(tmp_path / "parts"), events=again, resume=True, **values)
    assert _steps(again) == 7
    assert_close(resumed.bundle.model.state_dict(), whole.bundle.model.state_dict(), atol=0, rtol=0)
    assert resumed.before == whole.before
    assert not (tmp_path / "parts.partial").exists()


def _steps(events: list[Event]) -> int:
    return sum(isinstance(event, Stepped) for event in events)


@pytest.mark.slow
def test_a_killed_pretrain_resumes_to_the_bit(corpus: Path, tmp_path: Path) -> None:
    """SIGKILL, wherever it falls, through the command line."""
    flags = ["pretrain", str(corpus), "--size", "tiny", "--vocabulary-size", "200", "--max-steps", "60", "--batch-size",
             "8", "--max-length", "32", "--threads", "1", "--sentences", "lines", "--save-every", "5",
             "--precision", "fp32"]  # fmt: skip
    assert run([*flags, "--out", str(tmp_path / "whole"), "--quiet"]) == 0
    out = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-m", "bertsmith", *flags, "--out", str(out), "--quiet"])
    state = tmp_path / "killed.partial" / "state.safetensors"
    until = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert state.exists(), "it was killed before its end, and after its first state"
    assert run(["pretrain", "--resume", str(out), "--quiet"]) == 0
    one, other = (load_pretrained(tmp_path / name).encoder.state_dict() for name in ("whole", "killed"))
    assert_close(one, other, atol=0, rtol=0)


def test_train_adapts_first(tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    events: list[Event] = []
    settings = Settings(
        train=write_tsv(tmp_path / "train.tsv"), encoder=str(tiny_checkpoint(BERT)), out=tmp_path / "task", max_steps=3,
        adapt=True, adapt_epochs=4, dev_fraction=0.0, threads=1, device="cpu",
    )  # fmt: skip
    result = bertsmith.train("classify", settings, listen=events.append)
    assert any(isinstance(event, Said) and "adapting" in event.text for event in events)
    assert result.bundle.training["encoder"] == {"name": settings.encoder, "revision": None, "adapted": True}
    assert result.bundle.training["settings"]["encoder"] == settings.encoder
    assert sorted(path.name for path in result.folder.iterdir() if path.is_dir()) == []
    plain = bertsmith.train(
        "classify", settings.model_copy(update={"adapt": False, "out": tmp_path / "plain", "adapt_epochs": 100.0})
    )
    one, other = (each.bundle.model.encoder.layers[0].state_dict() for each in (result, plain))
    assert any(not torch.equal(one[name], other[name]) for name in one), "adapting changed nothing"


def test_train_that_adapts_resumes_in_either_part(tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    settings = Settings(
        train=write_tsv(tmp_path / "train.tsv"), encoder=str(tiny_checkpoint(BERT)), out=tmp_path / "whole",
        max_steps=4, adapt=True, adapt_epochs=4, dev_fraction=0.0, threads=1, device="cpu",
    )  # fmt: skip
    whole = bertsmith.train("classify", settings)
    for stop_at in (2, 6):  # four steps of adapting, four of training
        parts = settings.model_copy(update={"out": tmp_path / f"parts-{stop_at}"})
        events: list[Event] = []
        with pytest.raises(TrainingError, match="bertsmith train --resume"):
            bertsmith.train("classify", parts, listen=events.append, stop=lambda: _steps(events) >= stop_at)  # noqa: B023
        resumed = bertsmith.train("classify", parts, resume=True)
        assert_close(resumed.bundle.model.state_dict(), whole.bundle.model.state_dict(), atol=0, rtol=0)


BROKEN: dict[str, tuple[bytes, str]] = {
    "not UTF-8": (b"a line.\n\xff\xfe broken\n", r":2: byte 0xff"),
    "nothing": (b"", "holds no"),
    "blank lines": (b"\n \n\n", "holds no"),
    "zero bytes": (b"a\0b\n" * 10, "zero"),
    "one endless line": (b"word " * 2_100_000, ":1: "),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_corpus_is_named_and_leaves_nothing(
    name: str, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = BROKEN[name]
    file = tmp_path / "broken.txt"
    file.write_bytes(content)
    for command in (["adapt", "--encoder", str(tiny_checkpoint(BERT))], ["pretrain", "--size", "tiny"]):
        code = run([command[0], str(file), *command[1:], "--out", str(tmp_path / "out"), "--quiet"])
        error = capsys.readouterr().err
        assert code == 2, error
        assert error.startswith(f"error: {file}"), error
        assert len(error.strip().splitlines()) == 1
        assert re.search(message, error), error
        assert [path.name for path in tmp_path.iterdir()] == ["broken.txt"]


def test_settings_are_strict(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown setting 'packin'; did you mean 'packing'"):
        resolve_corpus({"packin": "full"}, command="adapt")
    with pytest.raises(SettingsError, match="packing is of masked words alone"):
        resolve_corpus({"packing": "full", "next_sentence": True}, command="adapt")
    with pytest.raises(SettingsError, match="unknown setting 'size'"):
        resolve_corpus({"size": "tiny"}, command="adapt")
    with pytest.raises(SettingsError, match="unknown setting 'train'"):
        resolve_corpus({"train": "a.tsv"}, command="adapt")
    with pytest.raises(SettingsError, match="preset must be one of 'domain', 'task'"):
        resolve_corpus({"preset": "stable"}, command="adapt")
    with pytest.raises(SettingsError, match="give a size"):
        made("pretrain", corpus=str(corpus), out=str(tmp_path / "a"))
    with pytest.raises(SettingsError, match="'corpus' is missing"):
        made("adapt", out=str(tmp_path / "a"))
    _, _, _, settings = resolve_corpus({"preset": "task", "epochs": 2.0}, command="adapt")
    assert (settings.epochs, settings.max_steps, settings.batch_size) == (2.0, None, 256)


def test_next_sentences_want_bert_and_documents(tmp_path: Path) -> None:
    one = tmp_path / "one.txt"
    one.write_text("A single document.\nIt has two sentences.\n", encoding="utf-8")
    folder = tmp_path / "roberta"
    folder.mkdir()
    write_checkpoint(Case(families()["roberta"]), folder)
    (tmp_path / "two.txt").write_text("A film.\nIt is old.\n\nNo.\nA friend.\n\nA plot.\nThin.\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="and this is roberta; --no-next-sentence"):
        made("adapt", corpus=str(tmp_path / "two.txt"), encoder=str(folder), out=str(tmp_path / "a"),
             next_sentence=True, max_steps=1)  # fmt: skip
    with pytest.raises(DataError, match=r"one\.txt: 1 of 1 documents"):
        made("pretrain", corpus=str(one), size="tiny", vocabulary_size=100, out=str(tmp_path / "a"), max_steps=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.txt", "roberta", "two.txt"]


def test_the_commands_show_before_and_after(
    corpus: Path, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["adapt", str(corpus), "--encoder", str(tiny_checkpoint(BERT)), "--max-steps", "2", "--max-length", "32"]
    assert run([*flags, "--out", str(tmp_path / "a")]) == 0
    shown = capsys.readouterr()
    for word in ("before", "after", "perplexity", "unigrams alone", "bertsmith fill"):
        assert word in shown.out
    assert "new, set at random" in shown.err, "the encoder has no such head, and that is said"
    assert run([*flags, "--out", str(tmp_path / "b"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["before"]["loss"] > 0
    assert record["held_out"]["scores"]["loss"]["value"] > 0


CHANGES: dict[str, dict[str, Any]] = {
    "packing": {"packing": "documents"},
    "sentences": {"sentences": "split"},
    "most_scored": {"most_scored": 1},
    "mask_share": {"mask_share": 0.3},
    "max_length": {"max_length": 32},
    "seed": {"seed": 2},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_resumed_run_must_be_the_same(
    name: str, corpus: Path, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    values = {"corpus": str(corpus), "encoder": str(tiny_checkpoint(BERT)), "max_steps": 4, "out": str(tmp_path / "a")}
    events: list[Event] = []
    with pytest.raises(TrainingError, match="stopped"):
        made("adapt", events=events, stop=lambda: _steps(events) >= 2, **values)
    with pytest.raises(BundleError, match=f"cannot resume: {name} was"):
        made("adapt", resume=True, **{**values, **CHANGES[name]})
    assert made("adapt", resume=True, threads=1, **values).fit.steps == 4


def test_a_changed_corpus_cannot_be_gone_on_with(
    corpus: Path, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    file = tmp_path / "corpus.txt"
    file.write_bytes(corpus.read_bytes())
    values = {"corpus": str(file), "encoder": str(tiny_checkpoint(BERT)), "max_steps": 4, "out": str(tmp_path / "a")}
    events: list[Event] = []
    with pytest.raises(TrainingError, match="stopped"):
        made("adapt", events=events, stop=lambda: _steps(events) >= 2, **values)
    file.write_text("Another text.\nOf two sentences.\n\nAnd one more.\nThe end.\n", encoding="utf-8")
    with pytest.raises(BundleError, match="the files of the corpus have changed"):
        made("adapt", resume=True, **values)


class _Killed(BaseException):
    """As a signal that nobody handles."""


@pytest.mark.parametrize("at", ["learning the vocabulary", "train:", "held out:"])
def test_what_was_made_before_a_kill_is_gone_on_with(at: str, corpus: Path, tmp_path: Path) -> None:
    values = {"corpus": [str(corpus)], "size": "tiny", "vocabulary_size": 200, "max_steps": 3, "max_length": 64,
              "batch_size": 8, "threads": 1, "device": "cpu", "sentences": "lines"}  # fmt: skip
    whole = made("pretrain", out=str(tmp_path / "whole"), **values)

    def kill(event: Event) -> None:
        if isinstance(event, Said) and event.text.startswith(at):
            raise _Killed

    found, new, task, settings = resolve_corpus({**values, "out": str(tmp_path / "killed")}, command="pretrain")
    with pytest.raises(_Killed):
        pretrain(found, new, task, settings, listen=kill)
    partial = tmp_path / "killed.partial"
    assert partial.exists() == (at != "learning the vocabulary")
    if not partial.exists():  # what SIGKILL leaves there, which nobody can clean up after
        (partial / "vocabulary").mkdir(parents=True)
        (partial / "run.toml").write_bytes((tmp_path / "whole" / "run.toml").read_bytes())
    resumed = pretrain(found, new, task, settings, resume=True)
    assert_close(resumed.bundle.model.state_dict(), whole.bundle.model.state_dict(), atol=0, rtol=0)
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {path.name for path in whole.folder.iterdir()}


LATE: dict[str, tuple[dict[str, Any], str]] = {
    "a device": ({"device": "cuda:7"}, "device"),
    "layers": ({"freeze": 99}, "freeze must be at most"),
    "held out": ({"held_out": "nowhere.txt"}, "nowhere.txt: no such file"),
    "dev and patience": ({"dev_fraction": 0.0, "patience": 2}, "patience needs rows to score"),
    "a column of plain text": ({"column": "abstract"}, r"column 'abstract' is of \.jsonl, .* is plain text"),
    "no corpus": ({"corpus": ()}, "as in bertsmith adapt corpus.txt"),
    "too short a pair": (
        {"max_length": 4, "next_sentence": True},
        "max_length must be at least 5 for two texts, got 4",
    ),
}


@pytest.mark.parametrize("name", LATE)
def test_mistakes_leave_nothing_behind(
    name: str, corpus: Path, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    values, message = LATE[name]
    with pytest.raises(InputError, match=message):
        made(
            "adapt",
            **{"corpus": str(corpus), "encoder": str(tiny_checkpoint(BERT)), "out": str(tmp_path / "a"), **values},
        )
    assert list(tmp_path.iterdir()) == []


SMALL = {
    "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 80, "vocab_size": 150,
}  # fmt: skip
LATE_OF_NEW: dict[str, tuple[dict[str, Any], str]] = {
    "no corpus": ({"corpus": (), "size": "tiny"}, "as in bertsmith pretrain corpus.txt"),
    "positions of a size": ({"size": "tiny", "max_length": 513}, "at most 512 for a new encoder of size tiny, got 513"),
    "positions of a config": ({"config": "c.json", "max_length": 81}, "at most 80 for a new encoder of c.json, got 81"),
    "two sizes": (
        {"config": "c.json", "vocabulary_size": 200}, "vocabulary_size is 200, and vocab_size of c.json is 150; which",
    ),
    "the size of a given vocabulary": (
        {"size": "tiny", "vocabulary": "vocab.txt", "vocabulary_size": 200},
        "vocabulary_size is of a vocabulary that is learned, and vocab.txt is given",
    ),
    "columns of plain text": (
        {"size": "tiny", "delimiter": ";"}, "delimiter ';' is of .csv and .tsv, and .* is neither"
    ),
    "too small a vocabulary": ({"config": "d.json"}, "d.json: vocabulary_size must be .* 100, got 99"),
    "a tokenizer without a mask token": ({"size": "tiny", "vocabulary": "pieces"}, "the tokenizer of pieces has none"),
}  # fmt: skip


@pytest.mark.parametrize("name", LATE_OF_NEW)
def test_mistakes_are_found_before_anything_is_learned(
    name: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.json").write_text(json.dumps(SMALL), encoding="utf-8")
    Path("d.json").write_text(json.dumps({**SMALL, "vocab_size": 99}), encoding="utf-8")
    Path("pieces").mkdir()
    write_checkpoint(BERT, Path("pieces"))
    without_mask(Path("pieces"))
    values, message = LATE_OF_NEW[name]
    events: list[Event] = []
    with pytest.raises(InputError, match=message):
        made("pretrain", events=events, **{"corpus": str(corpus), "out": "a", **values})
    assert not events
    assert not list(Path().glob("a*"))


def test_config_says_how_large_a_vocabulary_is_learned(corpus: Path, tmp_path: Path) -> None:
    config, vocabulary = tmp_path / "config.json", tmp_path / "vocab.txt"
    config.write_text(json.dumps(SMALL), encoding="utf-8")
    values = {"corpus": str(corpus), "config": str(config), "max_steps": 2, "out": str(tmp_path / "a")}
    events: list[Event] = []
    with pytest.raises(TrainingError, match="stopped"):
        made("pretrain", events=events, stop=lambda: _steps(events) >= 1, **values)
    result = made("pretrain", resume=True, **values)
    assert result.bundle.tokenizer.vocab_size == 150
    assert "vocabulary_size = 150" in (result.folder / "run.toml").read_text(encoding="utf-8")

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    events.clear()
    made("pretrain", events=events, **{**values, "out": str(tmp_path / "b"), "vocabulary": str(vocabulary)})
    said = [event.text for event in events if isinstance(event, Said)]
    assert f"{config}: its vocabulary of 150 pieces gives way to {vocabulary}, which has 31" in said


def test_a_run_resumes_without_the_vocabulary_that_it_was_given(corpus: Path, tmp_path: Path) -> None:
    vocabulary = tmp_path / "vocab.txt"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    values = {"corpus": str(corpus), "vocabulary": str(vocabulary), "size": "tiny", "max_steps": 6, "batch_size": 8}
    whole = made("pretrain", out=str(tmp_path / "whole"), **values)
    events: list[Event] = []
    with pytest.raises(TrainingError, match="stopped"):
        made("pretrain", out=str(tmp_path / "parts"), events=events, stop=lambda: _steps(events) >= 3, **values)
    assert _steps(events) == 3
    vocabulary.unlink()
    assert run(["pretrain", "--resume", str(tmp_path / "parts"), "--quiet"]) == 0
    resumed = load_pretrained(tmp_path / "parts").encoder.state_dict()
    assert_close(resumed, load_pretrained(whole.folder).encoder.state_dict(), atol=0, rtol=0)


def test_an_encoder_without_a_mask_token_is_named(corpus: Path, tmp_path: Path) -> None:
    encoder = tmp_path / "maskless"
    encoder.mkdir()
    write_checkpoint(BERT, encoder)
    without_mask(encoder)
    message = re.escape(f"the tokenizer of {encoder} has none")
    with pytest.raises(SettingsError, match=message):
        made("adapt", corpus=str(corpus), encoder=str(encoder), out=str(tmp_path / "a"), max_steps=1)
    train = write_tsv(tmp_path / "train.tsv")
    settings = Settings(train=train, encoder=str(encoder), out=tmp_path / "b", max_steps=1, device="cpu", threads=1)
    for task, values in (("mlm", {}), ("classify", {"adapt": True})):
        with pytest.raises(SettingsError, match=message):
            bertsmith.train(task, settings.model_copy(update=values))


def test_adapt_epochs_want_adapt(tmp_path: Path) -> None:
    settings = Settings(train=write_tsv(tmp_path / "train.tsv"), out=tmp_path / "a", adapt_epochs=1.0)
    with pytest.raises(SettingsError, match="adapt_epochs is 1, and adapt is false: give --adapt, too"):
        bertsmith.train("classify", settings)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"language": "xx", "sentences": "split"}, "'xx' has no rules of its own for where sentences end"),
        ({"language": "de", "sentences": "lines"}, "language 'de' does nothing, as each line is a sentence"),
        ({"language": "de", "sentences": "split"}, None),
        ({"sentences": "lines"}, None),
    ],
)
def test_a_language_that_does_not_do_what_it_says_is_said(
    values: dict[str, Any], said: str | None, corpus: Path, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    events: list[Event] = []
    made("adapt", corpus=str(corpus), encoder=str(tiny_checkpoint(BERT)), out=str(tmp_path / "a"), max_steps=1,
         events=events, **values)  # fmt: skip
    texts = [event.text for event in events if isinstance(event, Said)]
    found = [text for text in texts if "no rules" in text or "does nothing" in text]
    assert len(found) == (said is not None)
    assert said is None or found[0].startswith(said)


@pytest.mark.parametrize(
    ("text", "sentences", "said", "not_said"),
    [
        ("One is here. Two is here.\n", "split", "need two of those; blank lines separate documents$", "--sentences"),
        ("\n\n".join(["One."] * 80), "lines", "^[^:]*: 0 of 80 documents have .*--sentences split", "hold some out"),
        (
            "\n\n".join(["One."] * 80 + ["One.\nTwo."] * 3), "lines",
            "^3 of 83 documents have two sentences or more, too few to hold some out.*--sentences split", "paragraphs,",
        ),
        (
            "\n\n".join([" ".join(TEXTS * 4)] * 9), "split", "are cut off pairs .*; a larger max_length", "--sentences",
        ),
        (
            "\n\n".join([f"{' '.join(TEXTS)}\n{' '.join(TEXTS)}"] * 9), "lines",
            r"cut off pairs .*; shorter sentences \(--sentences split\) or a larger max_length keeps", "paragraphs",
        ),
    ],
)  # fmt: skip
def test_advice_can_be_followed(
    text: str, sentences: str, said: str, not_said: str, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    (tmp_path / "c.txt").write_text(text, encoding="utf-8")
    events: list[Event] = []
    try:
        made("adapt", corpus=str(tmp_path / "c.txt"), encoder=str(tiny_checkpoint(BERT)), out=str(tmp_path / "a"),
             next_sentence=True, max_steps=1, max_length=20, sentences=sentences, events=events)  # fmt: skip
        error = ""
    except DataError as raised:
        error = str(raised).removeprefix(f"{tmp_path}/")
    texts = [error, *(event.text for event in events if isinstance(event, Said))]
    assert any(re.search(said, each) for each in texts), texts
    assert not any(not_said in each for each in texts), texts


def test_train_that_adapts_speaks_of_no_flags_of_adapt(
    corpus: Path, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    bundle_of(Nsp(), load_pretrained(tiny_checkpoint(BERT))).save(tmp_path / "both")
    events: list[Event] = []
    made("adapt", corpus=str(corpus), encoder=str(tmp_path / "both"), out=str(tmp_path / "a"), max_steps=1,
         events=events)  # fmt: skip
    assert any("--next-sentence keeps it" in event.text for event in events if isinstance(event, Said))
    events.clear()
    settings = Settings(
        train=write_tsv(tmp_path / "train.tsv"), encoder=str(tmp_path / "both"), out=tmp_path / "task", max_steps=1,
        adapt=True, adapt_epochs=1, dev_fraction=0.0, threads=1, device="cpu",
    )  # fmt: skip
    bertsmith.train("classify", settings, listen=events.append)
    assert not any("next-sentence" in event.text for event in events if isinstance(event, Said))


@pytest.mark.parametrize("command", ["train", "adapt", "pretrain"])
def test_a_run_whose_settings_are_lost(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.partial").mkdir()
    (tmp_path / "a.partial" / "run.toml").touch()
    assert run([command, "--resume", str(tmp_path / "a")]) == 2
    said = capsys.readouterr().err
    assert "does not say which run it is of" in said
    assert f"begin anew: bertsmith {command} … --out {tmp_path / 'a'} --overwrite" in said


@pytest.mark.parametrize("change", [{"patience": 3}, {"freeze": 99}, {"dev": "dev.tsv"}])
def test_mistakes_are_found_before_adapting(
    change: dict[str, Any], tiny_checkpoint: Callable[[Case], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dev.tsv").write_text("text\tlabel\na film\tmiddling\n", encoding="utf-8")
    values = {**change, "dev": Path(change["dev"])} if "dev" in change else change
    events: list[Event] = []
    settings = Settings(
        train=write_tsv(tmp_path / "train.tsv"), encoder=str(tiny_checkpoint(BERT)), out=tmp_path / "task", adapt=True,
        dev_fraction=0.0, threads=1, device="cpu", **values,
    )  # fmt: skip
    with pytest.raises(InputError):
        bertsmith.train("classify", settings, listen=events.append)
    assert not _steps(events)
    assert not (tmp_path / "task.partial").exists()


def test_rows_held_out_are_not_adapted_to(tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    events: list[Event] = []
    settings = Settings(
        train=write_tsv(tmp_path / "train.tsv"), encoder=str(tiny_checkpoint(BERT)), out=tmp_path / "task", max_steps=1,
        adapt=True, adapt_epochs=1, dev_fraction=0.34, threads=1, device="cpu",
    )  # fmt: skip
    bertsmith.train("classify", settings, listen=events.append)
    said = [event.text for event in events if isinstance(event, Said)]
    assert any("2 of 6 rows are held out" in text for text in said)
    assert any(text.startswith("train: 3 documents") for text in said), "four rows, one of them held out to adapt"


def test_one_document_says_that_nothing_is_scored(tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    events: list[Event] = []
    result = made(
        "adapt", corpus=str(tmp_path / "one.txt"), encoder=str(tiny_checkpoint(BERT)), out=str(tmp_path / "a"),
        max_steps=1, events=events,
    )  # fmt: skip
    assert result.evaluation is None
    assert any(isinstance(event, Said) and event.warning and "too few to hold" in event.text for event in events)


def test_documents_that_cannot_be_in_a_pair_are_not_held_out(tmp_path: Path) -> None:
    """… and what is held out for next sentences is at least a pair's two documents, as what is trained on is."""
    good = ["A film.\nIt is old.\nNo.", "A plot.\nIt is thin.\nNo.", "A friend.\nShe is here.", "A joke.\nIt is old."]
    (tmp_path / "c.txt").write_text("\n\n".join([*["One line."] * 20, *good]), encoding="utf-8")
    events: list[Event] = []
    result = made(
        "pretrain", corpus=str(tmp_path / "c.txt"), size="tiny", vocabulary_size=100, out=str(tmp_path / "a"),
        max_steps=1, events=events,
    )  # fmt: skip
    assert result.evaluation is not None
    assert any(isinstance(event, Said) and event.text.startswith("held out: 2 documents") for event in events)
    assert any(isinstance(event, Said) and event.text.startswith("train: 22 documents") for event in events)


def test_what_is_learned_is_not_scored(corpus: Path, tiny_checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is in the corpus, too"):
        made("adapt", corpus=str(corpus), held_out=str(corpus), encoder=str(tiny_checkpoint(BERT)),
             out=str(tmp_path / "a"))  # fmt: skip


def test_rows_of_nothing_but_unknown_words_do_not_end_a_run(
    tiny_checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    (tmp_path / "c.txt").write_text("\n\n".join(["漢字 仮名"] * 5 + list(TEXTS)), encoding="utf-8")
    result = made(
        "adapt", corpus=str(tmp_path / "c.txt"), encoder=str(tiny_checkpoint(BERT)), out=str(tmp_path / "a"),
        packing="documents", batch_size=1, epochs=1.0, dev_fraction=0.1,
    )  # fmt: skip
    assert result.fit.steps >= 9
