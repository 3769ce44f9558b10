/*
 * What is written in VCL elsewhere: it routes by path, normalizes what a cache would key on, keeps
 * people out, and marks responses.
 *
 *   /old/...       moved to /new/...
 *   /admin...      403, unless the header X-Admin is there
 *   /api/v1/...    goes on as /v1/... with X-Backend: api
 *   others         go on with X-Backend: web, without cookies
 */
#include <lucet_http.h>

static char uri[2048];
static char to[2048];

static bool starts(const char *text, const char *with)
{
    for (; *with != '\0'; text++, with++) {
        if (*text != *with) {
            return false;
        }
    }
    return true;
}

static const char *join(const char *a, const char *b)
{
    size_t n = 0;
    for (; *a != '\0' && n < sizeof to - 1; a++) {
        to[n++] = *a;
    }
    for (; *b != '\0' && n < sizeof to - 1; b++) {
        to[n++] = *b;
    }
    to[n] = '\0';
    return to;
}

static bool on_request(void)
{
    char value[256];
    if (http_uri(uri, sizeof uri) == NULL) {
        http_respond(414, "text/plain", "too long\n");
        return false;
    }
    if (starts(uri, "/old/")) {
        http_set_status(301);
        http_set_header(HTTP_RESPONSE, "Location", join("/new/", uri + 5));
        return false;
    }
    if (starts(uri, "/admin") && !http_header(HTTP_REQUEST, "X-Admin", value, sizeof value)) {
        http_log(HTTP_WARN, join("kept out of ", uri));
        http_respond(403, "text/plain", "no\n");
        return false;
    }
    if (starts(uri, "/api/v1/")) {
        http_set_uri(join("/v1/", uri + 8));
        http_set_header(HTTP_REQUEST, "X-Backend", "api");
    } else {
        http_remove_header(HTTP_REQUEST, "Cookie");
        http_set_header(HTTP_REQUEST, "X-Backend", "web");
    }
    http_enable_features(HTTP_BUFFER_RESPONSE);
    return true;
}

static void on_response(bool error)
{
    if (error) {
        http_respond(502, "text/plain", "nobody answered\n");
        return;
    }
    http_remove_header(HTTP_RESPONSE, "Server");
    http_add_header(HTTP_RESPONSE, "X-Routed-By", "router");
    if (http_get_status() == 404) {
        http_respond(404, "text/plain", "nothing there\n");
    }
}

HTTP_PLUGIN(on_request, on_response);
