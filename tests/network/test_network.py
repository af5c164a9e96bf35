"""cmlp.Network: activations, gradients and Jacobians against central differences, for every depth,
activation and pair of loss and output activation; its forms of input; its errors."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning

import cmlp
from cmlp import Network
from cmlp._architecture import Architecture
from cmlp._core import engine
from cmlp._losses import Loss
from cmlp._parameters import Parameters

HIDDEN = [name for name, row in engine.ACTIVATIONS.items() if row["hidden"]]
OUTPUT = [name for name, row in engine.ACTIVATIONS.items() if row["output"]]
PAIRS = [(loss, name) for loss in engine.LOSSES for name in OUTPUT]
DEPTHS = [(), (5,), (5, 4), (5, 4, 6)]


def in_the_middle(out_activation):
    """A z for which the output is about 0.5, which is inside the domain of every loss."""
    z = np.linspace(-3, 3, 601).reshape(-1, 1)
    a = z.copy()
    engine.activate(out_activation, a)
    return float(z[np.abs(a - 0.5).argmin(), 0])


class Case:
    """Weights, data and targets for which losses are smooth: away from kinks and the ends of
    domains."""

    def __init__(self, hidden=(5,), activation="tanh", out_activation="identity",
                 loss="squared_error", n_samples=6, n_outputs=3, seed=0):  # fmt: skip
        rng = np.random.default_rng(seed)
        units = (4, *hidden, n_outputs)
        self.coefs = [rng.normal(size=shape, scale=0.7) for shape in pairwise(units)]
        self.intercepts = [rng.normal(size=n, scale=0.5) for n in units[1:]]
        self.X = rng.normal(size=(n_samples, 4))
        self.options = {
            "activation": activation,
            "out_activation": out_activation,
            "loss": loss,
        }
        if out_activation != "softmax":
            self.coefs[-1] *= 0.05
            self.intercepts[-1] = rng.normal(size=n_outputs, scale=0.05)
            self.intercepts[-1] += in_the_middle(out_activation)
        self.y = rng.uniform(0.1, 0.9, size=(n_samples, n_outputs))
        if out_activation == "softmax":
            self.y /= self.y.sum(axis=1, keepdims=True)
        if engine.LOSSES[loss]["domain"] != "positive":
            self.y[0] = 0
            self.y[0, 0] = 1
        self.weight = rng.uniform(0.5, 2, size=n_samples)

    def network(self, **options):
        return Network(self.coefs, self.intercepts, **(self.options | options))

    def parameters(self):
        return [*self.coefs, *self.intercepts, self.X]

    def differences(self, function, h=1e-6):
        """Central differences of function(coefs, intercepts, X) along every number of each."""
        parameters = [array.copy() for array in self.parameters()]
        n = len(self.coefs)
        results = []
        for array in parameters:
            columns = []
            for at in np.ndindex(array.shape):
                values = []
                kept = array[at]
                for change in (h, -h):
                    array[at] = kept + change
                    values.append(function(parameters[:n], parameters[n:-1], parameters[-1]))
                array[at] = kept
                columns.append((values[0] - values[1]) / (2 * h))
            results.append(np.stack(columns, axis=-1).reshape(*np.shape(columns[0]), *array.shape))
        return results

    def check_gradients(self, rtol=1e-6, atol=1e-8, **options):
        alpha = options.pop("alpha", 0.0)

        def loss(coefs, intercepts, X):
            net = Network(coefs, intercepts, **self.options, alpha=alpha)
            return net.loss_and_gradients(X, self.y, **options).loss

        result = self.network(alpha=alpha).loss_and_gradients(self.X, self.y, **options)
        gradients = [*result.coef_grads, *result.intercept_grads, result.X_grad]
        for got, numeric in zip(gradients, self.differences(loss), strict=True):
            assert got.shape == numeric.shape
            np.testing.assert_allclose(got, numeric, rtol=rtol, atol=atol)

    def check_jacobians(self, rtol=1e-6, atol=1e-8):
        def output(coefs, intercepts, X):
            return Network(coefs, intercepts, **self.options).forward(X)[-1]

        net = self.network()
        jacobian = net.jacobian(self.X)
        got = [*jacobian.coef_jacobians, *jacobian.intercept_jacobians]
        *expected, by_input = self.differences(output)
        for ours, numeric in zip(got, expected, strict=True):
            assert ours.shape == numeric.shape
            np.testing.assert_allclose(ours, numeric, rtol=rtol, atol=atol)
        # a sample does not depend on another's input
        own = np.einsum("nknj->nkj", by_input)
        np.testing.assert_allclose(net.input_jacobian(self.X), own, rtol=rtol, atol=atol)


class TestForward:
    @pytest.mark.parametrize("hidden", DEPTHS)
    @pytest.mark.parametrize("activation", HIDDEN)
    def test_twin(self, hidden, activation):
        case = Case(hidden, activation, "softmax", "log_loss")
        units = (4, *hidden, 3)
        twin = reference.Twin(units, (*[activation] * len(hidden), "softmax"))
        vector = np.concatenate([a.ravel() for a in case.coefs + case.intercepts])
        got = case.network().forward(case.X)
        expected = twin.forward(vector, case.X)[1]
        assert [a.shape for a in got] == [(6, n) for n in units]
        for ours, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize("n_samples", [1, 2, 600, 1100])
    def test_sizes(self, n_samples):
        case = Case(n_samples=n_samples)
        whole = case.network().forward(case.X)[-1]
        ones = [case.network().forward(row[None])[-1][0] for row in case.X[-9:]]
        np.testing.assert_allclose(whole[-9:], ones, rtol=1e-13)

    def test_layers_of_their_own(self):
        case = Case((5, 4, 6))
        net = case.network(activation=["relu", "tanh", "logistic"], out_activation="exp")
        a = case.X
        functions = ["relu", "tanh", "logistic", "exp"]
        for coef, intercept, name in zip(case.coefs, case.intercepts, functions, strict=True):
            a = reference.ACTIVATIONS[name][0](a @ coef + intercept)
        np.testing.assert_allclose(net.forward(case.X)[-1], a, rtol=1e-12)


class TestGradients:
    @pytest.mark.slow
    @pytest.mark.parametrize("hidden", DEPTHS)
    @pytest.mark.parametrize(("loss", "out_activation"), PAIRS)
    def test_losses_and_output_activations(self, loss, out_activation, hidden):
        Case(hidden, "tanh", out_activation, loss).check_gradients()

    @pytest.mark.slow
    @pytest.mark.parametrize("hidden", DEPTHS[1:])
    @pytest.mark.parametrize("activation", HIDDEN)
    def test_hidden_activations(self, activation, hidden):
        Case(hidden, activation, "softmax", "log_loss").check_gradients(alpha=0.3)
        Case(hidden, activation, seed=1).check_gradients(reduction="sum")

    def test_an_activation_per_layer(self):
        for names in (["relu", "tanh", "logistic"], ("identity", "logistic", "relu")):
            Case((5, 4, 6), names, "exp", "poisson").check_gradients()

    @pytest.mark.slow
    @pytest.mark.parametrize("alpha", [0.0, 0.8])
    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("loss", engine.LOSSES)
    def test_weights_reductions_and_penalty(self, loss, weighted, reduction, alpha):
        canonical = engine.LOSSES[loss]["canonical_activation"]
        case = Case((5,), "tanh", canonical, loss)
        weight = case.weight if weighted else None
        case.check_gradients(sample_weight=weight, reduction=reduction, alpha=alpha)

        total, net = (case.weight if weighted else np.ones(6)), case.network(alpha=alpha)
        p = net.forward(case.X)[-1]
        expected = total @ reference.LOSSES[loss][0](case.y, p).sum(axis=1)
        expected += alpha / 2 * sum((coef**2).sum() for coef in case.coefs)
        expected /= total.sum() if reduction == "mean" else 1
        got = net.loss_and_gradients(case.X, case.y, weight, reduction)
        np.testing.assert_allclose(got.loss, expected, rtol=1e-13)

    @pytest.mark.slow
    @pytest.mark.parametrize("out_activation", OUTPUT)
    @pytest.mark.parametrize(
        ("loss", "parameter"),
        [
            ("huber", [0.05, 0.2, 9.0]),
            ("quantile", [0.1, 0.5, 0.95]),
            ("tweedie", 1.1),
            ("tweedie", 3.0),
            ("focal", 0.0),
            ("focal", [0.5, 1.0, 4.0]),
        ],
    )
    def test_parameters_of_losses(self, loss, parameter, out_activation):
        case = Case((5,), "tanh", out_activation, loss)
        if parameter == 3.0:
            case.y = np.maximum(case.y, 0.05)
        case.options["loss_parameter"] = parameter
        case.check_gradients(alpha=0.1)
        net = case.network()
        value = reference.LOSSES[net.loss][0](case.y, net.forward(case.X)[-1], np.array(parameter))
        got = net.loss_and_gradients(case.X, case.y, reduction="sum").loss
        np.testing.assert_allclose(got, value.sum(), rtol=1e-12)

    @pytest.mark.parametrize("power", [0, 1, 2])
    def test_tweedie_powers_with_names(self, power):
        case = Case((5,), "tanh", "exp", "gamma")
        name = {0: "squared_error", 1: "poisson", 2: "gamma"}[power]
        tweedie = case.network(loss="tweedie", loss_parameter=power)
        named = case.network(loss=name)
        for a, b in zip(flat(case, tweedie, case.X, case.y), flat(case, named, case.X, case.y),
                        strict=True):  # fmt: skip
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize(("out_activation", "n"), [("softmax", 3), ("logistic", 2)])
    def test_label_smoothing(self, out_activation, n):
        case = Case((5,), "tanh", out_activation, "log_loss")
        case.check_gradients()
        case.options["label_smoothing"] = 0.2
        case.check_gradients()
        smoothed = case.network()
        plain = case.network(label_smoothing=0.0)
        one = smoothed.loss_and_gradients(case.X, case.y)
        other = plain.loss_and_gradients(case.X, 0.8 * case.y + 0.2 / n)
        np.testing.assert_allclose(one.loss, other.loss, rtol=1e-14)

    def test_mean_is_sum_divided_by_the_weights(self):
        case = Case()
        net = case.network(alpha=0.4)
        mean = net.loss_and_gradients(case.X, case.y, case.weight)
        total = net.loss_and_gradients(case.X, case.y, case.weight, "sum")
        divisor = case.weight.sum()
        np.testing.assert_allclose(mean.loss * divisor, total.loss, rtol=1e-13)
        np.testing.assert_allclose(mean.X_grad * divisor, total.X_grad, rtol=1e-12)
        for which in ("coef_grads", "intercept_grads"):
            for a, b in zip(getattr(mean, which), getattr(total, which), strict=True):
                np.testing.assert_allclose(a * divisor, b, rtol=1e-12)

    def test_integer_weights_repeat_samples(self):
        case = Case()
        times = np.array([0, 1, 2, 3, 1, 0])
        net = case.network(alpha=0.4)
        weighted = net.loss_and_gradients(case.X, case.y, times)
        repeated = net.loss_and_gradients(np.repeat(case.X, times, 0), np.repeat(case.y, times, 0))
        np.testing.assert_allclose(weighted.loss, repeated.loss, rtol=1e-13)
        for a, b in zip(weighted.coef_grads, repeated.coef_grads, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)

    def test_log_loss_of_a_logistic_output_is_binary(self):
        case = Case((5,), "tanh", "logistic", "log_loss")
        net = case.network()
        assert net.loss == "binary_log_loss"
        expected = reference.LOSSES["binary_log_loss"][0](case.y, net.forward(case.X)[-1])
        got = net.loss_and_gradients(case.X, case.y, reduction="sum")
        np.testing.assert_allclose(got.loss, expected.sum(), rtol=1e-13)

    @pytest.mark.parametrize("hidden", DEPTHS)
    def test_without_intercepts(self, hidden):
        case = Case(hidden)
        net = Network(case.coefs, **case.options)
        assert not any(b.any() for b in net.intercepts)
        result = net.loss_and_gradients(case.X, case.y)
        zeros = [np.zeros_like(b) for b in case.intercepts]
        same = Network(case.coefs, zeros, **case.options).loss_and_gradients(case.X, case.y)
        assert result.loss == same.loss
        for a, b in zip(result.coef_grads, same.coef_grads, strict=True):
            np.testing.assert_array_equal(a, b)
        assert [g.shape for g in result.intercept_grads] == [b.shape for b in zeros]
        assert not any(g.any() for g in result.intercept_grads)

    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("loss", engine.LOSSES)
    def test_agree_with_training(self, loss, weighted):
        """What one compiled call computes for the solvers, Network composes of kernels."""
        canonical = engine.LOSSES[loss]["canonical_activation"]
        case = Case((5, 4), "relu", canonical, loss, n_samples=700)
        weight = case.weight if weighted else None
        parameters = Parameters.from_lists(case.coefs, case.intercepts, np.float64)
        architecture = Architecture(parameters.units, ("relu", "relu", canonical))
        layout = parameters.layout(architecture, Loss(loss))
        grads = np.empty_like(parameters.vector)
        reported = engine.loss_and_gradient(
            layout,
            engine.Dataset(case.X, case.y, weight),
            0.3,
            parameters.vector,
            grads,
            layout.workspace(700, np.float64),
        )
        result = case.network(alpha=0.3).loss_and_gradients(case.X, case.y, weight)
        ours = np.concatenate([g.ravel() for g in result.coef_grads + result.intercept_grads])
        np.testing.assert_allclose(ours, grads, rtol=1e-11, atol=1e-15)
        if not engine.LOSSES[loss]["mean_over_outputs"]:
            np.testing.assert_allclose(result.loss, reported, rtol=1e-13)


class TestJacobians:
    @pytest.mark.parametrize("hidden", DEPTHS)
    @pytest.mark.parametrize("out_activation", OUTPUT)
    def test_output_activations(self, out_activation, hidden):
        Case(hidden, "tanh", out_activation).check_jacobians()

    @pytest.mark.parametrize("hidden", DEPTHS[1:])
    @pytest.mark.parametrize("activation", HIDDEN)
    def test_hidden_activations(self, activation, hidden):
        Case(hidden, activation, "softmax").check_jacobians()

    def test_an_activation_per_layer(self):
        Case((5, 4, 6), ["logistic", "relu", "tanh"], "logistic").check_jacobians()

    @pytest.mark.parametrize("n_outputs", [1, 2, 7])
    def test_shapes(self, n_outputs):
        case = Case((5, 4), n_outputs=n_outputs, n_samples=3)
        coefs, intercepts = case.network().jacobian(case.X)
        assert [j.shape for j in coefs] == [
            (3, n_outputs, 4, 5),
            (3, n_outputs, 5, 4),
            (3, n_outputs, 4, n_outputs),
        ]
        assert [j.shape for j in intercepts] == [(3, n_outputs, n) for n in (5, 4, n_outputs)]
        assert case.network().input_jacobian(case.X).shape == (3, n_outputs, 4)

    def test_chain_rule_gives_the_gradient(self):
        case = Case((5, 4), "tanh", "softmax", "log_loss")
        net = case.network()
        slope = reference.LOSSES["log_loss"][1](case.y, net.forward(case.X)[-1])
        result = net.loss_and_gradients(case.X, case.y, reduction="sum")
        coefs, intercepts = net.jacobian(case.X)
        for jacobian, grad in zip(coefs, result.coef_grads, strict=True):
            np.testing.assert_allclose(np.einsum("nk,nkij->ij", slope, jacobian), grad, atol=1e-12)
        for jacobian, grad in zip(intercepts, result.intercept_grads, strict=True):
            np.testing.assert_allclose(np.einsum("nk,nkj->j", slope, jacobian), grad, atol=1e-12)
        by_input = np.einsum("nk,nkj->nj", slope, net.input_jacobian(case.X))
        np.testing.assert_allclose(by_input, result.X_grad, atol=1e-12)


def flat(case, net, X, y):
    """Everything a network computes, as a list of arrays."""
    result = net.loss_and_gradients(X, y, case.weight)
    jacobian = net.jacobian(X)
    return [
        *net.forward(X)[1:],
        np.array(result.loss),
        *result.coef_grads,
        *result.intercept_grads,
        result.X_grad,
        *jacobian.coef_jacobians,
        *jacobian.intercept_jacobians,
        net.input_jacobian(X),
    ]


class TestForms:
    """The same numbers for every form of X, y and weights."""

    def case(self):
        case = Case((5, 4), "relu", "softmax", "log_loss")
        case.X[np.random.default_rng(0).random(case.X.shape) < 0.4] = 0
        case.X[2] = 0
        return case

    @pytest.mark.parametrize(
        "form",
        [
            sp.csr_matrix,
            sp.csr_array,
            sp.csc_matrix,
            sp.coo_array,
            np.asfortranarray,
            lambda X: X.tolist(),
            lambda X: X[::-1].copy()[::-1],
            lambda X: np.repeat(X, 2, axis=1)[:, ::2],
            lambda X: X.astype(X.dtype.newbyteorder()),
            lambda X: np.frombuffer(b"\0" + X.tobytes(), X.dtype, X.size, 1).reshape(X.shape),
        ],
    )
    def test_input(self, form):
        case = self.case()
        net = case.network(alpha=0.2)
        for got, expected in zip(
            flat(case, net, form(case.X), case.y), flat(case, net, case.X, case.y), strict=True
        ):
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)

    def test_read_only(self):
        case = self.case()
        for array in [*case.parameters(), case.y, case.weight]:
            array.flags.writeable = False
        flat(case, case.network(), case.X, case.y)

    @pytest.mark.parametrize("sparse", [False, True])
    @pytest.mark.parametrize(("loss", "out_activation"), PAIRS)
    def test_float32(self, loss, out_activation, sparse):
        case = Case((5, 4), "logistic", out_activation, loss)
        expected = flat(case, case.network(alpha=0.2), case.X, case.y)
        coefs, intercepts = (
            [a.astype(np.float32) for a in arrays] for arrays in (case.coefs, case.intercepts)
        )
        net = Network(coefs, intercepts, alpha=0.2, **case.options)
        X = case.X.astype(np.float32)
        got = flat(case, net, sp.csr_matrix(X) if sparse else X, case.y)
        for ours, exact in zip(got, expected, strict=True):
            assert ours.dtype == np.float32 or ours.ndim == 0
            np.testing.assert_allclose(ours, exact, rtol=5e-5, atol=5e-6)

    def test_dtype_of_the_result(self):
        case = self.case()
        single = [a.astype(np.float32) for a in case.coefs]
        X = case.X.astype(np.float32)
        assert Network(single).forward(X)[-1].dtype == np.float32
        assert Network(single).forward(case.X)[-1].dtype == np.float64
        assert Network(case.coefs).forward(X)[-1].dtype == np.float64
        assert Network(single).forward(X.astype(np.float16))[-1].dtype == np.float32
        assert Network(single).forward(np.ones((2, 4), dtype=int))[-1].dtype == np.float64
        assert Network([[[1, 2], [3, 4]]]).forward([[1, 1]])[-1].tolist() == [[4, 6]]

    def test_weights_are_copied(self):
        case = self.case()
        net = case.network()
        before = net.forward(case.X)[-1]
        case.coefs[0][...] = 0
        np.testing.assert_array_equal(net.forward(case.X)[-1], before)

    def test_input_is_left_alone(self):
        case = self.case()
        kept = [array.copy() for array in [*case.parameters(), case.y, case.weight]]
        flat(case, case.network(), case.X, case.y)
        for now, then in zip([*case.parameters(), case.y, case.weight], kept, strict=True):
            np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("library", [cmlp, neural_network])
class TestFromEstimator:
    X = np.random.default_rng(0).normal(size=(60, 4))

    def fitted(self, est, y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return est.fit(self.X, y)

    @pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
    @pytest.mark.parametrize("n_outputs", [1, 3])
    @pytest.mark.parametrize("loss", ["squared_error", "poisson"])
    def test_regressor(self, library, loss, n_outputs, hidden):
        y = np.abs(self.X[:, :n_outputs])
        est = library.MLPRegressor(
            loss=loss, hidden_layer_sizes=hidden, max_iter=3, random_state=0, activation="tanh"
        )
        est = self.fitted(est, y.ravel() if n_outputs == 1 else y)
        net = Network.from_estimator(est)
        assert (net.loss, net.alpha) == (loss, est.alpha)
        p = est.predict(self.X).reshape(60, n_outputs)
        np.testing.assert_allclose(net.forward(self.X)[-1], p, rtol=1e-10)
        expected = reference.LOSSES[loss][0](y, p).sum(axis=1).mean()
        expected += est.alpha / 2 / 60 * sum((coef**2).sum() for coef in est.coefs_)
        np.testing.assert_allclose(net.loss_and_gradients(self.X, y).loss, expected, rtol=1e-10)

    @pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
    def test_classifier(self, library, task):
        scores = self.X @ np.random.default_rng(1).normal(size=(4, 3))
        y = {
            "binary": scores[:, 0] > 0,
            "multiclass": scores.argmax(axis=1),
            "multilabel": (scores > 0).astype(int),
        }[task]
        est = library.MLPClassifier((5,), max_iter=3, random_state=0, activation="logistic")
        est = self.fitted(est, y)
        net = Network.from_estimator(est)
        p = net.forward(self.X)[-1]
        probability = est.predict_proba(self.X)
        np.testing.assert_allclose(
            p, probability[:, 1:] if task == "binary" else probability, rtol=1e-10
        )
        target = np.eye(3)[y] if task == "multiclass" else np.reshape(y, (60, -1))
        kind = "log_loss" if task == "multiclass" else "binary_log_loss"
        assert net.loss == kind
        expected = reference.LOSSES[kind][0](target.astype(float), p).sum(axis=1).mean()
        expected += est.alpha / 2 / 60 * sum((coef**2).sum() for coef in est.coefs_)
        got = net.loss_and_gradients(self.X, target)
        np.testing.assert_allclose(got.loss, expected, rtol=1e-10)

    def test_copies(self, library):
        est = library.MLPRegressor(hidden_layer_sizes=(5,), max_iter=2, random_state=0)
        est = self.fitted(est, self.X[:, 0])
        net = Network.from_estimator(est)
        net.coefs[0][...] = 0
        assert est.coefs_[0].all()


def test_from_an_estimator_without_intercepts():
    X = TestFromEstimator.X
    est = cmlp.MLPRegressor(
        hidden_layer_sizes=(5,), max_iter=2, fit_intercept=False, out_activation="tanh"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        est.fit(X, X[:, 0])
    net = Network.from_estimator(est)
    np.testing.assert_allclose(net.forward(X)[-1].ravel(), est.predict(X), rtol=1e-12)
    grads = net.loss_and_gradients(X, X[:, :1]).intercept_grads
    assert not any(grad.any() for grad in grads)


class TestErrors:
    @pytest.mark.parametrize(
        ("coefs", "intercepts"),
        [
            ([], None),
            ([1.0], None),
            ([np.ones(3)], None),
            ([np.ones((2, 2, 2))], None),
            ([np.ones((4, 3)), np.ones((2, 1))], None),
            ([np.ones((4, 3)), np.ones((3, 0))], None),
            ([np.ones((0, 3))], None),
            ([np.ones((4, 3))], []),
            ([np.ones((4, 3))], [np.ones(2)]),
            ([np.ones((4, 3))], [np.ones((1, 3))]),
            ([np.ones((4, 3))], [np.ones(3), np.ones(3)]),
        ],
    )
    def test_shapes_of_the_parameters(self, coefs, intercepts):
        with pytest.raises(ValueError):  # noqa: PT011 - several messages
            Network(coefs, intercepts)

    @pytest.mark.parametrize(
        "options",
        [
            {"activation": "no such"},
            {"activation": "softmax"},
            {"activation": "exp"},
            {"activation": ["relu"]},
            {"activation": ["relu", "tanh", "tanh"]},
            {"activation": ["relu", "softmax"]},
            {"out_activation": "no such"},
            {"loss": "no such"},
        ],
        ids=str,
    )
    def test_names(self, options):
        with pytest.raises(ValueError, match=r"activation|loss"):
            Case((5, 4)).network(**options)

    @pytest.mark.parametrize(
        "X",
        [
            np.ones((6, 3)),
            np.ones((6, 5)),
            np.ones(4),
            np.ones((6, 4, 1)),
            np.ones((0, 4)),
            sp.csr_matrix((6, 3)),
            sp.csr_matrix((0, 4)),
        ],
    )
    def test_shape_of_X(self, X):
        case = Case()
        net = case.network()
        for call in (net.forward, net.jacobian, net.input_jacobian):
            with pytest.raises(ValueError, match="shape"):
                call(X)
        with pytest.raises(ValueError, match="shape"):
            net.loss_and_gradients(X, case.y)

    @pytest.mark.parametrize(
        "y", [np.ones((5, 3)), np.ones((6, 2)), np.ones(6), np.ones((6, 3, 1))]
    )
    def test_shape_of_y(self, y):
        case = Case()
        with pytest.raises(ValueError, match="shape"):
            case.network().loss_and_gradients(case.X, y)

    @pytest.mark.parametrize("weight", [np.ones(5), np.ones((6, 1)), 1.0])
    def test_shape_of_the_weights(self, weight):
        case = Case()
        with pytest.raises(ValueError, match="shape"):
            case.network().loss_and_gradients(case.X, case.y, weight)

    def test_weights_that_sum_to_zero(self):
        case = Case()
        with pytest.raises(ValueError, match="sum to zero"):
            case.network().loss_and_gradients(case.X, case.y, np.zeros(6))
        total = case.network().loss_and_gradients(case.X, case.y, np.zeros(6), "sum")
        assert total.loss == 0
        assert not total.X_grad.any()

    def test_reduction(self):
        case = Case()
        with pytest.raises(ValueError, match="reduction"):
            case.network().loss_and_gradients(case.X, case.y, reduction="none")
