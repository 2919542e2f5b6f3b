/* Do two pictures share a part? Their features are paired by descriptor, and the pairs must agree on one affine map.

   Each pair proposes a map by itself (place, turn and level of both features: Philbin et al. 2007), so nothing is drawn at random and
   the answer is always the same. The best proposals are fitted by least squares, first as a similarity, then as an affine map, each
   time with the pairs that agree. The sums are in the order of the features, in doubles, without contraction: equal to the twin. */
#ifndef SAFELIGHT_FEATURES_VERIFY_H
#define SAFELIGHT_FEATURES_VERIFY_H

#include <math.h>

#include "features_kernel.h"

enum { NEAREST = 80, ROUNDS = 6, PROPOSALS = 4, FEWEST = 5, CELLS = 6 };
/* NEAREST: bits of 256 that a pair may differ in. FEWEST: pairs that a map is fitted to at least. */

static const double APART = 10.0;   /* pixels within which two features are one corner */
static const double SHARPER = 0.9; /* the nearest descriptor against the nearest at another place */
static const double LEVEL_SCALE[LEVELS] = {1.0, 1.25, 1.5625, 1.953125, 2.44140625, 3.0517578125, 3.814697265625, 4.76837158203125};

typedef struct {
    int count;
    double x[FEATURE_MOST], y[FEATURE_MOST];
    uint8_t level[FEATURE_MOST], turn[FEATURE_MOST];
    uint64_t word[FEATURE_MOST][4];
} FeatureSet;

typedef struct {
    int a, b, distance;
} Pair;

typedef struct {
    int matches, inliers, seen_a, seen_b, cells, covered;
    int whole_a, whole_b, whole_cells, whole_covered; /* the same over all that the map lays on one another */
    double transform[6]; /* x' = t0 x + t1 y + t2, y' = t3 x + t4 y + t5 */
    float box_a[4], box_b[4];
    double area_a, area_b;
    /* work */
    int pairs;
    Pair pair[FEATURE_MOST];
    uint16_t row[FEATURE_MOST];
    int used[FEATURE_MOST];
    uint8_t in[FEATURE_MOST], kept[FEATURE_MOST];
} Verdict;

static int features_unpack(FeatureSet *set, const void *points, int64_t point_bytes, const void *descriptors, int64_t descriptor_bytes) {
    int64_t count = point_bytes / FEATURE_POINT;
    if (point_bytes % FEATURE_POINT || count > FEATURE_MOST || descriptor_bytes != count * FEATURE_BYTES) return -1;
    const uint8_t *p = points, *d = descriptors;
    set->count = (int)count;
    for (int64_t i = 0; i < count; i++, p += FEATURE_POINT) {
        set->x[i] = (p[0] | p[1] << 8) / 16.0, set->y[i] = (p[2] | p[3] << 8) / 16.0;
        set->level[i] = p[4] % LEVELS, set->turn[i] = p[5] % TURNS;
        memcpy(set->word[i], d + i * FEATURE_BYTES, FEATURE_BYTES);
    }
    return 0;
}

/* The features of the mirrored picture, its width left out: x becomes -x. */
static void mirror_features(FeatureSet *set) {
    for (int i = 0; i < set->count; i++) {
        set->x[i] = -set->x[i];
        set->turn[i] = (uint8_t)((TURNS / 2 + TURNS - set->turn[i]) % TURNS);
        for (int k = 0; k < 4; k++) {
            uint64_t w = set->word[i][k];
            set->word[i][k] = (w & 0x5555555555555555u) << 1 | (w >> 1 & 0x5555555555555555u);
        }
    }
}

/* Write the distances of one descriptor from those of a set. Returns the number of the nearest, of equals the first. */
FEATURE_CLONES static int distances(const uint64_t *one, const FeatureSet *set, uint16_t *row) {
    uint32_t nearest = UINT32_MAX;
    for (int j = 0; j < set->count; j++) {
        const uint64_t *w = set->word[j];
        row[j] = (uint16_t)(__builtin_popcountll(one[0] ^ w[0]) + __builtin_popcountll(one[1] ^ w[1]) +
                            __builtin_popcountll(one[2] ^ w[2]) + __builtin_popcountll(one[3] ^ w[3]));
    }
    for (int j = 0; j < set->count; j++) {
        uint32_t key = (uint32_t)row[j] * FEATURE_MOST + (uint32_t)j;
        nearest = key < nearest ? key : nearest;
    }
    return (int)(nearest % FEATURE_MOST);
}

