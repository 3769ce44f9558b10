/* The shortest response. */
#include "http.h"

EXPORT(handle_request) u64 handle_request(void)
{
    SET(RESPONSE, "Content-Type", "text/plain");
    WRITE("hello\n");
    return RESPOND;
}
