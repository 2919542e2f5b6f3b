/* Local features of a luma plane, and the comparison of two sets of them; see features_kernel.h and features_verify.h. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "features_kernel.h"
#include "features_verify.h"

static PyObject *py_extract(PyObject *self, PyObject *args) {
    Py_buffer view;
    int width, height, most;
    if (!PyArg_ParseTuple(args, "y*iii", &view, &width, &height, &most)) return NULL;
    if (width < 1 || height < 1 || width > FEATURE_SIDE || height > FEATURE_SIDE || most < 1 || most > FEATURE_MOST ||
        view.len != (Py_ssize_t)width * height) {
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_ValueError, "a plane of width x height bytes, sides up to FEATURE_SIDE, and 1..1024 features");
        return NULL;
    }
    Feature *found = malloc(sizeof(Feature) * (size_t)most);
    int count = -1;
    Py_BEGIN_ALLOW_THREADS
    if (found != NULL) count = features_extract(view.buf, width, height, found, most);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    PyObject *points = NULL, *descriptors = NULL, *answer = NULL;
    if (count < 0) {
        PyErr_NoMemory();
    } else {
        points = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)count * FEATURE_POINT);
        descriptors = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)count * FEATURE_BYTES);
    }
    if (points != NULL && descriptors != NULL) {
        uint8_t *p = (uint8_t *)PyBytes_AsString(points), *d = (uint8_t *)PyBytes_AsString(descriptors);
        for (int i = 0; i < count; i++) {
            features_pack(&found[i], p + (size_t)i * FEATURE_POINT);
            memcpy(d + (size_t)i * FEATURE_BYTES, found[i].descriptor, FEATURE_BYTES);
        }
        answer = Py_BuildValue("(OO)", points, descriptors);
    }
    Py_XDECREF(points);
    Py_XDECREF(descriptors);
    free(found);
    return answer;
}

/* The verdict as a tuple; the agreeing corners as two u16 LE a pair, number in a and in b, in the order of the pairs. */
static PyObject *verdict_answer(const Verdict *v) {
    uint8_t agreeing[4 * FEATURE_MOST];
    Py_ssize_t size = 0;
    for (int k = 0; k < v->pairs && v->inliers; k++) {
        if (!v->in[k]) continue;
        agreeing[size++] = (uint8_t)v->pair[k].a, agreeing[size++] = (uint8_t)(v->pair[k].a >> 8);
        agreeing[size++] = (uint8_t)v->pair[k].b, agreeing[size++] = (uint8_t)(v->pair[k].b >> 8);
    }
    const double *t = v->transform;
    const float *x = v->box_a, *y = v->box_b;
    return Py_BuildValue("((iiiiiiiiii)(dddddd)(ffff)(ffff)ddy#)", v->matches, v->inliers, v->seen_a, v->seen_b, v->cells, v->covered,
                         v->whole_a, v->whole_b, v->whole_cells, v->whole_covered, t[0], t[1], t[2], t[3], t[4], t[5], x[0], x[1],
                         x[2], x[3], y[0], y[1], y[2], y[3], v->area_a, v->area_b, (const char *)agreeing, size);
}

static PyObject *py_compare(PyObject *self, PyObject *args) {
    Py_buffer v[4];
    int mirrored, ready = 0;
    if (!PyArg_ParseTuple(args, "y*y*y*y*p", &v[0], &v[1], &v[2], &v[3], &mirrored)) return NULL;
    PyObject *answer = NULL;
    Verdict *verdict = malloc(sizeof *verdict);
    FeatureSet *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    if (verdict == NULL || a == NULL || b == NULL)
        PyErr_NoMemory();
    else if (features_unpack(a, v[0].buf, v[0].len, v[1].buf, v[1].len) || features_unpack(b, v[2].buf, v[2].len, v[3].buf, v[3].len))
        PyErr_SetString(PyExc_ValueError, "points of 6 bytes and descriptors of 32 bytes, as many of each, up to 1024");
    else
        ready = 1;
    if (ready) {
        Py_BEGIN_ALLOW_THREADS
        features_compare(a, b, mirrored, verdict);
        Py_END_ALLOW_THREADS
        answer = verdict_answer(verdict);
    }
    for (int i = 0; i < 4; i++) PyBuffer_Release(&v[i]);
    free(verdict);
    free(a);
    free(b);
    return answer;
}

static PyMethodDef methods[] = {
    {"extract", py_extract, METH_VARARGS, "extract(plane, width, height, most) -> (points, descriptors): 6 and 32 bytes a feature."},
    {"compare", py_compare, METH_VARARGS,
     "compare(points_a, descriptors_a, points_b, descriptors_b, mirrored) -> ((matches, inliers, seen_a, seen_b, cells, covered, whole_a, "
     "whole_b, whole_cells, whole_covered), transform, box_a, box_b, area_a, area_b, agreeing)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_features", "Local features and their geometry.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__features(void) {
    features_begin();
    return PyModule_Create(&module);
}
