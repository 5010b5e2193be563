"""What is compiled is compiled again where its time is taken."""

from dataclasses import replace

import pytest

from attnpanel.kernels import find_implementation
from bench.compiling import compiled_anew

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

    with compiled_anew(find_implementation("torch-compiled-eager")):
        assert torch.compiler.config.force_disable_caches
        function(torch.ones(3))
        function(torch.ones(3))

    assert len(compilations) == 2
    assert not torch.compiler.config.force_disable_caches


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_what_torch_does_not_compile_makes_it_forget_nothing(compiled, framework):
    function, compilations = compiled
    function(torch.ones(3))
    other = replace(
        find_implementation("torch-sdpa"), framework=framework, compiles=framework == "jax"
    )

    with compiled_anew(other):
        function(torch.ones(3))

    assert len(compilations) == 1
