/* What plugins do all day: reads three request headers, sets one of the response, writes 1 KiB. */
#include "http.h"

static char host[128], agent[256], accept[256], id[16];
#define LINE "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.\n"
#define FOUR LINE LINE LINE LINE
static const char page[] = FOUR FOUR FOUR FOUR;

static u32 header(const char *name, u32 len, char *buf, u32 limit)
{
    u64 got = get_header_values(REQUEST, name, len, buf, limit);
    return (u32)got;
}

static u32 mix(u32 hash, const char *text, u32 len)
{
    for (u32 i = 0; i < len; i++) {
        hash = (hash ^ (u32)(unsigned char)text[i]) * 16777619u;
    }
    return hash;
}

EXPORT(handle_request) u64 handle_request(void)
{
    u32 hash = 2166136261u, i;

    hash = mix(hash, host, header("Host", 4, host, sizeof host));
    hash = mix(hash, agent, header("User-Agent", 10, agent, sizeof agent));
    hash = mix(hash, accept, header("Accept", 6, accept, sizeof accept));

    for (i = 0; i < 8; i++) {
        id[i] = "0123456789abcdef"[hash >> (28 - 4 * i) & 15];
    }
    set_header_value(RESPONSE, "X-Request-Hash", 14, id, 8);

    write_body(RESPONSE, page, LEN(page));
    return RESPOND;
}
