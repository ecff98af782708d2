//! Numeric arguments as asyncio's methods accept them: of any size, and fractional where they are only compared.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyInt;

/// An integer, clamped to the range of an i64. Any other object is a `TypeError`.
#[derive(Clone, Copy)]
pub(crate) struct Integer(pub(crate) i64);

impl<'py> FromPyObject<'_, 'py> for Integer {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match given.extract::<i64>() {
            Ok(number) => Ok(Self(number)),
            Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => {
                Ok(Self(if given.lt(0)? { i64::MIN } else { i64::MAX }))
            }
            Err(error) => Err(error),
        }
    }
}

/// The greatest integer that is not greater than a number of any type, clamped to the range of an i64. NaN is a
/// `ValueError`.
pub(crate) fn floor(given: &Bound<'_, PyAny>) -> PyResult<i64> {
    rounded(given, "floor")
}

/// The least integer that is not less than a number of any type, clamped in the same way.
pub(crate) fn ceiling(given: &Bound<'_, PyAny>) -> PyResult<i64> {
    rounded(given, "ceil")
}

fn rounded(given: &Bound<'_, PyAny>, function: &str) -> PyResult<i64> {
    if let Some(number) = plain_integer(given) {
        return Ok(number);
    }
    let outcome = ferrio_cpython::module(given.py(), name!("math"))?.call_method1(function, (given,));
    match outcome.and_then(|whole| whole.extract::<i64>()) {
        Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => {
            Ok(if given.lt(0)? { i64::MIN } else { i64::MAX })
        }
        outcome => outcome,
    }
}

/// Low and high water mark in bytes, from the arguments that all transports accept; asyncio's
/// `_FlowControlMixin._set_write_buffer_limits`.
pub(crate) fn water_marks<'py>(
    high: Option<Bound<'py, PyAny>>,
    low: Option<Bound<'py, PyAny>>,
    default: usize,
    py: Python<'py>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let high = match (high, &low) {
        (Some(high), _) => high,
        (None, Some(low)) => PyInt::new(py, 4).mul(low)?,
        (None, None) => PyInt::new(py, default).into_any(),
    };
    let low = low.map_or_else(|| high.floor_div(4), Ok)?;
    if !high.ge(&low)? || !low.ge(0)? {
        let text = format!("high ({}) must be >= low ({}) must be >= 0", high.repr()?, low.repr()?);
        return Err(ferrio_cpython::error::<PyValueError>(text));
    }
    Ok((low, high))
}

/// A number as the end of a slice.
///
/// # Errors
/// `TypeError` for an object without `__index__`.
pub(crate) fn index(number: &Bound<'_, PyAny>) -> PyResult<i64> {
    number.extract::<Integer>().map(|number| number.0).map_err(|error| {
        if error.is_instance_of::<PyTypeError>(number.py()) {
            let text = "slice indices must be integers or None or have an __index__ method";
            return ferrio_cpython::error::<PyTypeError>(text);
        }
        error
    })
}

/// A number as the length of a buffer in bytes.
pub(crate) fn length(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// An argument that asyncio only tests for truth: `reuse_port=1` is equivalent to `reuse_port=True`.
#[derive(Clone, Copy)]
pub(crate) struct Truth(pub(crate) bool);

impl<'py> FromPyObject<'_, 'py> for Truth {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        given.is_truthy().map(Self)
    }
}

/// An exact `int` that fits an i64, so that comparing it needs no Python code.
pub(crate) fn plain_integer(given: &Bound<'_, PyAny>) -> Option<i64> {
    given.cast_exact::<PyInt>().ok()?.extract().ok()
}

/// The integer that equals a number of any type, if there is one that fits an i64.
pub(crate) fn equal_integer(given: &Bound<'_, PyAny>) -> Option<i64> {
    let whole = given.py().get_type::<PyInt>().call1((given,)).ok()?;
    if whole.eq(given).ok()? { whole.extract().ok() } else { None }
}

/// The value of the least significant bit of `number`, as `math.ulp`.
pub(crate) fn ulp(number: f64) -> f64 {
    let number = number.abs();
    if !number.is_finite() {
        return number;
    }
    let above = number.next_up();
    if above.is_finite() { above - number } else { number - number.next_down() }
}
