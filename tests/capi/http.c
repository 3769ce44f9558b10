/*
 * An HTTP server without a network: requests in memory, plugins through lucet_http.h.
 *
 *   http HELLO TENANT ROUTER READER NONE     artifacts: three examples of the guest SDK, a plugin
 *                                            that reads the body, and a module that is no plugin
 *
 * malloc is counted: requests that are warm allocate nothing.
 */
#include "env.h"
#include <lucet_http.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

static size_t allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    allocations++;
    return __libc_realloc(p, size);
}

typedef struct header {
    const char *name, *value;
} header;

typedef struct request {
    const char *uri;
    const header *headers;
    const char *body;
    int waits;
    int32_t status;
    uint32_t features;
    char changes[512];
    char response[2048];
    size_t response_len;
} request;

static const header usual[] = {
    {"Host", "example.org"}, {"User-Agent", "test"}, {"X-Tenant", "blue"}, {NULL, NULL}};

static lucet_http_text text(const char *s)
{
    lucet_http_text t = {s, strlen(s)};
    return t;
}

static bool get(void *r, lucet_http_field field, lucet_http_text *out)
{
    request *q = r;
    switch (field) {
    case LUCET_HTTP_METHOD:
        *out = text("GET");
        return true;
    case LUCET_HTTP_URI:
        *out = text(q->uri);
        return true;
    default:
        return false;
    }
}

static void append(request *r, const char *what, lucet_http_text a, lucet_http_text b)
{
    size_t len = strlen(r->changes);
    snprintf(r->changes + len, sizeof r->changes - len, "%s%.*s=%.*s;", what, (int)a.len, a.data,
             (int)b.len, b.data);
}

static lucet_http_reply set(void *r, lucet_http_field field, lucet_http_text value)
{
    append(r, field == LUCET_HTTP_URI ? "uri" : "method", text(""), value);
    return LUCET_HTTP_DONE;
}

static bool next_header(void *r, lucet_http_kind kind, lucet_http_cursor *at,
                        lucet_http_text *name, lucet_http_text *value)
{
    const header *h = ((request *)r)->headers + at->number++;
    if (kind != LUCET_HTTP_REQUEST_HEADERS || h->name == NULL) {
        return false;
    }
    *name = text(h->name);
    *value = text(h->value);
    return true;
}

static lucet_http_reply change_header(void *r, lucet_http_kind kind, lucet_http_change change,
                                      lucet_http_text name, lucet_http_text value)
{
    char what[3] = {"qsQS"[kind], "=+-"[change], '\0'};
    append(r, what, name, value);
    return LUCET_HTTP_DONE;
}

static lucet_http_reply read_body(void *r, lucet_http_body body, void *buf, size_t cap,
                                  size_t *len, bool *end)
{
    request *q = r;
    if (q->waits-- > 0) {
        return LUCET_HTTP_WAIT;
    }
    CHECK(body == LUCET_HTTP_REQUEST_BODY && *len == 0 && !*end);
    *len = strlen(q->body) < cap ? strlen(q->body) : cap;
    memcpy(buf, q->body, *len);
    q->body += *len;
    *end = *q->body == '\0';
    return LUCET_HTTP_DONE;
}

static lucet_http_reply write_body(void *r, lucet_http_body body, const void *bytes, size_t len,
                                   bool first)
{
    request *q = r;
    if (first) {
        q->response_len = 0;
    }
    if (body != LUCET_HTTP_RESPONSE_BODY ||
        len > sizeof q->response - q->response_len) {
        return LUCET_HTTP_REFUSED;
    }
    memcpy(q->response + q->response_len, bytes, len);
    q->response_len += len;
    return LUCET_HTTP_DONE;
}

static int32_t status(void *r)
{
    return ((request *)r)->status;
}

static lucet_http_reply set_status(void *r, int32_t status)
{
    ((request *)r)->status = status;
    return LUCET_HTTP_DONE;
}

static lucet_http_reply enable(void *r, uint32_t features)
{
    ((request *)r)->features |= features;
    return LUCET_HTTP_DONE;
}

static char logged[256];

