/*
 * http-wasm's http_handler, as far as the plugins here need it. Texts are given with their length;
 * what asks for a buffer returns how long the text is, whether it fitted or not.
 */
#ifndef HTTP_H
#define HTTP_H

#define IMPORT(name) __attribute__((import_module("http_handler"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

typedef unsigned int u32;
typedef unsigned long long u64;

enum { REQUEST = 0, RESPONSE = 1, REQUEST_TRAILERS = 2, RESPONSE_TRAILERS = 3 };
enum { BUFFER_REQUEST = 1, BUFFER_RESPONSE = 2, TRAILERS = 4 };
enum { RESPOND = 0, CONTINUE = 1 };

IMPORT(enable_features) u32 enable_features(u32 features);
IMPORT(get_config) u32 get_config(char *buf, u32 limit);
IMPORT(log) void log_message(int level, const char *message, u32 len);
IMPORT(get_method) u32 get_method(char *buf, u32 limit);
IMPORT(set_method) void set_method(const char *method, u32 len);
IMPORT(get_uri) u32 get_uri(char *buf, u32 limit);
IMPORT(set_uri) void set_uri(const char *uri, u32 len);
IMPORT(get_protocol_version) u32 get_protocol_version(char *buf, u32 limit);
IMPORT(get_source_addr) u32 get_source_addr(char *buf, u32 limit);
IMPORT(get_header_names) u64 get_header_names(u32 kind, char *buf, u32 limit);
IMPORT(get_header_values)
u64 get_header_values(u32 kind, const char *name, u32 name_len, char *buf, u32 limit);
IMPORT(set_header_value)
void set_header_value(u32 kind, const char *name, u32 name_len, const char *value, u32 len);
IMPORT(add_header_value)
void add_header_value(u32 kind, const char *name, u32 name_len, const char *value, u32 len);
IMPORT(remove_header) void remove_header(u32 kind, const char *name, u32 name_len);
IMPORT(read_body) u64 read_body(u32 kind, char *buf, u32 limit);
IMPORT(write_body) void write_body(u32 kind, const char *body, u32 len);
IMPORT(get_status_code) u32 get_status_code(void);
IMPORT(set_status_code) void set_status_code(u32 status);

#define LEN(text) (sizeof(text) - 1)
#define WRITE(text) write_body(RESPONSE, text, LEN(text))
#define SET(kind, name, value) set_header_value(kind, name, LEN(name), value, LEN(value))

#endif
