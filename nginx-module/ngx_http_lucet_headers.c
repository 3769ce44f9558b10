/*
 * Headers as plugins see and change them.
 *
 * nginx keeps some response headers outside its list (Content-Type and Content-Length are fields),
 * and points to some elements of its lists from elsewhere (headers_in.host and the like). A change
 * has to leave both as nginx would have left them.
 */


#include "ngx_http_lucet_module.h"


typedef struct {
    ngx_str_t                     name;
    ngx_uint_t                    offset;
} ngx_http_lucet_known_t;


static lucet_http_reply ngx_http_lucet_change_request(ngx_http_request_t *r,
    lucet_http_change change, ngx_str_t *name, ngx_str_t *value);
static lucet_http_reply ngx_http_lucet_change_response(ngx_http_request_t *r,
    lucet_http_change change, ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_lucet_drop_request(ngx_http_request_t *r, ngx_str_t *name);
static ngx_int_t ngx_http_lucet_relink_request(ngx_http_request_t *r, ngx_str_t *name);
static void ngx_http_lucet_drop_response(ngx_http_request_t *r, ngx_str_t *name);
static ngx_table_elt_t **ngx_http_lucet_known_response(ngx_http_request_t *r, ngx_str_t *name);
static ngx_int_t ngx_http_lucet_fill(ngx_http_request_t *r, ngx_table_elt_t *h, ngx_str_t *name,
    ngx_str_t *value);


/* elements of the response that nginx has pointers to */
static ngx_http_lucet_known_t  ngx_http_lucet_known[] = {
    { ngx_string("server"), offsetof(ngx_http_headers_out_t, server) },
    { ngx_string("date"), offsetof(ngx_http_headers_out_t, date) },
    { ngx_string("content-encoding"), offsetof(ngx_http_headers_out_t, content_encoding) },
    { ngx_string("location"), offsetof(ngx_http_headers_out_t, location) },
    { ngx_string("refresh"), offsetof(ngx_http_headers_out_t, refresh) },
    { ngx_string("last-modified"), offsetof(ngx_http_headers_out_t, last_modified) },
    { ngx_string("content-range"), offsetof(ngx_http_headers_out_t, content_range) },
    { ngx_string("accept-ranges"), offsetof(ngx_http_headers_out_t, accept_ranges) },
    { ngx_string("www-authenticate"), offsetof(ngx_http_headers_out_t, www_authenticate) },
    { ngx_string("expires"), offsetof(ngx_http_headers_out_t, expires) },
    { ngx_string("etag"), offsetof(ngx_http_headers_out_t, etag) },
    { ngx_null_string, 0 }
};


static ngx_str_t  ngx_http_lucet_content_type = ngx_string("Content-Type");
static ngx_str_t  ngx_http_lucet_content_length = ngx_string("Content-Length");


static ngx_inline ngx_uint_t
ngx_http_lucet_same(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len && ngx_strncasecmp(a->data, b->data, a->len) == 0;
}


static ngx_inline void
ngx_http_lucet_give(lucet_http_text *out, ngx_str_t *text)
{
    out->data = (const char *) text->data;
    out->len = text->len;
}


/*
 * The cursor: `place` is the part of nginx's list, `number` the element in it plus three; before,
 * `number` counts what stands outside the list.
 */
bool
ngx_http_lucet_next_header(void *request, lucet_http_kind kind, lucet_http_cursor *at,
    lucet_http_text *name, lucet_http_text *value)
{
    ngx_str_t               text;
    ngx_table_elt_t        *h;
    ngx_list_part_t        *part;
    ngx_http_request_t     *r;
    ngx_http_lucet_ctx_t   *ctx = request;

    r = ctx->request;

    if (kind != LUCET_HTTP_REQUEST_HEADERS && kind != LUCET_HTTP_RESPONSE_HEADERS) {
        return false;
    }

    if (at->place == NULL && kind == LUCET_HTTP_RESPONSE_HEADERS) {

        if (at->number == 0) {
            at->number = 1;

            if (r->headers_out.content_type.len) {
                ngx_http_lucet_give(name, &ngx_http_lucet_content_type);
                ngx_http_lucet_give(value, &r->headers_out.content_type);
                return true;
            }
        }

        if (at->number == 1) {
            at->number = 2;

            if (r->headers_out.content_length_n >= 0) {
                text.data = ctx->number;
                text.len = ngx_sprintf(text.data, "%O", r->headers_out.content_length_n)
                           - text.data;

                ngx_http_lucet_give(name, &ngx_http_lucet_content_length);
                ngx_http_lucet_give(value, &text);
                return true;
            }
        }
    }

    if (at->place == NULL) {
        at->place = (kind == LUCET_HTTP_REQUEST_HEADERS) ? &r->headers_in.headers.part
                                                         : &r->headers_out.headers.part;
        at->number = 0;
    }

    part = (ngx_list_part_t *) at->place;

    for ( ;; ) {

        if (at->number >= part->nelts) {
            if (part->next == NULL) {
                return false;
            }

            part = part->next;
            at->place = part;
            at->number = 0;
            continue;
        }

        h = part->elts;
        h += at->number++;

        if (h->hash == 0 && kind == LUCET_HTTP_RESPONSE_HEADERS) {
            continue;
        }

        ngx_http_lucet_give(name, &h->key);
        ngx_http_lucet_give(value, &h->value);

        return true;
    }
}


lucet_http_reply
ngx_http_lucet_change_header(void *request, lucet_http_kind kind, lucet_http_change change,
    lucet_http_text name, lucet_http_text value)
{
    ngx_str_t              key, val;
    ngx_http_request_t    *r;
    ngx_http_lucet_ctx_t  *ctx = request;

    r = ctx->request;

    key.data = (u_char *) name.data;
    key.len = name.len;
    val.data = (u_char *) value.data;
    val.len = value.len;

    /* nginx says how long bodies are, from the bodies */

    if (ngx_http_lucet_same(&key, &ngx_http_lucet_content_length)) {
        return LUCET_HTTP_DONE;
    }

    switch (kind) {

    case LUCET_HTTP_REQUEST_HEADERS:
        return ngx_http_lucet_change_request(r, change, &key, &val);

    case LUCET_HTTP_RESPONSE_HEADERS:
        return ngx_http_lucet_change_response(r, change, &key, &val);

    default:
        return LUCET_HTTP_REFUSED;
    }
}


static ngx_int_t
ngx_http_lucet_fill(ngx_http_request_t *r, ngx_table_elt_t *h, ngx_str_t *name, ngx_str_t *value)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, 2 * name->len + value->len + 2);
    if (p == NULL) {
        h->hash = 0;
        h->key.len = 0;
        h->value.len = 0;
        return NGX_ERROR;
    }

    h->key.data = p;
    h->key.len = name->len;
    p = ngx_cpymem(p, name->data, name->len);
    *p++ = '\0';

    h->lowcase_key = p;
    h->hash = ngx_hash_strlow(p, name->data, name->len);
    p += name->len;

    h->value.data = p;
    h->value.len = value->len;
    p = ngx_cpymem(p, value->data, value->len);
    *p = '\0';

    return NGX_OK;
}


