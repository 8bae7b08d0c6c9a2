"""benchmarks/quality_tokens.py: its arithmetic by hand and by trying all, and one run of both tools on a few rows."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bertsmith import squad_scores as squad
from bertsmith.families import families
from tiny import TEXTS, Case

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "quality_tokens.py"
REFERENCES = ("transformers", "accelerate", "seqeval")
RECIPE = {
    "steps": 125,
    "learning_rate": 1e-4,
    "rows": {"train": 4000, "tune": 1399, "test": 3513},
    "sampled_from": 6961,
    "sequences": {"train": 4081, "tune": 1400, "test": 3600},
    "tokens": 384,
    "encoder_sha256": "0123456789abcd",
}

pytestmark = [
    pytest.mark.skipif(not SCRIPT.exists(), reason="a source distribution has no benchmarks"),
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in REFERENCES), reason="the references are not installed"
    ),
]


@pytest.fixture(scope="module")
def script() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)  # as it is when it runs: it imports quality.py beside it
        return importlib.import_module("quality_tokens")


def call(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def gold(text: str, passage: str) -> SimpleNamespace:
    start = passage.index(text)
    return SimpleNamespace(text=text, start=start, stop=start + len(text))


def squad_article(name: str, passages: Sequence[str], *, impossible: bool | None = None) -> dict[str, Any]:
    """An article whose questions ask for the second word of every passage; with `impossible`, v2.0's, both kinds."""
    paragraphs: list[dict[str, Any]] = []
    for passage in passages:
        word = passage.split()[min(1, len(passage.split()) - 1)]
        answers = [{"text": word, "answer_start": passage.index(word)}]
        common = {} if impossible is None else {"is_impossible": False}
        key = f"{name}-{len(paragraphs)}"
        questions: list[dict[str, Any]] = [{"id": key, "question": "What is fine?", "answers": answers, **common}]
        if impossible:
            questions.append({"id": f"{key}-no", "question": "What is old?", "answers": [], "is_impossible": True})
        paragraphs.append({"context": passage, "qas": questions})
    return {"title": name, "paragraphs": paragraphs}


def test_help_names_all_sets(script: Any) -> None:
    done = call("--help")
    assert done.returncode == 0, done.stderr
    assert ",".join(script.SETS) in done.stdout
    assert "--sample" in done.stdout


def test_unknown_set_is_refused() -> None:
    done = call("--sets", "ewt,cola")
    assert done.returncode == 2
    assert "'cola' is not one of ewt, wnut17" in done.stderr


def test_targets_by_hand(script: Any) -> None:
    passage = "The plot is thin"
    # [CLS], a question of one piece, [SEP], "The" "pl" "ot" "is" "thin", [SEP]
    spans = np.array([[0, 0], [0, 4], [0, 0], [0, 3], [4, 6], [6, 8], [9, 11], [12, 16], [0, 0]])

    def pieces(text: str, first: int = 3, stop: int = 8) -> Any:
        return script.target([gold(text, passage)], spans, first, stop)

    assert pieces("The") == (3, 3)
    assert pieces("plot") == (4, 5)
    assert pieces("lot is") == (4, 6)  # begins within a piece, which is then the first
    assert pieces("is thin") == (6, 7)
    assert pieces("is thin", stop=7) == (0, 0)  # a window that ends before it
    assert pieces("The plot", first=4) == (0, 0)
    assert script.target([], spans, 3, 8) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_best_span_is_that_of_trying_all(script: Any, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "N_BEST", 60)
    monkeypatch.setattr(script, "MAX_ANSWER_TOKENS", 4)
    start, end = np.random.default_rng(seed).normal(size=(2, 40)).astype(np.float32)
    window = SimpleNamespace(first=7, stop=31)
    every = [(start[i] + end[j], i, j) for i in range(7, 31) for j in range(i, min(i + 4, 31))]
    assert script.best_span(start, end, window) == pytest.approx(max(every))


