/*
 * getpwuid of the static program, in place of musl's, which asks nscd and
 * brings the reading side of stdio along: 4 kB.  Only the musl flavour is
 * linked with it.  Of the answer the texts are those of /etc/passwd; a line of
 * over 1000 bytes is passed over.
 *
 * MIT licence, see LICENSE.
 */
#include <fcntl.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static unsigned number(const char *digits)
{
    unsigned n = 0;

    for (; *digits >= '0' && *digits <= '9'; digits++) {
        n = n * 10 + (unsigned)(*digits - '0');
    }
    return n;
}

/* The seven fields of passwd(5): name, password, user id, group id, comment,
 * home directory, shell. */
static bool parse(char *line, struct passwd *out)
{
    char *field[7];
    size_t i;

    for (i = 0; i < 7; i++) {
        field[i] = line;
        line += strcspn(line, ":");
        if ((*line == ':') != (i < 6)) {
            return false;
        }
        *line = 0;
        line += i < 6;
    }
    out->pw_name = field[0];
    out->pw_passwd = field[1];
    out->pw_uid = number(field[2]);
    out->pw_gid = number(field[3]);
    out->pw_gecos = field[4];
    out->pw_dir = field[5];
    out->pw_shell = field[6];
    return field[2][0] != 0;
}

/* The next line of the file without its end: false at the end of the file. */
static bool next_line(int fd, char *chunk, size_t cap, size_t *at,
                      ssize_t *have, char *line, size_t line_cap)
{
    size_t len = 0;

    for (;;) {
        if (*at == (size_t)*have) {
            *at = 0;
            *have = read(fd, chunk, cap);
            if (*have <= 0) {
                return false;
            }
        }
        if (chunk[(*at)++] == '\n') {
            break;
        }
        line[len] = chunk[*at - 1];
        len += len < line_cap - 1;
    }
    line[len < line_cap - 1 ? len : 0] = 0;
    return true;
}

struct passwd *getpwuid(uid_t uid)
{
    static struct passwd found;
    static char line[1024];
    char chunk[512];
    const int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    struct passwd *answer = NULL;
    size_t at = 0;
    ssize_t have = 0;

    while (fd >= 0 && answer == NULL
           && next_line(fd, chunk, sizeof chunk, &at, &have, line,
                        sizeof line)) {
        if (parse(line, &found) && found.pw_uid == uid) {
            answer = &found;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return answer;
}
