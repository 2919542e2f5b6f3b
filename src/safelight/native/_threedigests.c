/* MD5, SHA-1 and SHA-256 of one stream in one pass, their rounds woven into one another.
 *
 * MD5 is a chain in which each step waits for the one before: it leaves most of a processor idle. The SHA instructions of x86-64 fill
 * that room, so that the three together take about as long as MD5 alone. Definitions: RFC 1321 and FIPS 180-4; the constants are
 * theirs. Only for processors with SHA instructions (`supported`); elsewhere, and as the twin, hashlib: safelight/extract/digests.py.
 * The GIL is held: an object belongs to one thread.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 64

typedef struct {
    uint32_t md5[4], sha1[5], sha256[8];
    uint64_t length;
    uint8_t rest[BLOCK]; /* the bytes after the last whole block */
} stream_t;

static void stream_start(stream_t *s) {
    static const uint32_t first[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    static const uint32_t eight[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memset(s, 0, sizeof *s);
    memcpy(s->md5, first, sizeof s->md5);
    memcpy(s->sha1, first, sizeof s->sha1);
    memcpy(s->sha256, eight, sizeof s->sha256);
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

static int supported(void) {
    unsigned a, b, c, d;
    return __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3") && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

static const uint32_t K256[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t word(const uint8_t *p, int i) {
    uint32_t v;
    memcpy(&v, p + 4 * i, 4);
    return v;
}

static inline uint32_t rotated(uint32_t x, int n) { return x << n | x >> (32 - n); }

/* A step of MD5. What does not wait for b, the result of the step before, is added first; in G both halves of the choice exclude one
 * another, so that they may be added instead of or-ed. */
#define STEP(a, b, f, k, s, t) a += word(p, k) + t; a += f; a = rotated(a, s) + b
#define F(a, b, c, d, k, s, t) STEP(a, b, ((c ^ d) & b) ^ d, k, s, t)
#define G(a, b, c, d, k, s, t) a += word(p, k) + t; a += c & ~d; a += b & d; a = rotated(a, s) + b
#define H(a, b, c, d, k, s, t) STEP(a, b, (c ^ d) ^ b, k, s, t)
#define I(a, b, c, d, k, s, t) STEP(a, b, c ^ (b | ~d), k, s, t)

/* Four rounds of SHA-256, number i of 16; y holds the last 16 words of its schedule. */
#define SHA256_ROUNDS(i) \
    do { \
        if (i < 4) \
            y[i & 3] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * (i & 3))), words_turned); \
        else \
            y[i & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(y[i & 3], y[(i + 1) & 3]), \
                                                          _mm_alignr_epi8(y[(i + 3) & 3], y[(i + 2) & 3], 4)), y[(i + 3) & 3]); \
        __m128i added = _mm_add_epi32(y[i & 3], _mm_load_si128((const __m128i *)(K256 + 4 * i))); \
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, added); \
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(added, 0x0E)); \
    } while (0)

/* Four rounds of SHA-1, number i of 20, with function f of 4; x holds the last 16 words of its schedule. */
#define SHA1_ROUNDS(f) \
    do { \
        __m128i before = abcd; \
        abcd = _mm_sha1rnds4_epu32(abcd, e, f); \
        e = before; \
    } while (0)
#define SHA1_LOAD(i) x[i & 3] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * (i & 3))), all_turned)
#define SHA1_FIRST(i, f) SHA1_LOAD(i); e = _mm_add_epi32(e, x[0]); SHA1_ROUNDS(f)
#define SHA1_LOADED(i, f) SHA1_LOAD(i); e = _mm_sha1nexte_epu32(e, x[i & 3]); SHA1_ROUNDS(f)
#define SHA1_NEXT(i, f) \
    x[i & 3] = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(x[i & 3], x[(i + 1) & 3]), x[(i + 2) & 3]), x[(i + 3) & 3]); \
    e = _mm_sha1nexte_epu32(e, x[i & 3]); \
    SHA1_ROUNDS(f)

