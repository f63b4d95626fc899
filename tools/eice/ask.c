/* Asking for a passphrase: at the terminal, or through SSH_ASKPASS. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <strings.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* ---- the terminal ------------------------------------------------------ */

/* Signals that would leave the terminal without echo: they are taken while it
 * is so, and sent on when it is as before. */
static const int held[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTOU};

#define HELD (sizeof held / sizeof held[0])

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

/* A line, of which the end is not kept; false at the end of the input, by a
 * signal, and when it is too long. Signals come in while it waits only. */
static bool read_line(int fd, const sigset_t *mask, char *out, size_t cap)
{
    size_t n = 0;

    for (;;) {
        struct pollfd p;
        char c;

        p.fd = fd;
        p.events = POLLIN;
        p.revents = 0;
        if (ppoll(&p, 1, NULL, mask) < 0 || caught != 0
            || read(fd, &c, 1) != 1) {
            return false;
        }
        if (c == '\n' || c == '\r') {
            out[n] = 0;
            return true;
        }
        if (n + 1 == cap) {
            return false;
        }
        out[n++] = c;
    }
}

static bool ask_without_echo(int fd, const char *prompt, const sigset_t *mask,
                             char *out, size_t cap)
{
    struct termios before;
    struct termios quiet;
    bool good;

    if (tcgetattr(fd, &before) != 0) {
        return false;
    }
    quiet = before;
    quiet.c_lflag &= (tcflag_t) ~(ECHO | ECHONL);
    quiet.c_lflag |= ICANON | ISIG;
    if (tcsetattr(fd, TCSAFLUSH, &quiet) != 0
        || write(fd, prompt, strlen(prompt)) < 0) {
        return false;
    }
    good = read_line(fd, mask, out, cap);
    (void)tcsetattr(fd, TCSAFLUSH, &before);
    return write(fd, "\n", 1) == 1 && good;
}

/* The signal that came is sent on: it ends us, or stops us for a while, after
 * which it is asked again. */
static bool ask_at(int fd, const char *prompt, char *out, size_t cap)
{
    struct sigaction action;
    struct sigaction old[HELD];
    sigset_t set;
    sigset_t before;
    bool good;
    size_t i;

    if (tcgetpgrp(fd) != getpgrp()) {
        kill(getpid(), SIGTTIN); /* stops, until we are in the foreground */
    }
    do {
        caught = 0;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        sigemptyset(&action.sa_mask);
        sigemptyset(&set);
        for (i = 0; i < HELD; i++) {
            sigaddset(&set, held[i]);
        }
        sigprocmask(SIG_BLOCK, &set, &before);
        for (i = 0; i < HELD; i++) {
            sigaction(held[i], NULL, &old[i]);
            if (old[i].sa_handler != SIG_IGN) {
                sigaction(held[i], &action, NULL);
            }
        }
        good = ask_without_echo(fd, prompt, &before, out, cap);
        for (i = 0; i < HELD; i++) {
            sigaction(held[i], &old[i], NULL);
        }
        if (caught != 0) {
            kill(getpid(), caught);
        }
        sigprocmask(SIG_SETMASK, &before, NULL);
    } while (caught == SIGTSTP);
    return good;
}

/* ---- SSH_ASKPASS ------------------------------------------------------- */

/* Runs the program; its first line of output is the answer. */
static bool ask_program(const char *program, const char *prompt, char *out,
                        size_t cap)
{
    const char *const words[] = {program, prompt, NULL};
    size_t n = 0;
    ssize_t got = 1;
    int status = -1;
    int ends[2];
    pid_t pid;

    if (pipe(ends) != 0) {
        return false;
    }
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        signal(SIGPIPE, SIG_DFL);
        execvp(program, (char *const *)(const void *)words);
        _exit(127);
    }
    close(ends[1]);
    while (pid > 0 && got > 0 && n + 1 < cap) {
        got = read(ends[0], out + n, cap - 1 - n);
        if (got < 0 && errno == EINTR) {
            got = 1;
        } else if (got > 0) {
            n += (size_t)got;
        }
    }
    close(ends[0]);
    out[n] = 0;
    out[strcspn(out, "\r\n")] = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status == 0;
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != 0;
}

/* As OpenSSH has it (ssh(1), SSH_ASKPASS_REQUIRE): the program only where
 * there is a display, unless it is forced; at once when it is preferred, else
 * where there is no terminal. */
bool cli_ask(const char *prompt, char *out, size_t cap)
{
    const char *require = getenv("SSH_ASKPASS_REQUIRE");
    const char *program = getenv("SSH_ASKPASS");
    const bool force = require != NULL && strcasecmp(require, "force") == 0;
    const bool prefer = require != NULL && strcasecmp(require, "prefer") == 0;
    const bool never = require != NULL && strcasecmp(require, "never") == 0;
    const bool allowed = is_set("SSH_ASKPASS") && !never
                         && (force || is_set("DISPLAY")
                             || is_set("WAYLAND_DISPLAY"));
    const int fd = allowed && (force || prefer)
                       ? -1
                       : open("/dev/tty", O_RDWR | O_CLOEXEC);
    bool good;

    if (fd < 0) {
        return allowed && ask_program(program, prompt, out, cap);
    }
    good = ask_at(fd, prompt, out, cap);
    close(fd);
    return good;
}
