"""Timed compilations do not use earlier ones."""

from dataclasses import replace

import pytest

from attnpanel.bench.measure.compiling import without_compile_cache
from attnpanel.kernels import find_implementation

torch = pytest.importorskip("torch")


@pytest.fixture
def compiled():
    """A compiled function, and the list that has an entry for each of its compilations."""
    compilations = []

    def backend(graph, examples):
        compilations.append(graph)
        return graph.forward

    return torch.compile(lambda x: x + 1, backend=backend, dynamic=False), compilations


def test_a_compiled_implementation_compiles_again(compiled):
    function, compilations = compiled
    function(torch.ones(3))
    function(torch.ones(3))
    assert len(compilations) == 1

    with without_compile_cache(find_implementation("torch-compiled-eager")):
        assert torch.compiler.config.force_disable_caches
        function(torch.ones(3))
        function(torch.ones(3))

    assert len(compilations) == 2
    assert not torch.compiler.config.force_disable_caches


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_other_implementations_do_not_reset_the_compiler(compiled, framework):
    function, compilations = compiled
    function(torch.ones(3))
    other = replace(
        find_implementation("torch-sdpa"), framework=framework, compiles=framework == "jax"
    )

    with without_compile_cache(other):
        function(torch.ones(3))

    assert len(compilations) == 1
