import logging
import time

import torch

from engine.scripting import Scripted
from engine.sounding import _sounds


def doubled(values: torch.Tensor, times: int) -> torch.Tensor:
    out = values
    for _ in range(times):
        out = out * 2
    return out


def beyond_torchscript(values):
    return time.strftime("%Y"), values


def test_what_the_engine_scripts_can_be_scripted(caplog):
    scripted = Scripted(_sounds)
    scripted._compile()
    assert isinstance(scripted._compiled, torch.jit.ScriptFunction)
    assert not caplog.records


def test_a_scripted_function_is_the_function_without_gradients():
    values = torch.ones(3, requires_grad=True)
    result = Scripted(doubled)(values, 3)
    assert torch.equal(result, torch.full((3,), 8.0)) and not result.requires_grad


def test_what_cannot_be_scripted_is_called_as_it_is_and_the_log_says_so(caplog):
    caplog.set_level(logging.WARNING)
    scripted = Scripted(beyond_torchscript)
    for _ in range(2):
        assert scripted(5)[1] == 5
    assert [record.message.split(" cannot")[0] for record in caplog.records] == ["beyond_torchscript"]
