/*
 * The smallest useful plugin: "get /index" becomes "<GET /INDEX>".
 */
#include "plugin.h"
#include "shout.h"
#include <stdlib.h>

void *alloc(size_t len)
{
    return malloc(len);
}

uint64_t on_request(const char *request, size_t len)
{
    char *out = malloc(len + 2);
    if (out == NULL) {
        return 0;
    }
    shout(out, request, len);
    host_log("shout: answered", 15);
    return answer(out, len + 2);
}
