/* A guest that cannot know prices: it asks its host. */
#include "plugin.h"

IMPORT("shop", "price") double price(int32_t item);

/* The sum of items 1 to n. */
EXPORT("total") double total(int32_t n);
double total(int32_t n)
{
    double sum = 0;
    host_log("adding up", 9);
    for (int32_t item = 1; item <= n; item++) {
        sum += price(item);
    }
    return sum;
}

/* Claims that a text lies where its memory ends. */
EXPORT("lie") void lie(void);
void lie(void)
{
    host_log((const char *)0xfffffff0u, 100);
}
