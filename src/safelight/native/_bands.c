/* All pairs of 256-bit hashes within a distance, by bands: `order` sorts rows by the key of a band, `join` compares a batch of queries
 * with all entries in one band, `query` finds the entries near a few hashes by single accesses. Twin: bands_twin.py.
 *
 * join: entries in the order of the band are taken block by block, a block being the keys that share their high bits: its rows are
 * gathered once into the cache, then each group of queries whose high bits are within the radius is run over the buckets that its low
 * bits can reach. A pair is given in its first band within the radius only. Nothing from a file is believed: a start or a row number
 * out of bounds, a row under a wrong key or not in ascending order ends the join as DAMAGED. Rows are therefore complete: ascending
 * distinct rows, each under its own key, as many as there are.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bands.h"
#include "bands_scan.h"

#define CHUNK 32768
#define BLOCK_ROWS 16384
#define AHEAD 24

typedef struct {
    const uint8_t *rows;
    size_t n;
    const uint32_t *start, *ids;
    int width, low;
    uint64_t *query; /* in the order of the band, words in the order of comparison */
    uint32_t *qkey, *qid, *qstart;
    masks_t high_masks, low_masks;
    block_t block;
    scan_t scan;
} join_t;

/* Gather the rows from `first` to `last` in the order of the band; `key` is the high part of their keys. */
static int gather(join_t *j, uint32_t high, uint32_t first, uint32_t last) {
    block_t *b = &j->block;
    const band_t *band = &b->bands[b->band];
    uint32_t keys = (uint32_t)1 << j->low, before = 0;
    for (uint32_t k = 0; k < keys; k++) {
        uint32_t key = high << j->low | k;
        uint32_t from = j->start[key], to = j->start[key + 1];
        if (from > to || to > j->n) return 0;
        from = from < first ? first : from > last ? last : from;
        to = to < first ? first : to > last ? last : to;
        b->start[k] = from - first;
        for (uint32_t r = from; r < to; r++) {
            if (r + AHEAD < last && j->ids[r + AHEAD] < j->n) __builtin_prefetch(j->rows + (size_t)j->ids[r + AHEAD] * 32);
            uint32_t id = j->ids[r];
            if (id >= j->n || (r > j->start[key] && j->ids[r - 1] >= id)) return 0;
            uint64_t w[WORDS];
            load_words(w, j->rows + (size_t)id * 32);
            if (key_of(w, band->offset, band->width) != key) return 0;
            for (int i = 0; i < WORDS; i++) b->word[i][r - first] = w[b->natural[i]];
            b->id[r - first] = id;
        }
        before = to - first;
    }
    b->start[keys] = before;
    return before == last - first;
}

static outcome_t join_block(join_t *j, uint32_t high) {
    uint32_t begin = j->start[(size_t)high << j->low], end = j->start[((size_t)high + 1) << j->low];
    if (begin > end || end > j->n) return DAMAGED;
    int radius = j->block.bands[j->block.band].radius;
    for (uint32_t first = begin; first < end; first += CHUNK) {
        uint32_t last = end - first > CHUNK ? first + CHUNK : end;
        if (!gather(j, high, first, last)) return DAMAGED;
        for (size_t m = 0; m < j->high_masks.upto[radius]; m++) {
            size_t group = (size_t)(high ^ j->high_masks.mask[m]);
            size_t masks = j->low_masks.upto[radius - j->high_masks.ones[m]];
            for (uint32_t i = j->qstart[group << j->low], to = j->qstart[(group + 1) << j->low]; i < to; i++)
                if (!j->scan(&j->block, j->query + (size_t)i * WORDS, j->qid[i], j->qkey[i], j->low_masks.mask, masks))
                    return j->block.found->outcome;
        }
    }
    return FINE;
}

/* Put the queries into the order of the band. */
static int take_queries(join_t *j, const uint8_t *queries, size_t nq) {
    const band_t *band = &j->block.bands[j->block.band];
    j->qstart = malloc((((size_t)1 << j->width) + 1) * sizeof *j->qstart);
    j->qid = malloc(nq * sizeof *j->qid + 1);
    j->qkey = malloc(nq * sizeof *j->qkey + 1);
    j->query = malloc(nq * 32 + 1);
    if (!j->qstart || !j->qid || !j->qkey || !j->query || !band_order(queries, nq, band->offset, band->width, j->qstart, j->qid)) return 0;
    for (size_t i = 0; i < nq; i++) {
        uint64_t w[WORDS];
        load_words(w, queries + (size_t)j->qid[i] * 32);
        j->qkey[i] = key_of(w, band->offset, band->width) & (((uint32_t)1 << j->low) - 1);
        for (int k = 0; k < WORDS; k++) j->query[i * WORDS + (size_t)k] = w[j->block.natural[k]];
    }
    return 1;
}

