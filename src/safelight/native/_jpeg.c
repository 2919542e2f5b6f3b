/* One decode of a JPEG for everything: the PDQ hashes from the full-size luma plane and a small colour picture.

   libjpeg-turbo is asked for raw planes, band by band; each band goes into the PDQ kernel and into a box filter while it is in
   the cache. Only the luma plane is kept, a byte a pixel, for the trimmed and the nearest-512 form. Damaged data are decoded as far as they go. Layouts that have no luma
   plane of full size (RGB, CMYK, subsampled Y) are answered with status UNSUITABLE: another decoder takes them.
   No call here ends the process: libjpeg's error exit jumps back, its warnings are counted and the first is kept. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <setjmp.h>
#include <stdio.h>
#include <jpeglib.h>
#include <jerror.h>

#include "pdq_forms.h"
#include "pdq_kernel.h"

enum { DECODED = 0, UNSUITABLE = 1, TOO_MANY_PIXELS = 2, TOO_MUCH_MEMORY = 3, TOO_MANY_SCANS = 4, FAILED = 5 };
enum { PLANES = 3, BAND = 4 * DCTSIZE };

/* Box filter of one component to the grid of the small picture. */
typedef struct {
    int64_t width, height;     /* of the component */
    int64_t horizontal, vertical, most_horizontal, most_vertical; /* sampling factors, against the largest */
    int64_t out_width, out_height, factor, out_row, rows;
    uint32_t *sum;
    uint8_t *out;
} Shrink;

typedef struct {
    struct jpeg_error_mgr errors; /* first: libjpeg hands its address back */
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf jump;
    int told, created, status, complete, truncated, damaged, max_scans, turns;
    long warnings;
    char fatal[JMSG_LENGTH_MAX], warning[JMSG_LENGTH_MAX];
    Pdq pdq;
    int hashing, tiny, quality;
    uint8_t hashes[32 * PDQ_SLOTS];
    uint8_t *plane; /* luma of the whole picture */
    PdqForms forms;
    Shrink shrink[PLANES];
    uint8_t *rows[PLANES];
    JSAMPROW lines[PLANES][BAND];
    int64_t small_side, max_coefficients, max_pixels, done, consumed;
    /* libjpeg writes a second frame header into its struct before it refuses it: what memory was taken by is kept here */
    int components;
    int64_t width, height, stride[PLANES], band;
} Decode;

static void on_error(j_common_ptr info) {
    Decode *d = (Decode *)info->err;
    d->errors.format_message(info, d->fatal);
    longjmp(d->jump, 1);
}

static void on_message(j_common_ptr info, int level) {
    Decode *d = (Decode *)info->err;
    if (level >= 0) return;
    int code = d->errors.msg_code;
    if (code == JWRN_JPEG_EOF) d->truncated = 1;
    int harmful = code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_MUST_RESYNC || code == JWRN_ARITH_BAD_CODE;
    if (harmful) d->damaged = 1;
    int rank = code == JWRN_JPEG_EOF ? 3 : harmful ? 2 : 1; /* the worst of the warnings is the one to tell */
    d->warnings++;
    if (rank > d->told) d->told = rank, d->errors.format_message(info, d->warning);
}

static void on_progress(j_common_ptr info) {
    Decode *d = (Decode *)info->err;
    if (d->jpeg.input_scan_number <= d->max_scans) return;
    d->status = TOO_MANY_SCANS;
    longjmp(d->jump, 1);
}

static int64_t shrink_edge(int64_t cell, int64_t factor, int64_t sampling, int64_t most, int64_t size) {
    int64_t edge = cell * factor * sampling / most;
    return edge < size ? edge : size;
}

static void shrink_emit(Shrink *s) {
    uint8_t *out = s->out + s->out_row * s->out_width;
    for (int64_t x = 0; x < s->out_width; x++) {
        int64_t a = shrink_edge(x, s->factor, s->horizontal, s->most_horizontal, s->width - 1);
        int64_t b = shrink_edge(x + 1, s->factor, s->horizontal, s->most_horizontal, s->width);
        if (b <= a) b = a + 1;
        uint64_t total = 0;
        for (int64_t i = a; i < b; i++) total += s->sum[i];
        uint64_t n = (uint64_t)((b - a) * s->rows);
        out[x] = (uint8_t)((total + n / 2) / n);
    }
}

