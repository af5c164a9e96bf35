"""Worked examples whose numbers are known from elsewhere, to the printed digits: through Network,
and through the estimators where they train."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from cmlp import MLPClassifier, MLPRegressor, Network


def equal(got, printed, digits=8):
    np.testing.assert_allclose(got, printed, rtol=0, atol=0.50001 * 10.0**-digits)


def fit(estimator, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*args, **kwargs)


def descend(coefs, intercepts, X, y, rate, steps=1, reduction="sum", **network):
    """Plain gradient descent over all samples: the weights and biases after some steps."""
    for _ in range(steps):
        net = Network(coefs, intercepts, **network)
        result = net.loss_and_gradients(X, y, reduction=reduction)
        coefs = [w - rate * g for w, g in zip(net.coefs, result.coef_grads, strict=True)]
        if intercepts is not None:
            intercepts = [
                b - rate * g for b, g in zip(net.intercepts, result.intercept_grads, strict=True)
            ]
    return coefs, intercepts


def sgd(rate, batch_size, max_iter=1, **parameters):
    """What makes an estimator plain gradient descent."""
    return {
        "solver": "sgd",
        "momentum": 0,
        "alpha": 0,
        "learning_rate_init": rate,
        "batch_size": batch_size,
        "max_iter": max_iter,
        "shuffle": False,
        "tol": 0,
        "n_iter_no_change": np.inf,
    } | parameters


class TestOneTrainingPair:
    """000: 2-2-1, logistic everywhere, no biases, squared error, one step with rate 1."""

    X, y = np.array([[0.3, 0.9]]), np.array([[1.0]])
    coefs = (np.array([[0.1, 0.4], [0.8, 0.6]]), np.array([[0.3], [0.9]]))
    network = {"activation": "logistic", "out_activation": "logistic"}
    after = ([[0.10130458, 0.80391373], [0.40403481, 0.61210443]], [[0.34518184], [0.94385679]])

    def test_forward(self):
        inputs = [self.X]
        for layer in range(2):
            net = Network(self.coefs[layer : layer + 1])
            z = net.forward(inputs[-1])[-1]
            equal(z, [[[0.75, 0.66]], [[0.79708796]]][layer])
            inputs.append(Network(self.coefs, **self.network).forward(self.X)[layer + 1])
        equal(inputs[1][0, 0], 0.6791787, digits=7)
        equal(inputs[1][0, 1], 0.65926039)
        equal(inputs[2], 0.68935122)

    def test_one_step(self):
        loss = Network(self.coefs, **self.network).loss_and_gradients(self.X, self.y).loss
        equal(loss, 0.04825133)
        coefs, _ = descend(self.coefs, None, self.X, self.y, 1, **self.network)
        equal(coefs[0].T, self.after[0])  # printed as the transpose
        equal(coefs[1], self.after[1])

    def test_regressor(self):
        est = MLPRegressor(
            hidden_layer_sizes=(2,),
            activation="logistic",
            out_activation="logistic",
            fit_intercept=False,
            **sgd(1, 1),
        )
        fit(est, self.X, self.y.ravel(), coefs_init=self.coefs)
        equal(est.loss_, 0.04825133)
        equal(est.coefs_[0].T, self.after[0])
        equal(est.coefs_[1], self.after[1])
        assert not any(b.any() for b in est.intercepts_)


class TestTheXorLikeTable:
    """001: 3-4-1, logistic, no biases, the sum of four losses, 1000 steps with rate 1."""

    X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=float)
    y = np.array([[0.0], [1], [1], [0]])
    network = {"activation": "logistic", "out_activation": "logistic"}
    output = [[0.02758457], [0.92490268], [0.92472000], [0.09004724]]
    after = [
        [
            [5.61975081, 5.55565328, -2.21821358, 0.81809403],
            [-2.37684211, 5.54075074, 5.55769633, 1.01801846],
            [0.01529877, -1.18296381, -0.12277829, -1.0693901],
        ],
        [[-5.62075282], [9.16988433], [-5.57392986], [-1.04267548]],
    ]

    @pytest.fixture
    def start(self):
        random = np.random.RandomState(1)
        return [random.random_sample((3, 4)), random.random_sample((4, 1))]

    def check(self, coefs):
        for got, printed in zip(coefs, self.after, strict=True):
            equal(got, printed)

    def test_network(self, start):
        coefs, _ = descend(start, None, self.X, self.y, 1, 999, **self.network)
        equal(Network(coefs, **self.network).forward(self.X)[-1], self.output)
        coefs, _ = descend(coefs, None, self.X, self.y, 1, **self.network)
        self.check(coefs)

    def test_a_mean_over_rows_takes_four_times_the_rate(self, start):
        coefs, _ = descend(start, None, self.X, self.y, 4, 1000, "mean", **self.network)
        self.check(coefs)

    @pytest.mark.parametrize("storage", [np.asarray, np.asfortranarray, sp.csr_matrix])
    def test_regressor(self, start, storage):
        est = MLPRegressor(
            hidden_layer_sizes=(4,),
            activation="logistic",
            out_activation="logistic",
            fit_intercept=False,
            **sgd(4, 4, 999),
        )
        X, y = storage(self.X), self.y.ravel()
        fit(est, X, y, coefs_init=start)
        equal(est.predict(X)[:, None], self.output)
        est.partial_fit(X, y)
        self.check(est.coefs_)
        whole = fit(est.set_params(max_iter=1000), X, y, coefs_init=start)
        self.check(whole.coefs_)

    def test_the_gradient_is_a_product_with_what_enters(self, start):
        """dC/dW = a.T @ delta: the deltas alone would be the gradient of a bias."""
        net = Network(start, [np.zeros(4), np.zeros(1)], **self.network)
        result = net.loss_and_gradients(self.X, self.y, reduction="sum")
        activations = net.forward(self.X)
        deltas = [
            (activations[2] - self.y) * activations[2] * (1 - activations[2]),
        ]
        deltas.insert(0, deltas[0] @ start[1].T * activations[1] * (1 - activations[1]))
        for layer in range(2):
            outer = sum(np.outer(activations[layer][i], deltas[layer][i]) for i in range(4))
            np.testing.assert_allclose(result.coef_grads[layer], outer, rtol=1e-12)
            np.testing.assert_allclose(result.intercept_grads[layer], deltas[layer].sum(axis=0))


class TestSoftmaxOutput:
    """002: 2-2-2, logistic and softmax, cross-entropy, biases, one step with rate 0.5."""

    X, y = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    coefs = (np.array([[3.0, 6], [4, 5]]), np.array([[2.0, 3], [4, 3]]))
    intercepts = (np.array([1.0, -6]), np.array([-1.0, -2]))
    network = {"activation": "logistic", "out_activation": "softmax", "loss": "log_loss"}

    def test_forward(self):
        _, hidden, output = Network(self.coefs, self.intercepts, **self.network).forward(self.X)
        equal(hidden, [[0.98201379, 0.5]])
        equal(output, [[0.62667675, 0.37332325]])
        z = Network(self.coefs[1:], self.intercepts[1:]).forward(hidden)[-1]
        equal(z, [[2.96402758, 2.44604137]])

    def test_gradients(self):
        result = Network(self.coefs, self.intercepts, **self.network).loss_and_gradients(
            self.X, self.y
        )
        equal(result.loss, 0.98531062)
        equal(result.intercept_grads[1], [0.62667675, -0.62667675])
        equal(result.intercept_grads[0], [-0.01106881, 0.15666919])
        equal(result.coef_grads[1], [[0.61540521, -0.61540521], [0.31333838, -0.31333838]])
        equal(result.coef_grads[0], [[-0.01106881, 0.15666919], [0, 0]])
        # the upper layer alone, whose input is the hidden one
        upper = Network(
            self.coefs[1:], self.intercepts[1:], out_activation="softmax", loss="log_loss"
        )
        hidden = Network(self.coefs, self.intercepts, **self.network).forward(self.X)[1]
        equal(upper.loss_and_gradients(hidden, self.y).X_grad, [[-0.62667675, 0.62667675]])
        probability = upper.forward(hidden)[-1]
        equal(-self.y / probability, [[0, -2.679]], digits=3)

    def test_one_step(self):
        coefs, intercepts = descend(
            self.coefs, self.intercepts, self.X, self.y, 0.5, **self.network
        )
        equal(coefs[0], [[3.0055344, 5.92166541], [4, 5]])
        equal(intercepts[0], [1.0055344, -6.07833459])
        equal(coefs[1], [[1.69229739, 3.30770261], [3.84333081, 3.15666919]])
        equal(intercepts[1], [-1.31333838, -1.68666162])
        result = Network(coefs, intercepts, **self.network).loss_and_gradients(self.X, self.y)
        equal(result.loss, 0.34206538)

    def test_the_slip_of_the_document(self):
        """Its biases forgot the rate; their loss is known too."""
        coefs, intercepts = descend(
            self.coefs, self.intercepts, self.X, self.y, 0.5, **self.network
        )
        intercepts[1] = np.array([-1.627, -1.373])
        result = Network(coefs, intercepts, **self.network).loss_and_gradients(self.X, self.y)
        equal(result.loss, 0.19704680)

    def test_classifier_with_a_third_class(self):
        """Two classes are a logistic output in the estimator; a third one that is out of reach
        (a bias of -1000) leaves the same softmax."""
        est = MLPClassifier((2,), activation="logistic", **sgd(0.5, 3, warm_start=True))
        coefs = [self.coefs[0], np.hstack([self.coefs[1], np.zeros((2, 1))])]
        intercepts = [self.intercepts[0], np.array([-1.0, -2, -1000])]
        X, weight = np.array([[1.0, 0], [5, 5], [5, 5]]), np.array([1.0, 0, 0])
        fit(est, X, [1, 0, 2], weight, coefs_init=coefs, intercepts_init=intercepts)
        equal(est.loss_, 0.98531062)
        equal(est.coefs_[0], [[3.0055344, 5.92166541], [4, 5]])
        equal(est.intercepts_[0], [1.0055344, -6.07833459])
        equal(est.coefs_[1][:, :2], [[1.69229739, 3.30770261], [3.84333081, 3.15666919]])
        equal(est.intercepts_[1][:2], [-1.31333838, -1.68666162])
        equal(-np.log(est.predict_proba(X[:1])[0, 1]), 0.34206538)

    @pytest.mark.parametrize("seed", range(3))
    def test_jacobian_of_the_softmax_output(self, seed):
        """d yhat_k / d W1_ij = x_i [z1_j > 0] sum_m yhat_k ([k = m] - yhat_m) W2_jm."""
        rng = np.random.default_rng(seed)
        coefs = [rng.normal(size=(4, 6)), rng.normal(size=(6, 3))]
        intercepts = [rng.normal(size=6), rng.normal(size=3)]
        X = rng.normal(size=(5, 4))
        net = Network(coefs, intercepts, activation="relu", out_activation="softmax")
        p = net.forward(X)[-1]
        z = X @ coefs[0] + intercepts[0]
        got = net.jacobian(X).coef_jacobians[0]
        assert got.shape == (5, 3, 4, 6)
        for n in range(5):
            for k in range(3):
                row = p[n, k] * ((np.arange(3) == k) - p[n])
                expected = np.outer(X[n], (z[n] > 0) * (coefs[1] @ row))
                np.testing.assert_allclose(got[n, k], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("alpha", [0, 0.3])
@pytest.mark.parametrize("hidden", [(100,), (60, 40, 20)])
class TestGradientsOfEverything:
    """003: 150-100-5 (and deeper), tanh and softmax, cross-entropy, L2; the input included."""

    def case(self, hidden, alpha):
        rng = np.random.default_rng(0)
        units = (150, *hidden, 5)
        coefs = [rng.normal(size=(a, b)) / np.sqrt(a) for a, b in pairwise(units)]
        intercepts = [rng.normal(size=b) / 5 for b in units[1:]]
        X = rng.normal(size=(6, 150))
        X[rng.random(X.shape) < 0.5] = 0
        y = np.eye(5)[rng.integers(5, size=6)]
        return coefs, intercepts, X, y

    def network(self, coefs, intercepts, alpha):
        return Network(
            coefs,
            intercepts,
            activation="tanh",
            out_activation="softmax",
            loss="log_loss",
            alpha=alpha,
        )

    def test_formulas(self, hidden, alpha):
        coefs, intercepts, X, y = self.case(hidden, alpha)
        net = self.network(coefs, intercepts, alpha)
        result = net.loss_and_gradients(X, y, reduction="sum")
        activations = net.forward(X)
        delta = activations[-1] - y
        for layer in range(len(coefs) - 1, -1, -1):
            expected = activations[layer].T @ delta + alpha * coefs[layer]
            np.testing.assert_allclose(result.coef_grads[layer], expected, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(
                result.intercept_grads[layer], delta.sum(axis=0), atol=1e-12
            )
            delta = delta @ coefs[layer].T
            if layer:
                delta *= 1 - activations[layer] ** 2
        np.testing.assert_allclose(result.X_grad, delta, rtol=1e-9, atol=1e-12)
        loss = -np.log(activations[-1][y == 1]).sum()
        loss += alpha / 2 * sum((w**2).sum() for w in coefs)
        np.testing.assert_allclose(result.loss, loss, rtol=1e-13)

    @pytest.mark.slow
    @pytest.mark.parametrize("storage", [np.asarray, sp.csr_matrix])
    def test_central_differences(self, hidden, alpha, storage):
        coefs, intercepts, X, y = self.case(hidden, alpha)
        result = self.network(coefs, intercepts, alpha).loss_and_gradients(
            storage(X), y, reduction="sum"
        )
        rng = np.random.default_rng(1)
        h = 1e-5
        parameters = [*coefs, *intercepts, X]
        gradients = [*result.coef_grads, *result.intercept_grads, result.X_grad]
        for which, (array, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            assert array.shape == gradient.shape
            for _ in range(25):
                at = tuple(rng.integers(size) for size in array.shape)
                losses = []
                for change in (h, -h):
                    moved = [a.copy() for a in parameters]
                    moved[which][at] += change
                    n = len(coefs)
                    net = self.network(moved[:n], moved[n:-1], alpha)
                    losses.append(
                        net.loss_and_gradients(storage(moved[-1]), y, reduction="sum").loss
                    )
                numeric = (losses[0] - losses[1]) / (2 * h)
                np.testing.assert_allclose(gradient[at], numeric, rtol=1e-6, atol=2e-8)

    @pytest.mark.parametrize("storage", [np.asarray, sp.csr_matrix])
    def test_classifier_takes_the_same_step(self, hidden, alpha, storage):
        coefs, intercepts, X, y = self.case(hidden, alpha)
        y = np.eye(5)[[0, 1, 2, 3, 4, 0]]
        result = self.network(coefs, intercepts, alpha).loss_and_gradients(storage(X), y)
        est = MLPClassifier(hidden, activation="tanh", **sgd(0.1, 6, alpha=alpha))
        fit(est, storage(X), y.argmax(axis=1), coefs_init=coefs, intercepts_init=intercepts)
        np.testing.assert_allclose(est.loss_, result.loss, rtol=1e-12)
        for layer in range(len(coefs)):
            np.testing.assert_allclose(
                est.coefs_[layer], coefs[layer] - 0.1 * result.coef_grads[layer], atol=1e-13
            )
            np.testing.assert_allclose(
                est.intercepts_[layer],
                intercepts[layer] - 0.1 * result.intercept_grads[layer],
                atol=1e-13,
            )


class TestStochasticAndBatch:
    """004: any depth, squared error summed over the samples; batches of 1 and of n."""

    def case(self, hidden=(6, 5)):
        rng = np.random.default_rng(0)
        units = (4, *hidden, 3)
        coefs = [rng.normal(size=shape) for shape in pairwise(units)]
        return coefs, rng.normal(size=(8, 4)), rng.uniform(0.1, 0.9, size=(8, 3))

    @pytest.mark.parametrize("activation", ["logistic", "tanh", "relu", "identity"])
    @pytest.mark.parametrize("hidden", [(), (6,), (6, 5), (6, 5, 4)])
    def test_a_batch_is_the_sum_of_its_samples(self, hidden, activation):
        coefs, X, y = self.case(hidden)
        net = Network(coefs, activation=activation, out_activation="logistic")
        whole = net.loss_and_gradients(X, y, reduction="sum")
        ones = [net.loss_and_gradients(X[i : i + 1], y[i : i + 1]) for i in range(8)]
        np.testing.assert_allclose(whole.loss, sum(one.loss for one in ones), rtol=1e-13)
        for layer, grad in enumerate(whole.coef_grads):
            total = sum(one.coef_grads[layer] for one in ones)
            np.testing.assert_allclose(grad, total, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(
            whole.X_grad, np.vstack([one.X_grad for one in ones]), rtol=1e-12
        )
        distance = net.forward(X)[-1] - y
        np.testing.assert_allclose(whole.loss, (distance**2).sum() / 2, rtol=1e-13)

    def regressor(self, coefs, X, y, batch_size, rate):
        est = MLPRegressor(
            hidden_layer_sizes=(6, 5),
            activation="tanh",
            out_activation="logistic",
            fit_intercept=False,
            **sgd(rate, batch_size),
        )
        return fit(est, X, y, coefs_init=coefs).coefs_

    def test_batch_training(self):
        coefs, X, y = self.case()
        expected, _ = descend(coefs, None, X, y, 0.2, activation="tanh", out_activation="logistic")
        for got, printed in zip(self.regressor(coefs, X, y, 8, 8 * 0.2), expected, strict=True):
            np.testing.assert_allclose(got, printed, rtol=1e-12, atol=1e-14)

    def test_stochastic_training(self):
        coefs, X, y = self.case()
        expected = coefs
        for i in range(8):
            expected, _ = descend(
                expected,
                None,
                X[i : i + 1],
                y[i : i + 1],
                0.2,
                activation="tanh",
                out_activation="logistic",
            )
        for got, printed in zip(self.regressor(coefs, X, y, 1, 0.2), expected, strict=True):
            np.testing.assert_allclose(got, printed, rtol=1e-12, atol=1e-14)