def test_only_the_best_starts_and_ends_make_spans(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "N_BEST", 1)
    start, end = np.array([0.0, 1.0, 5.0, 0.0]), np.array([0.0, 5.0, 4.0, 0.0])
    assert script.best_span(start, end, SimpleNamespace(first=1, stop=4))[0] == -math.inf  # it ends before it begins
    monkeypatch.setattr(script, "N_BEST", 2)
    assert script.best_span(start, end, SimpleNamespace(first=1, stop=4)) == (9.0, 2, 2)


@pytest.mark.parametrize("seed", range(5))
def test_threshold_is_that_of_trying_all(script: Any, seed: int) -> None:
    draw = random.Random(seed)
    words = ["a plot", "plot", "plot thin", "film"]
    golds = [[draw.choice(words)] if draw.random() < 0.5 else [] for _ in range(30)]
    guesses = [script.Guess(draw.choice(words), float(draw.randrange(-6, 7))) for _ in golds]

    def f1(threshold: float) -> float:
        texts = [guess.text if guess.margin <= threshold else "" for guess in guesses]
        return script.answer_scores(golds, texts, ("F1",))["F1"]  # type: ignore[no-any-return]

    best = max(f1(threshold) for threshold in (-math.inf, *(guess.margin for guess in guesses)))
    assert f1(script.best_threshold(golds, guesses)) == pytest.approx(best)


def test_no_answer_is_given_where_none_is_best(script: Any) -> None:
    assert script.best_threshold([[], []], [script.Guess("a", -3.0), script.Guess("b", 2.0)]) == -math.inf


def test_answer_scores_by_hand(script: Any) -> None:
    golds, texts = [["The thin plot", "plot"], [], ["film"], []], ["thin", "", "film!", "no"]
    scores = script.answer_scores(golds, texts, ("F1", "EM", "F1 of answerable"))
    # "thin" of "thin plot": precision 1, recall 1/2
    first = 2 / 3
    assert scores == pytest.approx({"F1": (first + 1 + 1 + 0) / 4, "EM": 2 / 4, "F1 of answerable": (first + 1) / 2})
    assert squad.best(squad.f1, "thin", golds[0]) == pytest.approx(first)


def test_tag_scores_by_hand(script: Any) -> None:
    truth = [["B-a", "I-a", "O"], ["B-b", "O", "B-a"]]
    given = [["B-a", "O", "O"], ["B-b", "I-a", "B-a"]]
    # entities: of three two are found, one is too short; I-a begins none in strict mode
    assert script.tag_scores(truth, given, ("F1", "accuracy")) == pytest.approx({"F1": 2 / 3, "accuracy": 4 / 6})
    with pytest.raises(AssertionError, match="a word has no tag"):
        script.tag_scores(truth, [["O"], ["O"]], ("F1",))


def test_articles_are_split_whole(script: Any, tmp_path: Path) -> None:
    articles = [squad_article(f"article {number}", [f"It is {number}"]) for number in range(20)]
    script.write_squad(articles, tmp_path / "all.json")
    files = script.split_by_article(tmp_path / "all.json", tmp_path / "first")
    again = script.split_by_article(tmp_path / "all.json", tmp_path / "again")
    parts = {part: json.loads(file.read_text(encoding="utf-8"))["data"] for part, file in files.items()}
    assert {part: len(some) for part, some in parts.items()} == {"train": 12, "tune": 2, "test": 6}
    assert sorted(article["title"] for some in parts.values() for article in some) == sorted(
        article["title"] for article in articles
    )
    assert all(files[part].read_bytes() == again[part].read_bytes() for part in files)


def test_questions_are_sampled(script: Any, tmp_path: Path) -> None:
    whole = script.write_squad([squad_article("all", [f"It is {number}" for number in range(30)])], tmp_path / "all")
    first, of = script.sampled(whole, tmp_path / "first", 10)
    again, _ = script.sampled(whole, tmp_path / "again", 10)
    assert of == 30
    assert first.read_bytes() == again.read_bytes()
    paragraphs = json.loads(first.read_text(encoding="utf-8"))["data"][0]["paragraphs"]
    assert len({question["id"] for paragraph in paragraphs for question in paragraph["qas"]}) == 10
    assert script.sampled(whole, tmp_path / "none", 30) == (whole, None)