static lucet_http_reply
ngx_http_lucet_change_request(ngx_http_request_t *r, lucet_http_change change, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    if (change != LUCET_HTTP_ADD && ngx_http_lucet_drop_request(r, name) != NGX_OK) {
        return LUCET_HTTP_REFUSED;
    }

    if (change != LUCET_HTTP_REMOVE) {
        h = ngx_list_push(&r->headers_in.headers);
        if (h == NULL || ngx_http_lucet_fill(r, h, name, value) != NGX_OK) {
            return LUCET_HTTP_REFUSED;
        }
    }

    return ngx_http_lucet_relink_request(r, name) == NGX_OK ? LUCET_HTTP_DONE
                                                            : LUCET_HTTP_REFUSED;
}


/*
 * The list of request headers knows no removed elements: it is written anew without them. Pointers
 * to elements of the old one stay right, for it is not touched.
 */
static ngx_int_t
ngx_http_lucet_drop_request(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_uint_t        i, found, kept;
    ngx_list_t        list;
    ngx_table_elt_t  *h, *new;
    ngx_list_part_t  *part;

    found = 0;
    kept = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ngx_http_lucet_same(&h[i].key, name)) {
                found++;
            } else {
                kept++;
            }
        }
    }

    if (found == 0) {
        return NGX_OK;
    }

    if (ngx_list_init(&list, r->pool, kept + 4, sizeof(ngx_table_elt_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (!ngx_http_lucet_same(&h[i].key, name)) {
                new = ngx_list_push(&list);
                if (new == NULL) {
                    return NGX_ERROR;
                }

                *new = h[i];
            }
        }
    }

    r->headers_in.headers.part = list.part;
    r->headers_in.headers.last = &r->headers_in.headers.part;
    r->headers_in.headers.nalloc = list.nalloc;

    return NGX_OK;
}


/* Lets what nginx knows of the headers with this name be what stands in the list. */

