/*
 * What plugins may ask of nginx: the table of callbacks that lucet calls for them. What arrives
 * here was checked by lucet; what nginx itself could be confused by is refused here.
 */


#include "ngx_http_lucet_module.h"


static bool ngx_http_lucet_get(void *request, lucet_http_field field, lucet_http_text *out);
static lucet_http_reply ngx_http_lucet_set(void *request, lucet_http_field field,
    lucet_http_text value);
static lucet_http_reply ngx_http_lucet_set_method(ngx_http_request_t *r, ngx_str_t *name);
static lucet_http_reply ngx_http_lucet_set_uri(ngx_http_lucet_ctx_t *ctx, ngx_str_t *uri);
static int32_t ngx_http_lucet_status(void *request);
static lucet_http_reply ngx_http_lucet_set_status(void *request, int32_t status);
static lucet_http_reply ngx_http_lucet_enable(void *request, uint32_t features);
static lucet_http_log_level ngx_http_lucet_log_level(void *request);
static void ngx_http_lucet_log(void *request, lucet_http_log_level level, const char *message,
    size_t len);


const lucet_http_server  ngx_http_lucet_server = {
    .size = sizeof(lucet_http_server),
    .features = LUCET_HTTP_BUFFER_REQUEST|LUCET_HTTP_BUFFER_RESPONSE,
    .get = ngx_http_lucet_get,
    .set = ngx_http_lucet_set,
    .next_header = ngx_http_lucet_next_header,
    .change_header = ngx_http_lucet_change_header,
    .read_body = ngx_http_lucet_read_body,
    .write_body = ngx_http_lucet_write_body,
    .status = ngx_http_lucet_status,
    .set_status = ngx_http_lucet_set_status,
    .enable = ngx_http_lucet_enable,
    .log_level = ngx_http_lucet_log_level,
    .log = ngx_http_lucet_log,
};


/* nginx's names of methods, and its numbers for them. Others are NGX_HTTP_UNKNOWN. */
static struct {
    ngx_str_t                     name;
    ngx_uint_t                    number;
} ngx_http_lucet_methods[] = {
    { ngx_string("GET"),       NGX_HTTP_GET },
    { ngx_string("HEAD"),      NGX_HTTP_HEAD },
    { ngx_string("POST"),      NGX_HTTP_POST },
    { ngx_string("PUT"),       NGX_HTTP_PUT },
    { ngx_string("DELETE"),    NGX_HTTP_DELETE },
    { ngx_string("OPTIONS"),   NGX_HTTP_OPTIONS },
    { ngx_string("PATCH"),     NGX_HTTP_PATCH },
    { ngx_string("COPY"),      NGX_HTTP_COPY },
    { ngx_string("MOVE"),      NGX_HTTP_MOVE },
    { ngx_string("LOCK"),      NGX_HTTP_LOCK },
    { ngx_string("UNLOCK"),    NGX_HTTP_UNLOCK },
    { ngx_string("MKCOL"),     NGX_HTTP_MKCOL },
    { ngx_string("PROPFIND"),  NGX_HTTP_PROPFIND },
    { ngx_string("PROPPATCH"), NGX_HTTP_PROPPATCH },
    { ngx_string("TRACE"),     NGX_HTTP_TRACE },
    { ngx_null_string,         0 }
};


static bool
ngx_http_lucet_get(void *request, lucet_http_field field, lucet_http_text *out)
{
    ngx_str_t             *text;
    ngx_connection_t      *c;
    ngx_http_request_t    *r;
    ngx_http_lucet_run_t  *run;
    ngx_http_lucet_ctx_t  *ctx = request;

    r = ctx->request;

    switch (field) {

    case LUCET_HTTP_METHOD:
        text = &r->method_name;
        break;

    case LUCET_HTTP_URI:
        text = ctx->uri.data ? &ctx->uri : &r->unparsed_uri;
        break;

    case LUCET_HTTP_PROTOCOL:
        text = &r->http_protocol;
        break;

    case LUCET_HTTP_CONFIG:
        run = &ctx->runs[ctx->at];

        if (!run->link->own_config) {
            return false;
        }

        text = &run->link->config;
        break;

    case LUCET_HTTP_SOURCE_ADDRESS:
        text = &ctx->address;

        if (text->data == NULL) {
            c = r->connection;

            text->data = ngx_pnalloc(r->pool, NGX_SOCKADDR_STRLEN);
            if (text->data == NULL) {
                return false;
            }

            text->len = ngx_sock_ntop(c->sockaddr, c->socklen, text->data, NGX_SOCKADDR_STRLEN, 1);
        }

        break;

    default:
        return false;
    }

    out->data = (char *) text->data;
    out->len = text->len;

    return true;
}


static lucet_http_reply
ngx_http_lucet_set(void *request, lucet_http_field field, lucet_http_text value)
{
    ngx_str_t              text;
    ngx_http_request_t    *r;
    ngx_http_lucet_ctx_t  *ctx = request;

    r = ctx->request;

    text.len = value.len;
    text.data = NULL;

    /* each takes memory until the request is over */

    if (ctx->changes++ < NGX_HTTP_LUCET_MAX_CHANGES) {
        text.data = ngx_pnalloc(r->pool, value.len);
    }

    if (text.data == NULL) {
        return LUCET_HTTP_REFUSED;
    }

    ngx_memcpy(text.data, value.data, value.len);

    switch (field) {

    case LUCET_HTTP_METHOD:
        return ngx_http_lucet_set_method(r, &text);

    case LUCET_HTTP_URI:
        return ngx_http_lucet_set_uri(ctx, &text);

    default:
        return LUCET_HTTP_REFUSED;
    }
}