def test_table_says_what_was_sampled(tmp_path: Path) -> None:
    runs = [
        {"set": "squad2", "tool": tool, "seed": 1, "scores": {"F1": 0.5, "EM": 0.4, "F1 of answerable": 0.3},
         "seconds": 1, "recipe": RECIPE, "machine": "an abacus", "versions": {"Python": "3.12.1"}}
        for tool in ("ours", "trainer")
    ]  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps({"runs": runs}), encoding="utf-8")
    done = call("--table", tmp_path / "a.json")
    assert done.returncode == 0, done.stderr
    assert "| SQuAD v2.0's dev, by article | F1 | 50.00 | 50.00 | +0.00 | 1, 1 | 1.0, 1.0 |" in done.stdout
    assert (
        "- SQuAD v2.0's dev, by article: 4,000 of 6,961 questions to train on (a sample; 4,081 windows of at most 384 "
        "tokens), 1,399 to tune the threshold on, 3,513 to score, 125 steps, rate 0.0001"
    ) in done.stdout


@pytest.fixture(scope="module")
def data(script: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All sets with a few rows each, in the folders and files that the real ones have."""
    root = tmp_path_factory.mktemp("data")
    words = ["a", "fine", "film", "and", "the", "plot", "is", "thin"]
    for name, tags in (("ewt", ["DET", "NOUN"]), ("wnut17", ["O", "B-person"])):
        this = script.SETS[name]
        for file in (this.train, this.test):
            lines = []
            for sentence in range(20):
                for number, word in enumerate(words[: 3 + sentence % 5], start=1):
                    tag = tags[(sentence + number) % 2]
                    fields = [str(number), word, "_", tag, *"______"] if name == "ewt" else [word, tag]
                    lines.append("\t".join(fields))
                lines.append("")
            (root / file).parent.mkdir(exist_ok=True)
            (root / file).write_text("\n".join([*lines, ""]), encoding="utf-8")
    articles = {
        "xquad": ([squad_article("train", TEXTS[:3])], [squad_article("test", TEXTS[3:])]),
        "squad2": (None, [squad_article(f"{n}", [f"{text} So {n}."], impossible=True) for n, text in enumerate(TEXTS)]),
    }
    for name, (train, test) in articles.items():
        for file, some in ((script.SETS[name].train, train), (script.SETS[name].test, test)):
            if some is not None:
                (root / file).parent.mkdir(exist_ok=True)
                script.write_squad(some, root / file)
    return root


@pytest.fixture(scope="module")
def encoder(tiny_checkpoint: Callable[[Case], Path]) -> Path:
    """A tiny encoder that reads sequences as long as the script's."""
    folder = tiny_checkpoint(Case(families()["bert"], {"positions": 400}))
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["model_max_length"] = 400
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_both_tools_learn_and_are_scored(data: Path, encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ("--quick", "2", "--data", data, "--encoder", encoder, "--device", "cpu", "--out", out)
    sets = ("--sets", "ewt,wnut17,xquad,squad2", "--sample", "2")
    done = call(*sets, *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    runs = json.loads(out.read_text(encoding="utf-8"))["runs"]
    assert [(run["set"], run["tool"]) for run in runs] == [
        (name, tool) for name in ("ewt", "wnut17", "xquad", "squad2") for tool in ("ours", "trainer")
    ]
    assert all(0 <= score <= 1 for run in runs for score in run["scores"].values())
    assert runs[4]["recipe"]["rows"] == {"train": 2, "test": 3}
    assert runs[6]["recipe"]["rows"] == {"train": 2, "tune": 2, "test": 4}

    other = call("--sets", "xquad", "--sample", "1", *arguments)
    assert other.returncode == 1
    assert "holds xquad trained otherwise" in other.stderr
