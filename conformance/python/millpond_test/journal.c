/* Writes down everything that a program does to a folder on its way to the disk, in order, so that powercuts.py can make of it what a
 * power cut would have left at any moment.
 *
 * Loaded with LD_PRELOAD, before faults.c where both are. MILLPOND_JOURNAL_ROOT is the folder and MILLPOND_JOURNAL the file that is
 * appended to: lines "OP NUMBERS... TEXT", that of a write followed by its bytes. Files are named by their inode.
 *
 *     C inode path        a new file            M inode path       a new folder
 *     W inode offset n    n bytes were written  T inode length     its length was set
 *     R inode from \t to  renamed               L inode path       another name
 *     U inode path        a name was removed
 *     S inode 0|errno     flushed, or lost      D inode 0|errno    the same of a folder      Y 0|errno  everything
 *
 * A call and its line are one step for all threads. Maps that are written to (the index of SQLite's log) are not seen; they need not
 * survive.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int out = -2;
static const char *root;
static size_t root_length;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int is_on(void) {
    if (out == -2) {
        root = getenv("MILLPOND_JOURNAL_ROOT");
        const char *path = getenv("MILLPOND_JOURNAL");
        out = root && path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
        root_length = root ? strlen(root) : 0;
    }
    return out >= 0;
}

/* The path made whole, if it is in the folder. */
static int is_ours(int folder, const char *path, char *whole) {
    if (!is_on() || !path) return 0;
    if (path[0] == '/') {
        snprintf(whole, PATH_MAX, "%s", path);
    } else {
        char link[64], base[PATH_MAX];
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length <= 0) return 0;
        base[length] = 0;
        if (snprintf(whole, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    }
    return strncmp(whole, root, root_length) == 0 && (whole[root_length] == '/' || whole[root_length] == 0);
}

static int is_file_of_ours(int fd, struct stat *st) {
    char link[64], path[PATH_MAX];
    if (!is_on() || fd <= 2) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    char whole[PATH_MAX];
    return path[0] == '/' && is_ours(AT_FDCWD, path, whole) && fstat(fd, st) == 0 && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode));
}

static unsigned long long inode_of(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 ? (unsigned long long)st.st_ino : 0;
}

static void all(const void *bytes, size_t length) {
    while (length > 0) {
        ssize_t done = syscall(SYS_write, out, bytes, length);
        if (done <= 0) return;
        bytes = (const char *)bytes + done;
        length -= (size_t)done;
    }
}

