/*
 * lucet_http.h: plugins that handle HTTP requests, one fresh instance per request.
 *
 * Generated from src/capi by `make header`. Do not edit.
 *
 * A plugin is a module that speaks an HTTP interface: http-wasm's http_handler. It imports functions
 * to look at a request, to change it and to make a response, and exports what handles requests and
 * responses. A server fills in a table of callbacks, and lucet does the rest: it checks what plugins
 * say before a callback hears of it, and copies texts in and out of their memory.
 *
 *   static const lucet_http_server server = {
 *     .size = sizeof server, .get = my_get, .next_header = my_next_header, ...
 *   };
 *   lucet_module_config_set_http_server(config, &server);      // then load modules with it
 *
 *   lucet_instance_create(region, module, &instance);          // for each request r
 *   lucet_http_attach(instance, r);
 *   lucet_http_handle_request(instance, &next, &outcome);
 *
 *   outcome.kind
 *     RETURNED    next says who makes the response. LUCET_HTTP_RESPOND: it is what the plugin made.
 *                 LUCET_HTTP_CONTINUE: make it; then lucet_http_handle_response().
 *     YIELDED     wait for what lucet_http_waits_for() says, then lucet_http_resume().
 *     PREEMPTED   let others run, then lucet_http_resume().
 *     HOST_ERROR  the plugin asked for something that it may not have: lucet_http_problem() says
 *                 what, in words.
 *     others      as for any run. The request fails, the server does not.
 *
 *   lucet_instance_free(instance);                             // whatever happened, at any time
 *
 * CHECKED
 *
 *   Callbacks are given methods and header names that are tokens, header values without control
 *   characters (but tabs), URIs that may stand in a request line and begin with '/' (or are "*"),
 *   statuses from 100 to 999, log messages of one printable line; within the limits of the table,
 *   and only in the phase in which they make sense. A plugin cannot change Connection, Keep-Alive,
 *   Proxy-Connection, Transfer-Encoding and Upgrade; a Content-Length that it sets is a number, but
 *   may be a wrong one: frame messages by their bodies. A plugin that asks for anything else is
 *   ended with LUCET_OUTCOME_HOST_ERROR.
 *
 * CALLBACKS
 *
 *   They are called on the thread that runs the plugin, in the middle of its run, and hold to what
 *   holds for host functions: they return, and do not touch the instance. The request pointer that
 *   they are given is what lucet_http_attach() was given. In start-up code of a plugin there is no
 *   request: log_level, log and enable are given NULL then. Texts that they hand out must stay as
 *   they are until the callback is called again or the run is over.
 */
#ifndef LUCET_HTTP_H
#define LUCET_HTTP_H

#include <lucet.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what a server does ---------------------------------------------------------------------- */

/** A text about a request. */
LUCET_ENUM(lucet_http_field) {
  /** Such as "GET". */
  LUCET_HTTP_METHOD = 0,
  /** Path and query as in the request line, percent-encoded: "/a?b=c". */
  LUCET_HTTP_URI = 1,
  /** Such as "HTTP/1.1" or "HTTP/2.0". */
  LUCET_HTTP_PROTOCOL = 2,
  /** The client: "192.0.2.1:4711" or "[2001:db8::1]:4711". */
  LUCET_HTTP_SOURCE_ADDRESS = 3,
  /**
   * What the operator configured for this plugin at this place, any bytes. If the callback has
   * none, the plugin gets `config` of the table. */
  LUCET_HTTP_CONFIG = 4,
};

/** What a callback says. */
LUCET_ENUM(lucet_http_reply) {
  /** Done. */
  LUCET_HTTP_DONE = 0,
  /**
   * Not now: the plugin is suspended (LUCET_OUTCOME_YIELDED), and the callback called again with
   * the same arguments when it is resumed. Only for read_body and write_body. */
  LUCET_HTTP_WAIT = 1,
  /** No. The plugin is ended with LUCET_OUTCOME_HOST_ERROR. */
  LUCET_HTTP_REFUSED = 2,
};