static void log_message(void *r, lucet_http_log_level level, const char *message, size_t len)
{
    (void)r;
    snprintf(logged, sizeof logged, "%d %.*s", level, (int)len, message);
}

static const lucet_http_server server = {
    .size = sizeof server,
    .features = LUCET_HTTP_BUFFER_REQUEST | LUCET_HTTP_BUFFER_RESPONSE,
    .max_body_bytes = 1500,
    .config = {"blue", 4},
    .get = get,
    .set = set,
    .next_header = next_header,
    .change_header = change_header,
    .read_body = read_body,
    .write_body = write_body,
    .status = status,
    .set_status = set_status,
    .enable = enable,
    .log = log_message,
};

static lucet_region *region;

/* A request as it begins. */
static request ask(const char *uri)
{
    request r = {.uri = uri, .headers = usual, .body = ""};
    return r;
}

/* Handles a request with a fresh instance, of which nothing is left. */
static lucet_http_next handle(lucet_module *plugin, request *r, lucet_outcome *outcome)
{
    lucet_instance *i = NULL;
    lucet_http_next next = -1;
    OK(lucet_instance_create(region, plugin, &i));
    OK(lucet_http_attach(i, r));
    OK(lucet_http_handle_request(i, &next, outcome));
    while (outcome->kind == LUCET_OUTCOME_YIELDED) {
        CHECK(lucet_http_waits_for(outcome) == LUCET_HTTP_WAIT_READ_BODY);
        OK(lucet_http_resume(i, 0, &next, outcome));
    }
    if (outcome->kind == LUCET_OUTCOME_RETURNED && next == LUCET_HTTP_CONTINUE) {
        r->status = 404;
        OK(lucet_http_handle_response(i, false, outcome));
    }
    OK(lucet_instance_free(i));
    return next;
}

static void works(lucet_module *hello, lucet_module *tenant, lucet_module *router)
{
    lucet_outcome outcome;
    lucet_http_abi abi = 0;
    bool responses = true;
    request r = ask("/");

    OK(lucet_http_check(hello, &abi, &responses));
    CHECK(abi == LUCET_HTTP_ABI_HTTP_WASM && !responses);
    OK(lucet_http_check(router, NULL, &responses));
    CHECK(responses);

    CHECK(handle(hello, &r, &outcome) == LUCET_HTTP_RESPOND);
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && r.status == 200);
    CHECK(strcmp(r.changes, "s=Content-Type=text/plain;") == 0);
    CHECK(r.response_len == 20 && memcmp(r.response, "hello from a plugin\n", 20) == 0);

    r = ask("/");
    CHECK(handle(tenant, &r, &outcome) == LUCET_HTTP_RESPOND);
    CHECK(strncmp(r.changes, "s=X-Key=", 8) == 0 && r.response_len == 1024);

    r = ask("/api/v1/x");
    CHECK(handle(router, &r, &outcome) == LUCET_HTTP_CONTINUE);
    CHECK(r.features == LUCET_HTTP_BUFFER_RESPONSE);
    CHECK(strncmp(r.changes, "uri=/v1/x;q=X-Backend=api;s-Server=;s+X-Routed-By=", 49) == 0);
    CHECK(r.response_len == 14 && lucet_http_problem(&outcome) == NULL);

    r = ask("/admin");
    CHECK(handle(router, &r, &outcome) == LUCET_HTTP_RESPOND && r.status == 403);
    CHECK(strcmp(logged, "1 kept out of /admin") == 0);
}

static void reads(lucet_module *reader)
{
    lucet_outcome outcome;
    request r = ask("/");
    r.body = "a body";
    r.waits = 3;
    CHECK(handle(reader, &r, &outcome) == LUCET_HTTP_RESPOND);
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && r.waits == -1);
    CHECK(r.response_len == 6 && memcmp(r.response, "a body", 6) == 0);

    /* Twice the limit. */
    r = ask("/");
    char *body = calloc(1, 2001);
    r.body = memset(body, 'x', 2000);
    CHECK(handle(reader, &r, &outcome) == LUCET_HTTP_RESPOND);
    CHECK(outcome.kind == LUCET_OUTCOME_HOST_ERROR);
    CHECK(strcmp(lucet_http_problem(&outcome), "the plugin wrote too long a body") == 0);
    CHECK(lucet_http_waits_for(&outcome) == LUCET_HTTP_WAIT_NONE);
    free(body);
}

