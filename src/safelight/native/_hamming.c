/* Pairs of 256-bit hashes within a Hamming distance, by comparing every query with every entry.
 *
 * Entries are transposed in tiles so that AVX-512 VPOPCNTDQ compares eight, AVX2 four at once; the portable path uses the compiler's
 * popcount. The path is chosen at run time. All report exactly the pairs of safelight/native/hamming_twin.py. The GIL is released.
 * Output is bounded by `max_pairs`: beyond it nothing is returned (None) and the caller splits the queries. By bands: _bands.c.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define X86 1
#endif

#define WORDS 4
#define TILE 256

typedef struct {
    uint32_t *query, *entry;
    uint8_t *distance;
    size_t used, room, limit;
    int overflow, no_memory;
} pairs_t;

static int pairs_grow(pairs_t *p) {
    size_t room = p->room ? p->room * 2 : 4096;
    if (room > p->limit) room = p->limit;
    if (room <= p->used) { p->overflow = 1; return 0; }
    uint32_t *q = realloc(p->query, room * sizeof *q);
    if (q) p->query = q;
    uint32_t *e = realloc(p->entry, room * sizeof *e);
    if (e) p->entry = e;
    uint8_t *d = realloc(p->distance, room);
    if (d) p->distance = d;
    if (!q || !e || !d) { p->no_memory = 1; return 0; }
    p->room = room;
    return 1;
}

static inline int pairs_add(pairs_t *p, uint32_t q, uint32_t e, int d) {
    if (p->used == p->room && !pairs_grow(p)) return 0;
    p->query[p->used] = q;
    p->entry[p->used] = e;
    p->distance[p->used] = (uint8_t)d;
    p->used++;
    return 1;
}

/* One tile: `count` entries from number `first`, against all queries. base >= 0: only entries below base + query number. */
typedef int (*tile_t)(const uint64_t *queries, size_t nq, const uint64_t *tile, size_t count, size_t first, int distance,
                      int64_t base, pairs_t *out);

static inline int wanted(int64_t base, size_t q, size_t e) { return base < 0 || (int64_t)e < base + (int64_t)q; }

static int tile_portable(const uint64_t *queries, size_t nq, const uint64_t *tile, size_t count, size_t first, int distance,
                         int64_t base, pairs_t *out) {
    for (size_t q = 0; q < nq; q++)
        for (size_t e = 0; e < count; e++) {
            int d = 0;
            for (int w = 0; w < WORDS; w++) d += __builtin_popcountll(queries[q * WORDS + w] ^ tile[(size_t)w * TILE + e]);
            if (d <= distance && wanted(base, q, first + e) && !pairs_add(out, (uint32_t)q, (uint32_t)(first + e), d)) return 0;
        }
    return 1;
}

#ifdef X86
__attribute__((target("avx512f,avx512vpopcntdq"))) static int tile_avx512(const uint64_t *queries, size_t nq, const uint64_t *tile,
                                                                         size_t count, size_t first, int distance, int64_t base,
                                                                         pairs_t *out) {
    const __m512i limit = _mm512_set1_epi64(distance);
    for (size_t q = 0; q < nq; q++) {
        const uint64_t *h = queries + q * WORDS;
        const __m512i q0 = _mm512_set1_epi64((long long)h[0]), q1 = _mm512_set1_epi64((long long)h[1]);
        const __m512i q2 = _mm512_set1_epi64((long long)h[2]), q3 = _mm512_set1_epi64((long long)h[3]);
        for (size_t e = 0; e < count; e += 8) {
            __m512i d = _mm512_popcnt_epi64(_mm512_xor_si512(q0, _mm512_loadu_si512(tile + e)));
            d = _mm512_add_epi64(d, _mm512_popcnt_epi64(_mm512_xor_si512(q1, _mm512_loadu_si512(tile + TILE + e))));
            d = _mm512_add_epi64(d, _mm512_popcnt_epi64(_mm512_xor_si512(q2, _mm512_loadu_si512(tile + 2 * TILE + e))));
            d = _mm512_add_epi64(d, _mm512_popcnt_epi64(_mm512_xor_si512(q3, _mm512_loadu_si512(tile + 3 * TILE + e))));
            __mmask8 hit = _mm512_cmple_epi64_mask(d, limit);
            if (!hit) continue;
            uint64_t found[8];
            _mm512_storeu_si512(found, d);
            for (size_t lane = 0; lane < 8 && e + lane < count; lane++)
                if ((hit >> lane & 1) && wanted(base, q, first + e + lane) &&
                    !pairs_add(out, (uint32_t)q, (uint32_t)(first + e + lane), (int)found[lane]))
                    return 0;
        }
    }
    return 1;
}

__attribute__((target("avx2"))) static inline __m256i bits_avx2(__m256i v) {
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble)),
                           _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble)));
}

