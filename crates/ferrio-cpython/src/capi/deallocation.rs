//! Frees objects that hold others: a chain of any length takes a bounded part of the stack.
//!
//! An object's destructor releases what the object holds, which may run the next destructor, and so on along the chain.
//! The interpreter's own containers defer the rest of such a chain (its "trashcan"); from 3.14 on it does that for
//! every collected type by itself, and this file does nothing. Before, `within_bounds` counts ferrio's destructors that
//! are running. Past `SHALLOW` of them a thread keeps a list of its own: an object that would go deeper than `DEEP`
//! more is put there with its count at zero, untracked, and freed when the outermost of them has ended. Nothing is ever
//! left in a list: the destructor that made it empties it before it returns.

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;

type Object = *mut ffi::PyObject;
type Destructor = unsafe extern "C" fn(Object);

/// Frees `object` by `destroy`, at once or, deep inside other destructors, a little later by another call of
/// `destructor`, the type's `tp_dealloc` that is the caller.
///
/// # Safety
/// `object` is dead and whole, and the caller does not touch it afterwards; `destroy` frees it. The GIL is held.
#[inline(always)] // so that `destroy` is part of `tp_dealloc` (benchmark `call_soon_chain`)
pub(crate) unsafe fn within_bounds(object: Object, destructor: Destructor, destroy: impl FnOnce(Object)) {
    #[cfg(Py_3_14)]
    {
        let _ = destructor;
        destroy(object);
    }
    #[cfg(not(Py_3_14))]
    // SAFETY: the caller guarantees it.
    unsafe {
        chains::within_bounds(object, destructor, destroy);
    }
}

/// Lets the instances of a `PyO3` class be freed by `within_bounds`.
///
/// # Panics
/// When there are more classes than `chains::CLASSES`.
pub fn bound_depth<T: PyClass>(py: Python<'_>) {
    let class = py.get_type::<T>();
    #[cfg(not(Py_3_14))]
    chains::bound_class(&class);
    #[cfg(Py_3_14)]
    drop(class);
}

#[cfg(not(Py_3_14))]
mod chains {
    use std::cell::Cell;
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

    use pyo3::ffi;
    use pyo3::prelude::*;
    use pyo3::types::PyType;

    use super::{Destructor, Object};

    /// How many of ferrio's destructors, of all threads together, may run before a thread makes a list: as many as the
    /// interpreter's trashcan lets its own nest.
    const SHALLOW: usize = 50;
    /// How many more of them a thread lets nest.
    const DEEP: usize = 50;
    /// The most `PyO3` classes.
    const CLASSES: usize = 64;

    /// How many of ferrio's destructors are running. All threads share it: a thread that is in the middle of a
    /// destructor while another runs only makes the other start its list earlier. Relaxed: the GIL orders all accesses.
    static RUNNING: AtomicUsize = AtomicUsize::new(0);

    /// The objects that a thread frees later.
    struct Deferred {
        /// Destructors that run on this thread since the list was made.
        depth: usize,
        objects: Vec<Waiting>,
    }

    struct Waiting {
        object: Object,
        destructor: Destructor,
        was_tracked: bool,
    }

    thread_local! {
        /// The list of this thread, owned by the destructor that made it; null where there is none.
        static DEFERRED: Cell<*mut Deferred> = const { Cell::new(null_mut()) };
    }

