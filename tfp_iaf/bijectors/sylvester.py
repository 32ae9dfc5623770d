"""The Sylvester flow: orthogonal, Householder and triangular."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._eager import compiled_when_eager
from tfp_iaf._types import TensorLike
from tfp_iaf.bijectors._tanh_root import log_slope, log_slope_gradient, search_tanh_root, sech_squared
from tfp_iaf.bijectors._vector_flow import captured_parameters, vector_event
from tfp_iaf.bijectors.base import FlowBijector

__all__ = ["Sylvester"]

# Below 1, so that the Jacobian of no entry vanishes.
LARGEST_DIAGONAL = 1.0 - 1e-3


class Sylvester(FlowBijector, tfp.bijectors.AutoCompositeTensorBijector):
    """z = y + Q R tanh(S Q'y + b): a planar flow with M directions at once.

    ```none
    Q    D x M with Q'Q = I;   R, S upper triangular, with diagonals (1 - 1e-3) tanh(the diagonal given)
    forward:  a = S Q'y + b;   z = y + Q R tanh(a)
    inverse:  v = Q'y solves v + R tanh(S v + b) = Q'z, a scalar root per entry, the last entry first;   y = z - Q R tanh(a)
    log|det dz/dy| = sum_i log(1 + R_ii S_ii sech^2 a_i)
    ```

    Three variants, by what Q is made of:

    - orthogonal, with `columns`: Q of their QR decomposition;
    - Householder, with `reflections`: Q = H_1 ... H_N, H = I - 2 v v' / |v|^2 (I where v = 0), and M = D;
    - triangular, with neither: Q = I, and M = D. (Put `ReverseOrder` between such flows.)

    It is the identity at r = 0, and invertible whatever its parameters.

    Args:
        r: `[..., M, M]`; its upper triangle is used.
        s: `[..., M, M]`; its upper triangle is used.
        b: `[..., M]`.
        columns: `[..., D, M]`, linearly independent (gradients through QR need it), M <= D; or None.
        reflections: `[..., N, D]`, or None.
        validate_args: as in `tfb.Bijector`.
        name: as in `tfb.Bijector`.

    The leading dimensions of the parameters become the bijector's batch shape. A variable is read with each call.

    Shapes: y and z `[..., D]`; log_det `[...]`.

    Raises:
        ValueError: if the shapes do not fit, dtypes differ, both `columns` and `reflections` are given, or an event's size is
            not D.

    Source: van den Berg et al. 2018, "Sylvester normalizing flows for variational inference", section 3.
    (The paper orthogonalizes by iterations, which need nearly orthogonal columns to begin with.)

    >>> flow = Sylvester(r=tf.ones([2, 2]), s=tf.ones([2, 2]), b=tf.zeros([2]), columns=tf.eye(3)[:, :2])
    >>> z = flow.forward(tf.ones([4, 3]))
    >>> z.shape, flow.forward_log_det_jacobian(tf.ones([4, 3])).shape
    (TensorShape([4, 3]), TensorShape([4]))
    >>> bool(tf.reduce_max(tf.abs(flow.inverse(tf.identity(z)) - 1.0)) < 1e-5)
    True
    """

    def __init__(
        self,
        r: TensorLike,
        s: TensorLike,
        b: TensorLike,
        columns: TensorLike | None = None,
        reflections: TensorLike | None = None,
        validate_args: bool = False,
        name: str = "sylvester",
    ) -> None:
        parameters = dict(locals())
        with self._scope(name, validate_args) as name:
            self._r, self._s, self._b, self._columns, self._reflections = captured_parameters(
                "Sylvester", ("columns", "reflections"), r=r, s=s, b=b, columns=columns, reflections=reflections
            )
            self._event_size = _event_size(self._r, self._s, self._b, self._columns, self._reflections)
            super().__init__(
                forward_min_event_ndims=1, dtype=self._r.dtype, validate_args=validate_args, parameters=parameters, name=name
            )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {
            "r": tfp.util.ParameterProperties(event_ndims=2),
            "s": tfp.util.ParameterProperties(event_ndims=2),
            "b": tfp.util.ParameterProperties(event_ndims=1),
            "columns": tfp.util.ParameterProperties(event_ndims=2),
            "reflections": tfp.util.ParameterProperties(event_ndims=2),
        }

    @property
    def r(self) -> TensorLike:
        return self._r

    @property
    def s(self) -> TensorLike:
        return self._s

    @property
    def b(self) -> TensorLike:
        return self._b

    @property
    def columns(self) -> TensorLike | None:
        return self._columns

    @property
    def reflections(self) -> TensorLike | None:
        return self._reflections

    def basis(self) -> tf.Tensor | None:
        """Q, `[..., D, M]`, with Q'Q = I; None for the triangular variant, whose Q is the identity."""
        if self._columns is not None:
            return tf.linalg.qr(_in_own_units(tf.convert_to_tensor(self._columns), axis=-2)).q
        if self._reflections is None:
            return None
        vectors = _in_own_units(tf.convert_to_tensor(self._reflections), axis=-1)
        squared_norms = tf.reduce_sum(tf.square(vectors), axis=-1, keepdims=True)
        is_reflection = squared_norms > 0.0
        units = vectors * tf.math.rsqrt(tf.where(is_reflection, squared_norms, tf.ones_like(squared_norms)))
        q = tf.eye(self._event_size, dtype=self.dtype)
        for unit in reversed(tf.unstack(units, axis=-2)):
            q -= 2.0 * unit[..., :, tf.newaxis] * tf.linalg.matvec(q, unit, transpose_a=True)[..., tf.newaxis, :]
        return q

    def triangles(self) -> tuple[tf.Tensor, tf.Tensor]:
        """(R, S), `[..., M, M]`: upper triangular, the diagonals bounded."""
        return _bounded_triangle(self._r), _bounded_triangle(self._s)

    def forward_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y = vector_event(self, y, self._event_size)
        q, (r, s) = self.basis(), self.triangles()
        a = tf.linalg.matvec(s, _onto(q, y)) + tf.convert_to_tensor(self._b)
        return y + _from(q, tf.linalg.matvec(r, tf.tanh(a))), _log_det(r, s, a)

    def inverse_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z = vector_event(self, z, self._event_size)
        q, (r, s), b = self.basis(), self.triangles(), tf.convert_to_tensor(self._b)
        a = tf.linalg.matvec(s, _root(_onto(q, z), r, s, b)) + b
        return z - _from(q, tf.linalg.matvec(r, tf.tanh(a))), _log_det(r, s, a)

    def forward_and_score(self, y: tf.Tensor, score: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # (dz/dy)' = I + Q K Q' with K = S' diag(sech^2 a) R', lower triangular: one triangular solve, and no root is searched.
        y = vector_event(self, y, self._event_size)
        q, (r, s) = self.basis(), self.triangles()
        a = tf.linalg.matvec(s, _onto(q, y)) + tf.convert_to_tensor(self._b)
        of_log_det = log_slope_gradient(a, 1.0 + tf.linalg.diag_part(r) * tf.linalg.diag_part(s))
        given = tf.stop_gradient(score) - _from(q, tf.linalg.matvec(s, of_log_det, transpose_a=True))
        k = tf.linalg.matmul(s, tf.linalg.matrix_transpose(r) * sech_squared(a)[..., tf.newaxis], transpose_a=True)
        moved = tf.linalg.matvec(k, _onto(q, given))
        k = tf.linalg.set_diag(k, 1.0 + tf.linalg.diag_part(k))
        along = tf.linalg.triangular_solve(k, moved[..., tf.newaxis])[..., 0]
        return y + _from(q, tf.linalg.matvec(r, tf.tanh(a))), _log_det(r, s, a), given - _from(q, along)


def _in_own_units(vectors, axis):
    """Vectors along the axis divided by their largest magnitudes, which changes no direction: no square over- or underflows."""
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(vectors), axis=axis, keepdims=True))
    return vectors / tf.where(largest > 0.0, largest, tf.ones_like(largest))


