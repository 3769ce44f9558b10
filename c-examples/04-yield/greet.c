/* A guest that waits for data. For it, lookup() is an ordinary blocking call. */
#include "plugin.h"
#include <stdlib.h>
#include <string.h>

/* Writes the value of a key to `value`, at most `cap` bytes, and returns its length. */
IMPORT("db", "lookup")
int32_t lookup(const char *key, size_t key_len, char *value, size_t cap);

void *alloc(size_t len)
{
    return malloc(len);
}

uint64_t on_request(const char *user, size_t len)
{
    static char out[128] = "hello, ";
    int32_t n = lookup(user, len, out + 7, sizeof out - 7);
    return answer(out, 7 + (size_t)n);
}
