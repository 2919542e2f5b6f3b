/* Compare one query with the rows of the buckets that its key can reach: eight (AVX-512), four (AVX2), two (NEON) or one at a time.
 *
 * Rows of a block lie word by word. The two words that hold least of the band are compared first: a pair within the distance has at most
 * `distance` differing bits there too, so what exceeds it is dropped without the other two. Eight and four rows may reach beyond their
 * bucket; `block_report` takes only those within.
 */
#ifndef BANDS_SCAN_H
#define BANDS_SCAN_H
#include "bands.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define X86 1
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define PADDING 16

typedef struct {
    uint64_t *word[WORDS]; /* in the order of comparison; PADDING readable rows after the last */
    uint32_t *start;       /* of each low key, within the block */
    uint32_t *id;
    const int *natural;    /* natural[i]: which word of the hash is word[i] */
    const band_t *bands;
    int band, distance;
    int64_t base;
    found_t *found;
} block_t;

/* A row that passed the first test: compare it whole, and give the pair unless an earlier band gives it. */
static inline __attribute__((always_inline)) int block_report(const block_t *b, const uint64_t *query, uint32_t q, size_t row) {
    uint64_t x[WORDS];
    int d = 0;
    for (int i = 0; i < WORDS; i++) {
        uint64_t differ = query[i] ^ b->word[i][row];
        x[b->natural[i]] = differ;
        d += __builtin_popcountll(differ);
    }
    if (d > b->distance || (b->base >= 0 && (int64_t)b->id[row] >= b->base + (int64_t)q)) return 1;
    for (int k = 0; k < b->band; k++)
        if (__builtin_popcount(key_of(x, b->bands[k].offset, b->bands[k].width)) <= b->bands[k].radius) return 1;
    return found_add(b->found, q, b->id[row], (unsigned)d);
}

typedef int (*scan_t)(const block_t *b, const uint64_t *query, uint32_t q, uint32_t low, const uint32_t *mask, size_t masks);

static int scan_portable(const block_t *b, const uint64_t *query, uint32_t q, uint32_t low, const uint32_t *mask, size_t masks) {
    for (size_t m = 0; m < masks; m++)
        for (uint32_t r = b->start[low ^ mask[m]], end = b->start[(low ^ mask[m]) + 1]; r < end; r++) {
            int d = __builtin_popcountll(query[0] ^ b->word[0][r]) + __builtin_popcountll(query[1] ^ b->word[1][r]);
            if (d <= b->distance && !block_report(b, query, q, r)) return 0;
        }
    return 1;
}

#ifdef X86
__attribute__((target("avx512f,avx512vpopcntdq,popcnt"))) static int scan_avx512(const block_t *b, const uint64_t *query, uint32_t q,
                                                                         uint32_t low, const uint32_t *mask, size_t masks) {
    const __m512i q0 = _mm512_set1_epi64((long long)query[0]), q1 = _mm512_set1_epi64((long long)query[1]);
    const __m512i limit = _mm512_set1_epi64(b->distance);
    for (size_t m = 0; m < masks; m++) {
        uint32_t r = b->start[low ^ mask[m]], end = b->start[(low ^ mask[m]) + 1];
        for (; r < end; r += 16) { /* two steps at once: a bucket has about a dozen rows, so the branch is foreseen */
            const uint64_t *w0 = b->word[0] + r, *w1 = b->word[1] + r;
            __m512i c = _mm512_popcnt_epi64(_mm512_xor_si512(q0, _mm512_loadu_si512(w0)));
            __m512i d = _mm512_popcnt_epi64(_mm512_xor_si512(q0, _mm512_loadu_si512(w0 + 8)));
            c = _mm512_add_epi64(c, _mm512_popcnt_epi64(_mm512_xor_si512(q1, _mm512_loadu_si512(w1))));
            d = _mm512_add_epi64(d, _mm512_popcnt_epi64(_mm512_xor_si512(q1, _mm512_loadu_si512(w1 + 8))));
            uint32_t hit = (uint32_t)_mm512_cmple_epi64_mask(c, limit) | (uint32_t)_mm512_cmple_epi64_mask(d, limit) << 8;
            if (end - r < 16) hit &= (1u << (end - r)) - 1;
            for (; hit; hit &= hit - 1)
                if (!block_report(b, query, q, r + (uint32_t)__builtin_ctz(hit))) return 0;
        }
    }
    return 1;
}