def _bounded_triangle(matrix):
    upper = tf.linalg.band_part(tf.convert_to_tensor(matrix), 0, -1)
    return tf.linalg.set_diag(upper, LARGEST_DIAGONAL * tf.tanh(tf.linalg.diag_part(upper)))


def _onto(q, y):
    return y if q is None else tf.linalg.matvec(q, y, transpose_a=True)


def _from(q, v):
    return v if q is None else tf.linalg.matvec(q, v)


def _log_det(r, s, a):
    slopes = 1.0 + tf.linalg.diag_part(r) * tf.linalg.diag_part(s)
    return tf.reduce_sum(log_slope(a, slopes), axis=-1)


def _root(target, r, s, b):
    """The v with v + R tanh(S v + b) = target.

    As in `tanh_root`, the search is not differentiated, and two Newton steps from its result give derivatives up to the third
    order. Their linear systems are triangular.
    """
    # All batch dimensions at once: the solver of linear systems does not broadcast.
    target = target + tf.zeros_like(b + r[..., 0] + s[..., 0])
    v = tf.stop_gradient(_search(*(tf.stop_gradient(value) for value in (target, r, s, b))))
    for _ in range(2):
        a = tf.linalg.matvec(s, v) + b
        residual = v + tf.linalg.matvec(r, tf.tanh(a)) - target
        jacobian = tf.linalg.matmul(r * sech_squared(a)[..., tf.newaxis, :], s)
        jacobian = tf.linalg.set_diag(jacobian, 1.0 + tf.linalg.diag_part(jacobian))
        v -= tf.linalg.triangular_solve(jacobian, residual[..., tf.newaxis], lower=False)[..., 0]
    return v


