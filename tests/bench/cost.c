/* What a command costs: cost FILE COMMAND...  FILE gets "SECONDS CPU KIB":
 * its time, then the processor time and the largest process of it and all it
 * started; ssh leaves its ProxyCommand to itself, so orphans are waited for
 * too.  A program of its own, because a child's peak begins with its parent's
 * and Python is large. */
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    struct timespec from;
    struct timespec to;
    struct rusage u;
    int status = 0;
    FILE *out;
    pid_t pid;

    if (argc < 3) {
        return 2;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    clock_gettime(CLOCK_MONOTONIC, &from);
    pid = fork();
    if (pid == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    while (wait(NULL) > 0) {
    }
    getrusage(RUSAGE_CHILDREN, &u);
    out = fopen(argv[1], "w");
    if (out != NULL) {
        fprintf(out, "%f %f %ld\n",
                (double)(to.tv_sec - from.tv_sec)
                    + (double)(to.tv_nsec - from.tv_nsec) / 1e9,
                seconds(u.ru_utime) + seconds(u.ru_stime), u.ru_maxrss);
        fclose(out);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}
