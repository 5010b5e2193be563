import pytest

from attnpanel.training.settings import TrainingSettings


def test_settings_come_back_from_their_json():
    settings = TrainingSettings(task="sort", heads=3, d_model=33, learning_rate=0.5, attends=False)

    assert TrainingSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"task": "fly"}, "task must be one of copy, reverse, induction"),
        ({"heads": 5}, "heads must divide d_model; got 5 heads for d_model 64"),
        ({"heads": 0}, "heads must be an integer from 1 to 16; got 0"),
        ({"d_model": 512}, "d_model must be an integer from 8 to 256; got 512"),
        ({"layers": 2.0}, "layers must be an integer from 1 to 6; got 2.0"),
        ({"steps": True}, "steps must be an integer from 10 to 20000; got True"),
        ({"seed": -1}, "seed must be an integer"),
        ({"learning_rate": float("nan")}, "learning_rate must be finite"),
        ({"learning_rate": 2}, "learning_rate must be from 1e-06 to 1; got 2"),
        ({"attends": "no"}, "attends must be true or false; got 'no'"),
    ],
)
def test_a_wrong_number_is_named_with_its_rule(wrong, rule):
    with pytest.raises(ValueError, match=rule):
        TrainingSettings(**wrong)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"task": "sort"}', "[" * 5000, "x" * 20_000])
def test_what_are_no_settings_is_refused(text):
    with pytest.raises(ValueError, match="a run's settings must"):
        TrainingSettings.from_json(text)
