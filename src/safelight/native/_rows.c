/* Work on fixed-width rows of bytes while a set is built: part them by a byte, sort them, cut sorted ones into keys and row numbers, and
 * give each a fingerprint. Rows are compared as bytes, whole. Twin: native/rows_twin.py. The GIL is released.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FEW 24 /* rows that are sorted by insertion */

typedef struct {
    uint64_t head;
    uint32_t row;
} item_t;

typedef struct {
    const uint8_t *rows;
    size_t width;
    size_t skip; /* leading bytes that all rows share; the head begins behind them */
} rows_t;

static inline uint64_t head_of(const uint8_t *from, size_t length) {
    uint64_t v = 0;
    memcpy(&v, from, length < 8 ? length : 8);
    return __builtin_bswap64(v);
}

static inline int is_less(const rows_t *x, const item_t *a, const item_t *b) {
    if (a->head != b->head) return a->head < b->head;
    return memcmp(x->rows + a->row * x->width + x->skip, x->rows + b->row * x->width + x->skip, x->width - x->skip) < 0;
}

static void insertion(const rows_t *x, item_t *items, size_t n) {
    for (size_t i = 1; i < n; i++) {
        item_t own = items[i];
        size_t at = i;
        for (; at && is_less(x, &own, &items[at - 1]); at--) items[at] = items[at - 1];
        items[at] = own;
    }
}

/* Merge sort; as deep as the logarithm of n, whatever the rows. */
static void merge_sort(const rows_t *x, item_t *items, size_t n, item_t *spare) {
    if (n <= FEW) {
        insertion(x, items, n);
        return;
    }
    size_t half = n / 2;
    merge_sort(x, items, half, spare);
    merge_sort(x, items + half, n - half, spare);
    memcpy(spare, items, half * sizeof *items);
    size_t left = 0, right = half, out = 0;
    while (left < half) items[out++] = right < n && is_less(x, &items[right], &spare[left]) ? items[right++] : spare[left++];
}

static size_t shared_prefix(const uint8_t *rows, size_t n, size_t width) {
    size_t shared = width;
    for (size_t i = 1; i < n && shared; i++) {
        size_t same = 0;
        while (same < shared && rows[i * width + same] == rows[same]) same++;
        shared = same;
    }
    return shared;
}

/* Sort n rows into out. Returns 0 without memory. */
static int sort_into(const uint8_t *rows, size_t n, size_t width, uint8_t *out) {
    rows_t x = {rows, width, n > 1 ? shared_prefix(rows, n, width) : 0};
    int bits = 0;
    while (bits < 20 && (n >> (bits + 3)) > 1) bits++;
    size_t buckets = (size_t)1 << bits;
    item_t *items = malloc(n * sizeof *items + 1);
    uint32_t *start = calloc(buckets + 1, sizeof *start);
    if (!items || !start) {
        free(items);
        free(start);
        return 0;
    }
    size_t rest = width - x.skip, longest = 0;
    int shift = 64 - bits;
#define BUCKET(h) (bits ? (h) >> shift : 0)
    for (size_t i = 0; i < n; i++) start[BUCKET(head_of(rows + i * width + x.skip, rest)) + 1]++;
    for (size_t b = 0; b < buckets; b++) {
        if (start[b + 1] > longest) longest = start[b + 1];
        start[b + 1] += start[b];
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t h = head_of(rows + i * width + x.skip, rest);
        items[start[BUCKET(h)]++] = (item_t){h, (uint32_t)i};
    }
    item_t *spare = malloc(longest * sizeof *spare + 1);
    if (spare) {
        for (size_t b = 0, from = 0; b < buckets; from = start[b++]) merge_sort(&x, items + from, start[b] - from, spare);
        for (size_t i = 0; i < n; i++) {
            if (i + 16 < n) __builtin_prefetch(rows + items[i + 16].row * width);
            memcpy(out + i * width, rows + items[i].row * width, width);
        }
    }
    int ok = spare != NULL;
    free(items);
    free(start);
    free(spare);
    return ok;
}

