/* Read columns of hexadecimal digests from lines of text or from rows of a database, for hash sets of many millions of records.
 *
 * Only what is plain is taken: exactly the digits that the width asks for, between blanks or quotes that mean nothing, no placeholder, no
 * digest of nothing or of trivial content. Everything else is handed back as odd, for the readers in match/formats, which judge one record
 * at a time and are the twin of this kernel: both must give the same set. ASCII only; line ends are LF, CR LF or CR. The GIL is released
 * where no Python object is touched.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PLAIN 0
#define ODD 1
#define BLANK 2

#define CATEGORY 255
#define MOST_COLUMNS 256
#define MOST_HEADS 256

static uint8_t value_of[256]; /* of a hexadecimal digit; 255 for what is none */

typedef struct {
    uint64_t heads[MOST_HEADS];
    size_t count;
    uint8_t first[256]; /* whether a head begins with this byte */
} heads_t;

static int take_heads(heads_t *h, const Py_buffer *raw) {
    if (raw->len % 8 || raw->len / 8 > MOST_HEADS) {
        PyErr_SetString(PyExc_ValueError, "heads are 8 bytes each, 256 at most");
        return 0;
    }
    memset(h, 0, sizeof *h);
    h->count = (size_t)(raw->len / 8);
    memcpy(h->heads, raw->buf, (size_t)raw->len);
    for (size_t i = 0; i < h->count; i++) h->first[((const uint8_t *)raw->buf)[i * 8]] = 1;
    return 1;
}

/* Write the bytes of 2 * width digits; 0 where they are odd. */
static int decode(const uint8_t *text, size_t width, const heads_t *h, uint8_t *out) {
    uint8_t wrong = 0;
    int same = 1;
    for (size_t i = 0; i < width; i++) {
        uint8_t a = value_of[text[2 * i]], b = value_of[text[2 * i + 1]];
        wrong |= a | b;
        out[i] = (uint8_t)(a << 4 | (b & 15));
    }
    if (wrong & 0xf0) return 0;
    if (h->first[out[0]]) {
        uint64_t own;
        memcpy(&own, out, 8);
        for (size_t i = 0; i < h->count; i++)
            if (h->heads[i] == own) return 0;
    }
    if (out[0] >> 4 != (out[0] & 15)) return 1;
    for (size_t i = 1; i < width && same; i++) same = out[i] == out[0];
    return !same;
}

static inline int is_dirt(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\v' || c == '\f' || (c >= 0x1c && c <= 0x1f) || c == '"' || c == '\'';
}

/* ---- lines ---------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    int delimiter; /* -1: the line is the value */
    size_t columns;
    uint8_t spec[MOST_COLUMNS];
    size_t width;
} form_t;

typedef struct {
    uint32_t *ends; /* two a line: where its text begins, where it ends */
    uint8_t *flags, *digests;
    uint64_t *categories;
    size_t lines, plain, consumed;
    int stopped; /* the next line leaves a quote open */
} found_t;

static int take_category(const uint8_t *from, const uint8_t *to, uint64_t *out) {
    uint8_t text[8] = {0};
    if (to - from > 8) return 0;
    for (size_t i = 0; from < to; from++, i++) {
        uint8_t c = *from;
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == '_')) return 0;
        text[i] = c;
    }
    memcpy(out, text, 8);
    return 1;
}

static int take_cell(const form_t *form, size_t column, const uint8_t *from, const uint8_t *to, const heads_t *heads, uint8_t **digest,
                     uint64_t *category) {
    uint8_t spec = form->spec[column];
    if (!spec) return 1;
    while (from < to && is_dirt(*from)) from++;
    while (to > from && is_dirt(to[-1])) to--;
    if (spec == CATEGORY) return take_category(from, to, category);
    if ((size_t)(to - from) != 2 * (size_t)spec || !decode(from, spec, heads, *digest)) return 0;
    *digest += spec;
    return 1;
}

