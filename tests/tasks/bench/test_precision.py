"""What bfloat16 and compiling are worth is printed for a run's own batches."""

import pytest

from tasks.bench import precision
from trainers.models import causal_lm


@pytest.mark.parametrize(("config", "n_steps"), [("location", 3), pytest.param("arc", 2, marks=pytest.mark.slow)])
def test_every_step_is_timed_in_turns(config, n_steps, datasets_once, monkeypatch, capsys):
    halves = []
    monkeypatch.setattr(causal_lm, "_compiled_halves", lambda: halves.append(1) or (causal_lm._mix, causal_lm._finish))
    assert precision.main(["--config", config, "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()[-n_steps:]
    assert [line.split("  ")[0] for line in lines] == ["float32", "bfloat16", "bfloat16, compiled"][:n_steps]
    assert "1.00 [1.00, 1.00]" in lines[0] and len(halves) == (6 if n_steps == 3 else 0)
