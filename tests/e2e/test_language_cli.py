"""`bertsmith fill`, `next`, `coherence` and `score` as people and scripts use them, on tiny random bundles."""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from transformers import AutoModelForMaskedLM

import bertsmith as library
from bertsmith.checkpoint import load_pretrained
from bertsmith.cli import show
from bertsmith.cli import texts as cli_texts
from bertsmith.families import families
from bertsmith.tasks.mlm import Mlm
from bertsmith.tasks.nsp import Nsp
from cli_runs import bertsmith, short, succeed, trained
from small_runs import tiny_bert
from tiny import TEXTS, Case, bundle_of, without_mask, write_checkpoint

if TYPE_CHECKING:
    from bertsmith.infer import Predictor

SENTENCES = ("A fine film.", "The plot is thin.", "The jokes are old.", "The end is near.")
LONG = " ".join(TEXTS * 3)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle of each of the two tasks."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "encoder").mkdir()
    write_checkpoint(Case(families()["bert"]), folder / "encoder")
    for task in (Mlm(), Nsp()):
        bundle_of(task, load_pretrained(folder / "encoder")).save(folder / task.name)
    return {"mlm": folder / "mlm", "nsp": folder / "nsp", "encoder": folder / "encoder"}


@pytest.fixture
def mlm(models: dict[str, Path]) -> Path:
    return models["mlm"]


