/* A shim between a process and its kernel, loaded with LD_PRELOAD: it counts the points at which something of the
 * process becomes visible or durable, and strikes at a chosen one. Production code runs unchanged above it.
 *
 * Points: writes to files below the root folder, their renames, unlinks, truncations and syncs; data sent on sockets
 * (but for requests that only read the ledger, and an agent's answers to its operator's questions); bytes for a serial
 * port. Writes to one file that follow each other are one point. What is killed before point k has done all of k - 1.
 *
 * Strikes:
 *   kill   SIGKILL.
 *   torn   the first write of the point is half done, then SIGKILL.
 *   power  SIGKILL, and what was not synced is gone: contents not fsynced are cut off, names whose folder was not
 *          fsynced are removed. Only points right after something left the process count: that is when it matters.
 *   full   no file takes another byte (ENOSPC) for as long as the file <trace>.full exists. Only writes count. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MAX_NAMES 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int armed, trace_fd = -1;
static char root[PATH_MAX], mode[16], wanted_phase[32], full_flag[PATH_MAX];
static char phase[32], patterns[1024];
static int answers_are_nothing; /* for an agent, which is the process with phases */
static long wanted, seen;
static int left_since; /* something has left the process since the last point */
static char last[PATH_MAX];

/* What is safe on the disk: the names, and how many bytes of each. */
static struct name { char path[512]; long size; int durable; } names[MAX_NAMES];
static int known;

static struct name *lookup(const char *path) {
  for (int i = 0; i < known; i++) if (!strcmp(names[i].path, path)) return &names[i];
  return NULL;
}

static struct name *note(const char *path, long size, int durable) {
  struct name *found = lookup(path);
  if (!found) {
    if (known == MAX_NAMES || strlen(path) >= sizeof names[0].path) abort();
    found = &names[known++];
    strcpy(found->path, path);
  }
  found->size = size;
  found->durable = durable;
  return found;
}

static int passing(const char *path) {
  size_t n = strlen(path);
  return (n > 4 && !strcmp(path + n - 4, "-shm")) || (n > 5 && !strcmp(path + n - 5, ".lock"));
}

static void walk(const char *folder, void (*visit)(const char *, long)) {
  DIR *dir = opendir(folder);
  if (!dir) return;
  struct dirent *each;
  while ((each = readdir(dir))) {
    char path[PATH_MAX];
    struct stat st;
    if (!strcmp(each->d_name, ".") || !strcmp(each->d_name, "..")) continue;
    snprintf(path, sizeof path, "%s/%s", folder, each->d_name);
    if (lstat(path, &st)) continue;
    if (S_ISDIR(st.st_mode)) walk(path, visit);
    else if (S_ISREG(st.st_mode) && !passing(path)) visit(path, st.st_size);
  }
  closedir(dir);
}

static void found_at_start(const char *path, long size) { note(path, size, 1); }

static void lose(const char *path, long size) {
  struct name *is = lookup(path);
  if (!is || !is->durable) syscall(SYS_unlink, path);
  else if (size > is->size) syscall(SYS_truncate, path, is->size);
}

