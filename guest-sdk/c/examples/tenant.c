/*
 * What a small plugin really does: it looks at three headers of the request, says in a header of
 * the response what it made of them, and answers with a kilobyte.
 */
#include <lucet_http.h>

static char body[1024];

/* FNV-1a: the same three values always meet the same backend. */
static uint32_t mix(uint32_t hash, const char *text)
{
    for (; text != NULL && *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    }
    return hash;
}

static bool on_request(void)
{
    char value[256];
    uint32_t hash = 2166136261u;
    hash = mix(hash, http_header(HTTP_REQUEST, "Host", value, sizeof value));
    hash = mix(hash, http_header(HTTP_REQUEST, "User-Agent", value, sizeof value));
    hash = mix(hash, http_header(HTTP_REQUEST, "X-Tenant", value, sizeof value));

    char key[9];
    for (int i = 7; i >= 0; i--, hash >>= 4) {
        key[i] = "0123456789abcdef"[hash & 15];
    }
    key[8] = '\0';
    http_set_header(HTTP_RESPONSE, "X-Key", key);
    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = i % 64 == 63 ? '\n' : key[i % 8];
    }
    http_write_body(HTTP_RESPONSE, body, sizeof body);
    return false;
}

HTTP_PLUGIN_REQUESTS(on_request);
