/* Local features of a luma plane, in whole numbers only: the same plane gives the same bytes on every machine.

   Corners by the segment test (Rosten and Drummond 2006: 9 of 16 neighbours in a row brighter or darker), ranked by the measure of
   Harris and Stephens (1988) with k = 1/25 over 7 x 7 pixels, in a pyramid of steps of 4/5. Orientation by the intensity centroid and
   a descriptor of 256 comparisons turned with it, as in ORB (Rublee et al. 2011); the comparisons are our own
   (features_pattern.h): the second of each two is the mirror image of the first, so the descriptor of the mirrored picture is the same
   bits with neighbours exchanged. */
#ifndef SAFELIGHT_FEATURES_KERNEL_H
#define SAFELIGHT_FEATURES_KERNEL_H

#include <stdint.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "features_pattern.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FEATURE_CLONES __attribute__((target_clones("avx2", "popcnt", "default")))
#else
#define FEATURE_CLONES
#endif

enum { FEATURE_SIDE = 2048, FEATURE_MOST = 1024, FEATURE_BYTES = 32, FEATURE_POINT = 6 };
enum { LEVELS = 8, RADIUS = 15, BORDER = 17, BLOCK = 3, GRID = 8, TURNS = 64 };

typedef struct {
    int x, y, level, turn; /* place in 1/16 pixel of the plane; level of the pyramid; angle in 64ths of a turn */
    uint8_t descriptor[FEATURE_BYTES];
} Feature;

typedef struct {
    int x, y, cell, rank;
    int64_t score;
} Corner;

/* Several pixels at once; lowered to what the machine has. */
typedef uint8_t Bytes16 __attribute__((vector_size(16)));
typedef uint8_t Bytes8 __attribute__((vector_size(8)));
typedef int16_t Shorts16 __attribute__((vector_size(32)));
typedef uint16_t Bits16 __attribute__((vector_size(32)));
typedef int16_t Shorts8 __attribute__((vector_size(16)));
typedef int32_t Ints8 __attribute__((vector_size(32)));

static int8_t turned[TURNS][256][4]; /* the comparisons, turned: x and y of both points */
static int half_width[RADIUS + 1];   /* of the rows of the disc */

static int turned_part(int a, int b) { /* rounds halves away from zero: a mirrored pattern stays one */
    int v = a + b;
    return v < 0 ? -((-v + 8192) >> 14) : (v + 8192) >> 14;
}

static void features_begin(void) {
    for (int t = 0; t < TURNS; t++)
        for (int i = 0; i < 256; i++)
            for (int k = 0; k < 4; k += 2) {
                int x = PATTERN[i][k], y = PATTERN[i][k + 1], c = DIRECTION[t][0], s = DIRECTION[t][1];
                turned[t][i][k] = (int8_t)turned_part(x * c, -y * s);
                turned[t][i][k + 1] = (int8_t)turned_part(x * s, y * c);
            }
    for (int y = 0; y <= RADIUS; y++) {
        int x = 0;
        while ((x + 1) * (x + 1) + y * y <= RADIUS * RADIUS) x++;
        half_width[y] = x;
    }
}

/* One row between two others, in 1/256. */
FEATURE_CLONES static void between(const uint8_t *restrict a, const uint8_t *restrict b, int w, int f, uint16_t *restrict out) {
    for (int x = 0; x < w; x++) out[x] = (uint16_t)(a[x] * (256 - f) + b[x] * f);
}

/* Bilinear, sample points at pixel centres, fractions of 1/256; rounded once, so the order of rows and columns does not matter. */
static void shrink_plane(const uint8_t *in, int w, int h, uint8_t *out, int ow, int oh, int *at, int *part, uint16_t *row) {
    for (int x = 0; x < ow; x++) {
        int64_t p = ((int64_t)(2 * x + 1) * w * 128) / ow - 128;
        if (p < 0) p = 0;
        at[x] = (int)(p >> 8), part[x] = (int)(p & 255);
        if (at[x] >= w - 1) at[x] = w - 1, part[x] = 0;
    }
    for (int y = 0; y < oh; y++) {
        int64_t p = ((int64_t)(2 * y + 1) * h * 128) / oh - 128;
        if (p < 0) p = 0;
        int first = (int)(p >> 8), f = (int)(p & 255);
        if (first >= h - 1) first = h - 1, f = 0;
        const uint8_t *a = in + (size_t)first * w;
        between(a, f ? a + w : a, w, f, row);
        row[w] = 0; /* beside the last column, times 0 */
        for (int x = 0; x < ow; x++) {
            const uint16_t *r = row + at[x];
            out[(size_t)y * ow + x] = (uint8_t)((r[0] * (256 - part[x]) + r[1] * part[x] + 32768) >> 16);
        }
    }
}