static int fits(const Py_buffer *rows, int width) {
    if (width > 0 && width <= 4096 && rows->len % width == 0 && rows->len / width < UINT32_MAX) return 1;
    PyErr_SetString(PyExc_ValueError, "the bytes are no whole number of rows, or too many");
    return 0;
}

static PyObject *py_sort(PyObject *self, PyObject *args) {
    Py_buffer rows;
    int width;
    if (!PyArg_ParseTuple(args, "y*i", &rows, &width)) return NULL;
    PyObject *out = fits(&rows, width) ? PyBytes_FromStringAndSize(NULL, rows.len) : NULL;
    if (out) {
        int ok;
        uint8_t *to = (uint8_t *)PyBytes_AsString(out);
        Py_BEGIN_ALLOW_THREADS
        ok = sort_into(rows.buf, (size_t)(rows.len / width), (size_t)width, to);
        Py_END_ALLOW_THREADS
        if (!ok) {
            Py_CLEAR(out);
            PyErr_NoMemory();
        }
    }
    PyBuffer_Release(&rows);
    return out;
}

static PyObject *py_part(PyObject *self, PyObject *args) {
    Py_buffer rows;
    int width, at;
    if (!PyArg_ParseTuple(args, "y*ii", &rows, &width, &at)) return NULL;
    PyObject *out = NULL, *edges = NULL, *result = NULL;
    if (fits(&rows, width) && (at < 0 || at >= width))
        PyErr_SetString(PyExc_ValueError, "no such byte in a row");
    else if (!PyErr_Occurred()) {
        out = PyBytes_FromStringAndSize(NULL, rows.len);
        edges = PyBytes_FromStringAndSize(NULL, 257 * 8);
    }
    if (out && edges) {
        uint8_t *to = (uint8_t *)PyBytes_AsString(out);
        int64_t *edge = (int64_t *)(void *)PyBytes_AsString(edges), next[256];
        const uint8_t *from = rows.buf;
        size_t n = (size_t)(rows.len / width), w = (size_t)width;
        Py_BEGIN_ALLOW_THREADS
        memset(edge, 0, 257 * 8);
        for (size_t i = 0; i < n; i++) edge[from[i * w + (size_t)at] + 1]++;
        for (int b = 0; b < 256; b++) edge[b + 1] += edge[b];
        memcpy(next, edge, sizeof next);
        for (size_t i = 0; i < n; i++) memcpy(to + (size_t)next[from[i * w + (size_t)at]]++ * w, from + i * w, w);
        Py_END_ALLOW_THREADS
        result = PyTuple_Pack(2, out, edges);
    }
    Py_XDECREF(out);
    Py_XDECREF(edges);
    PyBuffer_Release(&rows);
    return result;
}

static PyObject *py_cut(PyObject *self, PyObject *args) {
    Py_buffer rows, last;
    int width, number;
    if (!PyArg_ParseTuple(args, "y*iiy*", &rows, &width, &number, &last)) return NULL;
    PyObject *keys = NULL, *numbers = NULL, *result = NULL;
    size_t key = (size_t)width - 8, w = (size_t)width, n = width > 8 ? (size_t)(rows.len / width) : 0;
    if (width <= 8 || rows.len % width || (number != 4 && number != 8) || (last.len && last.len != (Py_ssize_t)key)) {
        PyErr_SetString(PyExc_ValueError, "rows are a key and 8 bytes; numbers take 4 or 8 bytes; the last key has the width of a key");
    } else {
        keys = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(n * key));
        numbers = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(n * (size_t)number));
    }
    if (keys && numbers) {
        uint8_t *k = (uint8_t *)PyBytes_AsString(keys), *r = (uint8_t *)PyBytes_AsString(numbers);
        const uint8_t *from = rows.buf, *before = last.len ? last.buf : NULL;
        long long distinct = 0;
        int ordered = 1;
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < n; i++, from += w, k += key, r += number) {
            int c = before ? memcmp(before, from, key) : -1;
            distinct += c != 0;
            ordered &= c <= 0;
            before = from;
            memcpy(k, from, key);
            for (int b = 0; b < number; b++) r[b] = from[w - 1 - (size_t)b]; /* big-endian in the row, little-endian in the file */
        }
        Py_END_ALLOW_THREADS
        if (ordered)
            result = Py_BuildValue("(OOL)", keys, numbers, distinct);
        else
            PyErr_SetString(PyExc_ValueError, "the rows are not in order");
    }
    Py_XDECREF(keys);
    Py_XDECREF(numbers);
    PyBuffer_Release(&rows);
    PyBuffer_Release(&last);
    return result;
}

