"""The measures of a class-incremental run, checked by hand."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from utils.records.continual_measures import ContinualMeasures

CLASSES = ((0, 1), (2,), (3, 4, 5))
MATRIX = ((90.0,), (60.0, 80.0), (70.0, 50.0, 100.0))
ACCURACIES = (90.0, 66.0, 81.0)


def test_three_steps_by_hand():
    measures = ContinualMeasures.of(CLASSES, MATRIX, ACCURACIES)
    assert measures.average_accuracy == (90 + 66 + 81) / 3
    assert measures.forgetting == ((90 - 70) + (80 - 50)) / 2  # the best before the last step, less the last
    assert measures.backward_transfer == ((70 - 90) + (50 - 80)) / 2
    assert measures.classes_seen == (2, 3, 6)


def test_forgetting_is_from_the_best_and_transfer_from_the_first():
    matrix = ((50.0,), (90.0, 80.0), (70.0, 85.0, 100.0))
    measures = ContinualMeasures.of(CLASSES, matrix, ACCURACIES)
    assert measures.forgetting == ((90 - 70) + (80 - 85)) / 2
    assert measures.backward_transfer == ((70 - 50) + (85 - 80)) / 2


def test_a_single_step_forgets_nothing_to_speak_of():
    measures = ContinualMeasures.of(((0, 1),), ((75.0,),), (75.0,))
    assert (measures.average_accuracy, measures.forgetting, measures.backward_transfer) == (75.0, None, None)


def test_json_and_back():
    measures = ContinualMeasures.of(CLASSES, MATRIX, ACCURACIES)
    values = json.loads(json.dumps(asdict(measures)))
    assert ContinualMeasures.from_dict(values) == measures
    with pytest.raises(ValueError, match="not those of the matrix"):
        ContinualMeasures.from_dict({**values, "forgetting": 0.0})


@pytest.mark.parametrize("matrix", [MATRIX[:2], ((90.0, 1.0), *MATRIX[1:])])
def test_a_matrix_of_another_form_is_refused(matrix):
    with pytest.raises(ValueError, match="a row for each step"):
        ContinualMeasures.of(CLASSES, matrix, ACCURACIES)