@compiled_when_eager
def _search(target, r, s, b):
    """Back substitution. Entry i of a = S v + b solves a_i + R_ii S_ii tanh(a_i) = S_ii (target_i - k) + c, where k and c come
    from the entries after it."""
    size = r.shape[-1] or tf.shape(r)[-1]
    slopes = 1.0 + tf.linalg.diag_part(r) * tf.linalg.diag_part(s)

    def solve_entry(count, v, h):
        i = size - 1 - count
        s_row, r_row = tf.gather(s, i, axis=-2), tf.gather(r, i, axis=-2)
        s_ii, r_ii = tf.gather(s_row, i, axis=-1), tf.gather(r_row, i, axis=-1)
        # Entries that are not known yet are 0.
        rest = tf.gather(target, i, axis=-1) - tf.reduce_sum(r_row * h, axis=-1)
        shift = tf.gather(b, i, axis=-1) + tf.reduce_sum(s_row * v, axis=-1)
        t = s_ii * rest + shift
        tanh = tf.tanh(search_tanh_root(t, tf.gather(slopes, i, axis=-1) + tf.zeros_like(t)))
        here = tf.one_hot(i, size, dtype=v.dtype)
        changes = here * (rest - r_ii * tanh)[..., tf.newaxis], here * tanh[..., tf.newaxis]
        # Where shapes are known in part, their inference in the loop would lose them.
        return count + 1, *(tf.ensure_shape(value + change, target.shape) for value, change in zip((v, h), changes))

    zeros = tf.zeros_like(target)
    invariants = tf.TensorShape([]), target.shape, target.shape
    return tf.while_loop(
        lambda count, *_: count < size, solve_entry, (tf.constant(0), zeros, zeros), invariants, maximum_iterations=size
    )[1]


def _event_size(r, s, b, columns, reflections):
    if columns is not None and reflections is not None:
        raise ValueError("Sylvester takes columns (orthogonal) or reflections (Householder), got both: leave out one.")
    of_q = columns if reflections is None else reflections
    shapes = {"r": r.shape[-2:], "s": s.shape[-2:], "b": b.shape[-1:]}
    size = r.shape[-1] if r.shape.rank else None
    fits = size is not None and shapes == {"r": [size, size], "s": [size, size], "b": [size]}
    if fits and of_q is not None:
        fits = of_q.shape.rank is not None and of_q.shape.rank >= 2 and of_q.shape[-2:].is_fully_defined()
        fits = fits and of_q.shape[-1] == size and (columns is None or columns.shape[-2] >= size)
    if not fits:
        given = {**shapes, **({} if of_q is None else {"columns" if reflections is None else "reflections": of_q.shape[-2:]})}
        raise ValueError(
            "Sylvester expects r and s [..., M, M], b [..., M], and columns [..., D, M] with M <= D or reflections "
            f"[..., N, M], got {', '.join(f'{name} {tuple(shape)}' for name, shape in given.items())}."
        )
    return size if columns is None else columns.shape[-2]
