"""Captures of models through torch.compile; the result stays that of the compiled code."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture  # noqa: E402

# Torch's compiler emits deprecation warnings for its own code.
pytestmark = [
    pytest.mark.slow,  # compiles
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
B, T, H, D = 2, 5, 3, 4


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inputs = nn.Linear(H * D, 3 * H * D)

    def forward(self, x):
        parts = self.inputs(x).chunk(3, -1)
        q, k, v = (part.view(B, T, H, D).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return mixed.transpose(1, 2).reshape(x.shape)


class Model(nn.Module):
    """Attention, random dropout and a run counter, which a second run could change."""

    def __init__(self):
        super().__init__()
        self.attention, self.dropout = Attention(), nn.Dropout(0.5)
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, x):
        self.runs += 1
        return self.dropout(self.attention(x))


class Backend:
    """A fake compiler backend that counts its graphs and returns other numbers."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, _example_inputs):
        self.graphs += 1

        def run(*args):
            return [x * 1.5 if torch.is_tensor(x) and x.dim() == 3 else x for x in graph(*args)]

        return run


def compiled(how, backend):
    torch.manual_seed(3)
    model = Model()
    if how == "model":
        return torch.compile(model, backend=backend), model
    if how == "in place":
        model.compile(backend=backend)
    elif how == "submodule":
        model.attention = torch.compile(model.attention, backend=backend, fullgraph=True)
    elif how == "function":
        model.attention.forward = torch.compile(model.attention.forward, backend=backend)
    return model, model


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("how", ["model", "in place", "submodule", "function"])
def test_compiled_attention_is_captured_and_its_result_is_the_compiled_codes(how):
    backend = Backend()
    runs, model = compiled(how, backend)
    x = torch.randn(B, T, H * D)

    def seeded():
        torch.manual_seed(7)
        return runs(x)

    plain, graphs = seeded(), backend.graphs
    with capture(model) as trace:
        during = seeded()
    after = seeded()

    assert torch.equal(plain, during)
    assert torch.equal(plain, after)
    assert backend.graphs == graphs
    assert int(model.runs) == 3
    (call,) = trace.calls
    assert (call.layer, call.causal) == ("attention", "top_left")
    query, key, _ = model.attention.inputs(x).chunk(3, -1)
    query, key = (part.view(B, T, H, D).transpose(1, 2) for part in (query, key))
    scores = query @ key.mT / D**0.5
    hidden = torch.ones(T, T, dtype=torch.bool).triu(1)
    own = scores.masked_fill(hidden, -torch.inf).softmax(-1).detach().numpy()
    np.testing.assert_allclose(call.weights(2, 1), own[1, 2], rtol=0, atol=1e-5)


def test_the_compiled_model_itself_can_be_captured():
    runs, _ = compiled("model", "eager")
    with capture(runs) as trace:
        runs(torch.randn(B, T, H * D))

    assert (trace.layers, trace.model) == (("attention",), "Model")


def test_what_is_compiled_in_the_block_is_captured():
    model = Model()
    with capture(model) as trace:
        torch.compile(model, backend="eager")(torch.randn(B, T, H * D))

    assert trace.layers == ("attention",)


def test_a_cache_that_a_compiled_model_is_given_grows_once_a_step():
    class Cached(nn.Module):
        def forward(self, x, cache):
            cache.append(x)
            keys = torch.cat(cache, dim=2)
            return F.scaled_dot_product_attention(x, keys, keys)

    model, cache = Cached(), []
    runs = torch.compile(model, backend="eager")
    with torch.no_grad(), capture(model, stitch=False) as trace:
        for _ in range(3):
            runs(torch.randn(1, 1, 1, D), cache)

    assert len(cache) == 3
    assert [call.key_len for call in trace.calls] == [1, 2, 3]


def test_what_runs_compiled_only_is_reported_and_runs():
    class Fails(nn.Module):
        def forward(self, x):
            if not torch.compiler.is_compiling():
                raise NotImplementedError("compile me")
            return F.scaled_dot_product_attention(x, x, x)

    model = Fails()
    runs = torch.compile(model, backend="eager")
    with pytest.warns(UserWarning, match="compile me"), capture(model) as trace:
        made = runs(torch.randn(1, 1, T, D))

    assert made.shape == (1, 1, T, D)
    assert trace.calls == ()


def test_a_budget_ends_a_compiled_model_too():
    model = Attention()
    runs = torch.compile(model, backend="eager")
    with pytest.raises(MemoryError, match="max_bytes"), capture(model, max_bytes=10):
        runs(torch.randn(B, T, H * D))

    assert torch.overrides._get_current_function_mode_stack() == []
    assert runs(torch.randn(B, T, H * D)).shape == (B, T, H * D)


# FlexAttention


SLOPES = torch.tensor([0.5, 0.2, 0.1])
DOCUMENTS = torch.tensor([0, 0, 0, 1, 1])


def alibi(score, b, h, i, j):
    return 0.7 * score - SLOPES[h] * (i - j).abs()


def later_hidden(score, b, h, i, j):
    return torch.where(i >= j, score, -torch.inf)


def capped(score, b, h, i, j):
    return 3 * torch.tanh(score / 3)


def same_document(b, h, i, j):
    return (DOCUMENTS[i] == DOCUMENTS[j]) & (i >= j)


class Flex(nn.Module):
    def __init__(self, flex, **options):
        super().__init__()
        self.flex, self.options = flex, options

    def forward(self, q, k, v):
        return self.flex(q, k, v, enable_gqa=True, **self.options)


def squared(score, b, h, i, j):
    return score * score


