/*
 * Twelve small programs in tight loops, for the rows about the speed of compiled code and about
 * what interrupting it costs. Each does a fixed piece of work (some tens of microseconds) per round
 * and returns a checksum, which must be the same in every engine.
 *
 * Compiled twice: with clang --target=wasm32 -O2 for the engines, with clang -O2 natively.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __wasm__
/* A module can hold several copies, under different names. */
#ifndef COPY
#define COPY ""
#endif
#define KERNEL(name)                                                                               \
    uint32_t kernel_##name(uint32_t rounds) __asm__(COPY "kernel_" #name);                         \
    __attribute__((export_name(COPY "kernel_" #name))) uint32_t kernel_##name(uint32_t rounds)
#else
#define KERNEL(name)                                                                               \
    uint32_t kernel_##name(uint32_t rounds);                                                       \
    uint32_t kernel_##name(uint32_t rounds)
#endif

static uint32_t seed;

static uint32_t next(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

/* ---- fib: calls ------------------------------------------------------------------------------ */

static __attribute__((noinline)) uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

KERNEL(fib)
{
    uint32_t sum = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        sum += fib(18 + (r & 1));
    }
    return sum;
}

/* ---- sieve: strided byte stores -------------------------------------------------------------- */

static uint8_t composite[32768];

KERNEL(sieve)
{
    uint32_t count = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        for (uint32_t i = 0; i < sizeof composite; i++) {
            composite[i] = 0;
        }
        for (uint32_t i = 2; i < sizeof composite; i++) {
            if (!composite[i]) {
                count++;
                for (uint32_t j = i * 2; j < sizeof composite; j += i) {
                    composite[j] = 1;
                }
            }
        }
    }
    return count;
}

/* ---- matmul: doubles, three loops ------------------------------------------------------------ */

enum { SIDE = 32 };
static double left[SIDE][SIDE], right[SIDE][SIDE], product[SIDE][SIDE];

KERNEL(matmul)
{
    for (uint32_t i = 0; i < SIDE * SIDE; i++) {
        left[i / SIDE][i % SIDE] = (double)(i % 7);
        right[i / SIDE][i % SIDE] = (double)(i % 5);
    }
    double trace = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        for (uint32_t i = 0; i < SIDE; i++) {
            for (uint32_t j = 0; j < SIDE; j++) {
                double sum = 0;
                for (uint32_t k = 0; k < SIDE; k++) {
                    sum += left[i][k] * right[k][j];
                }
                product[i][j] = sum;
            }
        }
        trace += product[r % SIDE][r % SIDE];
        left[r % SIDE][0] = (double)(r % 3);
    }
    return (uint32_t)(int32_t)trace;
}

/* ---- nbody: doubles with square roots and divisions ------------------------------------------ */

enum { BODIES = 5 };
static double at[BODIES][3], speed[BODIES][3];

KERNEL(nbody)
{
    for (uint32_t i = 0; i < BODIES; i++) {
        for (uint32_t d = 0; d < 3; d++) {
            at[i][d] = (double)(i * 3 + d + 1);
            speed[i][d] = (double)d / (double)(i + 1);
        }
    }
    for (uint32_t step = 0; step < rounds * 200; step++) {
        for (uint32_t i = 0; i < BODIES; i++) {
            for (uint32_t j = i + 1; j < BODIES; j++) {
                double x = at[i][0] - at[j][0], y = at[i][1] - at[j][1], z = at[i][2] - at[j][2];
                double square = x * x + y * y + z * z + 0.01;
                double force = 0.001 / (square * __builtin_sqrt(square));
                speed[i][0] -= x * force, speed[j][0] += x * force;
                speed[i][1] -= y * force, speed[j][1] += y * force;
                speed[i][2] -= z * force, speed[j][2] += z * force;
            }
        }
        for (uint32_t i = 0; i < BODIES; i++) {
            at[i][0] += speed[i][0] * 0.001;
            at[i][1] += speed[i][1] * 0.001;
            at[i][2] += speed[i][2] * 0.001;
        }
    }
    return (uint32_t)(int32_t)(at[0][0] * 1e4);
}

/* ---- mandelbrot: a data-dependent loop of doubles -------------------------------------------- */

KERNEL(mandelbrot)
{
    uint32_t inside = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        for (uint32_t row = 0; row < 16; row++) {
            for (uint32_t column = 0; column < 32; column++) {
                double cx = (double)column / 16 - 1.5, cy = (double)row / 8 - 1, x = 0, y = 0;
                uint32_t n = 0;
                while (n < 64 && x * x + y * y < 4) {
                    double next_x = x * x - y * y + cx;
                    y = 2 * x * y + cy;
                    x = next_x;
                    n++;
                }
                inside += n;
            }
        }
    }
    return inside;
}

/* ---- sha256: rotations and additions --------------------------------------------------------- */

static uint32_t round_constants[64], block[16], schedule[64];

static uint32_t rotate(uint32_t x, uint32_t n)
{
    return x >> n | x << (32 - n);
}

