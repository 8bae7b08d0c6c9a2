"""What every encoder family keeps to. A new file in `families` is tested by existing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from torch.testing import assert_close

from bertsmith import tasks
from bertsmith.checkpoint import encoder_tensors, load_pretrained
from bertsmith.errors import CheckpointError
from bertsmith.families import families, family_of
from bertsmith.nn.encoder import Encoder, EncoderConfig
from bertsmith.nn.layout import Layout
from tiny import Case, cases, config_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CASES = pytest.mark.parametrize("case", cases(), ids=str)
TASK_NAMES = pytest.mark.parametrize("task_name", tasks.names())
# Heads that one family's own pretraining made, and no other family has: next sentences are BERT's alone.
OF_ONE_FAMILY = {"pretraining": "bert"}


def read_config(case: Case, **changes: Any) -> EncoderConfig:
    raw = {**config_of(case, vocabulary=300, pad_id=1).to_dict(), **changes}
    return case.family.read_config(raw, source="config.json")


@CASES
def test_is_found_by_its_model_type(case: Case) -> None:
    assert family_of({"model_type": case.family.model_type}, source="config.json") is case.family


@CASES
def test_config_both_ways(case: Case) -> None:
    config = read_config(case)
    written = case.family.write_config(config)
    assert written["model_type"] == case.family.model_type
    assert read_config(case, **written) == config
    for ours, key in case.family.keys.items():
        assert written[key] == getattr(config, ours)


@CASES
def test_every_key_is_checked(case: Case) -> None:
    for key in case.family.keys.values():
        wrong: list[Any] = ["much", None, True, [], -1]
        for value in wrong:
            with pytest.raises(CheckpointError, match=rf"^config\.json: {key} must be .*, got "):
                read_config(case, **{key: value})
    for key, only in case.family.fixed.items():
        with pytest.raises(CheckpointError, match=rf"^config\.json: {key} is 'other', only {only!r} is supported$"):
            read_config(case, **{key: "other"})


@CASES
def test_every_key_may_be_left_out(case: Case) -> None:
    config = case.family.read_config({"model_type": case.family.model_type}, source="config.json")
    assert config.max_length >= 510


@CASES
def test_names_cover_the_encoder_both_ways(case: Case) -> None:
    config = read_config(case)
    with torch.device("meta"):
        parameters = dict(Encoder(config).named_parameters())
    named = dict(case.family.tensors(config))
    assert set(named) == set(parameters)
    theirs = [name for stacked in named.values() for name in stacked]
    assert len(set(theirs)) == len(theirs)
    for name in theirs:
        assert name.startswith(case.family.prefix)
        assert case.family.full_name(name) == name
        assert case.family.full_name(name.removeprefix(case.family.prefix)) == name
    for beginning in case.family.known:
        assert not [name for name in theirs if name.startswith(beginning)]


@CASES
def test_stacked_weights_come_apart_again(case: Case, tiny_checkpoint: Callable[[Case], Path]) -> None:
    pretrained = load_pretrained(tiny_checkpoint(case))
    tensors = encoder_tensors(pretrained.encoder, case.family)
    parameters = dict(pretrained.encoder.named_parameters())
    for ours, theirs in case.family.tensors(pretrained.config):
        assert torch.equal(parameters[ours], torch.cat([tensors[name] for name in theirs]))
    # nothing shares memory with the encoder, which may go on learning
    addresses = {parameter.data_ptr() for parameter in parameters.values()}
    assert not addresses & {tensor.data_ptr() for tensor in tensors.values()}


@CASES
@TASK_NAMES
def test_has_a_head_for_every_task(case: Case, task_name: str) -> None:
    kind = tasks.task_class(task_name).head_kind
    if OF_ONE_FAMILY.get(kind, case.family.model_type) != case.family.model_type:
        message = (
            rf"^{case.family.model_type} has no {kind} head, .*; families that have one: '?{OF_ONE_FAMILY[kind]}'?$"
        )
        with pytest.raises(CheckpointError, match=message):
            case.family.form(kind)
        return
    assert kind in case.family.heads, (
        f"families/{case.family.model_type}: 'heads' lacks {kind!r}, which {task_name} needs"
    )
    form = case.family.heads[kind]
    assert hasattr(transformers, form.architecture)
    assert set(form.pretrained) <= set(form.names)
    for module in form.names.values():
        assert f"{module}.weight".startswith(case.family.known)


@CASES
@TASK_NAMES
def test_a_head_form_names_what_its_head_has(case: Case, task_name: str) -> None:
    """Every module of the head that has weights, each under a name of its own; none for the matrix it shares."""
    task = tasks.task_class(task_name)()
    form = case.family.heads.get(task.head_kind)
    if form is None:
        return  # test_has_a_head_for_every_task says whether it may lack it
    config = read_config(case)
    if hasattr(task, "labels"):
        task = task.model_copy(update={"labels": ("a", "b")})
    with torch.device("meta"):
        head = task.head(config, form, dropout=0.0)
    modules = {name.rpartition(".")[0] for name in head.state_dict()}
    assert modules == set(form.names)
    assert len(set(form.names.values())) == len(form.names)
    if form.tied is not None:
        assert form.tied.startswith(case.family.known)
        assert form.tied not in {
            f"{module}.{kind}" for module in form.names.values() for kind in ("weight", "bias")
        } - {f"{form.names['output']}.weight"}
    for beginning in form.keeps:
        assert f"{beginning}weight".startswith(case.family.known)
        stored = [name for module in form.names.values() for name in (f"{module}.weight", f"{module}.bias")]
        assert not [name for name in stored if name.startswith(beginning)], "what is kept is no part of the head"


@CASES
def test_random_start(case: Case) -> None:
    config = dataclasses.replace(read_config(case), width=64, heads=4, initializer_range=0.05)
    encoder, again, other = Encoder(config), Encoder(config), Encoder(config)
    for each, seed in ((encoder, 1), (again, 1), (other, 2)):
        each.initialize(torch.Generator().manual_seed(seed))
    assert_close(encoder.state_dict(), again.state_dict(), atol=0, rtol=0)
    for (name, parameter), (_, another) in zip(encoder.named_parameters(), other.named_parameters(), strict=True):
        if parameter.ndim > 1:
            assert float(parameter.detach().std()) == pytest.approx(0.05, rel=0.15), name
            assert not torch.equal(parameter, another), name
        else:
            assert torch.equal(parameter, torch.full_like(parameter, 1.0 if name.endswith("norm.weight") else 0.0)), (
                name
            )


@CASES
def test_order_of_the_sequences_does_not_matter(case: Case, tiny_checkpoint: Callable[[Case], Path]) -> None:
    pretrained = load_pretrained(tiny_checkpoint(case))
    lengths = [5, 40, 1, 12]
    id_T = torch.randint(0, pretrained.config.vocabulary, (sum(lengths),), generator=torch.Generator().manual_seed(0))
    segment_T = torch.zeros_like(id_T)
    together = torch.split(pretrained.encoder(id_T, segment_T, Layout.of(lengths)), lengths)
    ids = torch.split(id_T, lengths)
    for order in ([3, 1, 0, 2], [2], [1]):
        batch = torch.cat([ids[index] for index in order])
        found = pretrained.encoder(batch, torch.zeros_like(batch), Layout.of([lengths[index] for index in order]))
        assert_close(found, torch.cat([together[index] for index in order]), atol=1e-5, rtol=1e-5)


def test_families_are_all_that_the_folder_holds() -> None:
    assert {"bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert"} <= set(families())