PDQ_CLONES static void shrink_add(uint32_t *restrict sum, const uint8_t *restrict row, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] += row[i];
}

/* Take row y of the component; a chroma row can serve more than one row of the small picture. */
static void shrink_row(Shrink *s, const uint8_t *row, int64_t y) {
    while (s->out_row < s->out_height && shrink_edge(s->out_row, s->factor, s->vertical, s->most_vertical, s->height - 1) <= y) {
        shrink_add(s->sum, row, s->width);
        s->rows++;
        int64_t end = shrink_edge(s->out_row + 1, s->factor, s->vertical, s->most_vertical, s->height);
        if (s->out_row == s->out_height - 1) end = s->height;
        if (y + 1 < end) return;
        shrink_emit(s);
        memset(s->sum, 0, (size_t)s->width * sizeof(uint32_t));
        s->rows = 0;
        s->out_row++;
    }
}

static int is_suitable(const struct jpeg_decompress_struct *j) {
    if (j->jpeg_color_space == JCS_GRAYSCALE) return j->num_components == 1;
    if (j->jpeg_color_space != JCS_YCbCr || j->num_components != 3) return 0;
    const jpeg_component_info *y = j->comp_info;
    if (y->h_samp_factor != j->max_h_samp_factor || y->v_samp_factor != j->max_v_samp_factor) return 0;
    for (int c = 0; c < 3; c++) {
        const jpeg_component_info *info = j->comp_info + c;
        if (j->max_h_samp_factor % info->h_samp_factor || j->max_v_samp_factor % info->v_samp_factor) return 0;
    }
    return 1;
}

/* What the header claims is checked before anything is allocated by it. Multi-scan files hold all coefficients in memory. */
static int check_header(Decode *d) {
    struct jpeg_decompress_struct *j = &d->jpeg;
    if ((int64_t)j->image_width * j->image_height > d->max_pixels) return TOO_MANY_PIXELS;
    if (!pdq_fits(j->image_width, j->image_height, 1)) return TOO_MANY_PIXELS;
    if (!is_suitable(j)) return UNSUITABLE;
    if (!jpeg_has_multiple_scans(j)) return DECODED;
    int64_t bytes = 0, unit_w = (int64_t)j->max_h_samp_factor * DCTSIZE, unit_h = (int64_t)j->max_v_samp_factor * DCTSIZE;
    for (int c = 0; c < j->num_components; c++) {
        int64_t units = ((j->image_width + unit_w - 1) / unit_w) * ((j->image_height + unit_h - 1) / unit_h);
        bytes += units * j->comp_info[c].h_samp_factor * j->comp_info[c].v_samp_factor * (int64_t)sizeof(JBLOCK);
    }
    return bytes > d->max_coefficients ? TOO_MUCH_MEMORY : DECODED;
}

static int prepare(Decode *d) {
    struct jpeg_decompress_struct *j = &d->jpeg;
    d->band = (int64_t)j->max_v_samp_factor * DCTSIZE;
    int64_t longest = j->image_width > j->image_height ? j->image_width : j->image_height;
    int64_t factor = longest / d->small_side > 1 ? longest / d->small_side : 1;
    d->tiny = j->image_width < 5 || j->image_height < 5;
    if (!d->tiny) {
        if (pdq_begin(&d->pdq, j->image_width, j->image_height, 1, d->turns)) return -1;
        d->hashing = 1;
        if (d->turns && (d->plane = malloc((size_t)(d->width * d->height))) == NULL) return -1;
    }
    for (int c = 0; c < d->components; c++) {
        const jpeg_component_info *info = j->comp_info + c;
        int64_t stride = d->stride[c] = (int64_t)info->width_in_blocks * DCTSIZE;
        Shrink *s = &d->shrink[c];
        *s = (Shrink){.width = info->downsampled_width, .height = info->downsampled_height, .horizontal = info->h_samp_factor,
                      .vertical = info->v_samp_factor, .most_horizontal = j->max_h_samp_factor, .most_vertical = j->max_v_samp_factor,
                      .out_width = (j->image_width + factor - 1) / factor, .out_height = (j->image_height + factor - 1) / factor,
                      .factor = factor};
        s->sum = calloc((size_t)s->width, sizeof(uint32_t));
        s->out = malloc((size_t)(s->out_width * s->out_height));
        d->rows[c] = malloc((size_t)(stride * BAND));
        if (s->sum == NULL || s->out == NULL || d->rows[c] == NULL) return -1;
        memset(s->out, 128, (size_t)(s->out_width * s->out_height));
        for (int y = 0; y < BAND; y++) d->lines[c][y] = d->rows[c] + stride * y;
    }
    return 0;
}

