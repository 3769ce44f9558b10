/*
 * Counts the words of its standard input. It knows nothing of Lucet: a program like any other, with
 * arguments, standard streams, memory from malloc and an exit code.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    size_t len = 0, room = 16;
    char *text = malloc(room);
    long words = 0;
    int c;

    if (argc != 2 || text == NULL) {
        fprintf(stderr, "usage: %s UNIT\n", argv[0]);
        return 2;
    }
    while ((c = getchar()) != EOF) {
        if (len == room) {
            char *larger = realloc(text, room *= 2);
            if (larger == NULL) {
                return 3;
            }
            text = larger;
        }
        text[len++] = (char)c;
    }
    for (size_t i = 0; i < len; i++) {
        int begins = i == 0 || isspace((unsigned char)text[i - 1]);
        words += begins && !isspace((unsigned char)text[i]);
    }
    printf("%ld %s\n", words, argv[1]);
    free(text);
    return words == 0;
}