/* 7 taps near a Gaussian of sigma 2, `step` apart, for the pixels from `start` to `end` of a row, rounded. Sums stay below 65,536. */
FEATURE_CLONES static void blur_row(const uint8_t *in, ptrdiff_t step, int start, int end, uint8_t *out) {
    static const uint16_t WEIGHT[4] = {56, 49, 33, 18};
    int x = start;
    for (; x + 16 <= end; x += 16) {
        Bytes16 one, two;
        memcpy(&one, in + x, sizeof one);
        Bits16 sum = __builtin_convertvector(one, Bits16) * WEIGHT[0] + (uint16_t)128;
        for (int k = 1; k < 4; k++) {
            memcpy(&one, in + x - k * step, sizeof one), memcpy(&two, in + x + k * step, sizeof two);
            sum += (__builtin_convertvector(one, Bits16) + __builtin_convertvector(two, Bits16)) * WEIGHT[k];
        }
        one = __builtin_convertvector(sum >> 8, Bytes16);
        memcpy(out + x, &one, sizeof one);
    }
    for (; x < end; x++) {
        int sum = in[x] * WEIGHT[0] + 128;
        for (int k = 1; k < 4; k++) sum += (in[x - k * step] + in[x + k * step]) * WEIGHT[k];
        out[x] = (uint8_t)(sum >> 8);
    }
}

/* Blur rows, then columns; only what is 3 pixels inside is set. */
static void blur(const uint8_t *in, int w, int h, uint8_t *out, uint8_t *middle) {
    for (int y = 0; y < h; y++) blur_row(in + (size_t)y * w, 1, 3, w - 3, middle + (size_t)y * w);
    for (int y = 3; y < h - 3; y++) blur_row(middle + (size_t)y * w, w, 3, w - 3, out + (size_t)y * w);
}

static const int STEPS[2] = {10, 5}; /* grey levels of a corner; the second where the first gives too few */

static const int8_t CIRCLE[16][2] = {{0, -3}, {1, -3}, {2, -2}, {3, -1}, {3, 0}, {3, 1}, {2, 2}, {1, 3},
                                     {0, 3}, {-1, 3}, {-2, 2}, {-3, 1}, {-3, 0}, {-3, -1}, {-2, -2}, {-1, -3}};

/* Mark pixels that may be corners: of each two opposite points one is brighter (or of each two one is darker). */
FEATURE_CLONES static void may_be_corner(const uint8_t *restrict row, int w, int step, uint8_t *restrict mark) {
    for (int x = BORDER; x < w - BORDER; x++) {
        const uint8_t *p = row + x;
        int n = p[-3 * w], s = p[3 * w], e = p[3], o = p[-3], high = p[0] + step, low = p[0] - step;
        int brighter = ((n > high) | (s > high)) & ((e > high) | (o > high));
        int darker = ((n < low) | (s < low)) & ((e < low) | (o < low));
        mark[x] = (uint8_t)(brighter | darker);
    }
}

enum { RUN = 16 }; /* pixels that are looked at together */

/* Leave the marks of a run of pixels where 9 of the 16 neighbours in a row, round the end, are brighter, or darker. */
FEATURE_CLONES static void are_corners(const uint8_t *p, const ptrdiff_t *circle, int step, uint8_t *mark) {
    Bytes16 own, other, kept;
    memcpy(&own, p, sizeof own);
    Shorts16 middle = __builtin_convertvector(own, Shorts16), high = middle + (int16_t)step, low = middle - (int16_t)step;
    Bits16 bits[2] = {{0}, {0}}, found = {0};
    for (int i = 0; i < 16; i++) {
        memcpy(&other, p + circle[i], sizeof other);
        Shorts16 value = __builtin_convertvector(other, Shorts16);
        bits[0] |= (Bits16)(value > high) & (uint16_t)(1 << i);
        bits[1] |= (Bits16)(value < low) & (uint16_t)(1 << i);
    }
    for (int k = 0; k < 2; k++) {
        Bits16 run = bits[k] & (bits[k] >> 1 | bits[k] << 15);
        run &= run >> 2 | run << 14;
        run &= run >> 4 | run << 12;
        found |= run & (bits[k] >> 8 | bits[k] << 8);
    }
    memcpy(&kept, mark, sizeof kept);
    kept &= __builtin_convertvector((Bits16)(found != 0), Bytes16);
    memcpy(mark, &kept, sizeof kept);
}

