/* Answers of anybody's making. The first byte names the operation and the
 * size of the pieces, the rest is the stream. */
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
    if (!good) {
        abort();
    }
}

static void require_text(const char *text, size_t size)
{
    require(memchr(text, 0, size) != NULL);
}

static bool see_instance(void *user, const eice_instance *i)
{
    require_text(i->id, sizeof i->id);
    require_text(i->name, sizeof i->name);
    require_text(i->state_reason, sizeof i->state_reason);
    require_text(i->platform, sizeof i->platform);
    require_text(i->ipv6, sizeof i->ipv6);
    return ++*(unsigned *)user < 100;
}

static bool see_endpoint(void *user, const eice_endpoint *e)
{
    require_text(e->id, sizeof e->id);
    require_text(e->state_message, sizeof e->state_message);
    require_text(eice_endpoint_host(e, true, true), sizeof e->dns);
    return ++*(unsigned *)user < 100;
}

#define TYPED 5u /* operations that a connection makes */

static void parse(const eice_aws_reply *r, eice_op op)
{
    eice_identity identity;
    unsigned count = 0;
    char token[64];
    eice_error e;
    eice_buf b;

    memset(&e, 0, sizeof e);
    eice_buf_init(&b, token, sizeof token);
    if (op == EICE_OP_DESCRIBE_INSTANCES) {
        (void)eice_aws_instances(r, see_instance, &count, &b, &e);
    } else if (op == EICE_OP_DESCRIBE_ENDPOINTS) {
        (void)eice_aws_endpoints(r, see_endpoint, &count, &b, &e);
    } else if (op == EICE_OP_GET_CALLER_IDENTITY) {
        (void)eice_aws_identity(r, &identity, &e);
        require_text(identity.arn, sizeof identity.arn);
    }
    require((e.code == EICE_OK) == (e.text[0] == 0));
    require(b.len <= sizeof token);
}

/* Items, and all that can be asked of them. */
static void walk(const eice_aws_reply *r, eice_op op)
{
    char memory[64];
    eice_items items;
    eice_items tags;
    eice_item item;
    eice_item tag;
    unsigned count = 0;
    eice_str raw;
    eice_buf b;

    eice_aws_items(r, op, &items);
    while (eice_items_next(&items, &item) && ++count < 50) {
        require_text(eice_item_get(&item, "instanceId", memory,
                                   sizeof memory), sizeof memory);
        require_text(eice_item_tag(&item, "Name", memory, sizeof memory),
                     sizeof memory);
        (void)eice_item_is(&item, "", "true");
        if (eice_item_raw(&item, "state", &raw)) {
            require(raw.len <= item.doc.len);
        }
        eice_items_in(&item, "tagSet/item", &tags);
        while (eice_items_next(&tags, &tag)) {
            require(tag.doc.len <= item.doc.len);
        }
    }
    eice_buf_init(&b, memory, sizeof memory);
    eice_aws_next_token(r, &b);
    require(b.len <= sizeof memory);
}

static bool feed(eice_aws_reply *r, const uint8_t *data, size_t size,
                 size_t piece)
{
    eice_error e;

    memset(&e, 0, sizeof e);
    while (size > 0) {
        const size_t n = piece < size ? piece : size;
        eice_str in = eice_str_make(data, n);

        if (eice_aws_reply_feed(r, &in, &e)) {
            return e.code == EICE_OK;
        }
        require(in.len == 0 && e.code == EICE_OK);
        data += n;
        size -= n;
    }
    return eice_aws_reply_eof(r, &e) && e.code == EICE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned first = size > 0 ? data[0] : 0;
    const eice_op op = (eice_op)(first % TYPED);
    eice_aws_reply r;
    eice_error e;

    if (size == 0) {
        return 0;
    }
    memset(&e, 0, sizeof e);
    eice_aws_reply_init(&r, NULL);
    if (feed(&r, data + 1, size - 1, first / TYPED + 1)) {
        const eice_verdict v = eice_aws_judge(&r, op, &e);

        require((v == EICE_VERDICT_OK || v == EICE_VERDICT_NOTHING)
                == (e.code == EICE_OK));
        require_text(e.text, sizeof e.text);
        require_text(e.remedy, sizeof e.remedy);
        require_text(e.aws_code, sizeof e.aws_code);
        parse(&r, op);
        walk(&r, op);
        walk(&r, (eice_op)(size % EICE_OP_COUNT));
    }
    eice_aws_reply_free(&r);
    return 0;
}