static void compress(uint32_t state[8])
{
    uint32_t v[8];
    for (uint32_t i = 0; i < 8; i++) {
        v[i] = state[i];
    }
    for (uint32_t i = 0; i < 64; i++) {
        if (i < 16) {
            schedule[i] = block[i];
        } else {
            uint32_t a = schedule[i - 15], b = schedule[i - 2];
            schedule[i] = schedule[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
                          schedule[i - 7] + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
        }
        uint32_t big1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        uint32_t one = v[7] + big1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + round_constants[i] +
                       schedule[i];
        uint32_t big0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        uint32_t two = big0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        v[7] = v[6], v[6] = v[5], v[5] = v[4], v[4] = v[3] + one;
        v[3] = v[2], v[2] = v[1], v[1] = v[0], v[0] = one + two;
    }
    for (uint32_t i = 0; i < 8; i++) {
        state[i] += v[i];
    }
}

KERNEL(sha256)
{
    uint32_t state[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    seed = 7;
    for (uint32_t i = 0; i < 64; i++) {
        round_constants[i] = next() * 77u;
    }
    for (uint32_t r = 0; r < rounds * 64; r++) {
        block[r % 16] = r;
        compress(state);
    }
    return state[0] ^ state[7];
}

/* ---- crc32: a table look-up per byte --------------------------------------------------------- */

static uint32_t crc_table[256];
static uint8_t bytes[16384];

static void fill(void)
{
    seed = 1;
    for (uint32_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)next();
    }
}

KERNEL(crc32)
{
    fill();
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (uint32_t k = 0; k < 8; k++) {
            c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
        }
        crc_table[i] = c;
    }
    uint32_t crc = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        crc = ~crc;
        for (uint32_t i = 0; i < sizeof bytes; i++) {
            crc = crc_table[(crc ^ bytes[i]) & 255] ^ crc >> 8;
        }
        crc = ~crc;
    }
    return crc;
}

/* ---- quicksort: branches that cannot be predicted -------------------------------------------- */

static int32_t numbers[2048];

static void sort(int32_t low, int32_t high)
{
    while (low < high) {
        int32_t pivot = numbers[low + (high - low) / 2], i = low, j = high;
        while (i <= j) {
            while (numbers[i] < pivot) {
                i++;
            }
            while (numbers[j] > pivot) {
                j--;
            }
            if (i <= j) {
                int32_t t = numbers[i];
                numbers[i++] = numbers[j];
                numbers[j--] = t;
            }
        }
        sort(low, j);
        low = i;
    }
}

KERNEL(quicksort)
{
    uint32_t sum = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        seed = r;
        for (uint32_t i = 0; i < 2048; i++) {
            numbers[i] = (int32_t)next();
        }
        sort(0, 2047);
        sum += (uint32_t)(numbers[0] + numbers[1023] + numbers[2047]);
    }
    return sum;
}

/* ---- scan: a byte compared per step ---------------------------------------------------------- */

KERNEL(scan)
{
    fill();
    uint32_t found = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        uint8_t wanted = (uint8_t)r;
        const uint8_t *p = bytes, *end = bytes + sizeof bytes;
        while (p < end) {
            while (p < end && *p != wanted) {
                p++;
            }
            found += p < end;
            p++;
        }
    }
    return found;
}

/* ---- hash: inserts into an open hash table --------------------------------------------------- */

static uint32_t keys[4096], counts[4096];

KERNEL(hash)
{
    uint32_t longest = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        for (uint32_t i = 0; i < 4096; i++) {
            keys[i] = counts[i] = 0;
        }
        seed = r;
        for (uint32_t i = 0; i < 4096; i++) {
            uint32_t key = next() % 3000 + 1, slot = key * 2654435761u >> 20;
            while (keys[slot] != 0 && keys[slot] != key) {
                slot = (slot + 1) & 4095;
            }
            keys[slot] = key;
            counts[slot]++;
        }
        longest += counts[r & 4095];
    }
    return longest;
}

/* ---- base64: three bytes to four letters ----------------------------------------------------- */

static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static char encoded[sizeof bytes / 3 * 4 + 4];

KERNEL(base64)
{
    fill();
    uint32_t sum = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        bytes[r % sizeof bytes] ^= (uint8_t)r;
        char *to = encoded;
        for (uint32_t i = 0; i + 3 <= sizeof bytes; i += 3) {
            uint32_t three = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
            *to++ = LETTERS[three >> 18];
            *to++ = LETTERS[three >> 12 & 63];
            *to++ = LETTERS[three >> 6 & 63];
            *to++ = LETTERS[three & 63];
        }
        sum += (uint32_t)encoded[r % 16384];
    }
    return sum;
}

/* ---- tokens: a switch per byte --------------------------------------------------------------- */

static const char TEXT[] = "{\"name\": \"value\", \"list\": [1, 22, 333, -4.5e6, true, null], "
                           "\"nested\": {\"a\": {\"b\": [\"x\\\"y\", \"\", {}]}}, \"end\": 0}";

static uint32_t tokens(const char *p)
{
    uint32_t count = 0, depth = 0, deepest = 0;
    for (;;) {
        switch (*p) {
        case '\0':
            return count * 16 + deepest;
        case '{':
        case '[':
            count++;
            deepest = ++depth > deepest ? depth : deepest;
            p++;
            break;
        case '}':
        case ']':
            depth--;
            p++;
            break;
        case '"':
            for (p++; *p != '"'; p++) {
                p += *p == '\\';
            }
            p++;
            count++;
            break;
        case ' ':
        case ',':
        case ':':
            p++;
            break;
        default:
            while ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || *p == '-' || *p == '.') {
                p++;
            }
            count++;
        }
    }
}

KERNEL(tokens)
{
    uint32_t sum = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        for (uint32_t i = 0; i < 100; i++) {
            sum += tokens(TEXT + 0 * i);
        }
    }
    return sum;
}