    /// How deep a running destructor is nested.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Place {
        /// Not deep inside other destructors.
        Shallow,
        /// Deep: it counts in the thread's list.
        Nested,
        /// It made the list, and empties it.
        Outermost,
    }

    /// # Safety
    /// The same as for `crate::within_bounds`.
    #[inline(always)]
    pub(crate) unsafe fn within_bounds(object: Object, destructor: Destructor, destroy: impl FnOnce(Object)) {
        let running = RUNNING.load(Ordering::Relaxed);
        let mut place = Place::Shallow;
        if running >= SHALLOW {
            // SAFETY: the caller guarantees it.
            match unsafe { descend(object, destructor) } {
                Some(deep) => place = deep,
                None => return,
            }
        }
        RUNNING.store(running + 1, Ordering::Relaxed);
        destroy(object);
        // Read again: other threads may have begun or ended a destructor meanwhile.
        RUNNING.store(RUNNING.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
        if place != Place::Shallow {
            ascend(place);
        }
    }

    /// The place of a destructor that begins deep inside others; None if its object was deferred.
    ///
    /// # Safety
    /// The same as for `crate::within_bounds`.
    #[cold]
    #[inline(never)]
    unsafe fn descend(object: Object, destructor: Destructor) -> Option<Place> {
        let list = DEFERRED.get();
        if list.is_null() {
            DEFERRED.set(Box::into_raw(Box::new(Deferred { depth: 1, objects: Vec::new() })));
            return Some(Place::Outermost);
        }
        // SAFETY: a destructor further up this stack made the list; the borrow ends before anything else runs.
        let deferred = unsafe { &mut *list };
        // SAFETY: the caller guarantees it.
        if deferred.depth >= DEEP && unsafe { deferred.put(object, destructor) } {
            return None;
        }
        deferred.depth += 1;
        Some(Place::Nested)
    }

    /// Called when a destructor that began deep inside others has ended.
    #[cold]
    #[inline(never)]
    fn ascend(place: Place) {
        let list = DEFERRED.get();
        if list.is_null() {
            // A library that switches stacks has let the outermost one end before.
            return;
        }
        if place == Place::Outermost {
            empty(list);
            return;
        }
        // SAFETY: the thread's list; the borrow ends before anything else runs.
        let deferred = unsafe { &mut *list };
        deferred.depth = deferred.depth.saturating_sub(1);
    }

    /// Frees the deferred objects, and the list.
    fn empty(list: *mut Deferred) {
        loop {
            // SAFETY: only the destructor that made the list calls this, and no code borrows it while no destructor
            // runs.
            let next = unsafe { &mut *list }.objects.pop();
            let Some(Waiting { object, destructor, was_tracked }) = next else { break };
            if was_tracked {
                // Destructors expect a tracked object.
                // SAFETY: whole, of a collected type, untracked by `put`.
                unsafe { ffi::PyObject_GC_Track(object.cast()) };
            }
            // SAFETY: the caller of `put` guarantees it; this is the call that was deferred.
            unsafe { destructor(object) };
        }
        DEFERRED.set(null_mut());
        // SAFETY: made by `descend`, and no longer the thread's list.
        drop(unsafe { Box::from_raw(list) });
    }

    impl Deferred {
        /// Keeps an object for later, if there is memory for that.
        ///
        /// # Safety
        /// The same as for `crate::within_bounds`.
        unsafe fn put(&mut self, object: Object, destructor: Destructor) -> bool {
            if self.objects.try_reserve(1).is_err() {
                return false;
            }
            // SAFETY: a whole object.
            let is_collected = unsafe { ffi::PyObject_IS_GC(object) } != 0;
            // SAFETY: of a collected type, as just seen.
            let was_tracked = is_collected && unsafe { ffi::PyObject_GC_IsTracked(object) } != 0;
            if was_tracked {
                // The collector must not find an object whose count is zero.
                // SAFETY: tracked.
                unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
            }
            self.objects.push(Waiting { object, destructor, was_tracked });
            true
        }
    }

    /// What a class had before its destructor was replaced.
    struct Own {
        destructor: Destructor,
        /// The size of an instance in bytes, head included.
        #[cfg(not(Py_3_12))]
        size: usize,
    }

    /// By the number of the `Bounded` that replaced it; what these point to lives as long as the process.
    static OWN: [AtomicPtr<Own>; CLASSES] = [const { AtomicPtr::new(null_mut()) }; CLASSES];

    /// The destructor that replaces the one with this number.
    struct Bounded<const NUMBER: usize>;

    impl<const NUMBER: usize> Bounded<NUMBER> {
        unsafe extern "C" fn dealloc(object: Object) {
            let own = OWN[NUMBER].load(Ordering::Relaxed);
            // SAFETY: `bound_class` filled the place before it put this destructor into a type.
            let own = unsafe { &*own };
            #[cfg(not(Py_3_12))]
            // SAFETY: a dead object of the class or one derived from it.
            if unsafe { super::uninitialized::free(object, own.size) } {
                return;
            }
            // SAFETY: called by the interpreter with a dead object of the class or one derived from it. The destructor
            // releases the reference to the object's type, which a heap type's `tp_dealloc` expects of its base.
            let destroy = |object| unsafe { (own.destructor)(object) };
            // SAFETY: as just said, and this function is the class's `tp_dealloc`.
            unsafe { within_bounds(object, Self::dealloc, destroy) };
        }
    }

    /// One for each number, in order.
    const BOUNDED: [Destructor; CLASSES] = {
        macro_rules! numbered {
            ($($number:literal)*) => { [$(Bounded::<$number>::dealloc),*] };
        }
        numbered!(
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
            32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
        )
    };

    /// Replaces a class's destructor by one of those above, once.
    pub(crate) fn bound_class(class: &Bound<'_, PyType>) {
        static USED: AtomicUsize = AtomicUsize::new(0);
        // SAFETY: a live type of our own making.
        let place = unsafe { &raw mut (*class.as_type_ptr()).tp_dealloc };
        // SAFETY: in bounds.
        let Some(destructor) = (unsafe { place.read() }) else { return };
        let number = USED.load(Ordering::Relaxed);
        if BOUNDED[..number].iter().any(|bounded| std::ptr::fn_addr_eq(*bounded, destructor)) {
            return;
        }
        assert!(number < CLASSES, "more classes than destructors for them");
        let own = Own {
            destructor,
            #[cfg(not(Py_3_12))]
            // SAFETY: a live type.
            size: usize::try_from(unsafe { (*class.as_type_ptr()).tp_basicsize }).unwrap_or(0),
        };
        OWN[number].store(Box::leak(Box::new(own)), Ordering::Relaxed);
        USED.store(number + 1, Ordering::Relaxed);
        // SAFETY: in bounds; the type's instances are freed by the same destructor as before, called by the new one.
        unsafe { place.write(Some(BOUNDED[number])) };
    }
}

