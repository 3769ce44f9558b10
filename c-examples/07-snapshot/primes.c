/*
 * A guest with a long start-up: it fills a table that each request then looks into, and takes a
 * random number for the tokens it hands out.
 */
#include "plugin.h"
#include <string.h>

#define LIMIT 2000000

IMPORT("env", "random") int64_t host_random(void);

static uint8_t composite[LIMIT];
static uint64_t state;

/* A snapshot of an instance that ran this has the table. */
EXPORT("init") void init(void)
{
    for (uint32_t i = 2; i < LIMIT; i++) {
        for (uint32_t k = 2 * i; !composite[i] && k < LIMIT; k += i) {
            composite[k] = 1;
        }
    }
    state = (uint64_t)host_random();
}

/* Called in each instance of a snapshot, with 64 random bits: else all would hand out the same. */
EXPORT("lucet_reseed") void reseed(int64_t seed)
{
    state = (uint64_t)seed;
}

EXPORT("primes_below") int32_t primes_below(int32_t n)
{
    int32_t count = 0;

    for (int32_t i = 2; i < n && i < LIMIT; i++) {
        count += !composite[i];
    }
    return count;
}

EXPORT("token") int64_t token(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)(state >> 1);
}

EXPORT("forever") void forever(void)
{
    for (volatile int i = 0;; i++) {
    }
}

/* Not used here, but part of the interface. */
void *alloc(size_t len)
{
    (void)len;
    return NULL;
}

uint64_t on_request(const char *request, size_t len)
{
    return answer(request, len);
}
