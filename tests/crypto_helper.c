/* Reads commands from stdin, one a line, and answers each with one line: the
 * other side of ed25519_diff.py. Arguments and results are in hex, numbers
 * least byte first; "-" stands for no bytes.
 *
 *   public SEED                  the public key
 *   sign SEED KEY MSG            the signature
 *   verify KEY SIG MSG           yes or no
 *   x25519 SCALAR POINT          the result, or no
 *   fe_add, fe_sub, fe_mul A B   the field's arithmetic, below p
 *   sc_reduce WIDE               64 bytes modulo the group's order
 *   sc_add_product R A B         R + A * B modulo the group's order
 */
#define EICE_IMPLEMENTATION
#include "eice.h"
#include "unhex.h"

#define ARGUMENTS 3

typedef eicei_ed25519_num num;

typedef struct argument {
    uint8_t bytes[4096];
    size_t len;
} argument;

static argument arguments[ARGUMENTS];

typedef struct command {
    const char *name;
    void (*run)(void);
    size_t lengths[ARGUMENTS]; /* of the arguments; ANY and NONE below */
} command;

#define ANY 9999
#define NONE 9998

static void print_hex(const uint8_t *bytes, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        printf("%02x", bytes[i]);
    }
    printf("\n");
}

static void print_num(num *a)
{
    uint8_t out[32];

    eicei_ed25519_store(out, a);
    print_hex(out, sizeof out);
}

static num get_num(size_t argument_index)
{
    num a;

    eicei_ed25519_load(a.w, arguments[argument_index].bytes, 8);
    return a;
}

static void run_public(void)
{
    uint8_t out[32];

    eice_ed25519_public(out, arguments[0].bytes);
    print_hex(out, sizeof out);
}

static void run_sign(void)
{
    uint8_t out[64];

    eice_ed25519_sign(out, arguments[0].bytes, arguments[1].bytes,
                      arguments[2].bytes, arguments[2].len);
    print_hex(out, sizeof out);
}

static void run_verify(void)
{
    const bool good
        = eice_ed25519_verify(arguments[1].bytes, arguments[0].bytes,
                              arguments[2].bytes, arguments[2].len);

    printf(good ? "yes\n" : "no\n");
}

static void run_x25519(void)
{
    uint8_t out[32];

    if (eice_x25519(out, arguments[0].bytes, arguments[1].bytes)) {
        print_hex(out, sizeof out);
    } else {
        printf("no\n");
    }
}

static void run_fe_add(void)
{
    num a = get_num(0);
    const num b = get_num(1);

    eicei_ed25519_fe_add(&a, &a, &b);
    eicei_ed25519_fe_canonical(&a);
    print_num(&a);
}

static void run_fe_sub(void)
{
    num a = get_num(0);
    const num b = get_num(1);

    eicei_ed25519_fe_sub(&a, &a, &b);
    eicei_ed25519_fe_canonical(&a);
    print_num(&a);
}

static void run_fe_mul(void)
{
    num a = get_num(0);
    const num b = get_num(1);

    eicei_ed25519_fe_mul(&a, &a, &b);
    eicei_ed25519_fe_canonical(&a);
    print_num(&a);
}

static void run_sc_reduce(void)
{
    uint32_t wide[16];
    num r;

    eicei_ed25519_load(wide, arguments[0].bytes, 16);
    eicei_ed25519_sc_reduce(&r, wide);
    print_num(&r);
}

static void run_sc_add_product(void)
{
    num r = get_num(0);
    const num a = get_num(1);
    const num b = get_num(2);

    eicei_ed25519_sc_add_product(&r, &a, &b);
    print_num(&r);
}

static const command commands[] = {
    {"public", run_public, {32, NONE, NONE}},
    {"sign", run_sign, {32, 32, ANY}},
    {"verify", run_verify, {32, 64, ANY}},
    {"x25519", run_x25519, {32, 32, NONE}},
    {"fe_add", run_fe_add, {32, 32, NONE}},
    {"fe_sub", run_fe_sub, {32, 32, NONE}},
    {"fe_mul", run_fe_mul, {32, 32, NONE}},
    {"sc_reduce", run_sc_reduce, {64, NONE, NONE}},
    {"sc_add_product", run_sc_add_product, {32, 32, 32}},
};

static const command *find(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* Whether the rest of the line holds what the command wants. */
static bool read_arguments(const command *c)
{
    size_t i;

    for (i = 0; i < ARGUMENTS; i++) {
        const char *const word = strtok(NULL, " \n");
        argument *const a = &arguments[i];

        if (c->lengths[i] == NONE) {
            return word == NULL;
        }
        if (word == NULL) {
            return false;
        }
        a->len = strcmp(word, "-") == 0
                     ? 0
                     : unhex(word, a->bytes, sizeof a->bytes);
        if (c->lengths[i] != ANY && c->lengths[i] != a->len) {
            return false;
        }
    }
    return strtok(NULL, " \n") == NULL;
}

int main(void)
{
    static char line[32768];

    while (fgets(line, sizeof line, stdin) != NULL) {
        const char *const name = strtok(line, " \n");
        const command *const c = name == NULL ? NULL : find(name);

        if (c == NULL || !read_arguments(c)) {
            fprintf(stderr, "bad command: %.40s\n", name == NULL ? "" : name);
            return 2;
        }
        c->run();
    }
    return 0;
}
