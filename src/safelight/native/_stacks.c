/* Who leads a stack: hashes in ascending order, one with an earlier leader within the distance follows, any other leads.
 *
 * decide: pairs as numbers `later << 40 | earlier << 8 | distance` (see bands.h), ascending, so that all earlier hashes of a pair are
 * decided when it comes. `leads` holds a byte a hash, 1 at first; it is the answer. The plain twin is `stack/leaders.py: plain_leaders`.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

static int decide(const uint8_t *pairs, size_t count, uint8_t *leads, size_t n) {
    uint64_t before = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t pair;
        memcpy(&pair, pairs + 8 * i, 8);
        uint64_t later = pair >> 40, earlier = pair >> 8 & 0xFFFFFFFF;
        if (pair < before || later >= n || earlier >= later) return 0;
        before = pair;
        if (leads[earlier]) leads[later] = 0;
    }
    return 1;
}

static PyObject *py_decide(PyObject *self, PyObject *args) {
    Py_buffer pairs, leads;
    if (!PyArg_ParseTuple(args, "y*w*", &pairs, &leads)) return NULL;
    int ok;
    Py_BEGIN_ALLOW_THREADS
    ok = pairs.len % 8 == 0 && decide(pairs.buf, (size_t)pairs.len / 8, leads.buf, (size_t)leads.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&pairs);
    PyBuffer_Release(&leads);
    if (ok) Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, "pairs must ascend, and each name an earlier hash");
    return NULL;
}

static PyMethodDef methods[] = {{"decide", py_decide, METH_VARARGS, "decide(pairs, leads): clear the byte of each hash that has an earlier leader"},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_stacks", "Who leads a stack.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__stacks(void) { return PyModule_Create(&module); }
