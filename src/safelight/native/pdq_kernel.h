/* PDQ from a full-size plane, sampled: the tent filter is evaluated only at the 64 x 64 points that the hash uses.

   Each axis of n pixels has a window w = ceil(n / 128); the reference filters twice with a box of w pixels, clipped at the
   edges, and then takes 64 samples. The two boxes together are one row of small whole-number weights per sample, so all sums
   here are exact in integers: the result does not depend on the order of additions, on SIMD or on the compiler, and the
   mirrored samplings equal the sampling of the mirrored picture exactly. One division per sample makes the float that the
   reference would hold (up to its own rounding). Included by _pdq.c and _jpeg.c; rows arrive in bands, top to bottom.

   Facts: facebook/ThreatExchange pdq/cpp/hashing (windows, sample points, quality, DCT frequencies 1..16, lower median). */
#ifndef SAFELIGHT_PDQ_KERNEL_H
#define SAFELIGHT_PDQ_KERNEL_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pdq_cosines.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PDQ_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define PDQ_CLONES
#endif

enum { PDQ_SIDE = 64, PDQ_FREQUENCIES = 16, PDQ_SLOTS = 8, PDQ_POOL = 12 };

typedef struct {
    int64_t start;    /* first pixel of the tent */
    int count;        /* pixels in it */
    uint32_t *weight; /* whole numbers, `count` of them */
    uint64_t total;   /* their sum: the divisor */
} PdqTent;

typedef struct {
    int tents;                   /* 64, or 128 with the mirrored samples behind the plain ones */
    PdqTent tent[2 * PDQ_SIDE];  /* in order of the sample number */
    uint32_t *weights;           /* backing store */
} PdqAxis;

typedef struct {
    int64_t width, height, next_row;
    int channels, turns, wide;         /* wide: accumulators of 64 bits (height above 32,768) */
    PdqAxis vertical, horizontal;
    void *pool[PDQ_POOL];              /* accumulators of one row each */
    int owner[PDQ_POOL];               /* the vertical tent that uses it, -1 when free */
    uint64_t *sum;                     /* one finished row, luma (times 1000 for RGB) */
    float sample[4][PDQ_SIDE][PDQ_SIDE]; /* [2 * mirrored vertically + mirrored horizontally] */
} Pdq;

/* Build the weights of one axis. With o the sample point, box pixels run from o - (w - half) to o + half - 1, half = (w + 2) / 2.
   Only the last sample of an even window touches the edge: its last inner box has w - 1 pixels, so all of its weights are put
   over the common divisor w * (w - 1). */
static int pdq_axis(PdqAxis *axis, int64_t n, int turns) {
    int64_t w = (n + 127) / 128, half = (w + 2) / 2, before = w - half, after = half - 1;
    int64_t longest = 2 * (before + after) + 1;
    axis->tents = turns ? 2 * PDQ_SIDE : PDQ_SIDE;
    axis->weights = calloc((size_t)(longest * axis->tents), sizeof(uint32_t));
    if (axis->weights == NULL) return -1;
    for (int i = 0; i < PDQ_SIDE; i++) {
        PdqTent *t = &axis->tent[i];
        int64_t o = (2 * i + 1) * n / 128;
        int64_t lo = o - before < 0 ? 0 : o - before, hi = o + after >= n ? n - 1 : o + after;
        int64_t first = lo - before < 0 ? 0 : lo - before, last = hi + after >= n ? n - 1 : hi + after;
        int clipped = hi + after >= n || lo - before < 0 || lo != o - before || hi != o + after;
        t->start = first;
        t->count = (int)(last - first + 1);
        t->weight = axis->weights + longest * i;
        t->total = 0;
        for (int64_t m = lo; m <= hi; m++) {
            int64_t a = m - before < 0 ? 0 : m - before, b = m + after >= n ? n - 1 : m + after;
            uint32_t scale = !clipped ? 1 : b - a + 1 == w ? (uint32_t)(w - 1) : (uint32_t)w;
            for (int64_t x = a; x <= b; x++) t->weight[x - first] += scale;
            t->total += scale * (uint64_t)(b - a + 1);
        }
        if (!turns) continue;
        PdqTent *mirror = &axis->tent[PDQ_SIDE + i];
        mirror->start = n - 1 - last;
        mirror->count = t->count;
        mirror->total = t->total;
        mirror->weight = axis->weights + longest * (PDQ_SIDE + i);
        for (int x = 0; x < t->count; x++) mirror->weight[x] = t->weight[t->count - 1 - x];
    }
    return 0;
}

static void pdq_free(Pdq *p) {
    free(p->vertical.weights);
    free(p->horizontal.weights);
    for (int i = 0; i < PDQ_POOL; i++) free(p->pool[i]);
    free(p->sum);
    memset(p, 0, sizeof *p);
}

