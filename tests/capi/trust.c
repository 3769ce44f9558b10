/*
 * Who is trusted, and what lucet_last_error says.   trust SIGNED UNSIGNED KEY-FILE OTHER-KEY HASH
 * SIGNED is by KEY-FILE, HASH is the hash of UNSIGNED.
 */
#include "env.h"

static lucet_module_config *config(const char *key, const char *hash, bool allow_unsigned)
{
    lucet_module_config *c = lucet_module_config_create();
    if (key != NULL) {
        OK(lucet_module_config_add_key(c, key));
    }
    if (hash != NULL) {
        OK(lucet_module_config_add_hash(c, hash));
    }
    OK(lucet_module_config_allow_unsigned(c, allow_unsigned));
    return c;
}

static void loads(const char *path, lucet_module_config *c)
{
    lucet_module *m;
    OK(lucet_module_load_file(path, c, &m));
    OK(lucet_module_free(m));
    lucet_module_config_free(c);
}

static void refuses(const char *path, lucet_module_config *c, const char *first, const char *second)
{
    lucet_module *m = (lucet_module *)(void *)c;
    FAILS(lucet_module_load_file(path, c, &m), LUCET_STATUS_UNTRUSTED_ARTIFACT, first);
    CHECK(m == NULL && strstr(lucet_last_error(), second) != NULL);
    CHECK(strstr(lucet_last_error(), path) == lucet_last_error());
    lucet_module_config_free(c);
}

static void mistakes(const char *key)
{
    const lucet_status invalid = LUCET_STATUS_INVALID_ARGUMENT;
    lucet_module_config *c = lucet_module_config_create();
    const char *zero = "RWQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    char hash[129];

    FAILS(lucet_module_config_add_key(NULL, key), LUCET_STATUS_NULL_ARGUMENT, "config");
    FAILS(lucet_module_config_add_key(c, NULL), LUCET_STATUS_NULL_ARGUMENT, "public_key");
    FAILS(lucet_module_config_add_key(c, "plugins.pub"), invalid, "not a public key");
    FAILS(lucet_module_config_add_key(c, "\xff"), invalid, "UTF-8");
    FAILS(lucet_module_config_add_key(c, zero), invalid, "anybody could sign");
    FAILS(lucet_module_config_add_hash(NULL, ""), LUCET_STATUS_NULL_ARGUMENT, "config");
    FAILS(lucet_module_config_add_hash(c, NULL), LUCET_STATUS_NULL_ARGUMENT, "hash");
    FAILS(lucet_module_config_add_hash(c, "abc"), invalid, "128 digits");
    for (int n = 0; n < 4096; n++) {
        snprintf(hash, sizeof hash, "%0128x", n);
        OK(lucet_module_config_add_hash(c, hash));
    }
    OK(lucet_module_config_add_hash(c, hash));
    snprintf(hash, sizeof hash, "%0128x", 4096);
    FAILS(lucet_module_config_add_hash(c, hash), LUCET_STATUS_LIMIT_EXCEEDED, "4096 hashes");
    OK(lucet_module_config_add_key(c, key));
    lucet_module_config_free(c);
    FAILS(lucet_module_config_add_key(c, key), LUCET_STATUS_INVALID_HANDLE, "freed");
    FAILS(lucet_module_config_add_hash(c, hash), LUCET_STATUS_INVALID_HANDLE, "freed");
}

static const char *contents(const char *path)
{
    static char text[1000];
    FILE *file = fopen(path, "r");
    size_t n = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    CHECK(n > 0);
    text[n] = '\0';
    if (file != NULL) {
        fclose(file);
    }
    return text;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        return 2;
    }
    const char *signed_ = argv[1], *unsigned_ = argv[2], *other = argv[4], *hash = argv[5];
    const char *key = contents(argv[3]);
    lucet_module_config *both = config(other, NULL, false);
    lucet_module *m;

    loads(signed_, config(key, NULL, false));
    loads(signed_, config(NULL, hash, false));
    loads(unsigned_, config(other, hash, false));
    loads(signed_, config(other, NULL, true));
    OK(lucet_module_config_add_key(both, key));
    OK(lucet_module_config_add_key(both, key));
    loads(signed_, both);
    refuses(signed_, config(other, NULL, false), "is signed by key ", "accepted are signatures by");
    refuses(unsigned_, config(key, NULL, false), "is not signed", "lucetc sign");
    refuses(unsigned_, config(NULL, NULL, false), "trusts nobody", hash);
    FAILS(lucet_module_load_file(unsigned_, NULL, &m), LUCET_STATUS_UNTRUSTED_ARTIFACT,
          "lucet_module_config_add_key");
    mistakes(other);
    return failures == 0 ? 0 : 1;
}