__attribute__((target("avx2"))) static inline __m256i ones_avx2(__m256i v) {
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble)),
                           _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble)));
}

__attribute__((target("avx2,popcnt"))) static int scan_avx2(const block_t *b, const uint64_t *query, uint32_t q, uint32_t low,
                                                           const uint32_t *mask, size_t masks) {
    const __m256i q0 = _mm256_set1_epi64x((long long)query[0]), q1 = _mm256_set1_epi64x((long long)query[1]);
    const __m256i above = _mm256_set1_epi64x((long long)b->distance + 1), zero = _mm256_setzero_si256();
    for (size_t m = 0; m < masks; m++) {
        uint32_t r = b->start[low ^ mask[m]], end = b->start[(low ^ mask[m]) + 1];
        for (; r < end; r += 4) {
            __m256i v0 = _mm256_xor_si256(q0, _mm256_loadu_si256((const __m256i *)(b->word[0] + r)));
            __m256i v1 = _mm256_xor_si256(q1, _mm256_loadu_si256((const __m256i *)(b->word[1] + r)));
            __m256i d = _mm256_sad_epu8(_mm256_add_epi8(ones_avx2(v0), ones_avx2(v1)), zero);
            uint32_t hit = (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(above, d)));
            if (end - r < 4) hit &= (1u << (end - r)) - 1;
            for (; hit; hit &= hit - 1)
                if (!block_report(b, query, q, r + (uint32_t)__builtin_ctz(hit))) return 0;
        }
    }
    return 1;
}
#elif defined(__aarch64__)
static int scan_neon(const block_t *b, const uint64_t *query, uint32_t q, uint32_t low, const uint32_t *mask, size_t masks) {
    const uint64x2_t q0 = vdupq_n_u64(query[0]), q1 = vdupq_n_u64(query[1]);
    for (size_t m = 0; m < masks; m++) {
        uint32_t r = b->start[low ^ mask[m]], end = b->start[(low ^ mask[m]) + 1];
        for (; r < end; r += 2) {
            uint8x16_t c = vaddq_u8(vcntq_u8(vreinterpretq_u8_u64(veorq_u64(q0, vld1q_u64(b->word[0] + r)))),
                                    vcntq_u8(vreinterpretq_u8_u64(veorq_u64(q1, vld1q_u64(b->word[1] + r)))));
            uint64x2_t d = vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(c)));
            if (vgetq_lane_u64(d, 0) <= (uint64_t)b->distance && !block_report(b, query, q, r)) return 0;
            if (r + 1 < end && vgetq_lane_u64(d, 1) <= (uint64_t)b->distance && !block_report(b, query, q, r + 1)) return 0;
        }
    }
    return 1;
}
#endif

static const char *best_level(void) {
#if defined(X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vpopcntdq")) return "avx512";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) return "avx2";
#elif defined(__aarch64__)
    return "neon";
#endif
    return "portable";
}

/* NULL when this machine cannot run the level that was asked for. */
static scan_t choose_scan(const char *level) {
    const char *best = best_level();
    if (!*level) level = best;
    if (!strcmp(level, "portable")) return scan_portable;
#if defined(X86)
    if (!strcmp(level, "avx512") && !strcmp(best, "avx512")) return scan_avx512;
    if (!strcmp(level, "avx2") && strcmp(best, "portable")) return scan_avx2;
#elif defined(__aarch64__)
    if (!strcmp(level, "neon")) return scan_neon;
#endif
    return NULL;
}
#endif
