/*
 * A plugin that computes what an order costs. It asks its host for prices.
 */
#include "plugin.h"

typedef struct line {
    uint32_t item, quantity;
} line;

IMPORT("shop", "price") double price(uint32_t item);
IMPORT("shop", "reserve") int32_t reserve(const line *lines, uint32_t count);

static line room[64];

/* Where the host may write an order of `count` lines; 0: that is too many. */
EXPORT("order") line *order(uint32_t count);
line *order(uint32_t count)
{
    return count > sizeof room / sizeof room[0] ? 0 : room;
}

EXPORT("total") double total(uint32_t count);
double total(uint32_t count)
{
    double sum = 0;
    host_log("adding up", 9);
    for (uint32_t n = 0; n < count; n++) {
        sum += price(room[n].item) * room[n].quantity;
    }
    return reserve(room, count) == 0 ? sum : -1;
}

/* What can go wrong with plugins. */
EXPORT("lie") void lie(void);
void lie(void)
{
    host_log((const char *)0xfffffff0u, 100);
}

EXPORT("hang") void hang(void);
void hang(void)
{
    for (;;) {
        host_log("", 0);
    }
}