static int make_room(join_t *j) {
    int ok = 1;
    for (int i = 0; i < WORDS; i++) ok = (j->block.word[i] = calloc(CHUNK + PADDING, sizeof(uint64_t))) && ok;
    ok = (j->block.start = calloc(((size_t)1 << j->low) + 1, sizeof(uint32_t))) && ok;
    ok = (j->block.id = calloc(CHUNK + PADDING, sizeof(uint32_t))) && ok;
    return ok;
}

static void free_join(join_t *j) {
    for (int i = 0; i < WORDS; i++) free(j->block.word[i]);
    free(j->block.start);
    free(j->block.id);
    free(j->qstart);
    free(j->qid);
    free(j->qkey);
    free(j->query);
    masks_free(&j->high_masks);
    masks_free(&j->low_masks);
}

static void run_join(join_t *j, const uint8_t *queries, size_t nq, size_t part, size_t parts) {
    static const int front[WORDS] = {0, 1, 2, 3}, back[WORDS] = {2, 3, 0, 1};
    const band_t *band = &j->block.bands[j->block.band];
    found_t *found = j->block.found;
    j->width = band->width;
    j->low = band->width < FINE_BITS ? band->width : FINE_BITS;
    while (j->low > 1 && (j->n >> (j->width - j->low)) > BLOCK_ROWS) j->low--;
    j->block.natural = band->offset + band->width / 2 < 128 ? back : front;
    uint32_t *start = NULL, *ids = NULL;
    if (!masks_make(&j->high_masks, j->width - j->low, band->radius) || !masks_make(&j->low_masks, j->low, band->radius) ||
        !make_room(j) || !take_queries(j, queries, nq))
        found->outcome = NO_MEMORY;
    if (!found->outcome && !j->start) {
        start = malloc((((size_t)1 << j->width) + 1) * sizeof *start);
        ids = malloc(j->n * sizeof *ids + 1);
        if (!start || !ids || !band_order(j->rows, j->n, band->offset, band->width, start, ids)) found->outcome = NO_MEMORY;
        j->start = start;
        j->ids = ids;
    }
    size_t blocks = (size_t)1 << (j->width - j->low);
    if (!found->outcome && (j->start[0] != 0 || j->start[(size_t)1 << j->width] != j->n)) found->outcome = DAMAGED;
    for (size_t h = blocks * part / parts; h < blocks * (part + 1) / parts && !found->outcome; h++) {
        outcome_t outcome = join_block(j, (uint32_t)h);
        if (outcome) found->outcome = outcome;
    }
    free(start);
    free(ids);
    free_join(j);
}

#include "bands_query.h"

/* ---- the binding ---- */

static PyObject *give(found_t *found) {
    PyObject *result = NULL;
    if (found->outcome == NO_MEMORY)
        PyErr_NoMemory();
    else if (found->outcome == DAMAGED)
        PyErr_SetString(PyExc_ValueError, "the index contradicts its hashes");
    else if (found->outcome == TOO_MANY)
        result = Py_NewRef(Py_None);
    else
        result = PyBytes_FromStringAndSize((const char *)found->pair, (Py_ssize_t)(found->used * sizeof *found->pair));
    free(found->pair);
    return result;
}

/* Read (width, radius) per band from two bytes each; radius 255 is a band that is not looked at. Return the number of bands, or 0. */
static int read_bands(const Py_buffer *raw, band_t *bands, int distance) {
    int count = (int)(raw->len / 2), bit = 0;
    const uint8_t *p = raw->buf;
    if (raw->len % 2 || raw->len / 2 > MOST_BANDS || distance < 0 || distance > 255) count = 0;
    for (int b = 0; b < count; b++) {
        bands[b] = (band_t){bit, p[2 * b], p[2 * b + 1] == 255 ? SKIPPED : p[2 * b + 1]};
        bit += bands[b].width;
    }
    if (!count || !bands_are_exact(bands, count, distance)) {
        PyErr_Format(PyExc_ValueError, "these bands would miss pairs within %d bits", distance);
        return 0;
    }
    return count;
}