/* Say whether any of 16 distances is at most this one. */
FEATURE_CLONES static int any_within(const uint16_t *row, int most) {
    Bits16 found;
    memcpy(&found, row, sizeof found);
    found = (Bits16)(found <= (uint16_t)most);
    uint64_t word[4];
    memcpy(word, &found, sizeof word);
    return (word[0] | word[1] | word[2] | word[3]) != 0;
}

/* Say whether a descriptor at another place than the nearest is nearly as near. `row` is filled up to whole sixteens. */
static int has_rival(const FeatureSet *b, const uint16_t *row, int best) {
    double reach = APART * LEVEL_SCALE[b->level[best]];
    int most = row[best];
    while (!(row[best] < SHARPER * (most + 1))) most++;
    for (int start = 0; start < b->count; start += 16) {
        if (!any_within(row + start, most)) continue;
        for (int j = start; j < start + 16 && j < b->count; j++)
            if (row[j] <= most && (fabs(b->x[j] - b->x[best]) > reach || fabs(b->y[j] - b->y[best]) > reach)) return 1;
    }
    return 0;
}

/* Pair each feature of `a` with the nearest of `b`, where no other place of `b` is nearly as near; of those that chose one
   feature of `b` the nearest is left. */
static void pair_features(const FeatureSet *a, const FeatureSet *b, Verdict *v) {
    for (int j = 0; j < b->count; j++) v->used[j] = -1;
    for (int j = b->count; j % 16; j++) v->row[j] = UINT16_MAX;
    v->pairs = 0;
    for (int i = 0; i < a->count; i++) {
        int best = distances(a->word[i], b, v->row);
        if (v->row[best] > NEAREST || has_rival(b, v->row, best)) continue;
        int other = v->used[best];
        if (other >= 0 && v->pair[other].distance <= v->row[best]) continue;
        if (other < 0) other = v->used[best] = v->pairs++;
        v->pair[other] = (Pair){i, best, v->row[best]};
    }
}

/* Mark the pairs that a map agrees with, in place, level and turn, and count them. `wide`: what a proposal may be wrong by. */
static int agree(const FeatureSet *a, const FeatureSet *b, Verdict *v, const double *t, double wide, double anchor_x, double anchor_y) {
    double scale = sqrt(fabs(t[0] * t[4] - t[1] * t[3]));
    double tight = scale < 0.35 ? 0.35 : scale > 1.0 ? 1.0 : scale;
    int count = 0;
    for (int k = 0; k < v->pairs; k++) {
        int i = v->pair[k].a, j = v->pair[k].b;
        double dx = t[0] * a->x[i] + t[1] * a->y[i] + t[2] - b->x[j], dy = t[3] * a->x[i] + t[4] * a->y[i] + t[5] - b->y[j];
        double reach = (4.0 + 1.5 * LEVEL_SCALE[b->level[j]]) * tight;
        if (wide > 0.0) {
            double ex = b->x[j] - anchor_x, ey = b->y[j] - anchor_y;
            reach += wide * sqrt(ex * ex + ey * ey);
        }
        double ratio = scale * LEVEL_SCALE[a->level[i]] / LEVEL_SCALE[b->level[j]];
        /* the turn that the map gives to the direction of the feature, against the direction it has */
        const int16_t *p = DIRECTION[a->turn[i]], *q = DIRECTION[b->turn[j]];
        double ux = t[0] * p[0] + t[1] * p[1], uy = t[3] * p[0] + t[4] * p[1], along = ux * q[0] + uy * q[1], across = ux * q[1] - uy * q[0];
        int same = dx * dx + dy * dy <= reach * reach && ratio < 1.6 && ratio > 0.625 && along > 0.0 && fabs(across) < 0.6 * along;
        v->in[k] = (uint8_t)same;
        count += same;
    }
    return count;
}

