"""The simulation of what arrival does to answers: what it says of rules that cannot lean holds exactly."""

import json

from benchmarks.arrival_bias import main


def test_what_cannot_change_an_answer_does_not_and_order_is_one_after_the_other(capsys):
    assert main(["--problems", "80", "--num-samples", "12", "--json"]) == 0
    ratios = json.loads(capsys.readouterr().out)["ratios"]
    for rows in ratios.values():
        assert rows["majority, until decided"]["differs"] == 0
        assert rows["majority, until decided"]["tokens"] < 1
        one, ordered = rows["adaptive-consistency, waves of 1"], rows["adaptive-consistency, 8 in order"]
        assert (ordered["accuracy"], ordered["differs"]) == (one["accuracy"], one["differs"])
    leaning = [ratios[ratio]["adaptive-consistency, 8 as they arrive"]["accuracy"] for ratio in ("0.5", "1.0", "2.0")]
    assert leaning[0] > leaning[1] > leaning[2]
