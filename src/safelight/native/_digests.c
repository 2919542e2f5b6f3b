/* Look up digests in a sorted fixed-width array with a table of prefix starts.
 *
 * keys: n rows of `width` bytes, ascending. table: 2^bits + 1 unsigned 64-bit starts, so that the keys whose first `bits` bits are p
 * stand in table[p] .. table[p+1]. Full digests are compared, never a part. Starts that contradict the array are refused, not followed.
 * Twin: safelight/match/digests.py `plain_lookup`. The GIL is released.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 16

typedef struct {
    const uint8_t *keys;
    const uint8_t *table;
    uint64_t n;
    size_t width;
    int bits;
} index_t;

static inline uint64_t start_at(const index_t *x, uint64_t p) {
    uint64_t v;
    memcpy(&v, x->table + p * 8, 8);
    return v;
}

static inline uint64_t prefix(const index_t *x, const uint8_t *key) {
    uint32_t head = (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 | (uint32_t)key[2] << 8 | key[3];
    return x->bits ? head >> (32 - x->bits) : 0;
}

/* First row in lo..hi that is not below `key` (after = 0) or that is above it (after = 1). */
static uint64_t bound(const index_t *x, const uint8_t *key, uint64_t lo, uint64_t hi, int after) {
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        int c = memcmp(x->keys + mid * x->width, key, x->width);
        if (c < 0 || (after && c == 0))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Returns 0 when the table contradicts the array. */
static int run(const index_t *x, const uint8_t *queries, size_t nq, int64_t *first, int64_t *count) {
    for (size_t g = 0; g < nq; g += GROUP) {
        size_t end = g + GROUP < nq ? g + GROUP : nq;
        uint64_t lo[GROUP], hi[GROUP];
        for (size_t i = g; i < end; i++) __builtin_prefetch(x->table + prefix(x, queries + i * x->width) * 8);
        for (size_t i = g; i < end; i++) {
            uint64_t p = prefix(x, queries + i * x->width);
            lo[i - g] = start_at(x, p);
            hi[i - g] = start_at(x, p + 1);
            if (lo[i - g] > hi[i - g] || hi[i - g] > x->n) return 0;
            __builtin_prefetch(x->keys + (lo[i - g] + (hi[i - g] - lo[i - g]) / 2) * x->width);
        }
        for (size_t i = g; i < end; i++) {
            const uint8_t *key = queries + i * x->width;
            uint64_t at = bound(x, key, lo[i - g], hi[i - g], 0);
            int found = at < hi[i - g] && !memcmp(x->keys + at * x->width, key, x->width);
            first[i] = (int64_t)at;
            count[i] = found ? (int64_t)(bound(x, key, at, hi[i - g], 1) - at) : 0;
        }
    }
    return 1;
}

static PyObject *py_lookup(PyObject *self, PyObject *args) {
    Py_buffer keys, table, queries;
    int width, bits;
    if (!PyArg_ParseTuple(args, "y*iy*iy*", &keys, &width, &table, &bits, &queries)) return NULL;
    PyObject *result = NULL;
    if (width < 4 || width > 64 || bits < 0 || bits > 28 || keys.len % width || queries.len % width ||
        table.len != (Py_ssize_t)(((int64_t)1 << bits) + 1) * 8) {
        PyErr_SetString(PyExc_ValueError, "sizes of keys, table and queries do not fit together");
    } else {
        size_t nq = (size_t)(queries.len / width);
        index_t x = {keys.buf, table.buf, (uint64_t)(keys.len / width), (size_t)width, bits};
        int64_t *first = malloc(nq * 8 + 1), *count = malloc(nq * 8 + 1);
        if (!first || !count) {
            PyErr_NoMemory();
        } else {
            int ok;
            Py_BEGIN_ALLOW_THREADS
            ok = run(&x, queries.buf, nq, first, count);
            Py_END_ALLOW_THREADS
            if (ok)
                result = Py_BuildValue("(y#y#)", (const char *)first, (Py_ssize_t)(nq * 8), (const char *)count, (Py_ssize_t)(nq * 8));
            else
                PyErr_SetString(PyExc_ValueError, "the prefix table contradicts the keys");
        }
        free(first);
        free(count);
    }
    PyBuffer_Release(&keys);
    PyBuffer_Release(&table);
    PyBuffer_Release(&queries);
    return result;
}

static PyMethodDef methods[] = {
    {"lookup", py_lookup, METH_VARARGS, "lookup(keys, width, table, bits, queries) -> (first row i64, rows i64) as bytes"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_digests", "Look-up of digests in sorted arrays.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__digests(void) { return PyModule_Create(&module); }
