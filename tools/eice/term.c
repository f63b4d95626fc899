/* The local terminal. */
#include "cli.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* What atexit and the restore on signals need to know. */
static struct termios saved_modes;
static int saved_fd = -1;

void cli_term_size(int fd, eice_pty *pty)
{
    struct winsize size;

    pty->columns = 80;
    pty->rows = 24;
    pty->width_px = 0;
    pty->height_px = 0;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        pty->columns = size.ws_col;
        pty->rows = size.ws_row;
        pty->width_px = size.ws_xpixel;
        pty->height_px = size.ws_ypixel;
    }
}

typedef enum mode_kind { MODE_CC, MODE_I, MODE_L, MODE_O, MODE_C } mode_kind;

/* RFC 4254 8: opcode, and where termios keeps it. */
static const struct {
    unsigned char opcode;
    unsigned char kind; /* a mode_kind */
    tcflag_t bit; /* or the index in c_cc */
} modes[] = {
    {1, MODE_CC, VINTR},   {2, MODE_CC, VQUIT},   {3, MODE_CC, VERASE},
    {4, MODE_CC, VKILL},   {5, MODE_CC, VEOF},    {6, MODE_CC, VEOL},
    {7, MODE_CC, VEOL2},   {8, MODE_CC, VSTART},  {9, MODE_CC, VSTOP},
    {10, MODE_CC, VSUSP},  {12, MODE_CC, VREPRINT}, {13, MODE_CC, VWERASE},
    {14, MODE_CC, VLNEXT}, {18, MODE_CC, VDISCARD},
    {30, MODE_I, IGNPAR},  {31, MODE_I, PARMRK},  {32, MODE_I, INPCK},
    {33, MODE_I, ISTRIP},  {34, MODE_I, INLCR},   {35, MODE_I, IGNCR},
    {36, MODE_I, ICRNL},   {38, MODE_I, IXON},    {39, MODE_I, IXANY},
    {40, MODE_I, IXOFF},   {41, MODE_I, IMAXBEL}, {42, MODE_I, IUTF8},
    {50, MODE_L, ISIG},    {51, MODE_L, ICANON},  {53, MODE_L, ECHO},
    {54, MODE_L, ECHOE},   {55, MODE_L, ECHOK},   {56, MODE_L, ECHONL},
    {57, MODE_L, NOFLSH},  {58, MODE_L, TOSTOP},  {59, MODE_L, IEXTEN},
    {60, MODE_L, ECHOCTL}, {61, MODE_L, ECHOKE},
    {70, MODE_O, OPOST},   {72, MODE_O, ONLCR},   {73, MODE_O, OCRNL},
    {74, MODE_O, ONOCR},   {75, MODE_O, ONLRET},
    {90, MODE_C, CS7},     {91, MODE_C, CS8},     {92, MODE_C, PARENB},
    {93, MODE_C, PARODD},
};

static uint32_t mode_value(const struct termios *t, size_t i)
{
    const tcflag_t bit = modes[i].bit;

    switch (modes[i].kind) {
    case MODE_CC:
        return t->c_cc[bit] == _POSIX_VDISABLE ? 255u : t->c_cc[bit];
    case MODE_I:
        return (t->c_iflag & bit) != 0;
    case MODE_L:
        return (t->c_lflag & bit) != 0;
    case MODE_O:
        return (t->c_oflag & bit) != 0;
    case MODE_C:
        break;
    }
    return (t->c_cflag & bit) == bit;
}

static uint8_t *put_mode(uint8_t *p, unsigned char opcode, uint32_t value)
{
    *p++ = opcode;
    *p++ = (uint8_t)(value >> 24);
    *p++ = (uint8_t)(value >> 16);
    *p++ = (uint8_t)(value >> 8);
    *p++ = (uint8_t)value;
    return p;
}

size_t cli_term_modes(int fd, uint8_t *out, size_t cap)
{
    const size_t count = sizeof modes / sizeof modes[0];
    struct termios t;
    uint8_t *p = out;
    size_t i;

    if (cap < 5 * count + 11 || tcgetattr(fd, &t) != 0) {
        return 0;
    }
    p = put_mode(p, 128, 38400); /* TTY_OP_ISPEED; no pty has a real one */
    p = put_mode(p, 129, 38400);
    for (i = 0; i < count; i++) {
        p = put_mode(p, modes[i].opcode, mode_value(&t, i));
    }
    *p++ = 0; /* TTY_OP_END */
    return (size_t)(p - out);
}

bool cli_term_raw(int fd)
{
    struct termios t;

    if (tcgetattr(fd, &t) != 0) {
        return false;
    }
    if (saved_fd < 0) {
        saved_modes = t;
        saved_fd = fd;
        atexit(cli_term_restore);
    }
    t.c_iflag &= (tcflag_t) ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR
                              | ICRNL | IXON | IXANY | IXOFF);
    t.c_iflag |= IGNPAR;
    t.c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ECHOE | ECHOK | ICANON | ISIG
                              | IEXTEN);
    t.c_oflag &= (tcflag_t)~OPOST;
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    return tcsetattr(fd, TCSADRAIN, &t) == 0;
}

void cli_term_restore(void)
{
    sigset_t set;
    sigset_t old;

    if (saved_fd < 0) {
        return;
    }
    /* from the background this would stop us instead */
    sigemptyset(&set);
    sigaddset(&set, SIGTTOU);
    sigprocmask(SIG_BLOCK, &set, &old);
    tcsetattr(saved_fd, TCSADRAIN, &saved_modes);
    sigprocmask(SIG_SETMASK, &old, NULL);
}