/* 8 columns at a time, of which the last does not count; each sum is below 2^26. */
FEATURE_CLONES static int64_t harris(const uint8_t *p, int w) {
    Shorts8 across[2 * BLOCK + 3], smooth[2 * BLOCK + 3]; /* of a row: right less left; left, twice the middle and right */
    for (int y = 0; y < 2 * BLOCK + 3; y++) {
        const uint8_t *q = p + (ptrdiff_t)(y - BLOCK - 1) * w - BLOCK;
        Bytes8 l, m, r;
        memcpy(&l, q - 1, sizeof l), memcpy(&m, q, sizeof m), memcpy(&r, q + 1, sizeof r);
        Shorts8 left = __builtin_convertvector(l, Shorts8), middle = __builtin_convertvector(m, Shorts8);
        Shorts8 right = __builtin_convertvector(r, Shorts8);
        across[y] = right - left, smooth[y] = left + 2 * middle + right;
    }
    Ints8 xx = {0}, xy = {0}, yy = {0};
    for (int y = 1; y < 2 * BLOCK + 2; y++) {
        Ints8 gx = __builtin_convertvector(across[y - 1] + 2 * across[y] + across[y + 1], Ints8);
        Ints8 gy = __builtin_convertvector(smooth[y + 1] - smooth[y - 1], Ints8);
        xx += gx * gx, xy += gx * gy, yy += gy * gy;
    }
    int64_t a = 0, b = 0, c = 0;
    for (int x = 0; x < 2 * BLOCK + 1; x++) a += xx[x], b += xy[x], c += yy[x];
    return 25 * (a * c - b * b) - (a + c) * (a + c);
}

/* Direction of the centroid of a disc: the one of 64 with the largest product, the first of equals. */
static int direction(const uint8_t *p, int w) {
    int64_t mx = 0, my = 0;
    for (int y = -RADIUS; y <= RADIUS; y++) {
        int half = half_width[y < 0 ? -y : y], sum = 0, moment = 0;
        for (int x = -half; x <= half; x++) sum += p[y * w + x], moment += x * p[y * w + x];
        mx += moment, my += (int64_t)y * sum;
    }
    int best = 0;
    int64_t most = INT64_MIN;
    for (int t = 0; t < TURNS; t++) {
        int64_t product = mx * DIRECTION[t][0] + my * DIRECTION[t][1];
        if (product > most) most = product, best = t;
    }
    return best;
}

static void describe(const uint8_t *p, int w, int turn, uint8_t *out) {
    for (int byte = 0; byte < FEATURE_BYTES; byte++) {
        int bits = 0;
        for (int i = 0; i < 8; i++) {
            const int8_t *t = turned[turn][8 * byte + i];
            bits |= (p[t[1] * w + t[0]] < p[t[3] * w + t[2]]) << i;
        }
        out[byte] = (uint8_t)bits;
    }
}

static int by_score(const void *a, const void *b) {
    const Corner *p = a, *q = b;
    if (p->score != q->score) return p->score < q->score ? 1 : -1;
    return p->y != q->y ? p->y - q->y : p->x - q->x;
}

static int by_rank(const void *a, const void *b) {
    const Corner *p = a, *q = b;
    return p->rank != q->rank ? p->rank - q->rank : by_score(a, b);
}

static int any_mark(const uint8_t *mark) {
    uint64_t word[RUN / 8];
    memcpy(word, mark, sizeof word);
    return (word[0] | word[1]) != 0;
}

/* Find the corners of one level, the best first. Returns how many, -1 without memory. `scores` is a plane of zeros and is left so. */
static int find_corners(const uint8_t *plane, int w, int h, int step, int64_t *scores, uint8_t *mark, Corner **out) {
    ptrdiff_t circle[16];
    for (int i = 0; i < 16; i++) circle[i] = CIRCLE[i][1] * (ptrdiff_t)w + CIRCLE[i][0];
    int count = 0, room = 1024, kept = 0;
    Corner *corners = malloc(sizeof(Corner) * (size_t)room);
    if (corners == NULL) return -1;
    for (int y = BORDER; y < h - BORDER; y++) {
        const uint8_t *row = plane + (size_t)y * w;
        may_be_corner(row, w, step, mark);
        memset(mark + w - BORDER, 0, RUN); /* what a run looks at beyond the last pixel is no corner */
        for (int x = BORDER; x < w - BORDER; x += RUN)
            if (any_mark(mark + x)) are_corners(row + x, circle, step, mark + x);
        for (int x = BORDER; x < w - BORDER; x++) {
            if (!mark[x]) continue;
            const uint8_t *p = row + x;
            int64_t score = harris(p, w);
            if (score <= 0) continue;
            if (count == room) {
                Corner *more = realloc(corners, sizeof(Corner) * (size_t)(room *= 2));
                if (more == NULL) {
                    free(corners);
                    return -1;
                }
                corners = more;
            }
            scores[(size_t)y * w + x] = score;
            corners[count++] = (Corner){x, y, (y * GRID / h) * GRID + x * GRID / w, 0, score};
        }
    }
    for (int i = 0; i < count; i++) { /* the best within a pixel; of equals the first */
        const int64_t *s = scores + (size_t)corners[i].y * w + corners[i].x;
        int64_t own = *s;
        corners[i].rank = own < s[1] || own < s[w - 1] || own < s[w] || own < s[w + 1] || own <= s[-1] || own <= s[-w - 1] ||
                          own <= s[-w] || own <= s[-w + 1];
    }
    for (int i = 0; i < count; i++) scores[(size_t)corners[i].y * w + corners[i].x] = 0;
    for (int i = 0; i < count; i++)
        if (!corners[i].rank) corners[kept++] = corners[i];
    *out = corners;
    return kept;
}

