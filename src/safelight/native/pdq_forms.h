/* Further forms of a picture whose luma plane is at hand, for lists that were made in another way or of the picture in a frame.

   trimmed: the largest rectangle whose outermost rows and columns show something; a line shows nothing where the values between
   its 2nd and 98th hundredth lie within PDQ_UNIFORM levels (white borders, black bars, frames with a little noise).
   nearest: the 512 x 512 picture of the nearest pixels, source pixel floor(i * n / 512), as CImg's resize takes them in the C++
   reference tool (facebook/ThreatExchange pdq/cpp/io/pdqio.cpp: pictures with a side above 512 are shrunk so before hashing).
   Included by _pdq.c and _jpeg.c behind pdq_kernel.h; pdq_twin.py has the same in NumPy. */
#ifndef SAFELIGHT_PDQ_FORMS_H
#define SAFELIGHT_PDQ_FORMS_H

#include "pdq_kernel.h"

enum { PDQ_UNIFORM = 24, PDQ_LEAST_SIDE = 64, PDQ_NEAREST_SIDE = 512, PDQ_TRIM_ROUNDS = 4 };

typedef struct {
    int64_t left, top, width, height;
} PdqBox;

typedef struct {
    int trims, nears; /* whether there is such a form */
    int trimmed_quality, nearest_quality;
    PdqBox box;
    uint8_t trimmed[32 * PDQ_SLOTS], nearest[32 * PDQ_SLOTS];
} PdqForms;

/* True where the values at rank 2 % and 98 % of n pixels, `step` bytes apart, differ by PDQ_UNIFORM levels or less. */
static int pdq_uniform(const uint8_t *line, int64_t n, int64_t step) {
    uint32_t count[256] = {0};
    for (int64_t i = 0; i < n; i++) count[line[i * step]]++;
    int64_t rank = (n - 1) * 2 / 100, below = 0, above = 0;
    int low = 0, high = 255;
    while ((below += count[low]) <= rank) low++;
    while ((above += count[high]) <= rank) high--;
    return high - low <= PDQ_UNIFORM;
}

/* Cut uniform lines, rows first, until nothing changes. Returns 1 where something was cut and a picture is left. */
static int pdq_trim(const uint8_t *plane, int64_t width, int64_t height, PdqBox *box) {
    int64_t left = 0, top = 0, right = width, bottom = height;
    for (int round = 0; round < PDQ_TRIM_ROUNDS; round++) {
        int64_t before = (right - left) + (bottom - top);
        while (bottom - top >= PDQ_LEAST_SIDE && pdq_uniform(plane + top * width + left, right - left, 1)) top++;
        while (bottom - top >= PDQ_LEAST_SIDE && pdq_uniform(plane + (bottom - 1) * width + left, right - left, 1)) bottom--;
        while (right - left >= PDQ_LEAST_SIDE && pdq_uniform(plane + top * width + left, bottom - top, width)) left++;
        while (right - left >= PDQ_LEAST_SIDE && pdq_uniform(plane + top * width + right - 1, bottom - top, width)) right--;
        if (bottom - top < PDQ_LEAST_SIDE || right - left < PDQ_LEAST_SIDE) return 0;
        if ((right - left) + (bottom - top) == before) break;
    }
    *box = (PdqBox){left, top, right - left, bottom - top};
    return right - left < width || bottom - top < height;
}

/* Hash a rectangle of a plane: 8 hashes into `out`; the quality, or -1 without memory. */
static int pdq_rectangle(const uint8_t *plane, int64_t stride, const PdqBox *box, uint8_t *out) {
    Pdq p;
    if (pdq_begin(&p, box->width, box->height, 1, 1)) return -1;
    int quality = pdq_rows(&p, plane + box->top * stride + box->left, stride, box->height) ? -1 : pdq_end(&p, out);
    pdq_free(&p);
    return quality;
}

/* Hash the nearest-pixel picture of a plane, both sides of which become 512. */
static int pdq_nearest(const uint8_t *plane, int64_t width, int64_t height, uint8_t *out) {
    uint8_t *small = malloc(PDQ_NEAREST_SIDE * PDQ_NEAREST_SIDE);
    if (small == NULL) return -1;
    for (int64_t y = 0; y < PDQ_NEAREST_SIDE; y++)
        for (int64_t x = 0; x < PDQ_NEAREST_SIDE; x++)
            small[y * PDQ_NEAREST_SIDE + x] = plane[y * height / PDQ_NEAREST_SIDE * width + x * width / PDQ_NEAREST_SIDE];
    PdqBox all = {0, 0, PDQ_NEAREST_SIDE, PDQ_NEAREST_SIDE};
    int quality = pdq_rectangle(small, PDQ_NEAREST_SIDE, &all, out);
    free(small);
    return quality;
}

/* Find the forms of a whole plane without padding. Returns -1 without memory. */
static int pdq_forms(const uint8_t *plane, int64_t width, int64_t height, PdqForms *f) {
    f->nears = width > PDQ_NEAREST_SIDE || height > PDQ_NEAREST_SIDE;
    if (f->nears && (f->nearest_quality = pdq_nearest(plane, width, height, f->nearest)) < 0) return -1;
    f->trims = pdq_trim(plane, width, height, &f->box);
    if (f->trims && (f->trimmed_quality = pdq_rectangle(plane, width, &f->box, f->trimmed)) < 0) return -1;
    return 0;
}

#ifdef Py_PYTHON_H
static PyObject *pdq_hash_tuple(const uint8_t *from, int count) {
    PyObject *hashes = PyTuple_New(count);
    for (int i = 0; hashes != NULL && i < count; i++) {
        PyObject *hash = PyBytes_FromStringAndSize((const char *)from + 32 * i, 32);
        if (hash == NULL || PyTuple_SetItem(hashes, i, hash)) Py_CLEAR(hashes);
    }
    return hashes;
}

/* (trimmed, nearest): each None or (hashes, quality), the trimmed one with its rectangle (left, top, width, height). */
static PyObject *pdq_forms_tuple(const PdqForms *f) {
    const PdqBox *b = &f->box;
    PyObject *trimmed = f->trims ? Py_BuildValue("(Ni(LLLL))", pdq_hash_tuple(f->trimmed, PDQ_SLOTS), f->trimmed_quality, (long long)b->left,
                                                 (long long)b->top, (long long)b->width, (long long)b->height)
                                 : Py_NewRef(Py_None);
    PyObject *nearest = f->nears ? Py_BuildValue("(Ni)", pdq_hash_tuple(f->nearest, PDQ_SLOTS), f->nearest_quality) : Py_NewRef(Py_None);
    return Py_BuildValue("(NN)", trimmed, nearest);
}
#endif

#endif
