//! `create_memory_object_stream`, which makes ends of anyio's classes with a state of ferrio's.

use ferrio_cpython::capi::python_class::PythonClass;
use ferrio_cpython::{GilCell, LoopBase, running_loop};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString, PyTuple, PyType};

use super::originals::{self, Lists, Methods};
use super::stream_attributes;
use super::stream_state::StreamState;
use crate::common::numbers::plain_integer;

const NEW: &str = "create_memory_object_stream.__new__";

static KNOWN: GilCell<Option<Known>> = GilCell::new(None);

/// What is known of anyio's function and classes.
struct Known {
    /// The names of the module that defines the function.
    names: Py<PyDict>,
    state: Class,
    sender: Class,
    receiver: Class,
}

struct Class {
    kind: Py<PyType>,
    maker: PythonClass,
    initialiser: Py<PyAny>,
}

impl Class {
    fn of(names: &Bound<'_, PyDict>, name: &str) -> PyResult<Self> {
        let class = names.as_any().get_item(name)?.cast_into::<PyType>()?;
        // An open stream would warn.
        let maker = PythonClass::with_trial(&class, |trial| trial.setattr(name!("_closed"), true))?;
        let initialiser = class.getattr(name!("__init__"))?.unbind();
        Ok(Self { kind: class.unbind(), maker, initialiser })
    }

    fn clone_ref(&self, py: Python<'_>) -> Self {
        let initialiser = self.initialiser.clone_ref(py);
        Self { kind: self.kind.clone_ref(py), maker: self.maker.clone_ref(py), initialiser }
    }

    /// Whether the name still stands for the class, and the class initialises objects itself.
    fn is_intact(&self, names: &Bound<'_, PyDict>, name: &Bound<'_, PyString>) -> PyResult<bool> {
        let py = names.py();
        let class = self.kind.bind(py);
        Ok(names.get_item(name)?.is_some_and(|now| now.is(class))
            && class.getattr(pyo3::intern!(py, "__init__"))?.is(&self.initialiser))
    }
}

/// Adds the replacement of `__new__`, unless another library has replaced it.
pub(super) fn replace(py: Python<'_>, lists: &Lists<'_>) -> PyResult<()> {
    let module = ferrio_cpython::module(py, name!("anyio._core._streams"))?;
    let class = module.getattr(name!("create_memory_object_stream"))?.cast_into::<PyType>()?;
    let names = module.dict();
    let alias = names.as_any().get_item("_MemoryObjectStreamState")?.get_item(names.as_any().get_item("T_Item")?)?;
    let known = Known {
        state: Class::of(&names, "_MemoryObjectStreamState")?,
        sender: Class::of(&names, "MemoryObjectSendStream")?,
        receiver: Class::of(&names, "MemoryObjectReceiveStream")?,
        names: names.unbind(),
    };
    stream_attributes::note_class(known.state.kind.bind(py), &alias);
    let before = KNOWN.with(py, |place| place.replace(known));
    drop(before);
    let methods = Methods::of(class, &module, lists)?;
    methods.replace_new(wrap_pyfunction!(create, &module)?.as_any(), NEW)
}

#[pyfunction]
#[pyo3(name = "__new__", signature = (*arguments, **keywords))]
fn create<'py>(arguments: &Bound<'py, PyTuple>, keywords: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
    let py = arguments.py();
    let size = match (arguments.len(), keywords) {
        (1, None) => Some(PyInt::new(py, 0).into_any()),
        (2, None) => Some(arguments.get_item(1)?).filter(is_size),
        (1, Some(keywords)) if keywords.len() == 1 => {
            keywords.get_item(pyo3::intern!(py, "max_buffer_size"))?.filter(is_size)
        }
        _ => None,
    };
    if let Some(size) = size
        && is_served(py)?
        && let Some(streams) = streams(py, &size)?
    {
        return Ok(streams);
    }
    originals::call(py, NEW, arguments, keywords)
}

/// Whether the stream may be for tasks on a ferrio loop: none but such a one runs.
fn is_served(py: Python<'_>) -> PyResult<bool> {
    Ok(running_loop(py)?.is_none_or(|running| running.is_instance_of::<LoopBase>()))
}

/// Whether it is a size that anyio takes, without asking it.
fn is_size(size: &Bound<'_, PyAny>) -> bool {
    match size.cast_exact::<PyFloat>() {
        Ok(float) => float.value() == f64::INFINITY,
        Err(_) => plain_integer(size).is_some_and(|size| size >= 0),
    }
}

/// Both ends of a new stream; None where anyio's classes are not what they were.
fn streams<'py>(py: Python<'py>, size: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let known = KNOWN.with(py, |known| {
        known.as_ref().map(|known| {
            let classes = [&known.state, &known.sender, &known.receiver].map(|class| class.clone_ref(py));
            (known.names.clone_ref(py), classes)
        })
    });
    let Some((names, [state_class, sender_class, receiver_class])) = known else { return Ok(None) };
    let names = names.bind(py);
    if !state_class.is_intact(names, pyo3::intern!(py, "_MemoryObjectStreamState"))?
        || !sender_class.is_intact(names, pyo3::intern!(py, "MemoryObjectSendStream"))?
        || !receiver_class.is_intact(names, pyo3::intern!(py, "MemoryObjectReceiveStream"))?
    {
        return Ok(None);
    }
    let state = StreamState::create(size)?.into_any();
    let pair = [sender_class, receiver_class].map(|class| end(&class, &state));
    let [sender, receiver] = pair;
    Ok(Some((sender?, receiver?).into_pyobject(py)?.into_any()))
}

fn end<'py>(class: &Class, state: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = state.py();
    let stream = class.maker.instance(py)?;
    stream.setattr(pyo3::intern!(py, "_state"), state)?;
    Ok(stream)
}