/* ---- fingerprints: SipHash-2-4 with 128 bits (Aumasson and Bernstein 2012, and the authors' 128-bit variant) ---- */

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static inline void sip_round(uint64_t *v) {
    v[0] += v[1], v[1] = ROTL(v[1], 13), v[1] ^= v[0], v[0] = ROTL(v[0], 32);
    v[2] += v[3], v[3] = ROTL(v[3], 16), v[3] ^= v[2];
    v[0] += v[3], v[3] = ROTL(v[3], 21), v[3] ^= v[0];
    v[2] += v[1], v[1] = ROTL(v[1], 17), v[1] ^= v[2], v[2] = ROTL(v[2], 32);
}

static inline void sip128(const uint8_t *data, size_t length, uint64_t k0, uint64_t k1, uint8_t *out) {
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL ^ 0xee, k0 ^ 0x6c7967656e657261ULL, k1 ^ 0x7465646279746573ULL};
    uint64_t word;
    size_t at = 0;
    for (; at + 8 <= length; at += 8) {
        memcpy(&word, data + at, 8);
        v[3] ^= word;
        sip_round(v), sip_round(v);
        v[0] ^= word;
    }
    word = 0;
    memcpy(&word, data + at, length - at);
    word |= (uint64_t)(length & 0xff) << 56;
    v[3] ^= word;
    sip_round(v), sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xee;
    sip_round(v), sip_round(v), sip_round(v), sip_round(v);
    word = v[0] ^ v[1] ^ v[2] ^ v[3];
    memcpy(out, &word, 8);
    v[1] ^= 0xdd;
    sip_round(v), sip_round(v), sip_round(v), sip_round(v);
    word = v[0] ^ v[1] ^ v[2] ^ v[3];
    memcpy(out + 8, &word, 8);
}

static PyObject *py_fingerprints(PyObject *self, PyObject *args) {
    Py_buffer rows, key;
    int width;
    if (!PyArg_ParseTuple(args, "y*iy*", &rows, &width, &key)) return NULL;
    PyObject *out = NULL;
    if (width <= 0 || rows.len % width || key.len != 16) {
        PyErr_SetString(PyExc_ValueError, "a whole number of rows and a key of 16 bytes");
    } else if ((out = PyBytes_FromStringAndSize(NULL, rows.len / width * 16))) {
        uint8_t *to = (uint8_t *)PyBytes_AsString(out);
        const uint8_t *from = rows.buf;
        size_t n = (size_t)(rows.len / width);
        uint64_t k[2];
        memcpy(k, key.buf, 16);
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < n; i++) sip128(from + i * (size_t)width, (size_t)width, k[0], k[1], to + i * 16);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&rows);
    PyBuffer_Release(&key);
    return out;
}

static PyMethodDef methods[] = {
    {"sort", py_sort, METH_VARARGS, "sort(rows, width) -> the rows in ascending order of their bytes"},
    {"part", py_part, METH_VARARGS, "part(rows, width, at) -> (rows by their byte `at`, 257 edges i64), stable"},
    {"cut", py_cut, METH_VARARGS, "cut(rows, width, 4 or 8, last key) -> (keys, row numbers little-endian, keys that differ from the one before)"},
    {"fingerprints", py_fingerprints, METH_VARARGS, "fingerprints(rows, width, key) -> 16 bytes a row (SipHash-2-4-128)"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_rows", "Fixed-width rows of bytes.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rows(void) { return PyModule_Create(&module); }