static void propose(const FeatureSet *a, const FeatureSet *b, const Pair *p, double *t) {
    double scale = LEVEL_SCALE[b->level[p->b]] / LEVEL_SCALE[a->level[p->a]];
    const int16_t *d = DIRECTION[(b->turn[p->b] - a->turn[p->a] + TURNS) % TURNS];
    double c = scale * d[0] / 16384.0, s = scale * d[1] / 16384.0, x = a->x[p->a], y = a->y[p->a];
    t[0] = c, t[1] = -s, t[2] = b->x[p->b] - (c * x - s * y);
    t[3] = s, t[4] = c, t[5] = b->y[p->b] - (s * x + c * y);
}

/* Least squares over the marked pairs: a similarity (4 numbers) or an affine map (6). Returns 0 where they do not fix one. */
static int fit(const FeatureSet *a, const FeatureSet *b, const Verdict *v, int count, int affine, double *t) {
    double ax = 0, ay = 0, bx = 0, by = 0, xx = 0, xy = 0, yy = 0, ux = 0, uy = 0, vx = 0, vy = 0;
    for (int k = 0; k < v->pairs; k++)
        if (v->in[k]) ax += a->x[v->pair[k].a], ay += a->y[v->pair[k].a], bx += b->x[v->pair[k].b], by += b->y[v->pair[k].b];
    ax /= count, ay /= count, bx /= count, by /= count;
    for (int k = 0; k < v->pairs; k++) {
        if (!v->in[k]) continue;
        double x = a->x[v->pair[k].a] - ax, y = a->y[v->pair[k].a] - ay, p = b->x[v->pair[k].b] - bx, q = b->y[v->pair[k].b] - by;
        xx += x * x, xy += x * y, yy += y * y, ux += p * x, uy += p * y, vx += q * x, vy += q * y;
    }
    if (affine) {
        double d = xx * yy - xy * xy;
        if (!(d > 1e-3 * (xx + yy) * (xx + yy))) return 0; /* all on a line */
        t[0] = (ux * yy - uy * xy) / d, t[1] = (uy * xx - ux * xy) / d, t[3] = (vx * yy - vy * xy) / d, t[4] = (vy * xx - vx * xy) / d;
    } else {
        double d = xx + yy;
        if (!(d > 1.0)) return 0;
        t[0] = t[4] = (ux + vy) / d, t[3] = (vx - uy) / d, t[1] = -t[3];
    }
    t[2] = bx - t[0] * ax - t[1] * ay, t[5] = by - t[3] * ax - t[4] * ay;
    return 1;
}

/* A map that people make: no mirror, at most 8 times larger or smaller, sides stretched by at most 2 against one another. */
static int is_plain(const double *t) {
    double d = t[0] * t[4] - t[1] * t[3], sum = t[0] * t[0] + t[1] * t[1] + t[3] * t[3] + t[4] * t[4];
    return d > 1.0 / 64 && d < 64.0 && sum < 2.5 * d;
}

/* Fit a proposal to the pairs that agree, round by round. Returns the agreeing pairs (marked), 0 where it leads nowhere. */
static int settle(const FeatureSet *a, const FeatureSet *b, Verdict *v, const Pair *anchor, double *t) {
    propose(a, b, anchor, t);
    int count = agree(a, b, v, t, 0.2, b->x[anchor->b], b->y[anchor->b]);
    for (int round = 0; round < ROUNDS; round++) {
        if (count < FEWEST || !fit(a, b, v, count, round >= 2, t) || !is_plain(t)) return 0;
        count = agree(a, b, v, t, round == 0 ? 0.08 : round == 1 ? 0.03 : 0.0, b->x[anchor->b], b->y[anchor->b]);
    }
    return count;
}

/* Mark of the given features those that stand apart from one another, and count them. */
static int distinct(const double *x, const double *y, const int *number, int count, uint8_t *kept) {
    int found = 0;
    for (int i = 0; i < count; i++) {
        kept[i] = 1;
        for (int j = 0; j < i && kept[i]; j++)
            if (kept[j] && fabs(x[number[i]] - x[number[j]]) < APART && fabs(y[number[i]] - y[number[j]]) < APART) kept[i] = 0;
        found += kept[i];
    }
    return found;
}