static ngx_int_t
ngx_http_lucet_relink_request(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_uint_t                  i, hash;
    ngx_array_t                *many;
    ngx_table_elt_t            *h, **place, **next;
    ngx_list_part_t            *part;
    ngx_http_header_t          *hh;
    ngx_http_core_main_conf_t  *cmcf;
    u_char                      lowcase[256];

    if (name->len > sizeof(lowcase)) {
        return NGX_OK;
    }

    hash = ngx_hash_strlow(lowcase, name->data, name->len);

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    hh = ngx_hash_find(&cmcf->headers_in_hash, hash, lowcase, name->len);
    if (hh == NULL) {
        return NGX_OK;
    }

    many = NULL;
    place = NULL;

    if (hh->offset == offsetof(ngx_http_headers_in_t, cookies)) {
        many = &r->headers_in.cookies;

#if (NGX_HTTP_X_FORWARDED_FOR)
    } else if (hh->offset == offsetof(ngx_http_headers_in_t, x_forwarded_for)) {
        many = &r->headers_in.x_forwarded_for;
#endif

    } else if (hh->offset) {
        place = (ngx_table_elt_t **) ((char *) &r->headers_in + hh->offset);
        *place = NULL;
    }

    if (many) {
        many->nelts = 0;
    }

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (!ngx_http_lucet_same(&h[i].key, name)) {
                continue;
            }

            if (place && *place == NULL) {
                *place = &h[i];
            }

            if (many == NULL) {
                continue;
            }

            if (many->elts == NULL
                && ngx_array_init(many, r->pool, 1, sizeof(ngx_table_elt_t *)) != NGX_OK)
            {
                return NGX_ERROR;
            }

            next = ngx_array_push(many);
            if (next == NULL) {
                return NGX_ERROR;
            }

            *next = &h[i];
        }
    }

    return NGX_OK;
}


/* Says how long the request's body is, now that it is another one. */

ngx_int_t
ngx_http_lucet_set_length(ngx_http_request_t *r, off_t length)
{
    ngx_str_t         value;
    lucet_http_reply  reply;
    u_char            text[NGX_OFF_T_LEN];
    static ngx_str_t  encoding = ngx_string("Transfer-Encoding");

    value.data = text;
    value.len = ngx_sprintf(text, "%O", length) - text;

    r->headers_in.content_length_n = length;
    r->headers_in.chunked = 0;

    reply = ngx_http_lucet_change_request(r, LUCET_HTTP_REMOVE, &encoding, &encoding);

    if (reply == LUCET_HTTP_DONE) {
        reply = ngx_http_lucet_change_request(r, LUCET_HTTP_SET, &ngx_http_lucet_content_length,
                                              &value);
    }

    return reply == LUCET_HTTP_DONE ? NGX_OK : NGX_ERROR;
}


static lucet_http_reply
ngx_http_lucet_change_response(ngx_http_request_t *r, lucet_http_change change, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h, **known;

    if (ngx_http_lucet_same(name, &ngx_http_lucet_content_type)) {

        ngx_str_null(&r->headers_out.content_type);
        r->headers_out.content_type_len = 0;
        r->headers_out.content_type_lowcase = NULL;
        ngx_str_null(&r->headers_out.charset);

        if (change != LUCET_HTTP_REMOVE) {
            r->headers_out.content_type.data = ngx_pstrdup(r->pool, value);
            if (r->headers_out.content_type.data == NULL) {
                return LUCET_HTTP_REFUSED;
            }

            r->headers_out.content_type.len = value->len;
            r->headers_out.content_type_len = value->len;
        }

        return LUCET_HTTP_DONE;
    }

    if (change != LUCET_HTTP_ADD) {
        ngx_http_lucet_drop_response(r, name);
    }

    if (change == LUCET_HTTP_REMOVE) {
        return LUCET_HTTP_DONE;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL || ngx_http_lucet_fill(r, h, name, value) != NGX_OK) {
        return LUCET_HTTP_REFUSED;
    }

    known = ngx_http_lucet_known_response(r, name);

    if (known && *known == NULL) {
        *known = h;
    }

    return LUCET_HTTP_DONE;
}


static ngx_table_elt_t **
ngx_http_lucet_known_response(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_http_lucet_known_t  *k;

    for (k = ngx_http_lucet_known; k->name.len; k++) {
        if (ngx_http_lucet_same(&k->name, name)) {
            return (ngx_table_elt_t **) ((char *) &r->headers_out + k->offset);
        }
    }

    return NULL;
}


/* An element whose hash is 0 is not sent. */

static void
ngx_http_lucet_drop_response(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_table_elt_t  *h, **known;
    ngx_list_part_t  *part;

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash != 0 && ngx_http_lucet_same(&h[i].key, name)) {
                h[i].hash = 0;
            }
        }
    }

    known = ngx_http_lucet_known_response(r, name);

    if (known == NULL) {
        return;
    }

    *known = NULL;

    if (known == &r->headers_out.last_modified) {
        r->headers_out.last_modified_time = -1;
    }
}
