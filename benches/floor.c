/* floor DIRECTORY COUNT BYTES: what nobody can do without who writes so many files of so many bytes into a new
 * directory and has them on stable storage: openat, writev, utimensat and close for each, and syncfs. As convert
 * does it two threads write, and one at a time creates, 64 files in turn. There is no mail: nothing is read,
 * looked at, hashed or listed. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BATCH = 64 };

static pthread_mutex_t creating = PTHREAD_MUTEX_INITIALIZER;
static int directory;
static long count, next;
static size_t bytes;
static char *text;

/* Names as long as ours, and in no order. */
static int create(long n)
{
	char name[128];
	unsigned long scattered = (n + 1) * 0x9E3779B97F4A7C15ul;
	snprintf(name, sizeof name, "%ld.%016lx%08lx.mailferry,S=%zu,W=%zu", 1000000000 + n, scattered, n, bytes, bytes);
	int file = openat(directory, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0)
		err(1, "%s", name);
	return file;
}

static void fill(int file)
{
	struct iovec piece = {text, bytes};
	struct timespec times[2] = {{0, UTIME_OMIT}, {1000000000, 0}};
	if (writev(file, &piece, 1) != (ssize_t)bytes || futimens(file, times) || close(file))
		err(1, "write");
}

static void *work(void *unused)
{
	int files[BATCH];
	for (;;) {
		int n = 0;
		pthread_mutex_lock(&creating);
		while (n < BATCH && next < count)
			files[n++] = create(next++);
		pthread_mutex_unlock(&creating);
		if (n == 0)
			return unused;
		while (n > 0)
			fill(files[--n]);
	}
}

int main(int argc, char **argv)
{
	if (argc != 4)
		errx(1, "usage: floor DIRECTORY COUNT BYTES");
	count = atol(argv[2]);
	bytes = atol(argv[3]);
	text = malloc(bytes);
	memset(text, 'x', bytes);
	if (mkdir(argv[1], 0700) || (directory = open(argv[1], O_DIRECTORY | O_CLOEXEC)) < 0)
		err(1, "%s", argv[1]);
	pthread_t other;
	if (pthread_create(&other, NULL, work, NULL))
		err(1, "thread");
	work(NULL);
	pthread_join(other, NULL);
	if (syncfs(directory))
		err(1, "syncfs");
	return 0;
}
