/* The entries near a few hashes, by single accesses into a mapped index: for each band, each key within the radius, each of its rows.
 *
 * Each access is a cache miss, so starts, row numbers and rows are asked for well before they are used. The same checks as in the join:
 * what the file says is bounds-checked, and a row must have the key under which it stands.
 */
#ifndef BANDS_QUERY_H
#define BANDS_QUERY_H

#define PROBES 64
#define PENDING 32

typedef struct {
    const uint8_t *rows;
    size_t n;
    const uint8_t *file;
    const int64_t *place; /* of each band: starts, row numbers; offsets in the file, multiples of four */
    const band_t *bands;
    masks_t *masks;
    int count, distance;
    size_t most_candidates;
    found_t *found;
} search_t;

#define SEARCH static inline __attribute__((always_inline))

SEARCH int search_row(const search_t *s, const uint64_t *query, uint32_t q, int band, uint32_t id, uint32_t mask) {
    uint64_t x[WORDS];
    int d = 0;
    load_words(x, s->rows + (size_t)id * 32);
    for (int i = 0; i < WORDS; i++) {
        x[i] ^= query[i];
        d += __builtin_popcountll(x[i]);
    }
    if (key_of(x, s->bands[band].offset, s->bands[band].width) != mask) { s->found->outcome = DAMAGED; return 0; }
    if (d > s->distance) return 1;
    for (int k = 0; k < band; k++)
        if (__builtin_popcount(key_of(x, s->bands[k].offset, s->bands[k].width)) <= s->bands[k].radius) return 1;
    return found_add(s->found, q, id, (unsigned)d);
}

SEARCH int search_band(const search_t *s, const uint64_t *query, uint32_t q, int band, size_t *candidates) {
    const uint32_t *start = (const uint32_t *)(const void *)(s->file + s->place[2 * band]);
    const uint32_t *ids = (const uint32_t *)(const void *)(s->file + s->place[2 * band + 1]);
    const masks_t *m = &s->masks[band];
    uint32_t key = key_of(query, s->bands[band].offset, s->bands[band].width);
    uint32_t from[PROBES], to[PROBES], id[PENDING], mask[PENDING];
    size_t all = m->upto[s->bands[band].radius], waiting = 0;
    for (size_t first = 0; first < all; first += PROBES) {
        size_t probes = all - first < PROBES ? all - first : PROBES;
        for (size_t p = 0; p < probes; p++) __builtin_prefetch(start + (key ^ m->mask[first + p]));
        for (size_t p = 0; p < probes; p++) {
            from[p] = start[key ^ m->mask[first + p]];
            to[p] = start[(key ^ m->mask[first + p]) + 1];
            if (from[p] > to[p] || to[p] > s->n) { s->found->outcome = DAMAGED; return 0; }
            *candidates += to[p] - from[p];
            if (from[p] < to[p]) __builtin_prefetch(ids + from[p]);
            if (from[p] + 16 < to[p]) __builtin_prefetch(ids + from[p] + 16);
        }
        if (*candidates > s->most_candidates) { s->found->outcome = TOO_MANY; return 0; }
        for (size_t p = 0; p < probes; p++)
            for (uint32_t r = from[p]; r < to[p]; r++, waiting++) {
                size_t slot = waiting % PENDING;
                if (waiting >= PENDING && !search_row(s, query, q, band, id[slot], mask[slot])) return 0;
                id[slot] = ids[r];
                mask[slot] = m->mask[first + p];
                if (id[slot] >= s->n || (r > from[p] && ids[r - 1] >= id[slot])) { s->found->outcome = DAMAGED; return 0; }
                __builtin_prefetch(s->rows + (size_t)id[slot] * 32);
            }
    }
    for (size_t w = waiting > PENDING ? waiting - PENDING : 0; w < waiting; w++)
        if (!search_row(s, query, q, band, id[w % PENDING], mask[w % PENDING])) return 0;
    return 1;
}

#define SEARCH_BODY                                                                             \
    for (size_t q = 0; q < nq; q++) {                                                           \
        uint64_t query[WORDS];                                                                  \
        size_t candidates = 0;                                                                  \
        load_words(query, queries + q * 32);                                                    \
        for (int b = 0; b < s->count; b++)                                                      \
            if (s->bands[b].radius >= 0 && !search_band(s, query, (uint32_t)q, b, &candidates)) \
                return;                                                                         \
    }

static void search_plain(const search_t *s, const uint8_t *queries, size_t nq) { SEARCH_BODY }
#ifdef X86
__attribute__((target("popcnt"))) static void search_popcnt(const search_t *s, const uint8_t *queries, size_t nq) { SEARCH_BODY }
#endif

static void run_search(search_t *s, const uint8_t *queries, size_t nq) {
    void (*search)(const search_t *, const uint8_t *, size_t) = search_plain;
#ifdef X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("popcnt")) search = search_popcnt;
#endif
    s->masks = calloc((size_t)s->count, sizeof *s->masks);
    if (!s->masks) { s->found->outcome = NO_MEMORY; return; }
    for (int b = 0; b < s->count; b++)
        if (s->bands[b].radius >= 0 && !masks_make(&s->masks[b], s->bands[b].width, s->bands[b].radius)) s->found->outcome = NO_MEMORY;
    if (!s->found->outcome) search(s, queries, nq);
    for (int b = 0; b < s->count; b++) masks_free(&s->masks[b]);
    free(s->masks);
}

static PyObject *give(found_t *found);
static int read_bands(const Py_buffer *raw, band_t *bands, int distance);
static int check_hashes(const Py_buffer *queries, const Py_buffer *rows);

/* 1 where starts and row numbers of all bands that are looked at lie within the file. */
static int places_fit(const band_t *bands, int count, const int64_t *place, size_t n, Py_ssize_t size) {
    for (int b = 0; b < count; b++) {
        int64_t starts = (((int64_t)1 << bands[b].width) + 1) * 4, numbers = (int64_t)n * 4;
        for (int k = 0; k < 2; k++)
            if (place[2 * b + k] < 0 || place[2 * b + k] % 4 || place[2 * b + k] > size - (k ? numbers : starts)) return 0;
    }
    return 1;
}

static PyObject *py_query(PyObject *self, PyObject *args) {
    Py_buffer queries, rows, file, places, raw;
    int distance;
    long long most, candidates;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*iLL", &queries, &rows, &file, &places, &raw, &distance, &most, &candidates)) return NULL;
    PyObject *result = NULL;
    band_t bands[MOST_BANDS];
    int count = 0;
    size_t n = (size_t)rows.len / 32;
    if (check_hashes(&queries, &rows) && (count = read_bands(&raw, bands, distance))) {
        if (places.len != count * 16 || (uintptr_t)file.buf % 4 || (uintptr_t)places.buf % 8 || !places_fit(bands, count, places.buf, n, file.len))
            PyErr_SetString(PyExc_ValueError, "the index contradicts its hashes");
        else {
            found_t found = {.limit = most > 0 ? (size_t)most : 0};
            search_t s = {.rows = rows.buf, .n = n, .file = file.buf, .place = places.buf, .bands = bands, .count = count,
                          .distance = distance, .most_candidates = candidates > 0 ? (size_t)candidates : 0, .found = &found};
            Py_BEGIN_ALLOW_THREADS
            run_search(&s, queries.buf, (size_t)queries.len / 32);
            Py_END_ALLOW_THREADS
            result = give(&found);
        }
    }
    PyBuffer_Release(&queries);
    PyBuffer_Release(&rows);
    PyBuffer_Release(&file);
    PyBuffer_Release(&places);
    PyBuffer_Release(&raw);
    return result;
}
#endif