FLEX = {
    "plain": {},
    "score_mod": {"score_mod": alibi, "scale": 0.3},
    "hidden": {"score_mod": later_hidden},
    "block_mask": {"block_mask": same_document},
    "capped": {"score_mod": capped},
    "squared": {"score_mod": squared},
}


@pytest.mark.thorough(but=1)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, "as it is") for name in FLEX),
        ("score_mod", "compiled"),
        ("block_mask", "compiled"),
        ("hidden", "in a compiled model"),
        ("capped", "in a compiled model"),
    ],
)
def test_flex_attention_called_directly_matches_the_calculated_softmax(name, how):
    from torch.nn.attention import flex_attention as flex

    torch.manual_seed(5)
    q, k, v = (torch.randn(B, heads, T, 16) for heads in (6, 3, 3))
    options = dict(FLEX[name])
    if "block_mask" in options:
        options["block_mask"] = flex.create_block_mask(same_document, None, None, T, T, "cpu")
    attend = flex.flex_attention
    function = torch.compile(attend, backend="eager") if how == "compiled" else attend
    if "score_mod" in options:
        mod = options["score_mod"]
        options["score_mod"] = lambda s, b, h, i, j: mod(s, b, h // 2, i, j)
    model = Flex(function, **options)
    runs = torch.compile(model, backend="eager") if how == "in a compiled model" else model
    with torch.no_grad(), capture(model) as trace:
        during = runs(q, k, v)

    assert torch.equal(during, runs(q, k, v))
    i, j, h = torch.arange(T)[:, None], torch.arange(T), torch.arange(6)[:, None, None]
    scores = q @ k.repeat_interleave(2, dim=1).mT * options.get("scale", 0.25)
    if "score_mod" in options:
        scores = options["score_mod"](scores, None, h, i, j)
    if "block_mask" in options:
        scores = scores.masked_fill(~same_document(0, 0, i, j), -torch.inf)
    own = scores.softmax(-1).numpy()
    (call,) = trace.calls
    made = [[call.weights(head, batch) for head in range(6)] for batch in range(B)]
    np.testing.assert_allclose(made, own, rtol=0, atol=1e-5)
    assert (call.kv_heads, call.live) == (3, name != "squared")
    assert (call.causal == "top_left") == (name == "hidden")


def gated(flex, q, k, v):
    output, total = flex(q, k, v, return_lse=True)
    return output * torch.sigmoid(total)[..., None]


def merged(flex, q, k, v):
    parts = [
        flex(q, *part, return_lse=True) for part in zip(k.split(3, 2), v.split(3, 2), strict=True)
    ]
    shares = torch.stack([total for _, total in parts]).softmax(0)
    return sum(output * share[..., None] for (output, _), share in zip(parts, shares, strict=True))


@pytest.mark.filterwarnings("ignore:return_lse is deprecated")
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("attend", [gated, merged])
def test_the_log_sum_exp_of_compiled_code_is_followed(attend):
    from torch.nn.attention.flex_attention import flex_attention

    class Odd(nn.Module):
        def forward(self, q, k, v):
            return attend(flex_attention, q, k, v)

    model = nn.ModuleDict({"plain": Flex(flex_attention), "odd": Odd()})
    q, k, v = torch.randn(3, B, H, T, 16)
    with pytest.warns(UserWarning, match="not recorded of odd .*rescales its outputs"):  # noqa: SIM117 - the order counts
        with torch.no_grad(), capture(model) as trace:
            model["odd"](model["plain"](q, k, v), k, v)

    assert trace.layers == ("plain",)


class Stateful(nn.Module):
    """A module whose run changes attributes and their contents, not only buffers."""

    class Cache:
        def __init__(self):
            self.keys = []

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1, 1, 0, 3))
        self.runs, self.cache, self.room, self.own = 0, {}, torch.zeros(4), Stateful.Cache()

    def forward(self, x):
        self.runs = self.runs + 1
        self.room[self.runs] += 1
        self.seen = torch.cat([self.seen, x], 2)
        self.cache["keys"] = torch.cat([self.cache.get("keys", x[:, :, :0]), x], 2)
        self.own.keys.append(x)
        keys = torch.cat([self.seen, self.cache["keys"], *self.own.keys], 2)
        return F.scaled_dot_product_attention(x, keys, keys) + self.runs


def test_state_of_a_compiled_model_outside_its_buffers_changes_once():
    x = torch.randn(3, 1, 1, 2, 3)

    def outputs(*, captured):
        model = Stateful()
        runs = torch.compile(model, backend="eager")
        if not captured:
            return [runs(item) for item in x], model
        with capture(model) as trace:
            found = [runs(item) for item in x]
        assert len(trace.calls) == 3
        return found, model

    plain, first = outputs(captured=False)
    during, other = outputs(captured=True)

    assert all(map(torch.equal, plain, during))
    assert (first.runs, len(first.own.keys)) == (other.runs, len(other.own.keys)) == (3, 3)
    assert torch.equal(first.room, other.room)


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch's own compiler needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
def test_code_of_torchs_own_compiler_keeps_its_result():
    class Written(nn.Module):
        def forward(self, q, k, v):
            return (q @ k.mT / D**0.5).softmax(-1) @ v

    generator = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(B, H, T, D, generator=generator) for _ in range(3))
    runs = torch.compile(Written())
    plain = runs(q, k, v)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    with capture(runs) as trace:
        during = runs(q, k, v)
    after = runs(q, k, v)

    assert torch.equal(during, plain)
    assert torch.equal(after, plain)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs > 0
    (call,) = trace.calls
    assert (call.layer, call.live) == ("Written", True)
    own = (q @ k.mT / D**0.5).softmax(-1)
    for b, h in np.ndindex(B, H):
        np.testing.assert_allclose(call.weights(h, b), own[b, h], rtol=0, atol=1e-5)
