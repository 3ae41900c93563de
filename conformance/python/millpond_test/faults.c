/* Stands between a program and its disk: makes chosen calls fail, or take their time, as a file of rules says.
 *
 * Loaded with LD_PRELOAD by faults.py, which writes the rules and reads what happened. A rule is a line
 *
 *     ID OP ERRNO DELAY_MS FIRST TIMES DROP PATTERN
 *
 * OP is open, read (sendfile too), write, sync, rename, link, unlink, mkdir, truncate, allocate or accept; "any" is all of them but
 * accept. PATTERN is matched against the path as by fnmatch (for accept it is "-").
 * The rule acts on its FIRST matching call and on those that follow, TIMES of them (0: all). ERRNO 0 only delays. DROP 1
 * zeroes what was written since the last flush that succeeded, as a kernel may do that drops pages it could not write. As
 * a kernel does, it reports that once to each descriptor that has the file open: what another one wrote went with it. DROP 2
 * reports the same, and readers go on to see what is not on the disk, as long as it is in memory.
 * The file of rules with ".clock" behind its name holds milliseconds by which the wall clock of the program is wrong.
 * What acted is appended to the file of rules with ".log" behind its name: ID OP PATH FROM TO.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAX_RULES 4096
#define MAX_FILES 65536

struct dirty {
    dev_t dev;
    ino_t ino;
    off_t synced, from, to;
    long losses;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    int id;
    long calls;
} counters[MAX_RULES];
static struct dirty files[MAX_FILES];
/* Up to which of the losses of its file each descriptor knows. */
static long known_losses[MAX_FILES];

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int raw_open(const char *path, int flags) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600); }

static struct dirty *find(const struct stat *st) {
    size_t at = (size_t)(st->st_ino * 2654435761u + st->st_dev) % MAX_FILES;
    for (size_t i = 0; i < MAX_FILES; i++, at = (at + 1) % MAX_FILES) {
        if (files[at].ino == st->st_ino && files[at].dev == st->st_dev) return &files[at];
        if (files[at].ino == 0) {
            files[at] = (struct dirty){st->st_dev, st->st_ino, st->st_size, -1, -1, 0};
            return &files[at];
        }
    }
    return NULL;
}

static long *calls_of(int id) {
    for (int i = 0; i < MAX_RULES; i++) {
        if (counters[i].id == id || counters[i].id == 0) {
            counters[i].id = id;
            return &counters[i].calls;
        }
    }
    return NULL;
}

/* Zeroes what is not known to be on disk, and says from where to where. */
static void drop(int fd, off_t range[2], int zeroes) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return;
    struct dirty *file = find(&st);
    if (!file) return;
    off_t from = file->from, to = file->to;
    if (st.st_size > file->synced) {
        if (from < 0 || file->synced < from) from = file->synced;
        if (st.st_size > to) to = st.st_size;
    }
    range[0] = from;
    range[1] = to;
    file->losses += 1;
    if (fd < MAX_FILES) known_losses[fd] = file->losses;
    static const char zeros[65536];
    while (zeroes && from >= 0 && from < to) {
        size_t length = to - from < (off_t)sizeof zeros ? (size_t)(to - from) : sizeof zeros;
        ssize_t written = syscall(SYS_pwrite64, fd, zeros, length, from);
        if (written <= 0) break;
        from += written;
    }
}

/* Whether the call is to fail; errno is set then. */
static int fails(const char *op, const char *path, int fd) {
    const char *control = getenv("MILLPOND_FAULTS");
    if (!control || strncmp(path, control, strlen(control)) == 0) return 0;
    char text[8192];
    int rules = raw_open(control, O_RDONLY);
    if (rules < 0) return 0;
    ssize_t length = syscall(SYS_read, rules, text, sizeof text - 1);
    syscall(SYS_close, rules);
    if (length <= 0) return 0;
    text[length] = 0;
    int error = 0, delay_ms = 0;
    pthread_mutex_lock(&lock);
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        int id, code, delay, dropping;
        long first, times;
        char wanted[16], pattern[1024];
        if (sscanf(line, "%d %15s %d %d %ld %ld %d %1023[^\n]", &id, wanted, &code, &delay, &first, &times, &dropping, pattern) != 8) continue;
        int matches = strcmp(op, wanted) == 0 || (strcmp(wanted, "any") == 0 && strcmp(op, "accept") != 0);
        if (!matches || fnmatch(pattern, path, 0) != 0) continue;
        long *calls = calls_of(id);
        if (!calls) continue;
        *calls += 1;
        if (*calls < first || (times > 0 && *calls >= first + times)) continue;
        off_t range[2] = {-1, -1};
        if (dropping) drop(fd, range, dropping == 1);
        if (code) error = code;
        if (delay > delay_ms) delay_ms = delay;
        char name[4096], entry[8192];
        snprintf(name, sizeof name, "%s.log", control);
        int size = snprintf(entry, sizeof entry, "%d %s %s %lld %lld\n", id, op, path, (long long)range[0], (long long)range[1]);
        int log = raw_open(name, O_WRONLY | O_APPEND | O_CREAT);
        if (log >= 0) {
            syscall(SYS_write, log, entry, (size_t)size);
            syscall(SYS_close, log);
        }
    }
    pthread_mutex_unlock(&lock);
    if (delay_ms) {
        struct timespec pause = {delay_ms / 1000, delay_ms % 1000 * 1000000L};
        nanosleep(&pause, NULL);
    }
    errno = error;
    return error != 0;
}

