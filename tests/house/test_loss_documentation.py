"""docs/losses.md: a section for each row of the table, whose formulas are the engine's."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import xlogy

from cmlp._core import engine

TEXT = (Path(__file__).parents[2] / "docs" / "losses.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
LINKS = {"identity": "identity", "exp": "log", "logistic": "logit", "softmax": "multinomial logit"}
FUNCTIONS = {
    name: getattr(np, name)
    for name in ("abs", "sign", "where", "maximum", "minimum", "log", "cosh", "tanh")
}


def test_every_row_has_its_section_in_order():
    assert list(SECTIONS) == list(engine.LOSSES)


@pytest.mark.parametrize("name", engine.LOSSES)
def test_domain_link_and_names(name):
    text, row = " ".join(SECTIONS[name].split()), engine.LOSSES[name]
    assert re.search(r"Domain: ([\w-]+( interval)?)", text).group(1) == row["domain"]
    assert re.search(r"Link: ([\w ]+)", text).group(1) == LINKS[row["canonical_activation"]]
    for kind, estimator in (("regressor", "MLPRegressor"), ("classifier", "MLPClassifier")):
        assert (f'`{estimator}(loss="{row["loss"]}")`' in text) == row[kind]
    if row["parameter"] and name != "binary_focal":  # as that of focal
        assert f"t = `{row['parameter']}`" in text


@pytest.mark.parametrize("name", engine.LOSSES)
def test_formulas(name):
    rng = np.random.default_rng(0)
    row = engine.LOSSES[name]
    p = rng.uniform(0.05, 0.95, (50, 3))
    y = rng.uniform(0.05, 0.95, (50, 3))
    if row["canonical_activation"] == "softmax":
        p /= p.sum(axis=1, keepdims=True)
        y /= y.sum(axis=1, keepdims=True)
    y[0] = p[0]  # the kinks
    t = row["default"]
    names = {**FUNCTIONS, "xlogy": xlogy, "y": y, "p": p, "t": t}
    lines = re.findall(r"^    (loss |dL/dp|dL/dz|d    ) = (.*)$", SECTIONS[name], re.MULTILINE)
    value, slope, delta = (eval(formula, names) for _, formula in lines)
    parameter = t if row["parameter"] else None
    np.testing.assert_allclose(
        engine.loss_sum(name, y, p, parameter=parameter), value.sum(), rtol=1e-12
    )
    if lines[2][0].strip() == "d":
        delta = delta - p * delta.sum(axis=1, keepdims=True)
    for activation, expected in (("identity", slope), (row["canonical_activation"], delta)):
        found = np.empty_like(p)
        # exp and the like find their slope in the output
        engine.output_delta(name, activation, y, p, found, None, None, None, parameter)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