/* The area that points fill: 12 times the root of the determinant of their covariance, w h for an even rectangle. */
static double spread(const double *x, const double *y, const int *number, int count, float *box) {
    double mx = 0, my = 0, xx = 0, xy = 0, yy = 0, low_x = x[number[0]], high_x = low_x, low_y = y[number[0]], high_y = low_y;
    for (int i = 0; i < count; i++) {
        double p = x[number[i]], q = y[number[i]];
        mx += p, my += q;
        low_x = p < low_x ? p : low_x, high_x = p > high_x ? p : high_x, low_y = q < low_y ? q : low_y, high_y = q > high_y ? q : high_y;
    }
    mx /= count, my /= count;
    for (int i = 0; i < count; i++) {
        double p = x[number[i]] - mx, q = y[number[i]] - my;
        xx += p * p, xy += p * q, yy += q * q;
    }
    box[0] = (float)low_x, box[1] = (float)low_y, box[2] = (float)high_x, box[3] = (float)high_y;
    double d = xx * yy - xy * xy;
    return d > 0 ? 12.0 * sqrt(d) / count : 0.0;
}

/* Cut a box of `b` into cells: in how many of those where both pictures have corners do some agree? Of a frame round two
   different pictures they agree at the edges only. */
static void cover(const FeatureSet *a, const FeatureSet *b, const Verdict *v, const float *box, int *cells, int *covered) {
    const double *t = v->transform;
    uint8_t cell[CELLS * CELLS] = {0};
    double width = box[2] - box[0] + 1.0, height = box[3] - box[1] + 1.0;
    for (int i = 0; i < a->count; i++) {
        double x = t[0] * a->x[i] + t[1] * a->y[i] + t[2] - box[0], y = t[3] * a->x[i] + t[4] * a->y[i] + t[5] - box[1];
        if (x >= 0 && x < width && y >= 0 && y < height) cell[(int)(y * CELLS / height) * CELLS + (int)(x * CELLS / width)] |= 1;
    }
    for (int j = 0; j < b->count; j++) {
        double x = b->x[j] - box[0], y = b->y[j] - box[1];
        if (x >= 0 && x < width && y >= 0 && y < height) cell[(int)(y * CELLS / height) * CELLS + (int)(x * CELLS / width)] |= 2;
    }
    for (int k = 0; k < v->pairs; k++)
        if (v->in[k]) {
            double x = b->x[v->pair[k].b] - box[0], y = b->y[v->pair[k].b] - box[1];
            cell[(int)(y * CELLS / height) * CELLS + (int)(x * CELLS / width)] |= 4;
        }
    for (int c = 0; c < CELLS * CELLS; c++) *cells += (cell[c] & 3) == 3 || cell[c] & 4, *covered += (cell[c] & 4) != 0;
}

/* Corners of both within a box of `b`, apart from one another. */
static void within(const FeatureSet *a, const FeatureSet *b, Verdict *v, const float *box, int *of_a, int *of_b) {
    const double *t = v->transform;
    int numbers[2][FEATURE_MOST], seen[2] = {0, 0};
    for (int i = 0; i < a->count; i++) {
        double x = t[0] * a->x[i] + t[1] * a->y[i] + t[2], y = t[3] * a->x[i] + t[4] * a->y[i] + t[5];
        if (x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3]) numbers[0][seen[0]++] = i;
    }
    for (int j = 0; j < b->count; j++)
        if (b->x[j] >= box[0] && b->x[j] <= box[2] && b->y[j] >= box[1] && b->y[j] <= box[3]) numbers[1][seen[1]++] = j;
    *of_a = distinct(a->x, a->y, numbers[0], seen[0], v->kept), *of_b = distinct(b->x, b->y, numbers[1], seen[1], v->kept);
}