static void die(void) {
  if (!strcmp(mode, "power")) walk(root, lose);
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

static void trace(const char *what, const char *path) {
  char line[PATH_MAX + 128];
  int n = snprintf(line, sizeof line, "%s\t%ld\t%s %s\n", phase, seen, what, path);
  if (trace_fd >= 0) syscall(SYS_write, trace_fd, line, n);
}

/* patterns: "bytes=phase\n..." in order: once its bytes are seen, the next phase begins. */
static void advance(const void *data, size_t n) {
  char *line = patterns;
  char *equals = strchr(line, '='), *end = strchr(line, '\n');
  if (!data || !equals || !end) return;
  if (memmem(data, n, line, equals - line)) {
    size_t length = end - equals - 1;
    memcpy(phase, equals + 1, length);
    phase[length] = 0;
    seen = 0;
    last[0] = 0;
    memmove(patterns, end + 1, strlen(end + 1) + 1);
  }
}

static int in_wanted_phase(void) { return !strcmp(phase, wanted_phase) || !strcmp(wanted_phase, "any"); }

/* One point. Returns 1 where the call must fail for want of room, 2 where half of it is to be done before the end. */
static int point(const char *what, const char *path, const void *data, size_t n, int is_write) {
  advance(data, n);
  if (!strcmp(mode, "full") && !is_write) {
    last[0] = 0;
    return 0;
  }
  char this[PATH_MAX];
  snprintf(this, sizeof this, "%d %s", n != 0, path);
  int again = !strcmp(this, last);
  strcpy(last, this);
  if (!strcmp(mode, "power")) {
    int counts = left_since && !again;
    left_since = n && !is_write;
    if (!counts) return 0;
  } else if (again && n) {
    return !strcmp(mode, "full") && seen >= wanted && in_wanted_phase() && !syscall(SYS_access, full_flag, F_OK);
  }
  seen++;
  trace(what, path);
  if (!in_wanted_phase()) return 0;
  if (!strcmp(mode, "full")) return seen >= wanted && !syscall(SYS_access, full_flag, F_OK);
  if (seen != wanted || !wanted) return 0;
  if (!strcmp(mode, "torn") && data && n > 1) return 2;
  die();
  return 0;
}

static int below(const char *path) {
  size_t n = strlen(root);
  return !strncmp(path, root, n) && path[n] == '/' && !passing(path);
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = syscall(SYS_readlink, link, path, PATH_MAX - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return 1;
}

/* 1 for a file below the root, 2 for a socket, 3 for a terminal, 0 for what does not count. */
static int kind_of(int fd, char *path, const void *data, size_t n) {
  if (!path_of(fd, path)) return 0;
  if (path[0] == '/' && below(path)) return 1;
  if (!strncmp(path, "/dev/pts/", 9)) return 3;
  if (strncmp(path, "socket:", 7) || !n) return 0;
  if (n == 1) return 0; /* asyncio waking itself */
  if (answers_are_nothing && !strncmp(data, "HTTP/1.1 200", n < 12 ? n : 12)) return 0;
  if (memmem(data, n, "\"eth_", 5) && !memmem(data, n, "eth_sendRawTransaction", 22)) return 0;
  strcpy(path, memmem(data, n, "eth_sendRawTransaction", 22) ? "eth_sendRawTransaction" : "");
  if (!*path) {
    size_t length = n < 60 ? n : 60;
    memcpy(path, data, length);
    path[length] = 0;
    path[strcspn(path, "\r\n\t")] = 0;
  }
  return 2;
}

static int before(const char *what, int fd, const void *data, size_t n) {
  char path[PATH_MAX];
  int kind = kind_of(fd, path, data, n);
  if (!kind) return 0;
  if (kind == 1 && !lookup(path)) note(path, 0, 0);
  return point(kind == 3 ? "serial" : what, path, data, n, kind == 1);
}

#define WRITING(name, declared, passed, halved, fd, data, n)            \
  {                                                                     \
    if (!armed) return REAL(name) passed;                               \
    pthread_mutex_lock(&lock);                                          \
    int strike = before(#name, fd, data, n);                            \
    if (strike == 2) {                                                  \
      REAL(name) halved;                                                \
      die();                                                            \
    }                                                                   \
    pthread_mutex_unlock(&lock);                                        \
    if (strike == 1) { errno = ENOSPC; return -1; }                     \
    return REAL(name) passed;                                           \
  }

ssize_t write(int fd, const void *data, size_t n)
    WRITING(write, (int, const void *, size_t), (fd, data, n), (fd, data, n / 2), fd, data, n)
ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
    WRITING(pwrite, (int, const void *, size_t, off_t), (fd, data, n, at), (fd, data, n / 2, at), fd, data, n)
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
    WRITING(pwrite64, (int, const void *, size_t, off64_t), (fd, data, n, at), (fd, data, n / 2, at), fd, data, n)
ssize_t send(int fd, const void *data, size_t n, int flags)
    WRITING(send, (int, const void *, size_t, int), (fd, data, n, flags), (fd, data, n / 2, flags), fd, data, n)
ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *to, socklen_t length)
    WRITING(sendto, (), (fd, data, n, flags, to, length), (fd, data, n / 2, flags, to, length), fd, data, n)

static char *gathered(const struct iovec *parts, size_t count, size_t *n) {
  *n = 0;
  for (size_t i = 0; i < count; i++) *n += parts[i].iov_len;
  char *all = malloc(*n + 1), *at = all;
  for (size_t i = 0; i < count; i++) {
    memcpy(at, parts[i].iov_base, parts[i].iov_len);
    at += parts[i].iov_len;
  }
  return all;
}

static int before_parts(const char *what, int fd, const struct iovec *parts, size_t count) {
  size_t n;
  char *all = gathered(parts, count, &n);
  int strike = before(what, fd, all, n);
  if (strike == 2) {
    syscall(SYS_write, fd, all, n / 2);
    die();
  }
  free(all);
  return strike;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (!armed) return REAL(writev)(fd, parts, count);
  pthread_mutex_lock(&lock);
  int strike = before_parts("writev", fd, parts, count);
  pthread_mutex_unlock(&lock);
  if (strike == 1) { errno = ENOSPC; return -1; }
  return REAL(writev)(fd, parts, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  if (!armed) return REAL(sendmsg)(fd, message, flags);
  pthread_mutex_lock(&lock);
  before_parts("sendmsg", fd, message->msg_iov, message->msg_iovlen);
  pthread_mutex_unlock(&lock);
  return REAL(sendmsg)(fd, message, flags);
}

static void synced(int fd) {
  char path[PATH_MAX];
  struct stat st;
  if (!path_of(fd, path) || fstat(fd, &st)) return;
  if (S_ISREG(st.st_mode)) {
    if (!below(path)) return;
    struct name *is = lookup(path);
    if (is) is->size = st.st_size;
    else note(path, st.st_size, 0);
    return;
  }
  /* A folder: every name in it is safe now. */
  size_t n = strlen(path);
  for (int i = 0; i < known; i++)
    if (!strncmp(names[i].path, path, n) && names[i].path[n] == '/' && !strchr(names[i].path + n + 1, '/'))
      names[i].durable = 1;
}

#define SYNCING(name)                                                   \
  int name(int fd) {                                                    \
    if (!armed) return REAL(name)(fd);                                  \
    char path[PATH_MAX] = "";                                           \
    pthread_mutex_lock(&lock);                                          \
    if (path_of(fd, path) && !strncmp(path, root, strlen(root))) point(#name, path, NULL, 0, 0); \
    synced(fd);                                                         \
    pthread_mutex_unlock(&lock);                                        \
    return REAL(name)(fd);                                              \
  }
SYNCING(fsync)
SYNCING(fdatasync)

static void absolute(const char *path, char *out) {
  char folder[PATH_MAX / 2] = "";
  if (path[0] == '/') snprintf(out, PATH_MAX, "%s", path);
  else if (getcwd(folder, sizeof folder)) snprintf(out, PATH_MAX, "%s/%.2000s", folder, path);
}

static void renaming(const char *what, const char *from, const char *to) {
  char old[PATH_MAX], new[PATH_MAX];
  absolute(from, old);
  absolute(to, new);
  if (!below(new)) return;
  point(what, new, NULL, 0, 0);
  struct name *was = lookup(old);
  struct stat st;
  long size = was ? was->size : lstat(old, &st) ? 0 : st.st_size;
  int replaced = lookup(new) && lookup(new)->durable;
  note(new, size, replaced);
}

int rename(const char *from, const char *to) {
  if (armed) {
    pthread_mutex_lock(&lock);
    renaming("rename", from, to);
    pthread_mutex_unlock(&lock);
  }
  return REAL(rename)(from, to);
}

int renameat(int a, const char *from, int b, const char *to) {
  if (armed && a == AT_FDCWD && b == AT_FDCWD) {
    pthread_mutex_lock(&lock);
    renaming("rename", from, to);
    pthread_mutex_unlock(&lock);
  }
  return REAL(renameat)(a, from, b, to);
}

int unlink(const char *path) {
  char whole[PATH_MAX];
  if (armed) {
    absolute(path, whole);
    pthread_mutex_lock(&lock);
    if (below(whole)) {
      point("unlink", whole, NULL, 0, 0);
      struct name *is = lookup(whole);
      if (is) is->path[0] = 0;
    }
    pthread_mutex_unlock(&lock);
  }
  return REAL(unlink)(path);
}

static void cutting(int fd, long size) {
  char path[PATH_MAX];
  if (!path_of(fd, path) || !below(path)) return;
  point("ftruncate", path, NULL, 0, 0);
  struct name *is = lookup(path);
  if (is && is->size > size) is->size = size;
}

int ftruncate(int fd, off_t size) {
  if (armed) {
    pthread_mutex_lock(&lock);
    cutting(fd, size);
    pthread_mutex_unlock(&lock);
  }
  return REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size) {
  if (armed) {
    pthread_mutex_lock(&lock);
    cutting(fd, size);
    pthread_mutex_unlock(&lock);
  }
  return REAL(ftruncate64)(fd, size);
}

/* Called by the process itself, through ctypes, when its preparations are over. */
void shim_arm(const char *folder, const char *strike, const char *in_phase, long at, const char *first_phase,
              const char *next_phases, const char *trace_path) {
  snprintf(root, sizeof root, "%s", folder);
  snprintf(mode, sizeof mode, "%s", strike);
  snprintf(wanted_phase, sizeof wanted_phase, "%s", in_phase);
  snprintf(phase, sizeof phase, "%s", first_phase);
  snprintf(patterns, sizeof patterns, "%s", next_phases);
  snprintf(full_flag, sizeof full_flag, "%s.full", trace_path);
  trace_fd = syscall(SYS_open, trace_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  wanted = at;
  answers_are_nothing = patterns[0] != 0;
  seen = known = 0;
  walk(root, found_at_start);
  armed = 1;
}