static int check_hashes(const Py_buffer *queries, const Py_buffer *rows) {
    if (queries->len % 32 || rows->len % 32)
        PyErr_SetString(PyExc_ValueError, "hashes must be 32 bytes each");
    else if ((size_t)queries->len / 32 > MOST_QUERIES || (size_t)rows->len / 32 >= UINT32_MAX - CHUNK)
        PyErr_SetString(PyExc_ValueError, "too many hashes for one join");
    else
        return 1;
    return 0;
}

static PyObject *py_order(PyObject *self, PyObject *args) {
    Py_buffer rows, start, ids;
    int offset, width;
    if (!PyArg_ParseTuple(args, "y*iiw*w*", &rows, &offset, &width, &start, &ids)) return NULL;
    PyObject *result = NULL;
    size_t n = (size_t)rows.len / 32;
    if (rows.len % 32 || n >= UINT32_MAX || offset < 0 || width < 1 || width > 32 || offset + width > 256)
        PyErr_SetString(PyExc_ValueError, "no such band of these hashes");
    else if ((size_t)start.len != (((size_t)1 << width) + 1) * 4 || (size_t)ids.len != n * 4)
        PyErr_SetString(PyExc_ValueError, "starts and ids do not fit the band");
    else {
        int ok;
        Py_BEGIN_ALLOW_THREADS
        ok = band_order(rows.buf, n, offset, width, start.buf, ids.buf);
        Py_END_ALLOW_THREADS
        result = ok ? Py_NewRef(Py_None) : PyErr_NoMemory();
    }
    PyBuffer_Release(&rows);
    PyBuffer_Release(&start);
    PyBuffer_Release(&ids);
    return result;
}

static PyObject *py_join(PyObject *self, PyObject *args) {
    Py_buffer queries, rows, start, ids, raw;
    int band, distance;
    long long base, part, parts, most;
    const char *level;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*iiLLLLs", &queries, &rows, &start, &ids, &raw, &band, &distance, &base, &part, &parts, &most, &level))
        return NULL;
    PyObject *result = NULL;
    band_t bands[MOST_BANDS];
    scan_t scan = choose_scan(level);
    int count = 0;
    size_t n = (size_t)rows.len / 32;
    if (!scan)
        PyErr_Format(PyExc_ValueError, "this machine cannot run %s", level);
    else if (check_hashes(&queries, &rows) && (count = read_bands(&raw, bands, distance))) {
        if (band < 0 || band >= count || bands[band].radius < 0 || part < 0 || part >= parts)
            PyErr_SetString(PyExc_ValueError, "no such band or part");
        else if (start.len && ((size_t)start.len != (((size_t)1 << bands[band].width) + 1) * 4 || (size_t)ids.len != n * 4))
            PyErr_SetString(PyExc_ValueError, "starts and ids do not fit the band");
        else {
            found_t found = {.limit = most > 0 ? (size_t)most : 0};
            join_t j = {.rows = rows.buf, .n = n, .scan = scan};
            if (start.len) { j.start = start.buf; j.ids = ids.buf; }
            j.block = (block_t){.bands = bands, .band = band, .distance = distance, .base = base, .found = &found};
            Py_BEGIN_ALLOW_THREADS
            run_join(&j, queries.buf, (size_t)queries.len / 32, (size_t)part, (size_t)parts);
            Py_END_ALLOW_THREADS
            result = give(&found);
        }
    }
    PyBuffer_Release(&queries);
    PyBuffer_Release(&rows);
    PyBuffer_Release(&start);
    PyBuffer_Release(&ids);
    PyBuffer_Release(&raw);
    return result;
}

static PyObject *py_level(PyObject *self, PyObject *unused) { return PyUnicode_FromString(best_level()); }

static PyMethodDef methods[] = {
    {"order", py_order, METH_VARARGS, "order(rows, offset, width, starts, ids): fill starts and ids with the rows in the order of a band"},
    {"join", py_join, METH_VARARGS,
     "join(queries, rows, starts, ids, bands, band, distance, base, part, parts, max_pairs, level) -> u64 pairs, or None beyond max_pairs"},
    {"query", py_query, METH_VARARGS,
     "query(queries, rows, file, places, bands, distance, max_pairs, max_candidates) -> u64 pairs, or None beyond either"},
    {"level", py_level, METH_NOARGS, "level() -> the instruction set that is used: avx512, avx2, neon, portable"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_bands", "Pairs of 256-bit hashes within a distance, by bands.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__bands(void) { return PyModule_Create(&module); }