/* Half of the features are the best of the level, the rest the best of each cell of a grid in turn: what is left of a picture
   after a crop or under a sticker has its share. Returns how many of `corners` to take; they stand first. */
static int choose_corners(Corner *corners, int count, int most) {
    qsort(corners, (size_t)count, sizeof(Corner), by_score);
    int seen[GRID * GRID] = {0}, best = most / 2;
    for (int i = 0; i < count; i++) corners[i].rank = i < best ? -1 : seen[corners[i].cell], seen[corners[i].cell]++;
    qsort(corners, (size_t)count, sizeof(Corner), by_rank);
    return count < most ? count : most;
}

/* Features of one level at `plane`; `room` for `most` of them. Returns how many, -1 without memory. */
static int level_features(const uint8_t *plane, int w, int h, int width, int height, int level, int64_t *scores, uint8_t *smooth,
                          uint8_t *middle, Feature *out, int most) {
    Corner *corners = NULL;
    int count = find_corners(plane, w, h, STEPS[0], scores, middle, &corners);
    if (count >= 0 && count < most) {
        free(corners);
        count = find_corners(plane, w, h, STEPS[1], scores, middle, &corners);
    }
    if (count < 0) return -1;
    count = choose_corners(corners, count, most);
    blur(plane, w, h, smooth, middle);
    for (int i = 0; i < count; i++) {
        size_t at = (size_t)corners[i].y * w + corners[i].x;
        Feature *f = &out[i];
        f->x = (int)(((int64_t)(2 * corners[i].x + 1) * width * 8) / w);
        f->y = (int)(((int64_t)(2 * corners[i].y + 1) * height * 8) / h);
        f->level = level;
        f->turn = direction(plane + at, w);
        describe(smooth + at, w, f->turn, f->descriptor);
    }
    free(corners);
    return count;
}

/* Write up to `most` features of a plane. Returns how many, -1 without memory. Each level has 4/5 of the share of the one before;
   what a level leaves unused goes to the next. */
static int features_extract(const uint8_t *plane, int width, int height, Feature *out, int most) {
    size_t size = (size_t)width * height;
    uint8_t *levels[2] = {malloc(size), malloc(size)}, *smooth = malloc(size), *middle = malloc(size);
    int64_t *scores = calloc(size, sizeof *scores);
    int *at = malloc(sizeof(int) * (size_t)width), *part = malloc(sizeof(int) * (size_t)width);
    uint16_t *row = malloc(sizeof(uint16_t) * ((size_t)width + 1));
    int count = -1, w = width, h = height, shares = 0, share = 16384;
    if (levels[0] && levels[1] && smooth && middle && scores && at && part && row) {
        count = 0;
        memcpy(levels[0], plane, size);
        for (int l = 0; l < LEVELS; l++) shares += share, share = share * 4 / 5;
        share = 16384;
        int budget = 0;
        for (int l = 0; l < LEVELS && w > 2 * BORDER && h > 2 * BORDER; l++) {
            budget += most * share / shares;
            if (l == LEVELS - 1 || budget > most - count) budget = most - count;
            int found = level_features(levels[l & 1], w, h, width, height, l, scores, smooth, middle, out + count, budget);
            if (found < 0) {
                count = -1;
                break;
            }
            count += found, budget -= found;
            int nw = w * 4 / 5, nh = h * 4 / 5;
            if (nw < 1 || nh < 1) break;
            shrink_plane(levels[l & 1], w, h, levels[~l & 1], nw, nh, at, part, row);
            w = nw, h = nh, share = share * 4 / 5;
        }
    }
    free(levels[0]), free(levels[1]), free(smooth), free(middle), free(scores), free(at), free(part), free(row);
    return count;
}

static void features_pack(const Feature *f, uint8_t *out) {
    int x = f->x > 65535 ? 65535 : f->x, y = f->y > 65535 ? 65535 : f->y;
    out[0] = (uint8_t)x, out[1] = (uint8_t)(x >> 8), out[2] = (uint8_t)y, out[3] = (uint8_t)(y >> 8);
    out[4] = (uint8_t)f->level, out[5] = (uint8_t)f->turn;
}

#endif
