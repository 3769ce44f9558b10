/*
 * A filter. Of the request: marks it, and with the configuration "request" doubles its body and
 * changes its URI. Of the response: marks it; unless configured "headers" all of its body is made
 * upper-case; "response-loop" and "response-trap" go wrong there.
 */
#include "http.h"

static char config[64];
static char body[65536];
static volatile u32 sink;

static int is(const char *what)
{
    u32 i;
    for (i = 0; what[i] && config[i] == what[i]; i++) {
    }
    return what[i] == 0 && config[i] == 0;
}

static void configure(void)
{
    u32 n = get_config(config, sizeof config - 1);
    config[n < sizeof config ? n : 0] = 0;
}

EXPORT(handle_request) u64 handle_request(void)
{
    configure();
    if (!is("headers")) {
        enable_features(BUFFER_RESPONSE);
    }
    SET(REQUEST, "X-Filter", "yes");
    remove_header(REQUEST, "X-Secret", 8);
    add_header_value(REQUEST, "Cookie", 6, "by=filter", 9);
    if (is("request")) {
        u32 n = 0;
        u64 got;
        do {
            got = read_body(REQUEST, body + n, sizeof body - n);
            n += (u32)got;
        } while (got >> 32 == 0 && n < sizeof body);
        write_body(REQUEST, body, n);
        write_body(REQUEST, body, n);
        set_uri("/changed?by=filter", 18);
    }
    return CONTINUE | (u64)77 << 32;
}

EXPORT(handle_response) void handle_response(u32 context, u32 is_error)
{
    u64 got;
    u32 n = 0, first = 1;

    configure();
    if (context != 77 || is_error) {
        __builtin_trap();
    }
    if (is("response-loop")) {
        for (;;) {
            sink++;
        }
    }
    if (is("response-trap")) {
        __builtin_trap();
    }
    SET(RESPONSE, "X-Filtered", "yes");
    remove_header(RESPONSE, "Server-Secret", 13);
    if (is("headers")) {
        set_status_code(203);
        return;
    }
    do {
        got = read_body(RESPONSE, body + n, sizeof body - n);
        n += (u32)got;
    } while (got >> 32 == 0 && n < sizeof body);
    for (u32 i = 0; i < n; i++) {
        if (body[i] >= 'a' && body[i] <= 'z') {
            body[i] -= 32;
        }
    }
    while (first || n > 0) {
        write_body(RESPONSE, body, n);
        first = 0;
        n = 0;
    }
}