/* Read one line; PLAIN or ODD. Columns beyond those that are known are passed over. */
static int take_line(const form_t *form, const uint8_t *at, const uint8_t *end, const heads_t *heads, uint8_t *digest, uint64_t *category) {
    if (form->delimiter < 0) return take_cell(form, 0, at, end, heads, &digest, category) ? PLAIN : ODD;
    for (size_t column = 0;; column++) {
        const uint8_t *from = at, *to;
        if (at < end && *at == '"') {
            from = at + 1;
            to = memchr(from, '"', (size_t)(end - from));
            if (!to) return ODD;
            at = to + 1;
            if (at < end && *at != form->delimiter) return ODD;
        } else {
            while (at < end && *at != form->delimiter) {
                if (*at == '"') return ODD;
                at++;
            }
            to = at;
        }
        if (column < form->columns && !take_cell(form, column, from, to, heads, &digest, category)) return ODD;
        if (at == end) return column + 1 >= form->columns ? PLAIN : ODD;
        at++;
    }
}

static void scan(const form_t *form, const uint8_t *text, size_t size, const heads_t *heads, found_t *out, size_t most) {
    size_t at = 0;
    while (out->lines < most) {
        size_t end = at;
        unsigned quotes = 0;
        int nul = 0;
        while (end < size && text[end] != '\n' && text[end] != '\r') {
            quotes += text[end] == '"';
            nul |= text[end] == 0;
            end++;
        }
        if (end == size || (text[end] == '\r' && end + 1 == size)) break; /* the line goes on, or its end does */
        if (form->delimiter >= 0 && quotes % 2) {
            out->stopped = 1;
            break;
        }
        int flag = end == at ? BLANK : nul ? ODD : take_line(form, text + at, text + end, heads, out->digests + out->plain * form->width, out->categories + out->plain);
        out->ends[2 * out->lines] = (uint32_t)at;
        out->ends[2 * out->lines + 1] = (uint32_t)end;
        out->flags[out->lines++] = (uint8_t)flag;
        out->plain += flag == PLAIN;
        at = end + 1 + (text[end] == '\r' && text[end + 1] == '\n');
    }
    out->consumed = at;
}

static int take_form(form_t *form, int delimiter, const Py_buffer *spec) {
    memset(form, 0, sizeof *form);
    form->delimiter = delimiter;
    form->columns = (size_t)spec->len;
    if (!spec->len || spec->len > MOST_COLUMNS || (delimiter < 0 && spec->len != 1) || delimiter > 127) {
        PyErr_SetString(PyExc_ValueError, "1 to 256 columns, one without a delimiter");
        return 0;
    }
    memcpy(form->spec, spec->buf, (size_t)spec->len);
    for (size_t i = 0; i < form->columns; i++) {
        if (form->spec[i] != CATEGORY && form->spec[i] != 0 && (form->spec[i] < 8 || form->spec[i] > 64)) {
            PyErr_SetString(PyExc_ValueError, "a digest has 8 to 64 bytes");
            return 0;
        }
        form->width += form->spec[i] == CATEGORY ? 0 : form->spec[i];
    }
    if (!form->width) PyErr_SetString(PyExc_ValueError, "no column of digests");
    return form->width != 0;
}

static PyObject *py_lines(PyObject *self, PyObject *args) {
    Py_buffer text, spec, raw_heads;
    int delimiter;
    if (!PyArg_ParseTuple(args, "y*iy*y*", &text, &delimiter, &spec, &raw_heads)) return NULL;
    PyObject *result = NULL;
    form_t form;
    heads_t heads;
    found_t found = {0};
    if (text.len > 1 << 30) {
        PyErr_SetString(PyExc_ValueError, "at most 1 GiB of text at a time");
    } else if (take_form(&form, delimiter, &spec) && take_heads(&heads, &raw_heads)) {
        /* a plain line has at least the digits of its digests; other lines are bounded by their end */
        size_t size = (size_t)text.len, most = size + 1, most_plain = size / (2 * form.width) + 2;
        if (most > 1 << 22) most = 1 << 22;
        if (most_plain > most) most_plain = most + 1;
        found.ends = malloc(most * 8);
        found.flags = malloc(most);
        found.digests = malloc(most_plain * form.width);
        found.categories = calloc(most_plain, 8);
        if (found.ends && found.flags && found.digests && found.categories) {
            Py_BEGIN_ALLOW_THREADS
            scan(&form, text.buf, size, &heads, &found, most);
            Py_END_ALLOW_THREADS
            result = Py_BuildValue("(y#y#y#y#nN)", (const char *)found.flags, (Py_ssize_t)found.lines, (const char *)found.ends,
                                   (Py_ssize_t)(found.lines * 8), (const char *)found.digests, (Py_ssize_t)(found.plain * form.width),
                                   (const char *)found.categories, (Py_ssize_t)(found.plain * 8), (Py_ssize_t)found.consumed,
                                   PyBool_FromLong(found.stopped));
        } else {
            PyErr_NoMemory();
        }
        free(found.ends);
        free(found.flags);
        free(found.digests);
        free(found.categories);
    }
    PyBuffer_Release(&text);
    PyBuffer_Release(&spec);
    PyBuffer_Release(&raw_heads);
    return result;
}