/// Instances of `PyO3`'s classes that were never initialized. On 3.11 `object.__new__` makes an instance's dictionary
/// before `PyO3` writes the fields, and frees the instance if there is no memory for that.
#[cfg(not(Py_3_12))]
mod uninitialized {
    use pyo3::ffi;

    use super::Object;

    /// Frees `object` if all its fields are zero, and returns whether they are. Such an object owns nothing, initialized
    /// or not: no pointer is null that a field owns.
    ///
    /// # Safety
    /// `object` is dead, of a heap type whose instances have at least `size` bytes, and not used after true.
    pub(super) unsafe fn free(object: Object, size: usize) -> bool {
        let head = size_of::<ffi::PyObject>();
        let fields = object.cast::<u8>().wrapping_add(head);
        // SAFETY: inside the instance, by the caller's promise; the interpreter's allocator has zeroed all of it.
        let fields = unsafe { std::slice::from_raw_parts(fields, size.saturating_sub(head)) };
        if fields.iter().any(|byte| *byte != 0) {
            return false;
        }
        // SAFETY: a live type, which the instance refers to.
        let class = unsafe { ffi::Py_TYPE(object) };
        // SAFETY: a whole object.
        if unsafe { ffi::PyObject_IS_GC(object) } != 0 {
            // SAFETY: of a collected type; the function accepts untracked objects.
            unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
        }
        // SAFETY: a live type.
        if let Some(free) = unsafe { (*class).tp_free } {
            // SAFETY: the memory is the type's, and nothing refers to it any more.
            unsafe { free(object.cast()) };
        }
        // SAFETY: the reference that each instance of a heap type has to its type.
        unsafe { ffi::Py_DECREF(class.cast()) };
        true
    }
}
