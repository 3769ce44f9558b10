/*
 * Contracts in C, and artifacts from descriptors.   contract ARTIFACT
 *
 * The artifact has the label tenant = "blue", a memory of 2 pages, a table of 3 elements, and SIMD.
 */
#include "env.h"
#include <fcntl.h>
#include <unistd.h>

static lucet_module_config *fresh(void)
{
    lucet_module_config *c = lucet_module_config_create();
    OK(lucet_module_config_allow_unsigned(c, true));
    return c;
}

/* Loads and expects to be refused with this hint, or not at all. */
static void load(lucet_module_config *c, const char *path, const char *hint)
{
    lucet_module *m;
    if (hint == NULL) {
        OK(lucet_module_load_file(path, c, &m));
        OK(lucet_module_free(m));
    } else {
        FAILS(lucet_module_load_file(path, c, &m), LUCET_STATUS_CONTRACT_REFUSED, hint);
        CHECK(m == NULL && strstr(lucet_last_error(), path) != NULL);
    }
    lucet_module_config_free(c);
}

static void terms(const char *path)
{
    lucet_module_config *c = fresh();
    OK(lucet_module_config_set_max_memory(c, 131072));
    OK(lucet_module_config_set_max_table_elements(c, 3));
    OK(lucet_module_config_require_label(c, "tenant", "blue"));
    OK(lucet_module_config_require_label(c, "tenant", NULL));
    OK(lucet_module_config_set_min_compiler(c, "0.0.1"));
    OK(lucet_module_config_deny_feature(c, "all"));
    OK(lucet_module_config_allow_feature(c, "simd"));
    load(c, path, NULL);

    c = fresh();
    OK(lucet_module_config_set_max_memory(c, 131071));
    load(c, path, "begins with 131072 bytes, lucet_module_config_set_max_memory allows 131071");
    c = fresh();
    OK(lucet_module_config_set_max_table_elements(c, 2));
    load(c, path, "table 0 begins with 3 elements");
    c = fresh();
    OK(lucet_module_config_require_label(c, "tenant", "red"));
    load(c, path, "\"tenant\" is \"blue\", \"red\" is required");
    c = fresh();
    OK(lucet_module_config_set_min_compiler(c, "999.0.0"));
    load(c, path, "asks for 999.0.0: compile it again");
    c = fresh();
    OK(lucet_module_config_deny_feature(c, "simd"));
    load(c, path, "it uses simd");
}

static void mistakes(void)
{
    lucet_module_config *c = fresh();
    FAILS(lucet_module_config_set_max_memory(NULL, 1), LUCET_STATUS_NULL_ARGUMENT, "config");
    FAILS(lucet_module_config_set_max_table_elements(NULL, 1), LUCET_STATUS_NULL_ARGUMENT,
          "config");
    FAILS(lucet_module_config_require_label(NULL, "a", NULL), LUCET_STATUS_NULL_ARGUMENT, "config");
    FAILS(lucet_module_config_require_label(c, NULL, "a"), LUCET_STATUS_NULL_ARGUMENT, "name");
    FAILS(lucet_module_config_require_label(c, "", "a"), LUCET_STATUS_INVALID_ARGUMENT, "name");
    FAILS(lucet_module_config_require_label(c, "\xff", NULL), LUCET_STATUS_INVALID_ARGUMENT,
          "UTF-8");
    FAILS(lucet_module_config_set_min_compiler(c, NULL), LUCET_STATUS_NULL_ARGUMENT, "version");
    FAILS(lucet_module_config_set_min_compiler(c, "1.2"), LUCET_STATUS_INVALID_ARGUMENT, "1.2.3");
    FAILS(lucet_module_config_deny_feature(c, NULL), LUCET_STATUS_NULL_ARGUMENT, "name");
    FAILS(lucet_module_config_deny_feature(c, "SSE"), LUCET_STATUS_INVALID_ARGUMENT,
          "mutable-globals, sign-extension");
    FAILS(lucet_module_config_allow_feature(c, "%s%n"), LUCET_STATUS_INVALID_ARGUMENT, "%s%n");
    lucet_module_config_free(c);
    FAILS(lucet_module_config_set_max_memory(c, 1), LUCET_STATUS_INVALID_HANDLE, "config");
}

static void labels(const char *path)
{
    lucet_module_config *c = fresh();
    lucet_module *m;
    char buf[8];
    size_t len = 99;

    OK(lucet_module_load_file(path, c, &m));
    OK(lucet_module_label(m, "tenant", buf, sizeof buf, &len));
    CHECK(strcmp(buf, "blue") == 0 && len == 4);
    OK(lucet_module_label(m, "tenant", buf, 3, NULL));
    CHECK(strcmp(buf, "bl") == 0);
    OK(lucet_module_label(m, "tenant", NULL, 0, &len));
    FAILS(lucet_module_label(m, "Tenant", buf, sizeof buf, &len), LUCET_STATUS_INVALID_ARGUMENT,
          "no label \"Tenant\"");
    FAILS(lucet_module_label(m, NULL, buf, 8, &len), LUCET_STATUS_NULL_ARGUMENT, "name");
    FAILS(lucet_module_label(NULL, "tenant", buf, 8, &len), LUCET_STATUS_NULL_ARGUMENT, "module");
    OK(lucet_module_free(m));
    lucet_module_config_free(c);
}

static void descriptors(const char *path)
{
    lucet_module_config *c = fresh();
    lucet_module *m;
    int ends[2];
    int fd = open(path, O_RDONLY);

    CHECK(lseek(fd, 77, SEEK_SET) == 77);
    OK(lucet_module_load_fd(fd, c, &m));
    CHECK(m != NULL && lseek(fd, 0, SEEK_CUR) == 77);
    OK(lucet_module_free(m));
    FAILS(lucet_module_load_fd(fd, c, NULL), LUCET_STATUS_NULL_ARGUMENT, "out");
    FAILS(lucet_module_load_fd(fd, NULL, &m), LUCET_STATUS_UNTRUSTED_ARTIFACT, "");
    CHECK(close(fd) == 0 && m == NULL);
    FAILS(lucet_module_load_fd(fd, c, &m), LUCET_STATUS_IO, "EBADF");
    FAILS(lucet_module_load_fd(-1, c, &m), LUCET_STATUS_INVALID_ARGUMENT, "fd");
    FAILS(lucet_module_load_fd(INT32_MIN, c, &m), LUCET_STATUS_INVALID_ARGUMENT, "-2147483648");
    CHECK(pipe(ends) == 0);
    FAILS(lucet_module_load_fd(ends[0], c, &m), LUCET_STATUS_NOT_AN_ARTIFACT, "a pipe");
    FAILS(lucet_module_load_fd(ends[1], c, &m), LUCET_STATUS_INVALID_ARGUMENT, "O_RDONLY");
    lucet_module_config_free(c);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    terms(argv[1]);
    mistakes();
    labels(argv[1]);
    descriptors(argv[1]);
    return failures != 0;
}