static void warm(lucet_module *plugin)
{
    lucet_outcome outcome;
    size_t before = 0;
    for (int n = 0; n < 1100; n++) {
        request r = ask("/");
        before = n == 100 ? allocations : before;
        handle(plugin, &r, &outcome);
        CHECK(outcome.kind == LUCET_OUTCOME_RETURNED);
    }
    CHECK(allocations == before);
}

static void misuse(lucet_module *hello, lucet_module *none, const char *path)
{
    lucet_http_server wrong = server;
    lucet_module_config *c = lucet_module_config_create();
    lucet_module *without = NULL;
    lucet_instance *i = NULL;
    lucet_http_next next = LUCET_HTTP_CONTINUE;
    lucet_outcome outcome;
    request r = ask("/");

    wrong.size = 8;
    FAILS(lucet_module_config_set_http_server(c, &wrong), LUCET_STATUS_INVALID_ARGUMENT, "size");
    FAILS(lucet_module_config_set_http_server(c, NULL), LUCET_STATUS_NULL_ARGUMENT, "server");
    OK(lucet_module_config_allow_unsigned(c, true));
    FAILS(lucet_module_load_file(path, c, &without), LUCET_STATUS_MISSING_IMPORT, "http_handler");
    OK(lucet_module_config_set_http_server(c, &server));
    FAILS(lucet_module_config_set_http_server(c, &server), LUCET_STATUS_INVALID_ARGUMENT,
          "already");
    lucet_module_config_free(c);

    FAILS(lucet_http_check(none, NULL, NULL), LUCET_STATUS_NO_SUCH_EXPORT, "handle_request");
    FAILS(lucet_http_attach(NULL, &r), LUCET_STATUS_NULL_ARGUMENT, "instance");
    OK(lucet_instance_create(region, none, &i));
    FAILS(lucet_http_attach(i, &r), LUCET_STATUS_NO_SUCH_EXPORT, "handle_request");
    OK(lucet_instance_free(i));
    FAILS(lucet_http_attach(i, &r), LUCET_STATUS_INVALID_HANDLE, "");

    OK(lucet_instance_create(region, hello, &i));
    FAILS(lucet_http_handle_request(i, &next, &outcome), LUCET_STATUS_WRONG_STATE, "attached");
    CHECK(next == LUCET_HTTP_RESPOND && outcome.kind == 0);
    OK(lucet_http_attach(i, &r));
    FAILS(lucet_http_handle_request(i, NULL, &outcome), LUCET_STATUS_NULL_ARGUMENT, "next");
    FAILS(lucet_http_handle_request(i, &next, NULL), LUCET_STATUS_NULL_ARGUMENT, "outcome");
    FAILS(lucet_http_resume(i, 0, &next, &outcome), LUCET_STATUS_WRONG_STATE, "");
    FAILS(lucet_http_handle_response(i, true, &outcome), LUCET_STATUS_WRONG_STATE, "not handled");
    OK(lucet_http_handle_request(i, &next, &outcome));
    OK(lucet_instance_free(i));
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_module *modules[5] = {NULL};

    if (argc != 6) {
        return 2;
    }
    OK(lucet_module_config_allow_unsigned(config, true));
    OK(lucet_module_config_set_http_server(config, &server));
    OK(lucet_region_create(NULL, &region));
    for (int n = 0; n < 5; n++) {
        OK(lucet_module_load_file(argv[n + 1], config, &modules[n]));
    }
    lucet_module_config_free(config);
    works(modules[0], modules[1], modules[2]);
    reads(modules[3]);
    warm(modules[0]);
    warm(modules[1]);
    misuse(modules[0], modules[4], argv[1]);
    for (int n = 0; n < 5; n++) {
        OK(lucet_module_free(modules[n]));
    }
    OK(lucet_region_free(region));
    return failures == 0 ? 0 : 1;
}