__attribute__((target("avx2"))) static int tile_avx2(const uint64_t *queries, size_t nq, const uint64_t *tile, size_t count,
                                                    size_t first, int distance, int64_t base, pairs_t *out) {
    const __m256i limit = _mm256_set1_epi64x((long long)distance + 1), zero = _mm256_setzero_si256();
    for (size_t q = 0; q < nq; q++) {
        const uint64_t *h = queries + q * WORDS;
        const __m256i q0 = _mm256_set1_epi64x((long long)h[0]), q1 = _mm256_set1_epi64x((long long)h[1]);
        const __m256i q2 = _mm256_set1_epi64x((long long)h[2]), q3 = _mm256_set1_epi64x((long long)h[3]);
        for (size_t e = 0; e < count; e += 4) {
            /* four byte counts of at most 8 each: no overflow in 8 bits */
            __m256i b = bits_avx2(_mm256_xor_si256(q0, _mm256_loadu_si256((const __m256i *)(tile + e))));
            b = _mm256_add_epi8(b, bits_avx2(_mm256_xor_si256(q1, _mm256_loadu_si256((const __m256i *)(tile + TILE + e)))));
            b = _mm256_add_epi8(b, bits_avx2(_mm256_xor_si256(q2, _mm256_loadu_si256((const __m256i *)(tile + 2 * TILE + e)))));
            b = _mm256_add_epi8(b, bits_avx2(_mm256_xor_si256(q3, _mm256_loadu_si256((const __m256i *)(tile + 3 * TILE + e)))));
            __m256i d = _mm256_sad_epu8(b, zero);
            int hit = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(limit, d)));
            if (!hit) continue;
            uint64_t found[4];
            _mm256_storeu_si256((__m256i *)found, d);
            for (size_t lane = 0; lane < 4 && e + lane < count; lane++)
                if ((hit >> lane & 1) && wanted(base, q, first + e + lane) &&
                    !pairs_add(out, (uint32_t)q, (uint32_t)(first + e + lane), (int)found[lane]))
                    return 0;
        }
    }
    return 1;
}
#endif

static const char *best_level(void) {
#ifdef X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vpopcntdq")) return "avx512";
    if (__builtin_cpu_supports("avx2")) return "avx2";
#endif
    return "portable";
}

/* NULL when this machine cannot run the level that was asked for. */
static tile_t choose(const char *level) {
    const char *best = best_level();
    if (!*level) level = best;
    if (!strcmp(level, "portable")) return tile_portable;
#ifdef X86
    if (!strcmp(level, "avx512") && !strcmp(best, "avx512")) return tile_avx512;
    if (!strcmp(level, "avx2") && strcmp(best, "portable")) return tile_avx2;
#endif
    return NULL;
}

static void run_brute(tile_t tile_join, const uint8_t *queries, size_t nq, const uint8_t *entries, size_t ne, int distance,
                      int64_t base, pairs_t *out) {
    uint64_t tile[WORDS * TILE];
    uint64_t *aligned = malloc(nq * 32 + 1);
    if (!aligned) { out->no_memory = 1; return; }
    memcpy(aligned, queries, nq * 32);
    for (size_t first = 0; first < ne; first += TILE) {
        size_t count = ne - first < TILE ? ne - first : TILE;
        memset(tile, 0, sizeof tile);
        for (size_t e = 0; e < count; e++)
            for (int w = 0; w < WORDS; w++) memcpy(&tile[(size_t)w * TILE + e], entries + (first + e) * 32 + 8 * (size_t)w, 8);
        if (!tile_join(aligned, nq, tile, count, first, distance, base, out)) break;
    }
    free(aligned);
}

static PyObject *give(pairs_t *p) {
    PyObject *result = NULL;
    if (p->no_memory)
        PyErr_NoMemory();
    else if (p->overflow)
        result = Py_NewRef(Py_None);
    else
        result = Py_BuildValue("(y#y#y#)", p->used ? (const char *)p->query : "", (Py_ssize_t)(p->used * 4),
                               p->used ? (const char *)p->entry : "", (Py_ssize_t)(p->used * 4),
                               p->used ? (const char *)p->distance : "", (Py_ssize_t)p->used);
    free(p->query);
    free(p->entry);
    free(p->distance);
    return result;
}

static int check_sizes(const Py_buffer *q, const Py_buffer *e, int distance, int most) {
    if (q->len % 32 || e->len % 32)
        PyErr_SetString(PyExc_ValueError, "hashes must be 32 bytes each");
    else if (q->len / 32 >= (Py_ssize_t)UINT32_MAX || e->len / 32 >= (Py_ssize_t)UINT32_MAX)
        PyErr_SetString(PyExc_ValueError, "too many hashes for one join");
    else if (distance < 0 || distance > most)
        PyErr_Format(PyExc_ValueError, "distance must be 0..%d", most);
    else
        return 1;
    return 0;
}

static PyObject *py_brute(PyObject *self, PyObject *args) {
    Py_buffer q, e;
    int distance;
    long long base, max_pairs;
    const char *level;
    if (!PyArg_ParseTuple(args, "y*y*iLLs", &q, &e, &distance, &base, &max_pairs, &level)) return NULL;
    PyObject *result = NULL;
    tile_t tile_join = choose(level);
    if (!tile_join)
        PyErr_Format(PyExc_ValueError, "this machine cannot run %s", level);
    else if (check_sizes(&q, &e, distance, 255)) {
        pairs_t out = {.limit = max_pairs > 0 ? (size_t)max_pairs : 0};
        Py_BEGIN_ALLOW_THREADS
        run_brute(tile_join, q.buf, (size_t)q.len / 32, e.buf, (size_t)e.len / 32, distance, base, &out);
        Py_END_ALLOW_THREADS
        result = give(&out);
    }
    PyBuffer_Release(&q);
    PyBuffer_Release(&e);
    return result;
}

static PyObject *py_level(PyObject *self, PyObject *unused) { return PyUnicode_FromString(best_level()); }

static PyMethodDef methods[] = {
    {"brute", py_brute, METH_VARARGS, "brute(queries, entries, distance, base, max_pairs, level) -> (u32, u32, u8) bytes, or None beyond max_pairs"},
    {"level", py_level, METH_NOARGS, "level() -> the instruction set that is used: avx512, avx2, portable"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_hamming", "Pairs of 256-bit hashes within a Hamming distance.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__hamming(void) { return PyModule_Create(&module); }
