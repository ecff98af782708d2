//! Numbers as asyncio's methods take them: of any size, and with a fraction where they are only compared.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

/// An integer; one beyond an i64 is taken for the last on its side. Anything else is a `TypeError`.
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

/// A number of any kind, rounded down: an integer that is greater than the one is greater than the other.
///
/// What is not a number at all (NaN) is less than everything. Anything but a number is a `TypeError`.
#[derive(Clone, Copy)]
pub(crate) struct Number(pub(crate) i64);

impl<'py> FromPyObject<'_, 'py> for Number {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(Integer(number)) = given.extract() {
            return Ok(Self(number));
        }
        let number = given.extract::<f64>()?;
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        Ok(Self(if number.is_nan() { i64::MIN } else { number.floor() as i64 }))
    }
}

/// The value of the last bit of `number`, as `math.ulp`.
pub(crate) fn ulp(number: f64) -> f64 {
    let number = number.abs();
    if !number.is_finite() {
        return number;
    }
    let above = number.next_up();
    if above.is_finite() { above - number } else { number - number.next_down() }
}
