"""Every engine of the API is registered, and a row names what is there."""

import typing
from importlib.util import find_spec

import pytest

from finetune_api.training import Engine
from finetune_trainer.engines.registry import ENGINES, Registration
from finetune_trainer.settings.arguments import OWNED, check_arguments


def test_each_engine_of_the_api_has_a_row() -> None:
    assert list(ENGINES) == list(typing.get_args(Engine))


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_the_module_of_a_row_is_there(engine: Registration) -> None:
    assert find_spec(engine.module) is not None


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_what_an_engine_supports_are_arguments_that_a_user_can_set(engine: Registration) -> None:
    supported = engine.supported
    if supported is None:
        assert engine.supports("anything")
        return

    assert [name for name in supported.names if name in OWNED or not is_argument(name)] == []
    assert set(supported.choices) <= set(supported.names)
    assert not engine.supports("torch_compile")


def is_argument(name: str) -> bool:
    try:
        check_arguments({name: None})
    except Exception as error:  # noqa: BLE001 - None is no value of most arguments
        return getattr(error, "reason", "") != "UnknownArgument"
    return True