/** Which headers. */
LUCET_ENUM(lucet_http_kind) {
  /** The request's. */
  LUCET_HTTP_REQUEST_HEADERS = 0,
  /** The response's: of the one that the plugin makes, in its request phase. */
  LUCET_HTTP_RESPONSE_HEADERS = 1,
  /** Those behind the request's body. */
  LUCET_HTTP_REQUEST_TRAILERS = 2,
  /** Those behind the response's body. */
  LUCET_HTTP_RESPONSE_TRAILERS = 3,
};

/** A change of a header. */
LUCET_ENUM(lucet_http_change) {
  /** Replace all values of the name by this one. */
  LUCET_HTTP_SET = 0,
  /** Add this value. */
  LUCET_HTTP_ADD = 1,
  /** Remove all values of the name; the value is empty. */
  LUCET_HTTP_REMOVE = 2,
};

/** Which body. */
LUCET_ENUM(lucet_http_body) {
  /** The request's. */
  LUCET_HTTP_REQUEST_BODY = 0,
  /** The response's. */
  LUCET_HTTP_RESPONSE_BODY = 1,
};

/** How important a log message is. */
LUCET_ENUM(lucet_http_log_level) {
  /** For authors of plugins. */
  LUCET_HTTP_LOG_DEBUG = -1,
  /** Normal. */
  LUCET_HTTP_LOG_INFO = 0,
  /** Somebody should look at it. */
  LUCET_HTTP_LOG_WARN = 1,
  /** Something did not work. */
  LUCET_HTTP_LOG_ERROR = 2,
  /** As log_level: nothing is logged. */
  LUCET_HTTP_LOG_NONE = 3,
};

/** Things that cost something, which plugins enable where they need them. Bits. */
LUCET_ENUM(lucet_http_feature) {
  /** The request's body can be read by the plugin, and by what comes after it. */
  LUCET_HTTP_BUFFER_REQUEST = 1,
  /** The response is held back until the plugin has seen all of it. */
  LUCET_HTTP_BUFFER_RESPONSE = 2,
  /** Trailers. */
  LUCET_HTTP_TRAILERS = 4,
};

/** A text, or any bytes: `len` of them, without a NUL at the end. NULL is fine if `len` is 0. */
typedef struct lucet_http_text {
  /** Where it begins. */
  const char *data;
  /** How long it is, in bytes. */
  size_t len;
} lucet_http_text;

/** Where a server is in a list of headers. All zeros at the beginning; otherwise the server's. */
typedef struct lucet_http_cursor {
  /** A pointer. */
  const void *place;
  /** A number. */
  size_t number;
} lucet_http_cursor;

/**
 * What a server does for plugins. Later versions add members at the end; `size` says which ones
 * the caller knows. A callback that is NULL: what it would give is not there, what it would do is
 * refused; `log_level`: everything from LUCET_HTTP_LOG_INFO on.
 *
 * Limits of 0 mean the default. */
