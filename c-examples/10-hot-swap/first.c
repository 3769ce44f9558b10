/*
 * The first version of a plugin: it repeats the request.
 */
#include "plugin.h"
#include <stdlib.h>
#include <string.h>

void *alloc(size_t len)
{
    return malloc(len);
}

uint64_t on_request(const char *request, size_t len)
{
    char *out = malloc(len + 7);
    if (out == NULL) {
        return 0;
    }
    memcpy(out, "first: ", 7);
    memcpy(out + 7, request, len);
    return answer(out, len + 7);
}