static const char *path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    path[length > 0 ? length : 0] = 0;
    return path;
}

static void opened(int fd, int flags) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return;
    int saved = errno;
    pthread_mutex_lock(&lock);
    struct dirty *file = find(&st);
    /* The number of a file that is gone may be that of a new one. */
    if (file && (st.st_size == 0 || (flags & O_TRUNC))) *file = (struct dirty){st.st_dev, st.st_ino, 0, -1, -1, 0};
    if (file && fd < MAX_FILES) known_losses[fd] = file->losses;
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static void written(int fd, off_t from, ssize_t count) {
    struct stat st;
    if (count <= 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return;
    pthread_mutex_lock(&lock);
    struct dirty *file = find(&st);
    if (file) {
        if (file->from < 0 || from < file->from) file->from = from;
        if (from + count > file->to) file->to = from + count;
    }
    pthread_mutex_unlock(&lock);
}

static __thread int reported_late;

/* Whether the last flush of this thread that failed did so because of an earlier loss alone: what was unwritten then has reached the
 * disk, as it has when a kernel reports a loss to one more descriptor. For journal.c. */
int faults_reported_late(void) { return reported_late; }

static int flush(int fd, const char *name) {
    char path[4096];
    reported_late = 0;
    if (fails("sync", path_of(fd, path, sizeof path), fd)) return -1;
    struct stat before;
    int known = fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
    int outcome = ((int (*)(int))next(name))(fd);
    if (outcome == 0 && known) {
        int saved = errno;
        pthread_mutex_lock(&lock);
        struct dirty *file = find(&before);
        if (file && fd < MAX_FILES) {
            reported_late = known_losses[fd] < file->losses;
            known_losses[fd] = file->losses;
        }
        if (file) *file = (struct dirty){before.st_dev, before.st_ino, before.st_size, -1, -1, file->losses};
        pthread_mutex_unlock(&lock);
        errno = reported_late ? EIO : saved;
    }
    return reported_late ? -1 : outcome;
}

int syncfs(int fd) {
    char path[4096];
    if (fails("sync", path_of(fd, path, sizeof path), -1)) return -1;
    return ((int (*)(int))next("syncfs"))(fd);
}

int fsync(int fd) { return flush(fd, "fsync"); }
int fdatasync(int fd) { return flush(fd, "fdatasync"); }

#define OPEN(NAME)                                                                        \
    int NAME(const char *path, int flags, ...) {                                          \
        va_list arguments;                                                                \
        va_start(arguments, flags);                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;      \
        va_end(arguments);                                                                \
        if (fails("open", path, -1)) return -1;                                           \
        int fd = ((int (*)(const char *, int, ...))next(#NAME))(path, flags, mode);       \
        opened(fd, flags);                                                                \
        return fd;                                                                        \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(NAME)                                                                      \
    int NAME(int folder, const char *path, int flags, ...) {                              \
        va_list arguments;                                                                \
        va_start(arguments, flags);                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;      \
        va_end(arguments);                                                                \
        if (fails("open", path, -1)) return -1;                                           \
        int fd = ((int (*)(int, const char *, int, ...))next(#NAME))(folder, path, flags, mode); \
        opened(fd, flags);                                                                \
        return fd;                                                                        \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *bytes, size_t count) {
    char path[4096];
    if (fd > 2 && fails("write", path_of(fd, path, sizeof path), fd)) return -1;
    off_t from = fd > 2 ? lseek(fd, 0, SEEK_CUR) : -1;
    ssize_t done = ((ssize_t(*)(int, const void *, size_t))next("write"))(fd, bytes, count);
    if (from >= 0) written(fd, from, done);
    return done;
}

#define PWRITE(NAME)                                                                      \
    ssize_t NAME(int fd, const void *bytes, size_t count, off_t from) {                   \
        char path[4096];                                                                  \
        if (fails("write", path_of(fd, path, sizeof path), fd)) return -1;                \
        ssize_t done = ((ssize_t(*)(int, const void *, size_t, off_t))next(#NAME))(fd, bytes, count, from); \
        written(fd, from, done);                                                          \
        return done;                                                                      \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(NAME)                                                                     \
    ssize_t NAME(int fd, const struct iovec *parts, int count, off_t from) {              \
        char path[4096];                                                                  \
        if (fails("write", path_of(fd, path, sizeof path), fd)) return -1;                \
        ssize_t done = ((ssize_t(*)(int, const struct iovec *, int, off_t))next(#NAME))(fd, parts, count, from); \
        written(fd, from, done);                                                          \
        return done;                                                                      \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define PREADV2(NAME)                                                                     \
    ssize_t NAME(int fd, const struct iovec *parts, int count, off_t from, int flags) {   \
        char path[4096];                                                                  \
        if (fails("read", path_of(fd, path, sizeof path), fd)) return -1;                 \
        return ((ssize_t(*)(int, const struct iovec *, int, off_t, int))next(#NAME))(fd, parts, count, from, flags); \
    }
PREADV2(preadv2)
PREADV2(preadv64v2)

#define SENDFILE(NAME)                                                                    \
    ssize_t NAME(int to, int fd, off_t *from, size_t count) {                             \
        char path[4096];                                                                  \
        if (fails("read", path_of(fd, path, sizeof path), fd)) return -1;                 \
        return ((ssize_t(*)(int, int, off_t *, size_t))next(#NAME))(to, fd, from, count); \
    }
SENDFILE(sendfile)
SENDFILE(sendfile64)

#define FALLOCATE(NAME)                                                                   \
    int NAME(int fd, int mode, off_t from, off_t length) {                                \
        char path[4096];                                                                  \
        if (fails("allocate", path_of(fd, path, sizeof path), fd)) return -1;             \
        return ((int (*)(int, int, off_t, off_t))next(#NAME))(fd, mode, from, length);    \
    }
FALLOCATE(fallocate)
FALLOCATE(fallocate64)

int link(const char *from, const char *to) {
    if (fails("link", to, -1)) return -1;
    return ((int (*)(const char *, const char *))next("link"))(from, to);
}

int linkat(int folder, const char *from, int other, const char *to, int flags) {
    if (fails("link", to, -1)) return -1;
    return ((int (*)(int, const char *, int, const char *, int))next("linkat"))(folder, from, other, to, flags);
}

/* Reads at a place in a file, as stores make them. */
#define PREAD(NAME)                                                                       \
    ssize_t NAME(int fd, void *bytes, size_t count, off_t from) {                         \
        char path[4096];                                                                  \
        if (fails("read", path_of(fd, path, sizeof path), fd)) return -1;                 \
        return ((ssize_t(*)(int, void *, size_t, off_t))next(#NAME))(fd, bytes, count, from); \
    }
PREAD(pread)
PREAD(pread64)

/* Of files only: everything else is read by this as well. */
ssize_t read(int fd, void *bytes, size_t count) {
    char path[4096];
    if (fd > 2 && path_of(fd, path, sizeof path)[0] == '/' && strncmp(path, "/proc/", 6) != 0 && strncmp(path, "/sys/", 5) != 0 &&
        strncmp(path, "/dev/", 5) != 0 && fails("read", path, fd))
        return -1;
    return ((ssize_t(*)(int, void *, size_t))next("read"))(fd, bytes, count);
}

int rename(const char *from, const char *to) {
    if (fails("rename", to, -1)) return -1;
    return ((int (*)(const char *, const char *))next("rename"))(from, to);
}

int unlink(const char *path) {
    if (fails("unlink", path, -1)) return -1;
    return ((int (*)(const char *))next("unlink"))(path);
}

int mkdir(const char *path, mode_t mode) {
    if (fails("mkdir", path, -1)) return -1;
    return ((int (*)(const char *, mode_t))next("mkdir"))(path, mode);
}

#define FTRUNCATE(NAME)                                                                   \
    int NAME(int fd, off_t length) {                                                      \
        char path[4096];                                                                  \
        if (fails("truncate", path_of(fd, path, sizeof path), fd)) return -1;             \
        return ((int (*)(int, off_t))next(#NAME))(fd, length);                            \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

/* How wrong the wall clock is, looked up a hundred times a second at most. */
static long long wrong_ms(void) {
    static _Thread_local long long last, looked = -1000;
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    long long now_ms = now.tv_sec * 1000LL + now.tv_nsec / 1000000;
    if (now_ms - looked < 10) return last;
    looked = now_ms;
    const char *control = getenv("MILLPOND_FAULTS");
    if (!control) return 0;
    char name[4096], text[32];
    snprintf(name, sizeof name, "%s.clock", control);
    int file = raw_open(name, O_RDONLY);
    if (file < 0) return last = 0;
    ssize_t length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    text[length > 0 ? length : 0] = 0;
    return last = atoll(text);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int outcome = (int)syscall(SYS_clock_gettime, clock, time);
    if (outcome == 0 && clock == CLOCK_REALTIME) {
        int saved = errno;
        long long ms = time->tv_sec * 1000LL + time->tv_nsec / 1000000 + wrong_ms();
        time->tv_sec = ms / 1000;
        time->tv_nsec = ms % 1000 * 1000000 + time->tv_nsec % 1000000;
        errno = saved;
    }
    return outcome;
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    if (fails("accept", "-", -1)) return -1;
    return ((int (*)(int, struct sockaddr *, socklen_t *, int))next("accept4"))(fd, address, length, flags);
}
