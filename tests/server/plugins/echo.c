/* Answers with method, URI and body of the request; the body is read in small pieces. */
#include "http.h"

static char text[8192];

EXPORT(handle_request) u64 handle_request(void)
{
    u64 got;
    u32 n = get_method(text, sizeof text);

    write_body(RESPONSE, text, n);
    WRITE(" ");
    n = get_uri(text, sizeof text);
    write_body(RESPONSE, text, n);
    WRITE("\n");
    do {
        got = read_body(REQUEST, text, 1000);
        write_body(RESPONSE, text, (u32)got);
    } while (got >> 32 == 0);
    return RESPOND;
}