@pytest.fixture
def nsp(models: dict[str, Path]) -> Path:
    return models["nsp"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def fails(*arguments: str | Path, stdin: str = "") -> str:
    """What a command says that must end with exit code 2, in one line."""
    outcome = bertsmith(*arguments, stdin=stdin)
    assert outcome.code == 2, outcome.out + outcome.err
    line = outcome.err.splitlines()[-1]
    assert line.startswith("error: ")
    return line


def write(name: str, *lines: str) -> str:
    Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return name


# fill


def test_fill_shows_the_text_and_its_words(mlm: Path) -> None:
    outcome = succeed("fill", mlm, "A ____ film, and not a ___ too long.", "--top", "3")
    (filled,) = library.fill(mlm, ["A ____ film, and not a ___ too long."], top=3)
    lines = outcome.out.splitlines()
    assert lines[0] == filled.text
    assert "blank 1" in lines[2]
    assert "blank 2" in lines[2]
    for first, second in zip(*filled.blanks, strict=True):
        assert any(
            all(part in line for part in (first.word, f"{first.probability:.4f}", second.word)) for line in lines[4:]
        )
    assert len(lines) == 1 + 3 + 3 + 1
    assert outcome.err == ""
    many = succeed("fill", mlm, "____ ____ ____ ____ ____ ____ ____").out
    assert all(f"blank {number} " in many for number in range(1, 8))
    assert max(map(len, many.splitlines()[1:])) <= 80


@pytest.mark.parametrize("task", ["mlm", "nsp"])
def test_fill_writes_an_object_a_text(task: str, models: dict[str, Path]) -> None:
    record = succeed("fill", models[task], "a ____ film", "--json", "--top", "2").record
    assert record["text"] == "a ____ film"
    ((first, second),) = record["blanks"]
    assert first["probability"] > second["probability"]
    assert record["filled"] == f"a {first['word']} film"


def test_fill_reads_a_line_for_a_text(mlm: Path) -> None:
    texts = ["a ____ film", "", "the [MASK] is near"]
    for asked in ([], ["-"]):
        outcome = succeed("fill", mlm, *asked, "--json", stdin="\n".join(texts) + "\n")
        assert [record["text"] for record in outcome.records] == [texts[0], texts[2]]
        assert outcome.err.startswith("<stdin>: one text a line")
    from_file = succeed("fill", mlm, write("texts.txt", *texts), "--json", "--quiet")
    assert (from_file.out, from_file.err) == (outcome.out, "")
    assert [record["text"] for record in succeed("fill", mlm, "--json", *texts[::2]).records] == texts[::2]
    # a file of columns, or of objects
    Path("t.csv").write_text('id,text\n1,"a ____, a film"\n', encoding="utf-8")
    assert succeed("fill", mlm, "t.csv", "--json").record["text"] == "a ____, a film"
    asked = ["fill", str(mlm), "--json", "--text", "review"]
    assert succeed(*asked, stdin=json.dumps({"review": "a ____", "text": "x"})).record["text"] == "a ____"
    with gzip.open("t.txt.gz", "wt", encoding="utf-8") as file:
        file.write("a\t____\n")
    assert succeed("fill", mlm, "t.txt.gz", "--json").record["text"] == "a\t____"


def test_fill_names_the_text_without_a_blank(mlm: Path, models: dict[str, Path]) -> None:
    assert "text 2: there is no blank to fill in 'no __ blank'; write ____ (or [MASK])" in fails(
        "fill", mlm, "a ____", "no __ blank"
    )
    assert "the text given: there is no blank to fill in ''" in fails("fill", mlm, "")
    lines = ["a ____", "", "none here"]
    assert "<stdin>:3: there is no blank" in fails("fill", mlm, "-", stdin="\n".join(lines))
    assert "lines.txt:3: there is no blank" in fails("fill", mlm, write("lines.txt", *lines))
    assert "holds no rows" in fails("fill", mlm, "-")


def test_fill_says_which_models_can(models: dict[str, Path]) -> None:
    for name in (str(models["encoder"]), str(tiny_bert())):
        said = fails("fill", name, "a ____")
        assert "has no masked-word head" in said
        assert f"bertsmith adapt texts.txt --encoder {name} --out" in said
    assert "this is a classify model, which has no masked-word head" in fails("fill", trained("single"), "a ____")
    assert "no such folder" in fails("fill", "nowhere", "a ____")


def test_a_model_without_a_mask_token_is_named() -> None:
    Path("mine").mkdir()
    write_checkpoint(Case(families()["bert"]), Path("mine"), auto=AutoModelForMaskedLM)
    without_mask(Path("mine"))
    assert fails("fill", "mine", "a ____").startswith("error: mine: the tokenizer has no mask token")


def test_flags_that_are_wrong(mlm: Path) -> None:
    assert "top must be from 1 to 1000, got 0" in fails("fill", mlm, "a ____", "--top", "0")
    assert "--top must be a whole number, got 'few'" in fails("fill", mlm, "a ____", "--top", "few")
    assert "did you mean '--top'?" in fails("fill", mlm, "a ____", "--topp", "2")
    assert "MODEL is missing" in fails("fill")
    assert "missing.txt: no such file" in fails("fill", mlm, "missing.txt")
    assert "--text is about files, and a text was given" in fails("score", mlm, "a film", "--text", "x")
    assert "device 'abacus' cannot be used here" in fails("score", mlm, "a film", "--device", "abacus")


# next


def test_next_gives_the_probability(nsp: Path) -> None:
    (probability,) = library.next_sentence(nsp, [SENTENCES[:2]])
    outcome = succeed("next", nsp, *SENTENCES[:2])
    assert outcome.out.startswith(f"{probability:.4f}  it ")
    assert outcome.err == ""
    record = succeed("next", nsp, *SENTENCES[:2], "--json").record
    assert record == {
        "text": SENTENCES[0],
        "text_b": SENTENCES[1],
        "follows": pytest.approx(probability, rel=1e-5),
    }


def test_next_says_what_it_does_not_read(nsp: Path) -> None:
    outcome = succeed("next", nsp, LONG, "No.", "--json")
    assert outcome.record["cut"] > 0
    assert outcome.err.startswith(f"warning: {outcome.record['cut']} pieces beyond the limit of 92 tokens")


def test_next_wants_two_texts_and_a_model_that_can(nsp: Path, mlm: Path) -> None:
    assert "SECOND is missing" in fails("next", nsp, "a")
    assert "'c' is one argument too many" in fails("next", nsp, "a", "b", "c")
    for command in ("next", "coherence"):
        said = fails(command, mlm, "a", "b")
        assert "(mlm) has no next-sentence head" in said
        assert "'bertsmith adapt --next-sentence'" in said


@pytest.mark.parametrize(
    ("texts", "warning"),
    [
        (("", " "), "both texts are empty"),
        (("", "a"), "the first text is empty"),
        (("a", ""), "the second text is empty"),
    ],
)
def test_next_warns_of_empty_texts(texts: tuple[str, str], warning: str, nsp: Path) -> None:
    """It answers all the same, as `predict` does."""
    outcome = succeed("next", nsp, *texts)
    assert outcome.err == f"warning: {warning}: the number says nothing\n"
    assert " it " in outcome.out


# coherence


def test_coherence_shows_score_share_and_weakest_joint(nsp: Path) -> None:
    found = library.coherence(nsp, SENTENCES)
    outcome = succeed("coherence", nsp, *SENTENCES)
    score, order, weakest, first, second = outcome.out.splitlines()
    assert score == f"score    {found.score:.4f}  mean log-probability of 3 joints"
    assert order == f"order    better than {found.beaten:g} of 20 shuffles  ({found.share:.0%})"
    here = found.weakest
    assert weakest == f"weakest  sentence {here + 1} to {here + 2}, probability {math.exp(found.joints[here]):.4f}"
    assert first == f"{here + 1:>7}  {SENTENCES[here]}"
    assert second == f"{here + 2:>7}  {SENTENCES[here + 1]}"
    assert outcome.err == ""


def test_coherence_reads_a_sentence_a_line(nsp: Path) -> None:
    wanted = succeed("coherence", nsp, *SENTENCES, "--json").record
    assert wanted.keys() == {"sentences", "score", "share", "shuffles", "shuffled", "joints", "weakest"}
    assert (wanted["sentences"], wanted["shuffles"], len(wanted["shuffled"])) == (4, 20, 20)
    name = write("essay.txt", SENTENCES[0], "", *SENTENCES[1:])
    assert succeed("coherence", nsp, name, "--json").record == wanted
    assert succeed("coherence", nsp, "-", "--json", stdin="\n".join(SENTENCES)).record == wanted
    every = succeed("coherence", nsp, name, "--json", "--shuffles", "1000").record
    assert every["shuffles"] == 23
    asked = ["coherence", str(nsp), name, "--json", "--shuffles", "5"]
    drawn = [succeed(*asked, "--seed", seed).record["shuffled"] for seed in ("1", "1", "2")]
    assert drawn[0] == drawn[1] != drawn[2]


def test_coherence_says_what_it_cannot_do(nsp: Path) -> None:
    assert "at least two, and one is given" in fails("coherence", nsp, "One. Two.")
    assert "2 that are all the same" in fails("coherence", nsp, "a", "a")
    assert "shuffles must be at least 1" in fails("coherence", nsp, "a", "b", "--shuffles", "0")
    assert "seed must be at least 0" in fails("coherence", nsp, "a", "b", "--seed", "-3")
    assert "1 pair of neighbours is too long to be read whole" in succeed("coherence", nsp, LONG, "b").err


# score


def test_score_is_a_line_a_text(mlm: Path) -> None:
    found = library.pseudo_log_likelihood(mlm, SENTENCES)
    outcome = succeed("score", mlm, *SENTENCES)
    for line, text, score in zip(outcome.out.splitlines(), SENTENCES, found, strict=True):
        total, mean, *words = line.split()
        assert (total, mean) == (f"{score.log_likelihood:.2f}", f"{score.per_piece:.3f}")
        assert " ".join(words) == text
    assert outcome.err == ""


@pytest.mark.parametrize("task", ["mlm", "nsp"])
def test_score_tells_of_each_piece(task: str, models: dict[str, Path]) -> None:
    (score,) = library.pseudo_log_likelihood(models[task], [SENTENCES[0]])
    total, *pieces = succeed("score", models[task], SENTENCES[0], "--words").out.splitlines()
    assert total.endswith(SENTENCES[0])
    assert [line.split() for line in pieces] == [[f"{value:.3f}", word] for word, value in score.words]
    record = succeed("score", models[task], SENTENCES[0], "--words", "--json").record
    assert record["log_likelihood"] == pytest.approx(score.log_likelihood, rel=1e-5)
    assert record["log_likelihood"] == pytest.approx(sum(each["log_probability"] for each in record["words"]))
    assert record["per_piece"] * record["pieces"] == pytest.approx(record["log_likelihood"])
    assert "words" not in succeed("score", models[task], SENTENCES[0], "--json").record


def test_control_characters_do_not_reach_the_terminal(mlm: Path, nsp: Path) -> None:
    evil, seen = "a \x1b[31m\x9b\x7f b", r"a \x1b[31m\x9b\x7f b"
    assert succeed("score", mlm, evil).out.endswith(f"  {seen}\n")
    assert succeed("fill", mlm, f"{evil} ____").out.startswith(f"{seen} ")
    shown = succeed("coherence", nsp, evil, "c").out
    assert seen in shown
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown)
    assert succeed("score", mlm, evil, "--json").record["text"] == evil