/*
 * Whether a response has a body depends on whether the client asked with HEAD, so this stays as it
 * is: anything else would leave the connection with a body that nobody expects, or without one that
 * somebody waits for.
 */
static lucet_http_reply
ngx_http_lucet_set_method(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_uint_t  i, number;

    number = NGX_HTTP_UNKNOWN;

    for (i = 0; ngx_http_lucet_methods[i].name.len; i++) {
        if (name->len == ngx_http_lucet_methods[i].name.len
            && ngx_strncmp(name->data, ngx_http_lucet_methods[i].name.data, name->len) == 0)
        {
            number = ngx_http_lucet_methods[i].number;
            break;
        }
    }

    if ((number == NGX_HTTP_HEAD) != (r->method == NGX_HTTP_HEAD)) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "lucet: a plugin tried to change the method from %V to %V",
                      &r->method_name, name);
        return LUCET_HTTP_REFUSED;
    }

    r->method = number;
    r->method_name = *name;

    return LUCET_HTTP_DONE;
}


/* As `rewrite ... break` does it: the request stays in its location. */

static lucet_http_reply
ngx_http_lucet_set_uri(ngx_http_lucet_ctx_t *ctx, ngx_str_t *uri)
{
    ngx_str_t            path, args;
    ngx_uint_t           flags;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (uri->len == 0 || uri->data[0] != '/') {
        return LUCET_HTTP_REFUSED;
    }

    path.len = uri->len;
    path.data = ngx_pstrdup(r->pool, uri);
    ngx_str_null(&args);
    flags = 0;

    if (path.data == NULL || ngx_http_parse_unsafe_uri(r, &path, &args, &flags) != NGX_OK) {
        return LUCET_HTTP_REFUSED;
    }

    r->uri = path;
    r->args = args;
    r->valid_unparsed_uri = 0;
    r->quoted_uri = 0;
    r->complex_uri = 0;
    ngx_http_set_exten(r);

    ctx->uri = *uri;

    return LUCET_HTTP_DONE;
}


static int32_t
ngx_http_lucet_status(void *request)
{
    ngx_http_lucet_ctx_t *ctx = request;

    if (ctx->state == NGX_HTTP_LUCET_RESPONSE) {
        return (int32_t) ctx->request->headers_out.status;
    }

    return (int32_t) ctx->status;
}


/* Informational statuses are not responses: what follows one would be taken for the response. */

static lucet_http_reply
ngx_http_lucet_set_status(void *request, int32_t status)
{
    ngx_http_lucet_ctx_t *ctx = request;

    if (status < 200) {
        return LUCET_HTTP_REFUSED;
    }

    if (ctx->state == NGX_HTTP_LUCET_RESPONSE) {
        ctx->request->headers_out.status = status;
        ctx->request->headers_out.status_line.len = 0;

    } else {
        ctx->status = status;
    }

    return LUCET_HTTP_DONE;
}


static lucet_http_reply
ngx_http_lucet_enable(void *request, uint32_t features)
{
    ngx_http_lucet_ctx_t *ctx = request;

    /* start-up code runs for a request too, but does not know it */

    if (ctx == NULL) {
        ctx = ngx_http_lucet_starting;
    }

    if (ctx != NULL) {
        ctx->features |= features;
    }

    return LUCET_HTTP_DONE;
}


static lucet_http_log_level
ngx_http_lucet_log_level(void *request)
{
    ngx_log_t             *log;
    ngx_http_lucet_ctx_t  *ctx = request;

    if (ctx == NULL) {
        ctx = ngx_http_lucet_starting;
    }

    log = ctx ? ctx->request->connection->log : ngx_cycle->log;

    if (log->log_level >= NGX_LOG_DEBUG) {
        return LUCET_HTTP_LOG_DEBUG;
    }

    if (log->log_level >= NGX_LOG_INFO) {
        return LUCET_HTTP_LOG_INFO;
    }

    if (log->log_level >= NGX_LOG_WARN) {
        return LUCET_HTTP_LOG_WARN;
    }

    return log->log_level >= NGX_LOG_ERR ? LUCET_HTTP_LOG_ERROR : LUCET_HTTP_LOG_NONE;
}


static void
ngx_http_lucet_log(void *request, lucet_http_log_level level, const char *message, size_t len)
{
    ngx_str_t              text;
    ngx_uint_t             severity;
    ngx_http_lucet_ctx_t  *ctx = request;

    switch (level) {
    case LUCET_HTTP_LOG_ERROR:
        severity = NGX_LOG_ERR;
        break;
    case LUCET_HTTP_LOG_WARN:
        severity = NGX_LOG_WARN;
        break;
    case LUCET_HTTP_LOG_INFO:
        severity = NGX_LOG_INFO;
        break;
    default:
        /* NGX_LOG_DEBUG needs a mask; what the level let through is for the log */
        severity = NGX_LOG_INFO;
    }

    text.len = len;
    text.data = (u_char *) message;

    if (ctx == NULL) {
        ctx = ngx_http_lucet_starting;
    }

    if (ctx == NULL) {
        return;
    }

    ngx_log_error(severity, ctx->request->connection->log, 0, "lucet: plugin \"%V\" says: %V",
                  &ctx->runs[ctx->at].plugin->sn.str, &text);
}
