/*
 * lucet_http.h for plugin authors: HTTP plugins in C, for every host of http-wasm's http_handler.
 *
 *   clang --target=wasm32 -O2 -nostdlib -ffreestanding -Iguest-sdk/c plugin.c -o plugin.wasm \
 *         -Wl,--no-entry -Wl,--stack-first
 *   lucetc plugin.wasm -o plugin.so
 *
 * A plugin defines two functions:
 *
 *   bool on_request(void)          true: go on to whoever makes the response, and come back with
 *                                  it; false: the response is what the plugin made.
 *   void on_response(bool error)   the response is there; error: there is none.
 *
 * and says HTTP_PLUGIN(on_request, on_response) once, or HTTP_PLUGIN_REQUESTS(on_request) if it
 * does not care for responses. Each request meets a fresh instance: what is in global variables is
 * what the initializers say, and nothing need be freed.
 *
 * Needs nothing else, no libc either: there are no allocations here, texts go to buffers of yours.
 * A function that gives a text writes all of it, or nothing if the buffer is too small, and returns
 * the whole length either way. Asking for what is not allowed ends the plugin.
 */
#ifndef LUCET_GUEST_HTTP_H
#define LUCET_GUEST_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_IMPORT(name) __attribute__((import_module("http_handler"), import_name(name)))
#define HTTP_EXPORT(name) __attribute__((export_name(name)))

enum { HTTP_REQUEST, HTTP_RESPONSE, HTTP_REQUEST_TRAILERS, HTTP_RESPONSE_TRAILERS };
enum { HTTP_BUFFER_REQUEST = 1, HTTP_BUFFER_RESPONSE = 2, HTTP_TRAILERS = 4 };
enum { HTTP_DEBUG = -1, HTTP_INFO, HTTP_WARN, HTTP_ERROR };

/* ---- the interface as it is ------------------------------------------------------------------ */

HTTP_IMPORT("enable_features") uint32_t http_enable_features(uint32_t features);
HTTP_IMPORT("get_config") size_t http_get_config(void *buf, size_t cap);
HTTP_IMPORT("log_enabled") uint32_t http_log_enabled(int level);
HTTP_IMPORT("log") void http_log_bytes(int level, const void *text, size_t len);
HTTP_IMPORT("get_method") size_t http_get_method(void *buf, size_t cap);
HTTP_IMPORT("set_method") void http_set_method_bytes(const void *text, size_t len);
HTTP_IMPORT("get_uri") size_t http_get_uri(void *buf, size_t cap);
HTTP_IMPORT("set_uri") void http_set_uri_bytes(const void *text, size_t len);
HTTP_IMPORT("get_protocol_version") size_t http_get_protocol(void *buf, size_t cap);
HTTP_IMPORT("get_source_addr") size_t http_get_source_addr(void *buf, size_t cap);

/* Names or values, each ended by a NUL: their number in the upper half, all bytes in the lower. */
HTTP_IMPORT("get_header_names") uint64_t http_get_header_names(int kind, void *buf, size_t cap);
HTTP_IMPORT("get_header_values")
uint64_t http_get_header_values(int kind, const void *name, size_t name_len, void *buf, size_t cap);

HTTP_IMPORT("set_header_value")
void http_set_header_bytes(int kind, const void *name, size_t name_len, const void *value,
                           size_t len);
HTTP_IMPORT("add_header_value")
void http_add_header_bytes(int kind, const void *name, size_t name_len, const void *value,
                           size_t len);
HTTP_IMPORT("remove_header")
void http_remove_header_bytes(int kind, const void *name, size_t name_len);

/* The number of bytes in the lower half; the upper half is 1 at the end of the body. */
HTTP_IMPORT("read_body") uint64_t http_read_body_word(int kind, void *buf, size_t cap);
HTTP_IMPORT("write_body") void http_write_body(int kind, const void *bytes, size_t len);
HTTP_IMPORT("get_status_code") uint32_t http_get_status(void);
HTTP_IMPORT("set_status_code") void http_set_status(uint32_t status);

/* ---- texts that end with NUL ----------------------------------------------------------------- */

static inline size_t http_len(const char *text)
{
    const char *end = text;
    while (*end != '\0') {
        end++;
    }
    return (size_t)(end - text);
}

static inline void http_log(int level, const char *text)
{
    http_log_bytes(level, text, http_len(text));
}

static inline void http_set_method(const char *method)
{
    http_set_method_bytes(method, http_len(method));
}

static inline void http_set_uri(const char *uri)
{
    http_set_uri_bytes(uri, http_len(uri));
}

static inline void http_set_header(int kind, const char *name, const char *value)
{
    http_set_header_bytes(kind, name, http_len(name), value, http_len(value));
}

static inline void http_add_header(int kind, const char *name, const char *value)
{
    http_add_header_bytes(kind, name, http_len(name), value, http_len(value));
}

static inline void http_remove_header(int kind, const char *name)
{
    http_remove_header_bytes(kind, name, http_len(name));
}

/* The first value of a header, with a NUL: its address is `buf`. NULL if there is none, or if all
 * values together need more than `cap` bytes. */
static inline const char *http_header(int kind, const char *name, char *buf, size_t cap)
{
    uint64_t all = http_get_header_values(kind, name, http_len(name), buf, cap);
    return all != 0 && (uint32_t)all <= cap ? buf : NULL;
}

/* The URI with a NUL. NULL if it is longer than `cap` allows. */
static inline const char *http_uri(char *buf, size_t cap)
{
    size_t len = cap > 0 ? http_get_uri(buf, cap - 1) : 0;
    if (cap == 0 || len > cap - 1) {
        return NULL;
    }
    buf[len] = '\0';
    return buf;
}

/* Reads up to `cap` bytes of a body, at least one unless it ends; `*end` says whether it does. */
static inline size_t http_read_body(int kind, void *buf, size_t cap, bool *end)
{
    uint64_t word = http_read_body_word(kind, buf, cap);
    *end = word >> 32 != 0;
    return (uint32_t)word;
}

/* Answers the request with a text. */
static inline void http_respond(uint32_t status, const char *type, const char *body)
{
    http_set_status(status);
    http_set_header(HTTP_RESPONSE, "Content-Type", type);
    http_write_body(HTTP_RESPONSE, body, http_len(body));
}

/* ---- what the host calls --------------------------------------------------------------------- */

#define HTTP_PLUGIN_REQUESTS(on_request)                                                           \
    HTTP_EXPORT("handle_request") uint64_t http_handle_request_(void);                             \
    uint64_t http_handle_request_(void)                                                            \
    {                                                                                              \
        return (on_request)() ? 1 : 0;                                                             \
    }                                                                                              \
    _Static_assert(1, "")

#define HTTP_PLUGIN(on_request, on_response)                                                       \
    HTTP_EXPORT("handle_response") void http_handle_response_(uint32_t context, uint32_t error);   \
    void http_handle_response_(uint32_t context, uint32_t error)                                   \
    {                                                                                              \
        (void)context;                                                                             \
        (on_response)(error != 0);                                                                 \
    }                                                                                              \
    HTTP_PLUGIN_REQUESTS(on_request)

#endif