/* True where every sum fits into 64 bits (always below 178 Mpx unless a side is a few pixels long). */
static int pdq_fits(int64_t width, int64_t height, int channels) {
    double v = (double)((height + 127) / 128), h = (double)((width + 127) / 128);
    double levels = channels == 3 ? 255000.0 : 255.0;
    return width > 0 && height > 0 && width <= (1 << 26) && height <= (1 << 26) && levels * v * v * v * h * h * h < 9.0e18;
}

/* Prepare for a picture of at least 5 x 5 pixels for which pdq_fits holds. Returns -1 without memory. */
static int pdq_begin(Pdq *p, int64_t width, int64_t height, int channels, int turns) {
    memset(p, 0, sizeof *p);
    p->width = width, p->height = height, p->channels = channels, p->turns = turns;
    p->wide = height > 32768; /* 256 * 256 * 255 * 255 is the largest sum of 32 bits */
    for (int i = 0; i < PDQ_POOL; i++) p->owner[i] = -1;
    p->sum = malloc((size_t)width * sizeof(uint64_t));
    if (p->sum == NULL || pdq_axis(&p->vertical, height, turns) || pdq_axis(&p->horizontal, width, turns)) {
        pdq_free(p);
        return -1;
    }
    return 0;
}

PDQ_CLONES static void pdq_add4(uint32_t *restrict acc, const uint8_t *restrict a, const uint8_t *restrict b,
                                const uint8_t *restrict c, const uint8_t *restrict d, const uint32_t *w, int64_t n) {
    uint32_t w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
    for (int64_t i = 0; i < n; i++) acc[i] += w0 * a[i] + w1 * b[i] + w2 * c[i] + w3 * d[i];
}

PDQ_CLONES static void pdq_add1(uint32_t *restrict acc, const uint8_t *restrict a, uint32_t w, int64_t n) {
    for (int64_t i = 0; i < n; i++) acc[i] += w * a[i];
}

static void pdq_add_wide(uint64_t *restrict acc, const uint8_t *restrict a, uint64_t w, int64_t n) {
    for (int64_t i = 0; i < n; i++) acc[i] += w * a[i];
}

/* Find or take the accumulator of a vertical tent. */
static int pdq_slot(Pdq *p, int tent) {
    int vacant = -1;
    for (int i = 0; i < PDQ_POOL; i++) {
        if (p->owner[i] == tent) return i;
        if (p->owner[i] < 0 && vacant < 0) vacant = i;
    }
    if (vacant < 0) return -1;
    size_t bytes = (size_t)(p->width * p->channels) * (p->wide ? 8 : 4);
    if (p->pool[vacant] == NULL && (p->pool[vacant] = malloc(bytes)) == NULL) return -1;
    memset(p->pool[vacant], 0, bytes);
    p->owner[vacant] = tent;
    return vacant;
}

/* Turn a finished accumulator into 64 (128) samples of its row. */
static void pdq_finish_row(Pdq *p, int tent, int slot) {
    const uint32_t *narrow = p->pool[slot];
    const uint64_t *wide = p->pool[slot];
    uint64_t *sum = p->sum;
    int64_t n = p->width;
    if (p->channels == 1)
        for (int64_t x = 0; x < n; x++) sum[x] = p->wide ? wide[x] : narrow[x];
    else
        for (int64_t x = 0; x < n; x++)
            sum[x] = p->wide ? 299 * wide[3 * x] + 587 * wide[3 * x + 1] + 114 * wide[3 * x + 2]
                             : 299 * (uint64_t)narrow[3 * x] + 587 * (uint64_t)narrow[3 * x + 1] + 114 * (uint64_t)narrow[3 * x + 2];
    int row = tent % PDQ_SIDE, base = tent >= PDQ_SIDE ? 2 : 0;
    uint64_t levels = p->channels == 3 ? 1000 : 1;
    for (int j = 0; j < p->horizontal.tents; j++) {
        const PdqTent *t = &p->horizontal.tent[j];
        const uint64_t *s = sum + t->start;
        uint64_t total = 0;
        for (int x = 0; x < t->count; x++) total += s[x] * t->weight[x];
        double divisor = (double)(p->vertical.tent[tent].total * t->total * levels);
        p->sample[base + (j >= PDQ_SIDE)][row][j % PDQ_SIDE] = (float)((double)total / divisor);
    }
    p->owner[slot] = -1;
}

/* Add the rows of one band to one vertical tent. Returns -1 without memory. */
static int pdq_feed(Pdq *p, int tent, const uint8_t *rows, int64_t stride, int64_t count) {
    const PdqTent *t = &p->vertical.tent[tent];
    int64_t from = t->start > p->next_row ? t->start : p->next_row, end = p->next_row + count, n = p->width * p->channels;
    int64_t to = t->start + t->count < end ? t->start + t->count : end;
    if (from >= to) return 0;
    int slot = pdq_slot(p, tent);
    if (slot < 0) return -1;
    for (int64_t y = from; y < to;) {
        const uint8_t *r = rows + (y - p->next_row) * stride;
        const uint32_t *w = t->weight + (y - t->start);
        if (p->wide) pdq_add_wide(p->pool[slot], r, *w, n), y++;
        else if (to - y >= 4) pdq_add4(p->pool[slot], r, r + stride, r + 2 * stride, r + 3 * stride, w, n), y += 4;
        else pdq_add1(p->pool[slot], r, *w, n), y++;
    }
    if (to == t->start + t->count) pdq_finish_row(p, tent, slot);
    return 0;
}

