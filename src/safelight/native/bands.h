/* Bands of 256-bit hashes: their keys, the order of rows by key, the masks of a radius, and pairs on their way out.
 *
 * A hash is four words of 64 bits, big-endian, so bit 0 is the first bit of the first byte and the first band is a prefix of the byte
 * order. A band is `width` bits (at most 32) from bit `offset` on. Bands lie side by side and cover all 256 bits, so a pair within d
 * has a band within its radius whenever sum(radius + 1) >= d + 1 (pigeonhole): that sum is checked, not believed.
 */
#ifndef BANDS_H
#define BANDS_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 4
#define MOST_BANDS 256
#define MOST_QUERIES ((size_t)1 << 24)
#define SKIPPED (-1)

typedef struct { int offset, width, radius; } band_t;

typedef enum { FINE = 0, TOO_MANY, NO_MEMORY, DAMAGED } outcome_t;

/* Pairs as numbers that sort by query, then entry: query << 40 | entry << 8 | distance. */
typedef struct { uint64_t *pair; size_t used, room, limit; outcome_t outcome; } found_t;

static int found_add(found_t *f, uint64_t query, uint64_t entry, unsigned distance) {
    if (f->used == f->room) {
        size_t room = f->room ? f->room * 2 : 1024;
        if (room > f->limit) room = f->limit;
        if (room <= f->used) { f->outcome = TOO_MANY; return 0; }
        uint64_t *more = realloc(f->pair, room * sizeof *more);
        if (!more) { f->outcome = NO_MEMORY; return 0; }
        f->pair = more;
        f->room = room;
    }
    f->pair[f->used++] = query << 40 | entry << 8 | distance;
    return 1;
}

static inline void load_words(uint64_t *w, const uint8_t *hash) {
    memcpy(w, hash, 32);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (int i = 0; i < WORDS; i++) w[i] = __builtin_bswap64(w[i]);
#endif
}

static inline uint32_t key_of(const uint64_t *w, int offset, int width) {
    int word = offset >> 6, bit = offset & 63;
    uint64_t v = w[word] << bit;
    if (bit + width > 64) v |= w[word + 1] >> (64 - bit);
    return (uint32_t)(v >> (64 - width));
}

static inline uint32_t key_of_hash(const uint8_t *hash, int offset, int width) {
    uint64_t w[WORDS];
    load_words(w, hash);
    return key_of(w, offset, width);
}

/* 1 where the bands lie side by side over all bits and no pair within `distance` can be missed. */
static int bands_are_exact(const band_t *bands, int count, int distance) {
    int bit = 0, errors = 0;
    for (int b = 0; b < count; b++) {
        if (bands[b].offset != bit || bands[b].width < 1 || bands[b].width > 32 || bands[b].radius < SKIPPED ||
            bands[b].radius > bands[b].width)
            return 0;
        bit += bands[b].width;
        errors += bands[b].radius + 1;
    }
    return bit == 256 && errors >= distance + 1;
}

/* Masks of `bits` bits in ascending number of ones: those of at most t ones are the first upto[t]. Freed by the caller. */
typedef struct { uint32_t *mask; uint8_t *ones; size_t upto[34]; } masks_t;

static int masks_make(masks_t *m, int bits, int most) {
    if (most > bits) most = bits;
    size_t total = 0, combinations = 1;
    for (int t = 0; t <= most; t++) {
        total += combinations;
        m->upto[t] = total;
        combinations = combinations * (size_t)(bits - t) / (size_t)(t + 1);
    }
    for (int t = most + 1; t < 34; t++) m->upto[t] = total;
    m->mask = malloc(total * sizeof *m->mask);
    m->ones = malloc(total);
    if (!m->mask || !m->ones) return 0;
    size_t n = 0;
    for (int t = 0; t <= most; t++) {
        uint64_t v = ((uint64_t)1 << t) - 1;
        while (n < m->upto[t]) {
            m->mask[n] = (uint32_t)v;
            m->ones[n++] = (uint8_t)t;
            if (!v) break;
            uint64_t low = v & (~v + 1), up = v + low; /* the next larger number with as many ones */
            v = up | (((v ^ up) >> 2) / low);
        }
    }
    return 1;
}

static void masks_free(masks_t *m) {
    free(m->mask);
    free(m->ones);
}

#define FINE_BITS 12
#define LINE 8

/* Fill `start` (2**width + 1) and `ids` (n) with the rows in ascending order of their key in a band, rows of one key ascending.
 * Two passes: into at most 2**11 parts by the high bits (through buffers of one cache line each), then each part in the cache. */
static int band_order(const uint8_t *rows, size_t n, int offset, int width, uint32_t *start, uint32_t *ids) {
    int low = width <= FINE_BITS ? width : (width - 11 > FINE_BITS ? width - 11 : FINE_BITS);
    size_t parts = (size_t)1 << (width - low), keys = (size_t)1 << low;
    uint32_t *begin = calloc(parts + 1, sizeof *begin), *at = malloc((parts + 1) * sizeof *at), *place = malloc(keys * sizeof *place);
    uint64_t *sorted = malloc(n * sizeof *sorted + 1), *line = malloc(parts * LINE * sizeof *line);
    int ok = begin && at && place && sorted && line;
    if (ok) {
        for (size_t i = 0; i < n; i++) begin[(key_of_hash(rows + i * 32, offset, width) >> low) + 1]++;
        for (size_t p = 0; p < parts; p++) begin[p + 1] += begin[p];
        memcpy(at, begin, (parts + 1) * sizeof *at);
        for (size_t i = 0; i < n; i++) {
            uint32_t key = key_of_hash(rows + i * 32, offset, width), part = key >> low;
            uint32_t place_now = at[part]++, slot = (place_now - begin[part]) % LINE;
            line[(size_t)part * LINE + slot] = (uint64_t)(key & (keys - 1)) << 32 | (uint32_t)i;
            if (slot == LINE - 1) memcpy(sorted + place_now + 1 - LINE, line + (size_t)part * LINE, LINE * sizeof *line);
        }
        for (size_t p = 0; p < parts; p++) {
            uint32_t rest = (at[p] - begin[p]) % LINE;
            if (rest) memcpy(sorted + at[p] - rest, line + p * LINE, rest * sizeof *line);
            memset(place, 0, keys * sizeof *place);
            for (size_t r = begin[p]; r < begin[p + 1]; r++) place[sorted[r] >> 32]++;
            uint32_t next = begin[p];
            for (size_t k = 0; k < keys; k++) {
                uint32_t many = place[k];
                start[p * keys + k] = place[k] = next;
                next += many;
            }
            for (size_t r = begin[p]; r < begin[p + 1]; r++) ids[place[sorted[r] >> 32]++] = (uint32_t)sorted[r];
        }
        start[parts * keys] = (uint32_t)n;
    }
    free(begin);
    free(at);
    free(place);
    free(sorted);
    free(line);
    return ok;
}
#endif