/* Hand the next band of full-size rows to the kernel and the filters. */
static int take_band(Decode *d) {
    if (d->hashing && pdq_rows(&d->pdq, d->rows[0], d->stride[0], d->band)) return -1;
    if (d->plane != NULL)
        for (int64_t y = d->done; y < d->done + d->band && y < d->height; y++)
            memcpy(d->plane + y * d->width, d->lines[0][y - d->done], (size_t)d->width);
    for (int c = 0; c < d->components; c++) {
        Shrink *s = &d->shrink[c];
        int64_t from = d->done * s->vertical / s->most_vertical, count = d->band * s->vertical / s->most_vertical;
        for (int64_t y = 0; y < count && from + y < s->height; y++) shrink_row(s, d->lines[c][y], from + y);
    }
    d->done += d->band;
    return 0;
}

/* Rows that could not be decoded count as middle grey, as libjpeg does for cut data. */
static int fill_rest(Decode *d) {
    for (int c = 0; c < d->components; c++) memset(d->rows[c], 128, (size_t)(d->stride[c] * BAND));
    while (d->done < d->height)
        if (take_band(d)) return -1;
    return 0;
}

static int read_bands(Decode *d) {
    JSAMPARRAY planes[PLANES] = {d->lines[0], d->lines[1], d->lines[2]};
    while (d->done < d->height) {
        if (jpeg_read_raw_data(&d->jpeg, planes, (JDIMENSION)d->band) == 0) return fill_rest(d);
        if (take_band(d)) return -1;
    }
    jpeg_finish_decompress(&d->jpeg);
    d->complete = !d->truncated && !d->damaged;
    return 0;
}

/* Everything that may jump. Returns -1 without memory. */
static int decode(Decode *d, const unsigned char *data, size_t size) {
    struct jpeg_decompress_struct *j = &d->jpeg;
    j->err = jpeg_std_error(&d->errors);
    d->errors.error_exit = on_error;
    d->errors.emit_message = on_message;
    if (setjmp(d->jump)) {
        if (d->status == DECODED) d->status = FAILED;
        return d->done > 0 ? fill_rest(d) : 0;
    }
    jpeg_create_decompress(j);
    d->created = 1;
    d->progress.progress_monitor = on_progress;
    j->progress = &d->progress;
    jpeg_mem_src(j, data, (unsigned long)size);
    jpeg_read_header(j, TRUE);
    d->width = j->image_width, d->height = j->image_height;
    d->components = j->num_components;
    d->status = check_header(d);
    if (d->status != DECODED) return 0;
    j->raw_data_out = TRUE;
    j->out_color_space = j->jpeg_color_space;
    j->dct_method = JDCT_ISLOW;
    j->do_fancy_upsampling = FALSE;
    jpeg_start_decompress(j);
    if (prepare(d)) return -1;
    return read_bands(d);
}

static void finish(Decode *d, size_t size) {
    if (d->created && d->jpeg.src != NULL) d->consumed = d->truncated ? (int64_t)size : (int64_t)(size - d->jpeg.src->bytes_in_buffer);
    if (d->hashing && d->done >= d->height) d->quality = pdq_end(&d->pdq, d->hashes);
    if (d->hashing) pdq_free(&d->pdq);
}

