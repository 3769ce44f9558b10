/* What shout.c does to a request, shared with the native program it is measured beside. */
#ifndef SHOUT_H
#define SHOUT_H
#include <stddef.h>

/* Writes len + 2 bytes to out: the text in capitals, in angle brackets. */
static void shout(char *out, const char *text, size_t len)
{
    out[0] = '<';
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        out[i + 1] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    out[len + 1] = '>';
}
#endif
