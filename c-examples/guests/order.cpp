/*
 * A plugin around a library that was written without WebAssembly in mind: RapidJSON, as Debian
 * ships it. It reads an order, takes out what the next service must not see ("card"), adds the
 * total, and answers with the rewritten JSON. Input that is no JSON gets an error answer.
 *
 *   {"customer":"ada","card":"4000-1234","items":[{"price":2.5,"quantity":4}]}
 *   {"customer":"ada","items":[{"price":2.5,"quantity":4}],"total":10.0}
 */
#include "plugin.h"
#include <stdlib.h>

#define RAPIDJSON_NOMEMBERITERATORCLASS /* plain pointers: no <iterator> here */
#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

using rapidjson::Document;
using rapidjson::StringBuffer;
using rapidjson::Value;
using rapidjson::Writer;

namespace {

/* Nesting and numbers are the sender's; RapidJSON's own stack grows on the plugin's memory. */
constexpr unsigned kParseFlags =
    rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;

double number(const Value &object, const char *name)
{
    auto member = object.FindMember(name);
    return member != object.MemberEnd() && member->value.IsNumber() ? member->value.GetDouble() : 0;
}

double total(const Document &order)
{
    double sum = 0;
    auto items = order.FindMember("items");
    if (items == order.MemberEnd() || !items->value.IsArray()) {
        return 0;
    }
    for (const Value &item : items->value.GetArray()) {
        if (item.IsObject()) {
            sum += number(item, "price") * number(item, "quantity");
        }
    }
    return sum;
}

uint64_t print(const Document &document)
{
    StringBuffer text;
    Writer<StringBuffer> writer(text);
    document.Accept(writer);
    char *out = static_cast<char *>(malloc(text.GetSize()));
    if (out == nullptr) {
        return 0;
    }
    memcpy(out, text.GetString(), text.GetSize());
    return answer(out, text.GetSize());
}

} // namespace

void *alloc(size_t len)
{
    return malloc(len);
}

uint64_t on_request(const char *request, size_t len)
{
    Document order;
    order.Parse<kParseFlags>(request, len);

    if (order.HasParseError() || !order.IsObject()) {
        host_log("order: not a JSON object", 24);
        uint64_t offset = order.HasParseError() ? order.GetErrorOffset() : 0;
        order.SetObject();
        order.AddMember("error", "not a JSON object", order.GetAllocator());
        order.AddMember("offset", offset, order.GetAllocator());
        return print(order);
    }
    order.RemoveMember("card");
    order.AddMember("total", total(order), order.GetAllocator());
    return print(order);
}
