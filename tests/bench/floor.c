/* The least that mq could do, for tests/bench/compare: the same work in a bare loop of the same system calls.
 *
 *   floor jobs DIR COUNT   for each of COUNT files in DIR/ready: open, flock, rename into DIR/claimed, posix_spawn
 *                          /bin/true, wait, unlink; two at a time. The files are made before the clock starts.
 *   floor packs DIR FILE   FILE's lines in files of 1000 lines in DIR, then one syncfs
 *   floor claims DIR COUNT for each of COUNT files in DIR/ready: open, flock, read, rename into DIR/claimed, unlink, close;
 *                          the files are made before the clock starts
 *   floor claimers DIR COUNT MANY
 *                          the same by so many processes at once, each of which lists a directory of 1000 files, oldest first,
 *                          tries each of its names in order, and goes on to the next
 *   floor herd DIR COUNT   64 processes that wait for a touch of DIR/wake, COUNT times: poll, read, and look at nothing; Linux alone.
 *                          Prints the processor time of all 64 for one touch
 *   floor send DIR BODY    one file: create, write, fsync, rename into DIR. A whole process, to be timed from without
 *
 * Prints the seconds, but for send. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#ifdef __linux__
#include <sys/inotify.h>
#endif
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void check(int ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "floor: ");
        perror(what);
        exit(2);
    }
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

struct job {
    pid_t pid;
    int fd;
    int number;
};

/* So many messages, before the clock starts. */
static void fill(int count) {
    char name[64];
    check(mkdir("ready", 0777) == 0 && mkdir("claimed", 0777) == 0, "mkdir");
    for (int at = 0; at < count; at++) {
        snprintf(name, sizeof name, "ready/%08d", at);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        check(fd >= 0 && write(fd, name, strlen(name)) > 0 && close(fd) == 0, name);
    }
    sync();
}

static void jobs(int count) {
    char from[64], to[64];
    struct job running[2] = {{0, -1, 0}, {0, -1, 0}};
    char *const argv[] = {"/bin/true", NULL};
    fill(count);

    double start = now();
    int begun = 0, ended = 0;
    while (ended < count) {
        int slot = running[0].pid == 0 ? 0 : running[1].pid == 0 ? 1 : -1;
        if (slot >= 0 && begun < count) {
            struct job *job = &running[slot];
            job->number = begun++;
            snprintf(from, sizeof from, "ready/%08d", job->number);
            snprintf(to, sizeof to, "claimed/%08d", job->number);
            job->fd = open(from, O_RDWR | O_CLOEXEC);
            check(job->fd >= 0, from);
            check(flock(job->fd, LOCK_EX | LOCK_NB) == 0, "flock");
            check(rename(from, to) == 0, to);
            check(posix_spawn(&job->pid, argv[0], NULL, NULL, argv, environ) == 0, "posix_spawn");
            continue;
        }
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        check(pid > 0 && status == 0, "wait");
        struct job *job = running[0].pid == pid ? &running[0] : &running[1];
        snprintf(to, sizeof to, "claimed/%08d", job->number);
        check(unlink(to) == 0 && close(job->fd) == 0, to);
        job->pid = 0;
        ended++;
    }
    printf("%.6f\n", now() - start);
}

static void claims(int count) {
    char from[64], to[64], body[64];
    fill(count);
    double start = now();
    for (int at = 0; at < count; at++) {
        snprintf(from, sizeof from, "ready/%08d", at);
        snprintf(to, sizeof to, "claimed/%08d", at);
        int fd = open(from, O_RDWR | O_CLOEXEC);
        check(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0, from);
        check(read(fd, body, sizeof body) > 0 && rename(from, to) == 0, from);
        check(unlink(to) == 0 && close(fd) == 0, to);
    }
    printf("%.6f\n", now() - start);
}

static int in_order(const void *a, const void *b) {
    return strcmp(a, b);
}

/* One of several claimers: how many files it got. */
static int claimer(int buckets) {
    static char names[1000][16];
    char from[32], to[32], body[64];
    int got = 0;
    for (int bucket = 0; bucket < buckets; bucket++) {
        for (;;) {
            snprintf(from, sizeof from, "ready/%04d", bucket % 10000);
            DIR *dir = opendir(from);
            check(dir != NULL, from);
            int listed = 0;
            for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
                if (entry->d_name[0] != '.')
                    snprintf(names[listed++], sizeof names[0], "%.15s", entry->d_name);
            closedir(dir);
            if (listed == 0)
                break;
            qsort(names, listed, sizeof names[0], in_order);
            for (int at = 0; at < listed; at++) {
                snprintf(from, sizeof from, "ready/%04d/%.8s", bucket % 10000, names[at]);
                snprintf(to, sizeof to, "claimed/%.8s", names[at]);
                int fd = open(from, O_RDWR | O_CLOEXEC);
                if (fd < 0)
                    continue;
                if (flock(fd, LOCK_EX | LOCK_NB) == 0 && read(fd, body, sizeof body) > 0 && rename(from, to) == 0) {
                    check(unlink(to) == 0, to);
                    got++;
                }
                close(fd);
            }
        }
    }
    return got;
}

