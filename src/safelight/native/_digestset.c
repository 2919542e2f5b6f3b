/* Look up digests in a sorted fixed-width array with a table of prefix starts.
 *
 * keys: n rows of `width` bytes, ascending. table: 2^bits + 1 unsigned 64-bit starts, so that the keys whose first `bits` bits are p
 * stand in table[p] .. table[p+1]. Digests are evenly spread, so the next 32 bits say nearly where in that run a key stands; queries are
 * taken in groups whose memory is asked for in advance. Full digests are compared, never a part.
 *
 * Each answer rests on the keys and not on the table: the row before is smaller, the row itself is not. So a table that does not belong
 * to the keys is refused and never gives a wrong answer. Twin: safelight/match/digests.py `plain_lookup`. The GIL is released.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE inline __attribute__((always_inline))
#define GROUP 16
#define NEAR 8              /* steps from the guess before the search halves */
#define APART 12            /* bits by which large batches are put in order, so that pages of a large file are touched together */
#define LARGE ((uint64_t)2 << 30) /* bytes of keys from which that is done: smaller ones stay in memory */

typedef struct {
    const uint8_t *keys;
    const uint8_t *table;
    uint64_t n;
    size_t width;
    int bits;
} set_t;

static inline uint64_t start_at(const set_t *x, uint64_t p) {
    uint64_t v;
    memcpy(&v, x->table + p * 8, 8);
    return v;
}

static inline uint64_t head(const uint8_t *key) {
    uint64_t v;
    memcpy(&v, key, 8);
    return __builtin_bswap64(v);
}

static inline uint64_t prefix(const set_t *x, uint64_t h) { return x->bits ? h >> (64 - x->bits) : 0; }

/* Whether row `at` is below the key (whose first 8 bytes are h). */
static INLINE int is_below(const set_t *x, uint64_t at, const uint8_t *key, uint64_t h) {
    const uint8_t *row = x->keys + at * x->width;
    uint64_t own = head(row);
    return own != h ? own < h : memcmp(row + 8, key + 8, x->width - 8) < 0;
}

static INLINE int is_equal(const set_t *x, uint64_t at, const uint8_t *key) { return !memcmp(x->keys + at * x->width, key, x->width); }