@pytest.mark.parametrize(("texts", "of"), [(["a fine film"], "/3 "), ([], r"/\? ")])
def test_score_counts_pieces(texts: list[str], of: str, mlm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=60)
    monkeypatch.setattr(show, "stderr", lambda: console)
    monkeypatch.setenv("TERM", "xterm")
    succeed("score", mlm, *texts, stdin="a fine film\n")
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.getvalue())
    assert re.search(rf"3{of}[\d,]+ pieces/s", plain), plain


def test_score_answers_for_every_line(mlm: Path) -> None:
    lines = [SENTENCES[0], "", "tab\there"]
    outcome = succeed("score", mlm, write("texts.txt", *lines), "--json")
    assert [record["text"] for record in outcome.records] == lines
    assert outcome.records[1] == {"text": "", "log_likelihood": 0.0, "pieces": 0, "per_piece": None}
    shown = succeed("score", mlm, "texts.txt").out.splitlines()
    assert shown[1].split() == ["0.00", "–"]
    assert shown[2].endswith("  tab here")
    piped = succeed("score", mlm, stdin="\n".join(lines) + "\n").out
    assert piped.splitlines() == shown


def test_score_says_what_is_seen_in_part(mlm: Path) -> None:
    outcome = succeed("score", mlm, write("long.txt", "No.", LONG), "--json")
    assert [record.get("whole", True) for record in outcome.records] == [True, False]
    assert "warning: long.txt:2: " in outcome.err
    assert "pieces are more than the model reads at once" in outcome.err


