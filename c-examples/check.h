/*
 * Shared by the examples: the shortest honest way to treat a status, and one to write values.
 */
#ifndef EXAMPLES_CHECK_H
#define EXAMPLES_CHECK_H
#include <lucet.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program if a call failed. A server would answer 500 and log the same line. */
static inline void check(lucet_status status, const char *what)
{
    if (status != LUCET_STATUS_OK) {
        fflush(stdout);
        fprintf(stderr, "%s: %s: %s\n", what, lucet_status_name(status), lucet_last_error());
        exit(1);
    }
}

/* Ends the program if a guest did something else than expected. */
static inline void expect(const lucet_outcome *outcome, lucet_outcome_kind kind, const char *what)
{
    if (outcome->kind != kind) {
        fflush(stdout);
        fprintf(stderr, "%s: expected %s, got %s (trap: %s)\n", what, lucet_outcome_name(kind),
                lucet_outcome_name(outcome->kind), lucet_trap_name(outcome->trap_code));
        exit(1);
    }
}

static inline void usage(int argc, int wanted, const char *arguments)
{
    if (argc < wanted + 1) {
        fprintf(stderr, "usage: main %s   (or: make run)\n", arguments);
        exit(2);
    }
}

static inline lucet_val val_i32(int32_t value)
{
    lucet_val v = {.of = {.i32 = value}, .type = LUCET_VAL_I32};
    return v;
}
#endif
