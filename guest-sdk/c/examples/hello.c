/*
 * The smallest plugin: it answers every request.
 */
#include <lucet_http.h>

static bool on_request(void)
{
    http_respond(200, "text/plain", "hello from a plugin\n");
    return false;
}

HTTP_PLUGIN_REQUESTS(on_request);