static void claimers(int count, int many) {
    char name[64];
    int buckets = (count + 999) / 1000, status;
    check(mkdir("ready", 0777) == 0 && mkdir("claimed", 0777) == 0, "mkdir");
    for (int at = 0; at < count; at++) {
        snprintf(name, sizeof name, "ready/%04d", at / 1000);
        check(at % 1000 > 0 || mkdir(name, 0777) == 0, name);
        snprintf(name, sizeof name, "ready/%04d/%08d", at / 1000, at);
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        check(fd >= 0 && write(fd, name, strlen(name)) > 0 && close(fd) == 0, name);
    }
    sync();
    int told[2], got = 0, all = 0;
    check(pipe(told) == 0, "pipe");
    double start = now();
    for (int one = 0; one < many; one++)
        if (fork() == 0) {
            got = claimer(buckets);
            check(write(told[1], &got, sizeof got) == sizeof got, "write");
            _exit(0);
        }
    for (int one = 0; one < many; one++) {
        check(wait(&status) > 0 && status == 0, "wait");
        check(read(told[0], &got, sizeof got) == sizeof got, "read");
        all += got;
    }
    errno = 0;
    check(all == count, "not each was claimed once");
    printf("%.6f\n", now() - start);
}

#ifdef __linux__
enum { HERD = 64 };

/* Seconds that these processes have been on a processor: schedstat's first number. */
static double on_cpu(const pid_t *pids) {
    double sum = 0;
    for (int one = 0; one < HERD; one++) {
        char path[64];
        unsigned long long ran;
        snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pids[one]);
        FILE *from = fopen(path, "r");
        check(from != NULL && fscanf(from, "%llu", &ran) == 1 && fclose(from) == 0, path);
        sum += ran / 1e9;
    }
    return sum;
}

static void herd(int count) {
    pid_t pids[HERD], parent = getpid();
    const struct timespec apart = {0, 30000000};
    int wake = open("wake", O_WRONLY | O_CREAT | O_CLOEXEC, 0666), ready[2];
    char one, events[4096];
    check(wake >= 0 && pipe(ready) == 0, "wake");
    for (int at = 0; at < HERD; at++) {
        check((pids[at] = fork()) >= 0, "fork");
        if (pids[at] > 0)
            continue;
        int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        check(watch >= 0 && inotify_add_watch(watch, "wake", IN_ATTRIB) >= 0, "inotify");
        check(write(ready[1], "", 1) == 1, "pipe");
        for (;;) {
            struct pollfd awaited = {watch, POLLIN, 0};
            int come = poll(&awaited, 1, 5000);
            check(come >= 0, "poll");
            if (come == 0 && getppid() != parent)
                _exit(1);
            check(read(watch, events, sizeof events) > 0 || errno == EAGAIN, "read");
        }
    }
    for (int at = 0; at < HERD; at++)
        check(read(ready[0], &one, 1) == 1, "a process of the herd");
    nanosleep(&apart, NULL);
    double before = on_cpu(pids);
    for (int at = 0; at < count; at++) {
        check(futimens(wake, NULL) == 0, "wake");
        nanosleep(&apart, NULL);
    }
    printf("%.9f\n", (on_cpu(pids) - before) / count);
    for (int at = 0; at < HERD; at++)
        check(kill(pids[at], SIGKILL) == 0 && waitpid(pids[at], NULL, 0) == pids[at], "kill");
}
#else
static void herd(int count) {
    (void)count;
    check(0, "no inotify here");
}
#endif

static void send_one(const char *body) {
    char name[64], sent[64];
    snprintf(name, sizeof name, ".%d", (int)getpid());
    snprintf(sent, sizeof sent, "%d", (int)getpid());
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    check(fd >= 0 && write(fd, body, strlen(body)) > 0, name);
    check(fsync(fd) == 0 && rename(name, sent) == 0, name);
}

static void packs(const char *list) {
    static char buffer[1 << 20];
    FILE *in = fopen(list, "r");
    check(in != NULL, list);
    setvbuf(in, buffer, _IOFBF, sizeof buffer);
    double start = now();
    char *line = NULL, name[64];
    size_t room = 0, held = 0, most = 1 << 20;
    char *pack = malloc(most);
    check(pack != NULL, "malloc");
    int lines = 0, files = 0;
    for (;;) {
        ssize_t length = getline(&line, &room, in);
        if (length > 0) {
            while (held + length > most) {
                pack = realloc(pack, most *= 2);
                check(pack != NULL, "realloc");
            }
            memcpy(pack + held, line, length);
            held += length;
            lines++;
        }
        if (lines == 1000 || (length <= 0 && lines > 0)) {
            snprintf(name, sizeof name, "%08d", files++);
            int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
            check(fd >= 0 && write(fd, pack, held) == (ssize_t)held && close(fd) == 0, name);
            held = 0;
            lines = 0;
        }
        if (length <= 0)
            break;
    }
    int here = open(".", O_RDONLY | O_DIRECTORY);
    check(here >= 0 && syncfs(here) == 0, "syncfs");
    printf("%.6f\n", now() - start);
}

int main(int argc, char **argv) {
    int among = argc > 1 && strcmp(argv[1], "claimers") == 0;
    if (argc != 4 + among) {
        fprintf(stderr, "usage: floor jobs|claims|herd DIR COUNT | floor claimers DIR COUNT MANY | floor packs DIR FILE | floor send DIR BODY\n");
        return 2;
    }
    check(chdir(argv[2]) == 0, argv[2]);
    if (strcmp(argv[1], "jobs") == 0)
        jobs(atoi(argv[3]));
    else if (strcmp(argv[1], "claims") == 0)
        claims(atoi(argv[3]));
    else if (among)
        claimers(atoi(argv[3]), atoi(argv[4]));
    else if (strcmp(argv[1], "herd") == 0)
        herd(atoi(argv[3]));
    else if (strcmp(argv[1], "send") == 0)
        send_one(argv[3]);
    else
        packs(argv[3]);
    return 0;
}