typedef struct lucet_http_server {
  /** sizeof(lucet_http_server). */
  size_t size;
  /** The features that the server supports: bits of lucet_http_feature. */
  uint32_t features;
  /**
   * Log messages that a plugin may write for one request; 64 by default. The rest is left out,
   * which is logged once. */
  uint32_t max_log_messages;
  /** Bytes of a log message, at most 4096; 1024 by default. A longer one is cut. */
  uint32_t max_log_bytes;
  /** Bytes of a URI that a plugin may set; 8 KiB by default. */
  uint32_t max_uri_bytes;
  /** Bytes of a header that a plugin may set or add, name and value; 16 KiB by default. */
  uint32_t max_header_bytes;
  /** Changes of headers that a plugin may make for one request; 256 by default. */
  uint32_t max_header_changes;
  /** Bytes that all of them together may have; 64 KiB by default. */
  uint64_t max_headers_bytes;
  /** Bytes that a plugin may write to each body; 16 MiB by default. */
  uint64_t max_body_bytes;
  /**
   * What plugins get as configuration if `get` has none for their request, and in start-up code. */
  lucet_http_text config;
  /**
   * Writes a text about the request to `*out` and returns true; false if there is none. It must
   * stay as it is until `get` is called again. */
  bool (*get)(void *request, lucet_http_field field, lucet_http_text *out);
  /** Replaces LUCET_HTTP_METHOD or LUCET_HTTP_URI. */
  lucet_http_reply (*set)(void *request, lucet_http_field field, lucet_http_text value);
  /**
   * Writes the header at the cursor to `*name` and `*value`, moves the cursor to the next one,
   * and returns true; false at the end of the list. Headers do not change while a list is read. */
  bool (*next_header)(void *request,
                      lucet_http_kind kind,
                      lucet_http_cursor *at,
                      lucet_http_text *name,
                      lucet_http_text *value);
  /** Changes a header. The texts are the plugin's: copy what is needed after the callback. */
  lucet_http_reply (*change_header)(void *request,
                                    lucet_http_kind kind,
                                    lucet_http_change change,
                                    lucet_http_text name,
                                    lucet_http_text value);
  /**
   * Reads what comes next of a body straight into the plugin's memory: up to `cap` bytes to
   * `buf`, their number to `*len`, and whether the body ends there to `*end`. Both are 0 before.
   * None at all without the end is LUCET_HTTP_WAIT. If the plugin enabled
   * LUCET_HTTP_BUFFER_REQUEST, what it reads must be there for others too. */
  lucet_http_reply (*read_body)(void *request,
                                lucet_http_body body,
                                void *buf,
                                size_t cap,
                                size_t *len,
                                bool *end);
  /**
   * Appends all `len` bytes to a body; `first`: they replace what the body was (and there may be
   * none of them). The bytes are the plugin's: copy what is needed after the callback. */
  lucet_http_reply (*write_body)(void *request,
                                 lucet_http_body body,
                                 const void *bytes,
                                 size_t len,
                                 bool first);
  /** The response's status; 0 if there is none yet. */
  int32_t (*status)(void *request);
  /** Sets it: 100 to 999. */
  lucet_http_reply (*set_status)(void *request, int32_t status);
  /**
   * The plugin enables features, all of them supported; what it enabled before stays. `request`
   * is NULL in start-up code: then for each request. */
  lucet_http_reply (*enable)(void *request, uint32_t features);
  /** The lowest level that is logged. `request` may be NULL. */
  lucet_http_log_level (*log_level)(void *request);
  /**
   * Logs a message: `len` bytes of UTF-8 without control characters and without a NUL at the
   * end. `request` may be NULL. */
  void (*log)(void *request, lucet_http_log_level level, const char *message, size_t len);
} lucet_http_server;

/* ---- plugins --------------------------------------------------------------------------------- */

/** An HTTP interface between servers and plugins. Numbers never change. */
LUCET_ENUM(lucet_http_abi) {
  /** http-wasm's http_handler. */
  LUCET_HTTP_ABI_HTTP_WASM = 1,
};

/** What a plugin wants after its request phase. Numbers never change. */
LUCET_ENUM(lucet_http_next) {
  /** The response is what the plugin made of it. */
  LUCET_HTTP_RESPOND = 0,
  /**
   * Somebody else makes the response: the next plugin, or the server. Then the plugin wants to
   * see it: call lucet_http_handle_response. */
  LUCET_HTTP_CONTINUE = 1,
  /** Somebody else makes the response, and the plugin is done: its instance can be freed. */
  LUCET_HTTP_CONTINUE_WITHOUT_RESPONSE = 2,
};

/** What a plugin waits for that yielded. Numbers never change. */
LUCET_ENUM(lucet_http_wait) {
  /** Nothing of this layer. */
  LUCET_HTTP_WAIT_NONE = 0,
  /** The callback read_body had nothing yet. */
  LUCET_HTTP_WAIT_READ_BODY = 1,
  /** The callback write_body had no room. */
  LUCET_HTTP_WAIT_WRITE_BODY = 2,
};

