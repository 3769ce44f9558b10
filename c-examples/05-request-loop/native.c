/*
 * The same job as guests/shout.c, as a program of its own: what a server would start per request if
 * a process were its sandbox. Request as argument, answer on standard output.
 */
#include "../guests/shout.h"
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char out[4096];
    size_t len = argc > 1 ? strlen(argv[1]) : 0;
    if (len > sizeof out - 2) {
        return 1;
    }
    shout(out, argv[1], len);
    return write(STDOUT_FILENO, out, len + 2) == (ssize_t)(len + 2) ? 0 : 1;
}