/* Take the next `count` rows. Bands of 8 to 64 rows keep the rows in the cache while two to four tents read them. */
static int pdq_rows(Pdq *p, const uint8_t *rows, int64_t stride, int64_t count) {
    if (count > p->height - p->next_row) count = p->height - p->next_row;
    for (int64_t done = 0; done < count;) {
        int64_t band = count - done < 32 ? count - done : 32;
        for (int tent = 0; tent < p->vertical.tents; tent++)
            if (pdq_feed(p, tent, rows + done * stride, stride, band)) return -1;
        p->next_row += band;
        done += band;
    }
    return 0;
}

/* Gradient sum over the 64 x 64 samples; the truncation to int before the absolute value is the reference's. */
static int pdq_quality(float a[PDQ_SIDE][PDQ_SIDE]) {
    int sum = 0;
    for (int i = 0; i < PDQ_SIDE; i++)
        for (int j = 0; j < PDQ_SIDE; j++) {
            if (i + 1 < PDQ_SIDE) sum += abs((int)((a[i][j] - a[i + 1][j]) * 100.0f / 255.0f));
            if (j + 1 < PDQ_SIDE) sum += abs((int)((a[i][j] - a[i][j + 1]) * 100.0f / 255.0f));
        }
    return sum / 90 > 100 ? 100 : sum / 90;
}

static float pdq_cosine(int i, int j) {
    int m = (i + 1) * (2 * j + 1) % 256; /* cos(pi m / 128) repeats after 256 */
    if (m > 128) m = 256 - m;
    return m <= 64 ? pdq_cosines[m] : -pdq_cosines[128 - m];
}

/* 16 x 16 coefficients: products of floats are exact in double, sums run in a fixed order, one rounding to float at the end. */
static void pdq_dct(float a[PDQ_SIDE][PDQ_SIDE], float out[PDQ_FREQUENCIES][PDQ_FREQUENCIES]) {
    double d[PDQ_FREQUENCIES][PDQ_SIDE], half[PDQ_FREQUENCIES][PDQ_SIDE];
    for (int i = 0; i < PDQ_FREQUENCIES; i++)
        for (int j = 0; j < PDQ_SIDE; j++) d[i][j] = pdq_cosine(i, j);
    memset(half, 0, sizeof half);
    for (int i = 0; i < PDQ_FREQUENCIES; i++)
        for (int j = 0; j < PDQ_SIDE; j++)
            for (int k = 0; k < PDQ_SIDE; k++) half[i][k] += d[i][j] * (double)a[j][k];
    for (int i = 0; i < PDQ_FREQUENCIES; i++)
        for (int m = 0; m < PDQ_FREQUENCIES; m++) {
            double sum = 0;
            for (int k = 0; k < PDQ_SIDE; k++) sum += half[i][k] * d[m][k];
            out[i][m] = (float)sum;
        }
}

static int pdq_ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Bits above the lower median, bit i * 16 + j; written as the published text is: bit 255 first. */
static void pdq_bits(float b[PDQ_FREQUENCIES][PDQ_FREQUENCIES], int transposed, float median, uint8_t out[32]) {
    memset(out, 0, 32);
    for (int i = 0; i < PDQ_FREQUENCIES; i++)
        for (int j = 0; j < PDQ_FREQUENCIES; j++) {
            int bit = i * 16 + j;
            if ((transposed ? b[j][i] : b[i][j]) > median) out[31 - bit / 8] |= (uint8_t)(1 << bit % 8);
        }
}

/* Write 8 hashes (1 without turns) of 32 bytes in the order of records.TRANSFORMS; return the quality of the first. */
static int pdq_end(Pdq *p, uint8_t *out) {
    /* sampling (2 * vertical mirror + horizontal mirror) -> slots: as it is, transposed */
    static const int slots[4][2] = {{0, 6}, {5, 1}, {4, 3}, {2, 7}};
    float b[PDQ_FREQUENCIES][PDQ_FREQUENCIES], sorted[PDQ_FREQUENCIES * PDQ_FREQUENCIES];
    for (int s = 0; s < (p->turns ? 4 : 1); s++) {
        pdq_dct(p->sample[s], b);
        memcpy(sorted, b, sizeof sorted);
        qsort(sorted, PDQ_FREQUENCIES * PDQ_FREQUENCIES, sizeof(float), pdq_ascending);
        pdq_bits(b, 0, sorted[127], out + 32 * slots[s][0]);
        if (p->turns) pdq_bits(b, 1, sorted[127], out + 32 * slots[s][1]);
    }
    return pdq_quality(p->sample[0]);
}

#endif