def test_score_says_which_text_is_wrong(mlm: Path) -> None:
    assert "text 2: holds the mask token [MASK]" in fails("score", mlm, "a", "a [MASK] b")
    assert "the text given: is no valid Unicode" in fails("score", mlm, "a \udcff film")
    Path("latin.txt").write_bytes("a café\n".encode("latin-1"))
    assert "--encoding latin-1" in fails("score", mlm, "latin.txt")
    assert succeed("score", mlm, "latin.txt", "--encoding", "latin-1").out.endswith("a café\n")


def test_a_terminal_without_a_text_gets_a_hint(mlm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        stdin = type("Stdin", (), {"isatty": lambda self: True})()

    monkeypatch.setattr(cli_texts, "sys", Terminal)
    assert "no text is given: bertsmith score MODEL" in fails("score", mlm)


def test_what_a_run_writes_opens(tmp_path: Path) -> None:
    """The bundle of `train mlm`, through its own folder and as a Predictor."""
    write("train.txt", *[f"the {word} film is very {word}" for word in ("good", "bad", "fine", "dull")] * 10)
    succeed("train", "mlm", "--train", "train.txt", *short(), "--dev-fraction", "0", "--out", "mine", "--quiet")
    model: Predictor = library.load("mine")
    record = succeed("fill", "mine", "the ____ film", "--json").record
    assert [each["word"] for each in record["blanks"][0]] == [
        each.word for each in library.fill(model, ["the ____ film"])[0].blanks[0]
    ]


def test_what_the_page_shows_runs(models: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The commands and the Python of docs/language.md, on tiny models in the place of its own."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
    Path("runs").mkdir()
    Path("runs/general").symlink_to(models["mlm"])
    Path("runs/tiny").symlink_to(models["nsp"])
    write("study.txt", *SENTENCES)
    commands = re.findall(r"^\$ bertsmith (.*)$", page, re.MULTILINE)
    assert {command.split()[0] for command in commands} == {"fill", "next", "coherence", "score"}
    for command in commands:
        succeed(*shlex.split(command))
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.S | re.M)
    exec(compile(code, "language.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 4