__attribute__((target("sha,sse4.1,ssse3"))) static void run(stream_t *s, const uint8_t *p, size_t blocks) {
    const __m128i words_turned = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    const __m128i all_turned = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    uint32_t a = s->md5[0], b = s->md5[1], c = s->md5[2], d = s->md5[3];
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)s->sha1), 0x1B), e = _mm_set_epi32((int)s->sha1[4], 0, 0, 0);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)s->sha256), 0xB1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(s->sha256 + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xF0); /* the order that the instructions want */
    for (; blocks--; p += BLOCK) {
        const uint32_t a0 = a, b0 = b, c0 = c, d0 = d;
        const __m128i abcd0 = abcd, e0 = e, abef0 = abef, cdgh0 = cdgh;
        __m128i x[4], y[4];
        F(a, b, c, d, 0, 7, 0xd76aa478); F(d, a, b, c, 1, 12, 0xe8c7b756);
        SHA256_ROUNDS(0);
        F(c, d, a, b, 2, 17, 0x242070db); F(b, c, d, a, 3, 22, 0xc1bdceee);
        SHA1_FIRST(0, 0);
        F(a, b, c, d, 4, 7, 0xf57c0faf); F(d, a, b, c, 5, 12, 0x4787c62a);
        SHA256_ROUNDS(1);
        F(c, d, a, b, 6, 17, 0xa8304613); F(b, c, d, a, 7, 22, 0xfd469501);
        SHA1_LOADED(1, 0);
        F(a, b, c, d, 8, 7, 0x698098d8); F(d, a, b, c, 9, 12, 0x8b44f7af);
        SHA256_ROUNDS(2);
        F(c, d, a, b, 10, 17, 0xffff5bb1); F(b, c, d, a, 11, 22, 0x895cd7be);
        SHA1_LOADED(2, 0);
        F(a, b, c, d, 12, 7, 0x6b901122); F(d, a, b, c, 13, 12, 0xfd987193);
        SHA256_ROUNDS(3);
        F(c, d, a, b, 14, 17, 0xa679438e); F(b, c, d, a, 15, 22, 0x49b40821);
        SHA1_LOADED(3, 0);
        SHA1_NEXT(4, 0);
        G(a, b, c, d, 1, 5, 0xf61e2562); G(d, a, b, c, 6, 9, 0xc040b340);
        SHA256_ROUNDS(4);
        G(c, d, a, b, 11, 14, 0x265e5a51); G(b, c, d, a, 0, 20, 0xe9b6c7aa);
        SHA1_NEXT(5, 1);
        G(a, b, c, d, 5, 5, 0xd62f105d); G(d, a, b, c, 10, 9, 0x02441453);
        SHA256_ROUNDS(5);
        G(c, d, a, b, 15, 14, 0xd8a1e681); G(b, c, d, a, 4, 20, 0xe7d3fbc8);
        SHA1_NEXT(6, 1);
        G(a, b, c, d, 9, 5, 0x21e1cde6); G(d, a, b, c, 14, 9, 0xc33707d6);
        SHA256_ROUNDS(6);
        G(c, d, a, b, 3, 14, 0xf4d50d87); G(b, c, d, a, 8, 20, 0x455a14ed);
        SHA1_NEXT(7, 1);
        G(a, b, c, d, 13, 5, 0xa9e3e905); G(d, a, b, c, 2, 9, 0xfcefa3f8);
        SHA256_ROUNDS(7);
        G(c, d, a, b, 7, 14, 0x676f02d9); G(b, c, d, a, 12, 20, 0x8d2a4c8a);
        SHA1_NEXT(8, 1);
        SHA1_NEXT(9, 1);
        H(a, b, c, d, 5, 4, 0xfffa3942); H(d, a, b, c, 8, 11, 0x8771f681);
        SHA256_ROUNDS(8);
        H(c, d, a, b, 11, 16, 0x6d9d6122); H(b, c, d, a, 14, 23, 0xfde5380c);
        SHA1_NEXT(10, 2);
        H(a, b, c, d, 1, 4, 0xa4beea44); H(d, a, b, c, 4, 11, 0x4bdecfa9);
        SHA256_ROUNDS(9);
        H(c, d, a, b, 7, 16, 0xf6bb4b60); H(b, c, d, a, 10, 23, 0xbebfbc70);
        SHA1_NEXT(11, 2);
        H(a, b, c, d, 13, 4, 0x289b7ec6); H(d, a, b, c, 0, 11, 0xeaa127fa);
        SHA256_ROUNDS(10);
        H(c, d, a, b, 3, 16, 0xd4ef3085); H(b, c, d, a, 6, 23, 0x04881d05);
        SHA1_NEXT(12, 2);
        H(a, b, c, d, 9, 4, 0xd9d4d039); H(d, a, b, c, 12, 11, 0xe6db99e5);
        SHA256_ROUNDS(11);
        H(c, d, a, b, 15, 16, 0x1fa27cf8); H(b, c, d, a, 2, 23, 0xc4ac5665);
        SHA1_NEXT(13, 2);
        SHA1_NEXT(14, 2);
        I(a, b, c, d, 0, 6, 0xf4292244); I(d, a, b, c, 7, 10, 0x432aff97);
        SHA256_ROUNDS(12);
        I(c, d, a, b, 14, 15, 0xab9423a7); I(b, c, d, a, 5, 21, 0xfc93a039);
        SHA1_NEXT(15, 3);
        I(a, b, c, d, 12, 6, 0x655b59c3); I(d, a, b, c, 3, 10, 0x8f0ccc92);
        SHA256_ROUNDS(13);
        I(c, d, a, b, 10, 15, 0xffeff47d); I(b, c, d, a, 1, 21, 0x85845dd1);
        SHA1_NEXT(16, 3);
        I(a, b, c, d, 8, 6, 0x6fa87e4f); I(d, a, b, c, 15, 10, 0xfe2ce6e0);
        SHA256_ROUNDS(14);
        I(c, d, a, b, 6, 15, 0xa3014314); I(b, c, d, a, 13, 21, 0x4e0811a1);
        SHA1_NEXT(17, 3);
        I(a, b, c, d, 4, 6, 0xf7537e82); I(d, a, b, c, 11, 10, 0xbd3af235);
        SHA256_ROUNDS(15);
        I(c, d, a, b, 2, 15, 0x2ad7d2bb); I(b, c, d, a, 9, 21, 0xeb86d391);
        SHA1_NEXT(18, 3);
        SHA1_NEXT(19, 3);
        a += a0, b += b0, c += c0, d += d0;
        e = _mm_sha1nexte_epu32(e, e0);
        abcd = _mm_add_epi32(abcd, abcd0);
        abef = _mm_add_epi32(abef, abef0);
        cdgh = _mm_add_epi32(cdgh, cdgh0);
    }
    s->md5[0] = a, s->md5[1] = b, s->md5[2] = c, s->md5[3] = d;
    _mm_storeu_si128((__m128i *)s->sha1, _mm_shuffle_epi32(abcd, 0x1B));
    s->sha1[4] = (uint32_t)_mm_extract_epi32(e, 3);
    low = _mm_shuffle_epi32(abef, 0x1B);
    high = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)s->sha256, _mm_blend_epi16(low, high, 0xF0));
    _mm_storeu_si128((__m128i *)(s->sha256 + 4), _mm_alignr_epi8(high, low, 8));
}
#else
static int supported(void) { return 0; }
static void run(stream_t *s, const uint8_t *p, size_t blocks) {}
#endif

