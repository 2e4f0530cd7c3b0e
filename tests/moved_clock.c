/*
 * A clock that a test moves: preloaded by all processes of a server, this adds to the real time
 * the microseconds that stand in the file named by MOVED_CLOCK.
 *
 * Not libfaketime, which opens its file at each reading, in signal handlers too, where that may
 * wait for ever; and which fakes nothing in a handler that comes amid a wait, as PostgreSQL's
 * timeouts do: they found the real time, and came as much later as the clock was ahead of it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *moved_by;

__attribute__((constructor)) static void
map_file(void)
{
	const char *path = getenv("MOVED_CLOCK");
	int file = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *page = file >= 0 ? mmap(NULL, sizeof *moved_by, PROT_READ, MAP_SHARED, file, 0)
		: MAP_FAILED;

	if (page == MAP_FAILED)
		abort();
	close(file);
	moved_by = page;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int failed = (int) syscall(SYS_clock_gettime, clock, now);

	if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
	{
		int64_t micros = now->tv_nsec / 1000 + *moved_by;
		int64_t seconds = micros / 1000000 - (micros % 1000000 < 0);

		now->tv_sec += seconds;
		now->tv_nsec = (micros - seconds * 1000000) * 1000;
	}
	return failed;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;
	int failed = clock_gettime(CLOCK_REALTIME, &precise);

	(void) zone;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return failed;
}

time_t
time(time_t *now)
{
	struct timespec precise;

	clock_gettime(CLOCK_REALTIME, &precise);
	if (now != NULL)
		*now = precise.tv_sec;
	return precise.tv_sec;
}
