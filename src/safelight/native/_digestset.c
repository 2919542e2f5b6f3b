/* Look up digests in a sorted fixed-width array with a table of prefix starts.
 *
 * keys: n rows of `width` bytes, ascending. table: 2^bits + 1 unsigned 64-bit starts, so that the keys whose first `bits` bits are p
 * stand in table[p] .. table[p+1]. Digests are evenly spread, so the next 32 bits say nearly where in that run a key stands. A look-up is
 * bound by lines of memory: batches are parted by their first bits, and memory is asked for several queries in advance. Full digests are
 * compared, never a part.
 *
 * Each answer rests on the keys and not on the table: the row before is smaller, the row itself is not. So a table that does not belong
 * to the keys is refused and never gives a wrong answer. Twin: safelight/match/digests.py `plain_lookup`. The GIL is released.
 */
#define _DEFAULT_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define INLINE inline __attribute__((always_inline))
#define STARTS 8            /* queries between asking for the starts of a prefix and reading them */
#define ROWS 12             /* queries between asking for a row and reading it */
#define RING 16             /* queries whose starts are held; at least ROWS + 1, a power of two */
#define WINDOW 6            /* rows around the guess that are counted without a branch: more of them cost more lines of memory */
#define NEAR 8              /* steps from the guess before the search halves */
#define APART 10            /* bits by which a batch is parted, so that its queries go through pages of memory one after the other */
#define MANY 4096           /* queries from which that is done: fewer do not pay for it */
#define LARGE ((uint64_t)32 << 20) /* bytes of keys from which that is done: smaller ones stay in the cache */

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

/* The usual case without a branch that cannot be foretold: of the rows around the guess, count those whose first 8 bytes are below.
 * Return 1 with the place where the row before is below and the row there is not, 0 where more must be looked at: the place is not safely
 * inside the window or not in lo..hi, or two rows (or a row and another query) share their first 8 bytes. */
static INLINE int near(const set_t *x, const uint8_t *key, uint64_t h, uint64_t lo, uint64_t hi, uint64_t guess, uint64_t *place, int64_t *rows) {
    if (x->n < WINDOW) return 0;
    uint64_t base = guess < WINDOW / 2 ? 0 : guess - WINDOW / 2, below = 0;
    if (base > x->n - WINDOW) base = x->n - WINDOW;
    const uint8_t *row = x->keys + base * x->width;
    for (int i = 0; i < WINDOW; i++) below += head(row + (size_t)i * x->width) < h;
    uint64_t at = base + below;
    if (below - 1 > WINDOW - 3 || at < lo || at >= hi) return 0; /* below is 1 .. WINDOW - 2: the row behind is in the window too */
    row += below * x->width;
    uint64_t own = head(row);
    int same = own == h, other = memcmp(row + 8, key + 8, x->width - 8) != 0;
    /* keys in order need only the count; if they are not, these comparisons keep the answer from being wrong */
    if ((same & other) | (own < h) | (head(row - x->width) >= h) | (head(row + x->width) == h)) return 0;
    *place = at;
    *rows = same;
    return 1;
}

/* Queries as they are asked: by their number, or in the order of their first bits. */
typedef struct {
    uint64_t head;
    uint64_t number;
} asked_t;

/* Return 0 when the table contradicts the keys. `order`: the queries in the order to take them; NULL as they stand.
 * A pipeline of three steps over a ring: ask for the starts of a query, ask for its row, compare. */
static INLINE int run(const set_t *given, size_t width, const uint8_t *queries, const asked_t *order, size_t nq, int64_t *first, int64_t *count) {
    set_t own = *given, *x = &own;
    own.width = width; /* a constant where this is inlined: comparisons become words */
    uint64_t lo[RING], hi[RING], guess[RING];
    for (size_t g = 0; g < nq + STARTS + ROWS; g++) {
        if (g < nq) {
            const uint8_t *key = queries + (order ? order[g].number : g) * width;
            if (order) __builtin_prefetch(key);
            __builtin_prefetch(x->table + prefix(x, order ? order[g].head : head(key)) * 8);
        }
        if (g >= STARTS && g - STARTS < nq) {
            size_t q = g - STARTS, i = q % RING;
            uint64_t h = order ? order[q].head : head(queries + q * width), p = prefix(x, h);
            lo[i] = start_at(x, p);
            hi[i] = start_at(x, p + 1);
            if (lo[i] > hi[i] || hi[i] > x->n) return 0;
            uint64_t length = hi[i] - lo[i], part = (h << x->bits) >> 32;
            guess[i] = lo[i] + (length >> 32 ? length / 2 : (length * part) >> 32);
            uintptr_t row = (uintptr_t)x->keys + guess[i] * width; /* as a number: its neighbours may lie outside */
            for (size_t at = 0; at < WINDOW * width; at += 64) __builtin_prefetch((const void *)(row - WINDOW / 2 * width + at));
            __builtin_prefetch((const void *)(row + WINDOW / 2 * width - 1));
            if (order) {
                __builtin_prefetch(first + order[q].number, 1);
                __builtin_prefetch(count + order[q].number, 1);
            }
        }
        if (g >= STARTS + ROWS) {
            size_t q = g - STARTS - ROWS, i = q % RING, number = order ? order[q].number : q;
            const uint8_t *key = queries + number * width;
            uint64_t h = order ? order[q].head : head(key), at;
            int64_t rows;
            if (near(x, key, h, lo[i], hi[i], guess[i], &at, &rows)) {
                first[number] = (int64_t)at;
                count[number] = rows;
                continue;
            }
            at = lower(x, key, h, lo[i], hi[i], guess[i]);
            /* inside lo..hi the neighbours were compared on the way; at its edges they are compared now */
            if (at == lo[i] && at > 0 && !is_below(x, at - 1, key, h)) return 0;
            if (at == hi[i] && at < x->n && is_below(x, at, key, h)) return 0;
            first[number] = (int64_t)at;
            count[number] = at < hi[i] && head(x->keys + at * width) == h && is_equal(x, at, key) ? (int64_t)repeats(x, at, key) : 0;
        }
    }
    return 1;
}