__attribute__((format(printf, 1, 2))) static void line(const char *format, ...) {
    char text[3 * PATH_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int saved = errno;
    all(text, (size_t)length);
    errno = saved;
}

#define ENTER                                                                             \
    int saved = errno;                                                                    \
    pthread_mutex_lock(&lock);                                                            \
    errno = saved
#define LEAVE                                                                             \
    saved = errno;                                                                        \
    pthread_mutex_unlock(&lock);                                                          \
    errno = saved

/* Before the call: whether it will make the file. After it: says so. */
#define OPENED(FOLDER, PATH, FLAGS, CALL)                                                 \
    char whole[PATH_MAX];                                                                 \
    if (!((FLAGS) & (O_CREAT | O_TRUNC)) || !is_ours(FOLDER, PATH, whole)) return CALL;   \
    ENTER;                                                                                \
    unsigned long long before = inode_of(whole);                                          \
    int fd = CALL;                                                                        \
    if (fd >= 0 && before == 0) line("C %llu %s\n", inode_of(whole), whole);              \
    else if (fd >= 0 && (FLAGS) & O_TRUNC) line("T %llu 0\n", before);                    \
    LEAVE;                                                                                \
    return fd

#define MODE(FLAGS)                                                                       \
    va_list arguments;                                                                    \
    va_start(arguments, FLAGS);                                                           \
    mode_t mode = (FLAGS) & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;        \
    va_end(arguments)

#define OPEN(NAME)                                                                        \
    int NAME(const char *path, int flags, ...) {                                          \
        MODE(flags);                                                                      \
        OPENED(AT_FDCWD, path, flags, ((int (*)(const char *, int, ...))next(#NAME))(path, flags, mode)); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(NAME)                                                                      \
    int NAME(int folder, const char *path, int flags, ...) {                              \
        MODE(flags);                                                                      \
        OPENED(folder, path, flags, ((int (*)(int, const char *, int, ...))next(#NAME))(folder, path, flags, mode)); \
    }
OPENAT(openat)
OPENAT(openat64)

/* A write of parts from `from` on, or from where the descriptor is if that is negative. */
static ssize_t written(int fd, const struct iovec *parts, int count, off_t from, struct stat *st, ssize_t done) {
    if (done <= 0) return done;
    if (from < 0) from = lseek(fd, 0, SEEK_CUR) - done;
    line("W %llu %lld %zd\n", (unsigned long long)st->st_ino, (long long)from, done);
    size_t left = (size_t)done;
    for (int n = 0; n < count && left > 0; n++) {
        size_t length = parts[n].iov_len < left ? parts[n].iov_len : left;
        all(parts[n].iov_base, length);
        left -= length;
    }
    return done;
}

#define WRITING(FD, PARTS, COUNT, FROM, CALL)                                             \
    struct stat st;                                                                       \
    if (!is_file_of_ours(FD, &st)) return CALL;                                           \
    ENTER;                                                                                \
    ssize_t done = written(FD, PARTS, COUNT, FROM, &st, CALL);                            \
    LEAVE;                                                                                \
    return done

ssize_t write(int fd, const void *bytes, size_t count) {
    struct iovec part = {(void *)bytes, count};
    WRITING(fd, &part, 1, -1, ((ssize_t(*)(int, const void *, size_t))next("write"))(fd, bytes, count));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    WRITING(fd, parts, count, -1, ((ssize_t(*)(int, const struct iovec *, int))next("writev"))(fd, parts, count));
}

#define PWRITE(NAME)                                                                      \
    ssize_t NAME(int fd, const void *bytes, size_t count, off_t from) {                   \
        struct iovec part = {(void *)bytes, count};                                       \
        WRITING(fd, &part, 1, from, ((ssize_t(*)(int, const void *, size_t, off_t))next(#NAME))(fd, bytes, count, from)); \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(NAME)                                                                     \
    ssize_t NAME(int fd, const struct iovec *parts, int count, off_t from) {              \
        WRITING(fd, parts, count, from, ((ssize_t(*)(int, const struct iovec *, int, off_t))next(#NAME))(fd, parts, count, from)); \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define PWRITEV2(NAME)                                                                    \
    ssize_t NAME(int fd, const struct iovec *parts, int count, off_t from, int flags) {   \
        WRITING(fd, parts, count, from, ((ssize_t(*)(int, const struct iovec *, int, off_t, int))next(#NAME))(fd, parts, count, from, flags)); \
    }
PWRITEV2(pwritev2)
PWRITEV2(pwritev64v2)

#define FTRUNCATE(NAME)                                                                   \
    int NAME(int fd, off_t length) {                                                      \
        struct stat st;                                                                   \
        if (!is_file_of_ours(fd, &st)) return ((int (*)(int, off_t))next(#NAME))(fd, length); \
        ENTER;                                                                            \
        int outcome = ((int (*)(int, off_t))next(#NAME))(fd, length);                     \
        if (outcome == 0) line("T %llu %lld\n", (unsigned long long)st.st_ino, (long long)length); \
        LEAVE;                                                                            \
        return outcome;                                                                   \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

#define FALLOCATE(NAME)                                                                   \
    int NAME(int fd, int mode, off_t from, off_t length) {                                \
        struct stat st;                                                                   \
        if (!is_file_of_ours(fd, &st)) return ((int (*)(int, int, off_t, off_t))next(#NAME))(fd, mode, from, length); \
        ENTER;                                                                            \
        int outcome = ((int (*)(int, int, off_t, off_t))next(#NAME))(fd, mode, from, length); \
        if (outcome == 0 && !(mode & FALLOC_FL_KEEP_SIZE) && from + length > st.st_size)  \
            line("T %llu %lld\n", (unsigned long long)st.st_ino, (long long)(from + length)); \
        LEAVE;                                                                            \
        return outcome;                                                                   \
    }
FALLOCATE(fallocate)
FALLOCATE(fallocate64)

static int flush(int fd, const char *name) {
    struct stat st;
    if (!is_file_of_ours(fd, &st)) return ((int (*)(int))next(name))(fd);
    /* Without the lock, since it takes long: what others write meanwhile may be flushed as well, or not. So it is said before, and its
     * end is said behind it. */
    pthread_mutex_lock(&lock);
    line("B %llu %ld\n", (unsigned long long)st.st_ino, syscall(SYS_gettid));
    pthread_mutex_unlock(&lock);
    int outcome = ((int (*)(int))next(name))(fd);
    int error = outcome == 0 ? 0 : errno;
    /* A loss that is reported to one more descriptor takes nothing of what is flushed now. */
    int (*reported_late)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "faults_reported_late");
    int lost = error && !(reported_late && reported_late()) ? error : 0;
    ENTER;
    line("%c %llu %ld %d\n", S_ISDIR(st.st_mode) ? 'D' : 'S', (unsigned long long)st.st_ino, syscall(SYS_gettid), lost);
    LEAVE;
    errno = error;
    return outcome;
}

int fsync(int fd) { return flush(fd, "fsync"); }
int fdatasync(int fd) { return flush(fd, "fdatasync"); }

int syncfs(int fd) {
    pthread_mutex_lock(&lock);
    if (is_on()) line("B 0 %ld\n", syscall(SYS_gettid));
    pthread_mutex_unlock(&lock);
    int outcome = ((int (*)(int))next("syncfs"))(fd);
    ENTER;
    if (is_on()) line("Y 0 %ld %d\n", syscall(SYS_gettid), outcome == 0 ? 0 : errno);
    LEAVE;
    return outcome;
}

/* A change of names: CALL, and what is said when it succeeded. */
#define NAMING(ARE_OURS, CALL, ...)                                                       \
    if (!(ARE_OURS)) return CALL;                                                         \
    ENTER;                                                                                \
    unsigned long long inode = inode_of(first);                                           \
    int outcome = CALL;                                                                   \
    if (outcome == 0) line(__VA_ARGS__);                                                  \
    LEAVE;                                                                                \
    return outcome

int rename(const char *from, const char *to) {
    char first[PATH_MAX], second[PATH_MAX];
    NAMING(is_ours(AT_FDCWD, from, first) && is_ours(AT_FDCWD, to, second),
           ((int (*)(const char *, const char *))next("rename"))(from, to), "R %llu %s\t%s\n", inode, first, second);
}

int renameat(int folder, const char *from, int other, const char *to) {
    char first[PATH_MAX], second[PATH_MAX];
    NAMING(is_ours(folder, from, first) && is_ours(other, to, second),
           ((int (*)(int, const char *, int, const char *))next("renameat"))(folder, from, other, to), "R %llu %s\t%s\n", inode, first, second);
}

int link(const char *from, const char *to) {
    char first[PATH_MAX];
    NAMING(is_ours(AT_FDCWD, to, first), ((int (*)(const char *, const char *))next("link"))(from, to), "L %llu %s\n",
           (inode = inode_of(first)), first);
}

int linkat(int folder, const char *from, int other, const char *to, int flags) {
    char first[PATH_MAX];
    NAMING(is_ours(other, to, first),
           ((int (*)(int, const char *, int, const char *, int))next("linkat"))(folder, from, other, to, flags), "L %llu %s\n",
           (inode = inode_of(first)), first);
}

int unlink(const char *path) {
    char first[PATH_MAX];
    NAMING(is_ours(AT_FDCWD, path, first), ((int (*)(const char *))next("unlink"))(path), "U %llu %s\n", inode, first);
}

int unlinkat(int folder, const char *path, int flags) {
    char first[PATH_MAX];
    NAMING(is_ours(folder, path, first), ((int (*)(int, const char *, int))next("unlinkat"))(folder, path, flags), "U %llu %s\n", inode, first);
}

int rmdir(const char *path) {
    char first[PATH_MAX];
    NAMING(is_ours(AT_FDCWD, path, first), ((int (*)(const char *))next("rmdir"))(path), "U %llu %s\n", inode, first);
}

int mkdir(const char *path, mode_t mode) {
    char first[PATH_MAX];
    NAMING(is_ours(AT_FDCWD, path, first), ((int (*)(const char *, mode_t))next("mkdir"))(path, mode), "M %llu %s\n",
           (inode = inode_of(first)), first);
}