static void release(Decode *d) {
    for (int c = 0; c < PLANES; c++) {
        free(d->shrink[c].sum);
        free(d->shrink[c].out);
        free(d->rows[c]);
    }
    free(d->plane);
    if (d->created) jpeg_destroy_decompress(&d->jpeg);
    free(d);
}

static uint8_t clamp(int v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }

/* JFIF colours (ITU-T T.871), 16-bit fixed point. */
static PyObject *small_picture(const Decode *d) {
    const Shrink *s = d->shrink;
    int64_t n = s->out_width * s->out_height;
    if (d->components == 1) return PyBytes_FromStringAndSize((const char *)s->out, n);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, 3 * n);
    if (bytes == NULL) return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AsString(bytes);
    for (int64_t i = 0; i < n; i++) {
        int y = s[0].out[i] * 65536 + 32768, b = s[1].out[i] - 128, r = s[2].out[i] - 128;
        out[3 * i] = clamp((y + 91881 * r) >> 16);
        out[3 * i + 1] = clamp((y - 22554 * b - 46802 * r) >> 16);
        out[3 * i + 2] = clamp((y + 116130 * b) >> 16);
    }
    return bytes;
}

static PyObject *answer(const Decode *d) {
    int decoded = d->done > 0;
    PyObject *hashes = pdq_hash_tuple(d->hashes, !decoded ? 0 : d->turns ? PDQ_SLOTS : 1);
    PyObject *small = hashes == NULL ? NULL : decoded ? small_picture(d) : PyBytes_FromStringAndSize("", 0);
    if (small == NULL) {
        Py_XDECREF(hashes);
        return NULL;
    }
    return Py_BuildValue("(iLLiNiNLLiisslLN)", d->status, (long long)d->width, (long long)d->height, d->components, hashes, d->quality, small, (long long)d->shrink[0].out_width,
                         (long long)d->shrink[0].out_height, d->complete, d->truncated, d->fatal, d->warning, d->warnings,
                         (long long)d->consumed, pdq_forms_tuple(&d->forms));
}

static PyObject *py_decode(PyObject *self, PyObject *args) {
    Py_buffer view;
    Decode *d = calloc(1, sizeof *d);
    if (d == NULL) return PyErr_NoMemory();
    long long pixels, coefficients, side;
    if (!PyArg_ParseTuple(args, "y*LLiLp", &view, &pixels, &coefficients, &d->max_scans, &side, &d->turns)) {
        free(d);
        return NULL;
    }
    d->max_pixels = pixels, d->max_coefficients = coefficients, d->small_side = side > 0 ? side : 1;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = decode(d, view.buf, (size_t)view.len);
    if (!failed && d->plane != NULL && d->done >= d->height) failed = pdq_forms(d->plane, d->width, d->height, &d->forms);
    finish(d, (size_t)view.len);
    Py_END_ALLOW_THREADS
    PyObject *result = failed ? PyErr_NoMemory() : answer(d);
    PyBuffer_Release(&view);
    release(d);
    return result;
}

static PyMethodDef methods[] = {
    {"decode", py_decode, METH_VARARGS,
     "decode(data, max_pixels, max_coefficient_bytes, max_scans, small_side, turns) -> (status, width, height, components, hashes, "
     "quality, small, small_width, small_height, complete, truncated, fatal, warning, warnings, consumed, (trimmed, nearest))"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_jpeg", "One JPEG decode for hash and renditions.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__jpeg(void) {
    PyObject *m = PyModule_Create(&module);
    if (m == NULL) return NULL;
    static const struct { const char *name; int value; } statuses[] = {
        {"DECODED", DECODED}, {"UNSUITABLE", UNSUITABLE}, {"TOO_MANY_PIXELS", TOO_MANY_PIXELS},
        {"TOO_MUCH_MEMORY", TOO_MUCH_MEMORY}, {"TOO_MANY_SCANS", TOO_MANY_SCANS}, {"FAILED", FAILED}};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (PyModule_AddIntConstant(m, statuses[i].name, statuses[i].value)) {
            Py_DECREF(m);
            return NULL;
        }
    return m;
}