/* ---- rows of a database ---------------------------------------------------------------------------------------------------------- */

static int take_tuple(PyObject *row, const uint8_t *widths, Py_ssize_t columns, const heads_t *heads, uint8_t *out) {
    for (Py_ssize_t c = 0; c < columns; c++) {
        PyObject *cell = PyTuple_GetItem(row, c);
        Py_ssize_t length;
        if (!cell || !PyUnicode_Check(cell)) return PyErr_Clear(), 0;
        const char *text = PyUnicode_AsUTF8AndSize(cell, &length);
        if (!text) return PyErr_Clear(), 0; /* a lone surrogate */
        if (length != 2 * (Py_ssize_t)widths[c] || !decode((const uint8_t *)text, widths[c], heads, out)) return 0;
        out += widths[c];
    }
    return 1;
}

static PyObject *py_cells(PyObject *self, PyObject *args) {
    PyObject *rows;
    Py_buffer widths, raw_heads;
    if (!PyArg_ParseTuple(args, "Oy*y*", &rows, &widths, &raw_heads)) return NULL;
    PyObject *flags = NULL, *digests = NULL, *result = NULL;
    heads_t heads;
    size_t width = 0;
    int good = PyList_Check(rows) && widths.len > 0;
    for (Py_ssize_t c = 0; c < widths.len; c++) {
        uint8_t w = ((const uint8_t *)widths.buf)[c];
        good = good && w >= 8 && w <= 64;
        width += w;
    }
    if (!good) {
        PyErr_SetString(PyExc_ValueError, "a list of tuples, and widths of 8 to 64 bytes");
    } else if (take_heads(&heads, &raw_heads)) {
        Py_ssize_t n = PyList_Size(rows);
        flags = PyBytes_FromStringAndSize(NULL, n);
        digests = PyBytes_FromStringAndSize(NULL, n * (Py_ssize_t)width);
        if (flags && digests) {
            uint8_t *f = (uint8_t *)PyBytes_AsString(flags), *d = (uint8_t *)PyBytes_AsString(digests);
            for (Py_ssize_t i = 0; i < n; i++, d += width) {
                PyObject *row = PyList_GetItem(rows, i);
                memset(d, 0, width);
                f[i] = row && PyTuple_Check(row) && take_tuple(row, widths.buf, widths.len, &heads, d) ? PLAIN : ODD;
            }
            result = PyTuple_Pack(2, flags, digests);
        }
    }
    Py_XDECREF(flags);
    Py_XDECREF(digests);
    PyBuffer_Release(&widths);
    PyBuffer_Release(&raw_heads);
    return result;
}

static PyMethodDef methods[] = {
    {"lines", py_lines, METH_VARARGS,
     "lines(text, delimiter or -1, columns, heads) -> (flags, starts and ends u32, digests of plain lines, categories of 8 bytes, bytes "
     "read, whether the next line leaves a quote open). columns: one byte each, a width, 0 for one to pass over, 255 for a category"},
    {"cells", py_cells, METH_VARARGS, "cells(rows, widths, heads) -> (flags, digests of all rows; zeros where odd)"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_hexcolumns", "Columns of hexadecimal digests.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__hexcolumns(void) {
    memset(value_of, 255, sizeof value_of);
    for (int i = 0; i < 10; i++) value_of['0' + i] = (uint8_t)i;
    for (int i = 0; i < 6; i++) value_of['a' + i] = value_of['A' + i] = (uint8_t)(10 + i);
    return PyModule_Create(&module);
}
