/*
 * Bodies as plugins read and write them. What a plugin writes is kept in the request's pool until
 * it is sent, within the limits that lucet holds plugins to; what it reads is where nginx has it,
 * in memory or in a temporary file.
 */


#include "ngx_http_lucet_module.h"


static ngx_uint_t ngx_http_lucet_awaits_body(ngx_http_lucet_ctx_t *ctx);
static ngx_int_t ngx_http_lucet_read_chain(ngx_http_request_t *r, ngx_http_lucet_place_t *place,
    u_char *buf, size_t cap, size_t *len);


/* Writes grow by at most so much at once. */
#define NGX_HTTP_LUCET_MAX_BUFFER    (1024 * 1024)


/* Whether the client sends a body that nobody has read. */

static ngx_uint_t
ngx_http_lucet_awaits_body(ngx_http_lucet_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->body_is_read || r != r->main || r->request_body) {
        return 0;
    }

#if (NGX_HTTP_V2)
    if (r->stream) {
        return 1;
    }
#endif

    return r->headers_in.content_length_n > 0 || r->headers_in.chunked;
}


lucet_http_reply
ngx_http_lucet_read_body(void *request, lucet_http_body body, void *buf, size_t cap, size_t *len,
    bool *end)
{
    ngx_int_t              rc;
    ngx_chain_t           *first;
    ngx_http_request_t    *r;
    ngx_http_lucet_ctx_t  *ctx = request;

    r = ctx->request;

    if (body == LUCET_HTTP_REQUEST_BODY) {

        /* a response does not wait for it: then it is what somebody has read */

        if (ctx->state == NGX_HTTP_LUCET_REQUEST && ngx_http_lucet_awaits_body(ctx)) {
            ctx->body_awaited = 1;
            return LUCET_HTTP_WAIT;
        }

        first = r->request_body ? r->request_body->bufs : NULL;

    } else {
        first = (ctx->state == NGX_HTTP_LUCET_RESPONSE) ? ctx->original.first : NULL;
    }

    if (!ctx->read.began || ctx->read.body != body) {
        ctx->read.began = 1;
        ctx->read.body = body;
        ctx->read.link = first;
        ctx->read.offset = 0;
    }

    rc = ngx_http_lucet_read_chain(r, &ctx->read, buf, cap, len);

    if (rc == NGX_ERROR) {
        return LUCET_HTTP_REFUSED;
    }

    *end = (ctx->read.link == NULL);

    return LUCET_HTTP_DONE;
}


static ngx_int_t
ngx_http_lucet_read_chain(ngx_http_request_t *r, ngx_http_lucet_place_t *place, u_char *buf,
    size_t cap, size_t *len)
{
    off_t       size;
    size_t      n;
    ssize_t     got;
    ngx_buf_t  *b;

    while (place->link) {

        b = place->link->buf;
        size = ngx_buf_special(b) ? 0 : ngx_buf_size(b);

        if (place->offset >= size) {
            place->link = place->link->next;
            place->offset = 0;
            continue;
        }

        if (*len == cap) {
            return NGX_OK;
        }

        n = (size_t) ngx_min(size - place->offset, (off_t) (cap - *len));

        if (ngx_buf_in_memory(b)) {
            ngx_memcpy(buf + *len, b->pos + place->offset, n);

        } else {
            got = ngx_read_file(b->file, buf + *len, n, b->file_pos + place->offset);

            if (got <= 0) {
                ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                              "lucet: a body's temporary file ends too early");
                return NGX_ERROR;
            }

            n = got;
        }

        *len += n;
        place->offset += n;
    }

    return NGX_OK;
}


lucet_http_reply
ngx_http_lucet_write_body(void *request, lucet_http_body body, const void *bytes, size_t len,
    bool first)
{
    ngx_http_lucet_body_t  *to;
    ngx_http_lucet_ctx_t   *ctx = request;

    if (body == LUCET_HTTP_REQUEST_BODY) {

        /* what the client sends must be read, or it would be taken for its next request */

        if (ngx_http_lucet_awaits_body(ctx)) {
            ctx->body_awaited = 1;
            return LUCET_HTTP_WAIT;
        }

        to = &ctx->request_body;

    } else {
        to = &ctx->response_body;
    }

    if (first) {
        ngx_memzero(to, sizeof(ngx_http_lucet_body_t));
        to->written = 1;
    }

    return ngx_http_lucet_append(ctx->request->pool, to, bytes, len) == NGX_OK
           ? LUCET_HTTP_DONE : LUCET_HTTP_REFUSED;
}


ngx_int_t
ngx_http_lucet_append(ngx_pool_t *pool, ngx_http_lucet_body_t *body, const u_char *bytes,
    size_t len)
{
    size_t        n, size;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (body->last) {
        b = body->last->buf;
        n = ngx_min((size_t) (b->end - b->last), len);

        b->last = ngx_cpymem(b->last, bytes, n);
        bytes += n;
        len -= n;
        body->size += n;
    }

    if (len == 0) {
        return NGX_OK;
    }

    /* many small writes come to few buffers, one write to one of its size */

    size = (size_t) ngx_min(body->size, NGX_HTTP_LUCET_MAX_BUFFER);
    size = ngx_max(size, len);

    b = ngx_create_temp_buf(pool, size);
    cl = ngx_alloc_chain_link(pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->last, bytes, len);
    body->size += len;

    cl->buf = b;
    cl->next = NULL;

    if (body->last) {
        body->last->next = cl;
    } else {
        body->first = cl;
    }

    body->last = cl;

    return NGX_OK;
}


/* What a plugin wrote is the request's body from now on. */

ngx_int_t
ngx_http_lucet_use_request_body(ngx_http_lucet_ctx_t *ctx)
{
    ngx_http_request_t       *r;
    ngx_http_request_body_t  *rb;

    if (!ctx->request_body.written) {
        return NGX_OK;
    }

    r = ctx->request;

    rb = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    if (rb == NULL) {
        return NGX_ERROR;
    }

    rb->bufs = ctx->request_body.first;
    rb->received = ctx->request_body.size;
    r->request_body = rb;

    if (ctx->request_body.last) {
        ctx->request_body.last->buf->last_buf = 1;
    }

    if (ngx_http_lucet_set_length(r, ctx->request_body.size) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(&ctx->request_body, sizeof(ngx_http_lucet_body_t));

    return NGX_OK;
}
