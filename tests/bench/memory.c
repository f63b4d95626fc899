/* Sizes of the structs, and what a connection takes from the heap: JSON.
 *
 *   memory             sizes only
 *   memory TARGET      also a tunnel to it (tools/sim: source-box) and an SSH
 *                      connection to web-1, through the executor */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "../heap.h"

#include <stdio.h>

static void sizes(void)
{
#define SIZE(type) printf("\"%s\": %zu,\n", #type, sizeof(type))
    SIZE(eice_tunnel);
    SIZE(eice_tls);
    SIZE(eice_ws);
    SIZE(eice_http);
    SIZE(eice_dns);
    SIZE(eice_cred);
    SIZE(eice_conn);
    SIZE(struct eice_ssh);
    SIZE(struct eice_posix);
    SIZE(eicei_wire);
    SIZE(eice_error);
}

static bool host_key(void *user, eice_str host, eice_str blob)
{
    (void)user;
    (void)host;
    (void)blob;
    return true;
}

/* Takes all bytes of a tunnel; how often the heap was called meanwhile. */
static unsigned long drain(eice_posix *x, eice_conn *c, const heap *h,
                           size_t *received)
{
    const unsigned long before = h->calls;
    struct pollfd fds[16];

    while ((eice_conn_state(c) & EICE_DONE) == 0) {
        const uint8_t *p;
        const size_t n = eice_conn_app_out(c, &p);
        size_t count;

        *received += n;
        eice_conn_app_out_ack(c, n);
        eice_posix_process(x, NULL, 0);
        if (n == 0 && (eice_conn_state(c) & EICE_DONE) == 0) {
            count = eice_posix_fds(x, fds, 16);
            if (poll(fds, (nfds_t)count, eice_posix_timeout(x)) > 0) {
                eice_posix_process(x, fds, count);
            }
        }
    }
    return h->calls - before;
}

/* EICE_CONNECT_TO, as the program reads it: rules with blanks between them. */
static size_t read_rules(const char **rules, size_t cap)
{
    static char text[2048];
    const char *from = getenv("EICE_CONNECT_TO");
    char *rest = NULL;
    char *word;
    size_t n = 0;

    snprintf(text, sizeof text, "%s", from != NULL ? from : "");
    for (word = strtok_r(text, " ", &rest); word != NULL && n < cap;
         word = strtok_r(NULL, " ", &rest)) {
        rules[n++] = word;
    }
    return n;
}

/* One connection; its figures under `name`. */
static bool measure(const char *name, eice_goal goal, const char *target)
{
    const char *rules[16];
    eice_posix_opts xo;
    eice_conn_opts o;
    eice_alloc alloc;
    eice_posix *x;
    eice_conn *c;
    heap h;
    unsigned long flowing = 0;
    size_t received = 0;
    bool good;

    memset(&h, 0, sizeof h);
    memset(&o, 0, sizeof o);
    memset(&xo, 0, sizeof xo);
    alloc.resize = heap_resize;
    alloc.user = &h;
    xo.alloc = &alloc;
    xo.host_key = host_key;
    o.alloc = &alloc;
    o.goal = goal;
    o.target = target;
    o.policy = EICE_POLICY_ASK;
    o.known_hosts = "/nonexistent/known_hosts";
    o.connect_to = rules;
    o.connect_to_count = read_rules(rules, 16);
    x = eice_posix_new(&xo, NULL);
    c = eice_conn_new(&o, eice_posix_now(), NULL);
    if (x == NULL || c == NULL || eice_posix_add(x, c) != EICE_OK) {
        return false;
    }
    good = eice_posix_wait(x, c) == EICE_OK;
    printf("\"%s heap calls to open\": %lu,\n", name, h.calls);
    printf("\"%s heap peak to open\": %zu,\n", name, h.most);
    printf("\"%s heap when open\": %zu,\n", name, h.bytes);
    if (goal == EICE_GOAL_TUNNEL) {
        flowing = drain(x, c, &h, &received);
        printf("\"%s bytes received\": %zu,\n", name, received);
        printf("\"%s heap calls while they flow\": %lu,\n", name, flowing);
    }
    eice_posix_free(x);
    eice_conn_free(c);
    return good && h.bytes == 0;
}

int main(int argc, char **argv)
{
    bool good = true;

    printf("{\n");
    sizes();
    if (argc > 1) {
        good = measure("tunnel", EICE_GOAL_TUNNEL, argv[1])
               && measure("ssh", EICE_GOAL_SSH, "web-1");
    }
    printf("\"good\": %s\n}\n", good ? "true" : "false");
    return !good;
}
