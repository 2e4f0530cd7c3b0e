/*
 * libfaketime fakes nothing while it waits inside select(), and there PostgreSQL up to 15 starts
 * its background workers, from signal handlers: they would keep the real clock for ever. Loaded
 * before libfaketime, this takes select() past it.
 */
#include <stddef.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int
select(int count, fd_set *to_read, fd_set *to_write, fd_set *failed, struct timeval *timeout)
{
	struct timespec limit;

	if (timeout != NULL)
	{
		limit.tv_sec = timeout->tv_sec;
		limit.tv_nsec = timeout->tv_usec * 1000;
	}
	return (int) syscall(SYS_pselect6, count, to_read, to_write, failed,
						 timeout != NULL ? &limit : NULL, NULL);
}