/* The box of `b` that holds all that the map lays on corners of it: the common part, whether it agrees or not. */
static void common_box(const FeatureSet *a, const FeatureSet *b, const double *t, float *box) {
    double own[4] = {b->x[0], b->y[0], b->x[0], b->y[0]}, laid[4] = {0, 0, 0, 0};
    for (int j = 1; j < b->count; j++) {
        own[0] = b->x[j] < own[0] ? b->x[j] : own[0], own[2] = b->x[j] > own[2] ? b->x[j] : own[2];
        own[1] = b->y[j] < own[1] ? b->y[j] : own[1], own[3] = b->y[j] > own[3] ? b->y[j] : own[3];
    }
    for (int i = 0; i < a->count; i++) {
        double x = t[0] * a->x[i] + t[1] * a->y[i] + t[2], y = t[3] * a->x[i] + t[4] * a->y[i] + t[5];
        laid[0] = i == 0 || x < laid[0] ? x : laid[0], laid[2] = i == 0 || x > laid[2] ? x : laid[2];
        laid[1] = i == 0 || y < laid[1] ? y : laid[1], laid[3] = i == 0 || y > laid[3] ? y : laid[3];
    }
    for (int k = 0; k < 2; k++) {
        box[k] = (float)(own[k] > laid[k] ? own[k] : laid[k]), box[k + 2] = (float)(own[k + 2] < laid[k + 2] ? own[k + 2] : laid[k + 2]);
    }
}

static void conclude(const FeatureSet *a, const FeatureSet *b, Verdict *v) {
    int numbers[2][FEATURE_MOST], count = 0;
    for (int k = 0; k < v->pairs; k++)
        if (v->in[k]) numbers[0][count] = v->pair[k].a, numbers[1][count++] = v->pair[k].b;
    int apart_a = distinct(a->x, a->y, numbers[0], count, v->kept), apart_b = distinct(b->x, b->y, numbers[1], count, v->kept);
    v->inliers = apart_a < apart_b ? apart_a : apart_b;
    v->area_a = spread(a->x, a->y, numbers[0], count, v->box_a), v->area_b = spread(b->x, b->y, numbers[1], count, v->box_b);
    within(a, b, v, v->box_b, &v->seen_a, &v->seen_b);
    cover(a, b, v, v->box_b, &v->cells, &v->covered);
    float common[4];
    common_box(a, b, v->transform, common);
    for (int k = 0; k < 2; k++) { /* a corner that agrees may be laid a little beside the one it agrees with */
        common[k] = common[k] < v->box_b[k] ? common[k] : v->box_b[k];
        common[k + 2] = common[k + 2] > v->box_b[k + 2] ? common[k + 2] : v->box_b[k + 2];
    }
    within(a, b, v, common, &v->whole_a, &v->whole_b);
    cover(a, b, v, common, &v->whole_cells, &v->whole_covered);
}

/* Fill `v` with what `a` and `b` have in common; `inliers` is 0 where that is nothing. `a` is changed where `mirrored`. */
static void features_compare(FeatureSet *a, const FeatureSet *b, int mirrored, Verdict *v) {
    memset(v, 0, sizeof *v);
    if (a->count == 0 || b->count == 0) return;
    if (mirrored) mirror_features(a);
    pair_features(a, b, v);
    v->matches = v->pairs;
    int best[PROPOSALS] = {-1, -1, -1, -1}, votes[PROPOSALS] = {0};
    for (int k = 0; k < v->pairs; k++) {
        double t[6];
        propose(a, b, &v->pair[k], t);
        int count = agree(a, b, v, t, 0.2, b->x[v->pair[k].b], b->y[v->pair[k].b]), at = PROPOSALS;
        while (at > 0 && count > votes[at - 1]) at--;
        if (at == PROPOSALS) continue;
        for (int m = PROPOSALS - 1; m > at; m--) best[m] = best[m - 1], votes[m] = votes[m - 1];
        best[at] = k, votes[at] = count;
    }
    int most = 0;
    uint8_t marks[FEATURE_MOST];
    for (int m = 0; m < PROPOSALS && best[m] >= 0; m++) {
        double t[6];
        int count = settle(a, b, v, &v->pair[best[m]], t);
        if (count <= most) continue;
        most = count;
        memcpy(v->transform, t, sizeof t);
        memcpy(marks, v->in, sizeof marks);
    }
    if (most < FEWEST) return;
    memcpy(v->in, marks, sizeof marks);
    conclude(a, b, v);
    if (mirrored) {
        float left = -v->box_a[2], right = -v->box_a[0];
        v->box_a[0] = left, v->box_a[2] = right;
        v->transform[0] = -v->transform[0], v->transform[3] = -v->transform[3];
    }
}

#endif