/* First row in lo..hi that is not below the key, looked for from `guess` on. */
static INLINE uint64_t lower(const set_t *x, const uint8_t *key, uint64_t h, uint64_t lo, uint64_t hi, uint64_t guess) {
    uint64_t at = guess;
    for (int step = 0; at > lo && !is_below(x, at - 1, key, h); step++) {
        at--;
        hi = at;
        if (step == NEAR) goto halve;
    }
    if (at < guess) return at;
    for (int step = 0; at < hi && is_below(x, at, key, h); step++) {
        at++;
        lo = at;
        if (step == NEAR) goto halve;
    }
    return at;
halve:
    while (lo < hi) {
        uint64_t middle = lo + (hi - lo) / 2;
        if (is_below(x, middle, key, h))
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* Number of rows from `at` on that equal the key, which row `at` does: doubling steps, then halves. */
static uint64_t repeats(const set_t *x, uint64_t at, const uint8_t *key) {
    uint64_t same = 1, step = 1;
    while (at + same < x->n && is_equal(x, at + same, key)) {
        if (same + step > x->n - at || !is_equal(x, at + same + step - 1, key)) {
            uint64_t lo = same + 1, hi = same + step < x->n - at ? same + step : x->n - at;
            while (lo < hi) {
                uint64_t middle = lo + (hi - lo) / 2;
                if (is_equal(x, at + middle, key))
                    lo = middle + 1;
                else
                    hi = middle;
            }
            return lo;
        }
        same += step;
        step *= 2;
    }
    return same;
}

/* Return 0 when the table contradicts the keys. `order`: numbers of the queries in the order to take them; NULL as they stand. */
static INLINE int run(const set_t *given, size_t width, const uint8_t *queries, const uint32_t *order, size_t nq, int64_t *first, int64_t *count) {
    set_t own = *given, *x = &own;
    own.width = width; /* a constant where this is inlined: comparisons become words */
    uint64_t h[GROUP], lo[GROUP], hi[GROUP], guess[GROUP];
    size_t number[GROUP];
    for (size_t g = 0; g < nq; g += GROUP) {
        size_t m = nq - g < GROUP ? nq - g : GROUP;
        for (size_t i = 0; i < m; i++) {
            number[i] = order ? order[g + i] : g + i;
            h[i] = head(queries + number[i] * x->width);
            __builtin_prefetch(x->table + prefix(x, h[i]) * 8);
        }
        for (size_t i = 0; i < m; i++) {
            uint64_t p = prefix(x, h[i]);
            lo[i] = start_at(x, p);
            hi[i] = start_at(x, p + 1);
            if (lo[i] > hi[i] || hi[i] > x->n) return 0;
            uint64_t length = hi[i] - lo[i], part = (h[i] << x->bits) >> 32;
            guess[i] = lo[i] + (length >> 32 ? length / 2 : (length * part) >> 32);
            uintptr_t row = (uintptr_t)x->keys + guess[i] * x->width; /* as a number: its neighbours may lie outside */
            __builtin_prefetch((const void *)(row - 32));
            __builtin_prefetch((const void *)(row + 32));
        }
        for (size_t i = 0; i < m; i++) {
            const uint8_t *key = queries + number[i] * x->width;
            uint64_t at = lower(x, key, h[i], lo[i], hi[i], guess[i]);
            /* inside lo..hi the neighbours were compared on the way; at its edges they are compared now */
            if (at == lo[i] && at > 0 && !is_below(x, at - 1, key, h[i])) return 0;
            if (at == hi[i] && at < x->n && is_below(x, at, key, h[i])) return 0;
            first[number[i]] = (int64_t)at;
            count[number[i]] = at < hi[i] && head(x->keys + at * x->width) == h[i] && is_equal(x, at, key) ? (int64_t)repeats(x, at, key) : 0;
        }
    }
    return 1;
}

static int run_width(const set_t *x, const uint8_t *queries, const uint32_t *order, size_t nq, int64_t *first, int64_t *count) {
    switch (x->width) {
    case 16: return run(x, 16, queries, order, nq, first, count);
    case 20: return run(x, 20, queries, order, nq, first, count);
    case 32: return run(x, 32, queries, order, nq, first, count);
    default: return run(x, x->width, queries, order, nq, first, count);
    }
}

/* Numbers of the queries by their first bits; NULL without memory for it (the answer is the same). */
static uint32_t *in_order(const uint8_t *queries, size_t nq, size_t width) {
    uint32_t *order = malloc(nq * 4), *at = calloc(((size_t)1 << APART) + 1, 4);
    if (order && at) {
        for (size_t i = 0; i < nq; i++) at[(head(queries + i * width) >> (64 - APART)) + 1]++;
        for (size_t p = 0; p < (size_t)1 << APART; p++) at[p + 1] += at[p];
        for (size_t i = 0; i < nq; i++) order[at[head(queries + i * width) >> (64 - APART)]++] = (uint32_t)i;
    } else {
        free(order);
        order = NULL;
    }
    free(at);
    return order;
}

static PyObject *answer(const set_t *x, const uint8_t *queries, size_t nq) {
    PyObject *first = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(nq * 8)), *count = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(nq * 8));
    PyObject *result = NULL;
    if (first && count) {
        int64_t *f = (int64_t *)(void *)PyBytes_AsString(first), *c = (int64_t *)(void *)PyByteArray_AsString(count);
        int ok;
        Py_BEGIN_ALLOW_THREADS
        uint32_t *order = x->n * x->width >= LARGE && nq < UINT32_MAX ? in_order(queries, nq, x->width) : NULL;
        ok = run_width(x, queries, order, nq, f, c);
        free(order);
        Py_END_ALLOW_THREADS
        if (ok)
            result = PyTuple_Pack(2, first, count);
        else
            PyErr_SetString(PyExc_ValueError, "the prefix table contradicts the keys");
    }
    Py_XDECREF(first);
    Py_XDECREF(count);
    return result;
}

static PyObject *py_lookup(PyObject *self, PyObject *args) {
    Py_buffer keys, table, queries;
    int width, bits;
    if (!PyArg_ParseTuple(args, "y*iy*iy*", &keys, &width, &table, &bits, &queries)) return NULL;
    PyObject *result = NULL;
    if (width < 8 || width > 64 || bits < 0 || bits > 32 || keys.len % width || queries.len % width ||
        table.len != (Py_ssize_t)(((int64_t)1 << bits) + 1) * 8) {
        PyErr_SetString(PyExc_ValueError, "sizes of keys, table and queries do not fit together");
    } else {
        set_t x = {keys.buf, table.buf, (uint64_t)(keys.len / width), (size_t)width, bits};
        result = answer(&x, queries.buf, (size_t)(queries.len / width));
    }
    PyBuffer_Release(&keys);
    PyBuffer_Release(&table);
    PyBuffer_Release(&queries);
    return result;
}

static PyMethodDef methods[] = {
    {"lookup", py_lookup, METH_VARARGS, "lookup(keys, width, table, bits, queries) -> (first row i64 as bytes, rows i64 as a bytearray, which may be changed)"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_digestset", "Look-up of digests in sorted arrays.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__digestset(void) { return PyModule_Create(&module); }