static int run_width(const set_t *x, const uint8_t *queries, const asked_t *order, size_t nq, int64_t *first, int64_t *count) {
    switch (x->width) {
    case 16: return run(x, 16, queries, order, nq, first, count);
    case 20: return run(x, 20, queries, order, nq, first, count);
    case 32: return run(x, 32, queries, order, nq, first, count);
    default: return run(x, x->width, queries, order, nq, first, count);
    }
}

/* Memory in large pages where the kernel has them: a large batch would cost a fault every 4 KiB otherwise. */
static void *huge(size_t size) {
    void *place = NULL;
    size_t page = (size_t)2 << 20;
    if (size < page) return malloc(size);
    size = (size + page - 1) / page * page;
    if (posix_memalign(&place, page, size)) return NULL;
#ifdef MADV_HUGEPAGE
    (void)madvise(place, size, MADV_HUGEPAGE); /* advice: without it, all is the same but slower */
#endif
    return place;
}

/* The queries parted by their first bits; NULL without memory for it (the answer is the same). */
static asked_t *in_order(const uint8_t *queries, size_t nq, size_t width) {
    asked_t *order = huge(nq * sizeof(asked_t));
    size_t *at = calloc(((size_t)1 << APART) + 1, sizeof(size_t));
    if (order && at) {
        for (size_t i = 0; i < nq; i++) at[(head(queries + i * width) >> (64 - APART)) + 1]++;
        for (size_t p = 0; p < (size_t)1 << APART; p++) at[p + 1] += at[p];
        for (size_t i = 0; i < nq; i++) {
            uint64_t h = head(queries + i * width);
            order[at[h >> (64 - APART)]++] = (asked_t){h, i};
        }
    } else {
        free(order);
        order = NULL;
    }
    free(at);
    return order;
}

static PyObject *answer(const set_t *x, const uint8_t *queries, size_t nq, int64_t *first, int64_t *count) {
    int ok;
    Py_BEGIN_ALLOW_THREADS
    asked_t *order = nq >= MANY && x->n * x->width >= LARGE ? in_order(queries, nq, x->width) : NULL;
    ok = run_width(x, queries, order, nq, first, count);
    free(order);
    Py_END_ALLOW_THREADS
    if (ok) Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, "the prefix table contradicts the keys");
    return NULL;
}

static PyObject *py_lookup(PyObject *self, PyObject *args) {
    Py_buffer keys, table, queries, first, count;
    int width, bits;
    if (!PyArg_ParseTuple(args, "y*iy*iy*w*w*", &keys, &width, &table, &bits, &queries, &first, &count)) return NULL;
    PyObject *result = NULL;
    if (width < 8 || width > 64 || bits < 0 || bits > 32 || keys.len % width || queries.len % width ||
        table.len != (Py_ssize_t)(((int64_t)1 << bits) + 1) * 8 || first.len != queries.len / width * 8 || count.len != first.len) {
        PyErr_SetString(PyExc_ValueError, "sizes of keys, table, queries and answers do not fit together");
    } else {
        set_t x = {keys.buf, table.buf, (uint64_t)(keys.len / width), (size_t)width, bits};
        result = answer(&x, queries.buf, (size_t)(queries.len / width), first.buf, count.buf);
    }
    PyBuffer_Release(&keys);
    PyBuffer_Release(&table);
    PyBuffer_Release(&queries);
    PyBuffer_Release(&first);
    PyBuffer_Release(&count);
    return result;
}

static PyMethodDef methods[] = {
    {"lookup", py_lookup, METH_VARARGS, "lookup(keys, width, table, bits, queries, first, count): writes first row and rows of each query, i64 each"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_digestset", "Look-up of digests in sorted arrays.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__digestset(void) { return PyModule_Create(&module); }
