/* Binding of the PDQ kernel: a Hasher that takes rows in bands, for pictures of one (luma) or three (RGB) bytes a pixel.

   The kernel and its rules stand in pdq_kernel.h; pdq_twin.py is the same in NumPy and must be bit-equal. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pdq_forms.h"
#include "pdq_kernel.h"

typedef struct {
    PyObject_HEAD
    Pdq kernel;
    int ready, finished, tiny, busy;
    Py_ssize_t width, height;
} Hasher;

static PyObject *hasher_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"width", "height", "channels", "turns", NULL};
    Py_ssize_t width, height;
    int channels = 1, turns = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "nn|ip", names, &width, &height, &channels, &turns)) return NULL;
    if ((channels != 1 && channels != 3) || width < 1 || height < 1) {
        PyErr_SetString(PyExc_ValueError, "a picture has 1 or 3 channels and at least one pixel");
        return NULL;
    }
    int tiny = width < 5 || height < 5;
    if (!tiny && !pdq_fits(width, height, channels)) {
        PyErr_SetString(PyExc_OverflowError, "picture too large or too long for exact sums");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Hasher *self = (Hasher *)allocate(type, 0);
    if (self == NULL) return NULL;
    self->width = width, self->height = height, self->tiny = tiny;
    self->kernel.channels = channels, self->kernel.turns = turns;
    if (!tiny && pdq_begin(&self->kernel, width, height, channels, turns)) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->ready = !tiny;
    return (PyObject *)self;
}

static void hasher_dealloc(PyObject *object) {
    Hasher *self = (Hasher *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->ready) pdq_free(&self->kernel);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *hasher_rows(PyObject *object, PyObject *args) {
    Hasher *self = (Hasher *)object;
    Py_buffer view;
    Py_ssize_t stride = 0;
    if (!PyArg_ParseTuple(args, "y*|n", &view, &stride)) return NULL;
    Py_ssize_t line = self->width * self->kernel.channels;
    if (stride == 0) stride = line;
    if (stride < line || self->finished || self->busy) {
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_ValueError, stride < line ? "stride is shorter than a row" : "the hasher has finished or is in use");
        return NULL;
    }
    Py_ssize_t count = view.len >= line ? (view.len - line) / stride + 1 : 0;
    int failed = 0;
    if (self->ready && count > 0) {
        self->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        failed = pdq_rows(&self->kernel, view.buf, stride, count);
        Py_END_ALLOW_THREADS
        self->busy = 0;
    }
    PyBuffer_Release(&view);
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *hasher_finish(PyObject *object, PyObject *unused) {
    Hasher *self = (Hasher *)object;
    uint8_t out[32 * PDQ_SLOTS] = {0};
    int quality = 0, slots = self->kernel.turns ? PDQ_SLOTS : 1;
    if (self->ready && (self->busy || self->kernel.next_row != self->height)) {
        PyErr_SetString(PyExc_ValueError, "rows are missing");
        return NULL;
    }
    if (self->ready) quality = pdq_end(&self->kernel, out);
    self->finished = 1;
    PyObject *hashes = pdq_hash_tuple(out, slots);
    return hashes == NULL ? NULL : Py_BuildValue("(Ni)", hashes, quality);
}

static PyObject *py_forms(PyObject *module, PyObject *args) {
    Py_buffer view;
    Py_ssize_t width, height;
    if (!PyArg_ParseTuple(args, "y*nn", &view, &width, &height)) return NULL;
    if (width < 5 || height < 5 || view.len / width != height || view.len % width || !pdq_fits(width, height, 1)) {
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_ValueError, "the plane is not width x height bytes, or too small or too large");
        return NULL;
    }
    PdqForms found = {0};
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = pdq_forms(view.buf, width, height, &found);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    return failed ? PyErr_NoMemory() : pdq_forms_tuple(&found);
}

static PyObject *py_uniform(PyObject *module, PyObject *args) {
    Py_buffer view;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "y*n", &view, &n)) return NULL;
    if (n < 1 || view.len % n) {
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_ValueError, "the lines are not of n bytes each");
        return NULL;
    }
    PyObject *flat = PyBytes_FromStringAndSize(NULL, view.len / n);
    for (Py_ssize_t i = 0; flat != NULL && i < view.len / n; i++)
        PyBytes_AsString(flat)[i] = (char)pdq_uniform((const uint8_t *)view.buf + i * n, n, 1);
    PyBuffer_Release(&view);
    return flat;
}

static PyMethodDef functions[] = {
    {"uniform", py_uniform, METH_VARARGS, "uniform(lines, n) -> for each line of n bytes: 1 where it shows nothing, else 0."},
    {"forms", py_forms, METH_VARARGS,
     "forms(plane, width, height) -> (trimmed, nearest): None or (hashes, quality[, (left, top, width, height)])."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef hasher_methods[] = {
    {"rows", hasher_rows, METH_VARARGS, "rows(data, stride=0): take the next rows, top to bottom; rows below the picture are ignored."},
    {"finish", hasher_finish, METH_NOARGS, "finish() -> (hashes, quality): 8 hashes (1 without turns) of 32 bytes."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot hasher_slots[] = {
    {Py_tp_doc, "Hasher(width, height, channels=1, turns=True): PDQ of a picture fed in bands of rows."},
    {Py_tp_new, hasher_new},
    {Py_tp_dealloc, hasher_dealloc},
    {Py_tp_methods, hasher_methods},
    {0, NULL},
};

static PyType_Spec hasher_spec = {"safelight.native._pdq.Hasher", sizeof(Hasher), 0, Py_TPFLAGS_DEFAULT, hasher_slots};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_pdq", "PDQ kernel, sampled and exact.", -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__pdq(void) {
    PyObject *m = PyModule_Create(&module);
    PyObject *type = m == NULL ? NULL : PyType_FromSpec(&hasher_spec);
    if (type == NULL || PyModule_AddObjectRef(m, "Hasher", type)) {
        Py_XDECREF(type);
        Py_XDECREF(m);
        return NULL;
    }
    Py_DECREF(type);
    return m;
}