static void stream_update(stream_t *s, const uint8_t *p, size_t n) {
    size_t held = s->length % BLOCK;
    s->length += n;
    if (held) {
        size_t room = BLOCK - held, taken = n < room ? n : room;
        memcpy(s->rest + held, p, taken);
        if (taken < room) return;
        run(s, s->rest, 1);
        p += taken, n -= taken;
    }
    run(s, p, n / BLOCK);
    if (n % BLOCK) memcpy(s->rest, p + n / BLOCK * BLOCK, n % BLOCK);
}

/* The end of the stream: 0x80, zeros, and its length in bits, which stands the other way round for the SHA functions. */
static void stream_end(stream_t s, int turned, stream_t *out) {
    uint8_t end[2 * BLOCK] = {0};
    size_t held = s.length % BLOCK, size = held < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    memcpy(end, s.rest, held);
    end[held] = 0x80;
    for (int i = 0; i < 8; i++) end[size - 8 + i] = (uint8_t)(s.length * 8 >> 8 * (turned ? 7 - i : i));
    run(&s, end, size / BLOCK);
    *out = s;
}

typedef struct {
    PyObject_HEAD
    stream_t stream;
} DigestsObject;

static PyObject *digests_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if (!supported()) {
        PyErr_SetString(PyExc_NotImplementedError, "this processor has no SHA instructions");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "") || (kwargs && PyDict_Size(kwargs))) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "Digests() takes no arguments");
        return NULL;
    }
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    DigestsObject *self = (DigestsObject *)alloc(type, 0);
    if (self) stream_start(&self->stream);
    return (PyObject *)self;
}

