/*
 * lucet_http.h: plugins that handle HTTP requests, one fresh instance per request.
 *
 * Generated from src/capi by `make header`. Do not edit.
 *
 * A plugin is a module that speaks an HTTP interface: http-wasm's http_handler. It imports
 * functions to look at a request, to change it and to make a response, and exports what handles
 * requests and responses. A server fills in a table of callbacks, and lucet does the rest: it
 * checks what plugins say before a callback hears of it, and copies texts in and out of their
 * memory.
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