/**
 * Offers the functions of all HTTP interfaces to modules that are loaded with this configuration,
 * for a server. The table and its configuration text are copied. Once for each configuration.
 *
 * LUCET_STATUS_INVALID_ARGUMENT if `server->size` is smaller than that of the first version of
 * lucet_http_server, or if functions of these names were added before. */
lucet_status lucet_module_config_set_http_server(lucet_module_config *config,
    const lucet_http_server *server);

/**
 * Whether a module is a plugin: which interface it speaks (`*abi`), and whether it handles
 * responses. For the server's start, so that a mistake is found before a request. Either place may
 * be NULL. Any thread.
 *
 * LUCET_STATUS_UNSUPPORTED if it was loaded without a server, LUCET_STATUS_NO_SUCH_EXPORT,
 * LUCET_STATUS_EXPORT_TYPE_MISMATCH. */
lucet_status lucet_http_check(lucet_module *module, lucet_http_abi *abi, bool *handles_responses);

/**
 * Makes an instance work for a request: callbacks are given this pointer, which lucet never looks
 * at. What was known of an earlier request is forgotten. Allocates nothing if the slot was used
 * for the module before.
 *
 * What `request` points to must live until the instance is freed, or attached to another. After
 * lucet_instance_reset, attach again.
 *
 * LUCET_STATUS_WRONG_STATE unless the instance is ready, LUCET_STATUS_OUT_OF_MEMORY; otherwise as
 * lucet_http_check. */
LUCET_NODISCARD lucet_status lucet_http_attach(lucet_instance *instance, void *request);

/**
 * Runs the request phase of a plugin. If it returned (`outcome->kind`), `*next` says who makes the
 * response; otherwise it is LUCET_HTTP_RESPOND and means nothing. If it was suspended, it goes on
 * with lucet_http_resume.
 *
 * LUCET_STATUS_WRONG_STATE unless a request was attached and not handled yet; otherwise as
 * lucet_instance_run. */
LUCET_NODISCARD lucet_status lucet_http_handle_request(lucet_instance *instance,
    lucet_http_next *next, lucet_outcome *outcome);

/**
 * Runs the response phase of a plugin whose request phase came to LUCET_HTTP_CONTINUE, when the
 * response's status and headers are there: with its body, if the plugin enabled
 * LUCET_HTTP_BUFFER_RESPONSE. `is_error` tells it that there is no response because something went
 * wrong. If it was suspended, it goes on with lucet_http_resume.
 *
 * LUCET_STATUS_WRONG_STATE in other phases; otherwise as lucet_instance_run. */
LUCET_NODISCARD lucet_status lucet_http_handle_response(lucet_instance *instance, bool is_error,
    lucet_outcome *outcome);

/**
 * Goes on with a phase that yielded or was preempted: lucet_instance_resume for plugins, which
 * knows what the phase returns. `value` is for host functions of the server's own; this layer's
 * ask their callback again. `*next` as in lucet_http_handle_request if it is the request phase,
 * otherwise LUCET_HTTP_RESPOND.
 *
 * LUCET_STATUS_WRONG_STATE if what is suspended is no phase of a plugin; otherwise as
 * lucet_instance_resume. */
LUCET_NODISCARD lucet_status lucet_http_resume(lucet_instance *instance, uint64_t value,
    lucet_http_next *next, lucet_outcome *outcome);

/**
 * What a plugin waits for after LUCET_OUTCOME_YIELDED. LUCET_HTTP_WAIT_NONE if it yielded for
 * another reason, or did not. Any thread. */
lucet_http_wait lucet_http_waits_for(const lucet_outcome *outcome);

/**
 * Why a plugin was ended with LUCET_OUTCOME_HOST_ERROR, in words, such as "the plugin set a header
 * value with control characters". Static. NULL if it was not for something that it asked of this
 * layer. Any thread. */
const char *lucet_http_problem(const lucet_outcome *outcome);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* LUCET_HTTP_H */