static void digests_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *digests_update(PyObject *self, PyObject *data) {
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    if (view.len > 0) stream_update(&((DigestsObject *)self)->stream, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    Py_RETURN_NONE;
}

static PyObject *digests_md5(PyObject *self, PyObject *unused) {
    stream_t s;
    stream_end(((DigestsObject *)self)->stream, 0, &s);
    return PyBytes_FromStringAndSize((const char *)s.md5, sizeof s.md5); /* little-endian, as this processor */
}

static PyObject *big_endian(const uint32_t *words, int count) {
    uint8_t out[32];
    for (int i = 0; i < 4 * count; i++) out[i] = (uint8_t)(words[i / 4] >> (24 - 8 * (i % 4)));
    return PyBytes_FromStringAndSize((const char *)out, 4 * count);
}

static PyObject *digests_sha1(PyObject *self, PyObject *unused) {
    stream_t s;
    stream_end(((DigestsObject *)self)->stream, 1, &s);
    return big_endian(s.sha1, 5);
}

static PyObject *digests_sha256(PyObject *self, PyObject *unused) {
    stream_t s;
    stream_end(((DigestsObject *)self)->stream, 1, &s);
    return big_endian(s.sha256, 8);
}

static PyObject *digests_length(PyObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(((DigestsObject *)self)->stream.length);
}

static PyObject *py_supported(PyObject *self, PyObject *unused) { return PyBool_FromLong(supported()); }

static PyMethodDef digests_methods[] = {
    {"update", digests_update, METH_O, "update(data) -> add the next bytes"},
    {"md5", digests_md5, METH_NOARGS, "md5() -> 16 bytes"},
    {"sha1", digests_sha1, METH_NOARGS, "sha1() -> 20 bytes"},
    {"sha256", digests_sha256, METH_NOARGS, "sha256() -> 32 bytes"},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef digests_members[] = {{"length", digests_length, NULL, "bytes so far", NULL}, {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot digests_slots[] = {{Py_tp_new, digests_new},         {Py_tp_dealloc, digests_dealloc},
                                      {Py_tp_methods, digests_methods}, {Py_tp_getset, digests_members},
                                      {Py_tp_doc, "MD5, SHA-1 and SHA-256 of a stream."}, {0, NULL}};

static PyType_Spec digests_spec = {"safelight.native._threedigests.Digests", sizeof(DigestsObject), 0, Py_TPFLAGS_DEFAULT, digests_slots};

static PyMethodDef methods[] = {{"supported", py_supported, METH_NOARGS, "supported() -> whether this processor has SHA instructions"},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_threedigests", "Three digests in one pass.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__threedigests(void) {
    PyObject *m = PyModule_Create(&module);
    PyObject *type = m ? PyType_FromSpec(&digests_spec) : NULL;
    if (!type || PyModule_AddObjectRef(m, "Digests", type) < 0) {
        Py_XDECREF(type);
        Py_XDECREF(m);
        return NULL;
    }
    Py_DECREF(type);
    return m;
}
