/*
 * One request over the daemon's Unix socket, blocking, with a limit on time and size; or a stream without an end.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "bonoctl.h"

#define TIMEOUT_SECONDS 10 /* the daemon gives itself 5 */
/* A stream is silent for 15 s at most. */
#define STREAM_TIMEOUT_SECONDS 60
/* One event is less than a tenth of it. */
#define LINE_MAX_BYTES 16384
/* Ten thousand flows with sixteen bindings each. */
#define ANSWER_MAX_BYTES (64u * 1024 * 1024)

static int connect_to(const char *path, time_t seconds, int *out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = seconds};
	int fd, err;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
		*out = fd;
		return 0;
	}
	err = -errno;
	close(fd);
	return err;
}

static int send_request(int fd, const char *method, const char *path, const char *headers)
{
	struct buffer request;
	size_t sent = 0;
	int err = 0;

	buffer_init(&request);
	buffer_printf(&request, "%s %s HTTP/1.1\r\nHost: bono\r\nConnection: close\r\n%s\r\n",
	              method, path, headers);
	if (request.failed)
		err = -ENOMEM;
	while (err == 0 && sent < request.length) {
		ssize_t n = send(fd, request.data + sent, request.length - sent, MSG_NOSIGNAL);

		if (n >= 0)
			sent += (size_t)n;
		else if (errno != EINTR)
			err = -errno;
	}
	buffer_free(&request);
	return err;
}

/* Until the daemon closes, as we have asked it to. */
static int read_answer(int fd, struct buffer *answer)
{
	char chunk[16384];

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n == 0)
			return answer->failed ? -ENOMEM : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (answer->length + (size_t)n > ANSWER_MAX_BYTES)
			return -EMSGSIZE;
		buffer_append(answer, chunk, (size_t)n);
	}
}

/* Content-Length tells whether the body is whole. */
static int take_body(struct buffer *answer, int *status, char **body)
{
	unsigned long length;
	const char *end, *field;

	buffer_append(answer, "", 1);
	if (answer->failed)
		return -ENOMEM;
	end = strstr(answer->data, "\r\n\r\n");
	field = strstr(answer->data, "\r\nContent-Length: ");
	if (sscanf(answer->data, "HTTP/1.1 %3d", status) != 1 || end == NULL || field == NULL ||
	    field > end || sscanf(field + 18, "%lu", &length) != 1)
		return -EBADMSG;
	end += 4;
	if (answer->length - 1 - (size_t)(end - answer->data) != length)
		return -EBADMSG;
	*body = slice_to_string(slice_of(end, length));
	return *body == NULL ? -ENOMEM : 0;
}

int bonoctl_request(const char *socket_path, const char *method, const char *path, bool *connected,
                    int *status, char **body)
{
	struct buffer answer;
	int fd = -1, err;

	*connected = false;
	err = connect_to(socket_path, TIMEOUT_SECONDS, &fd);
	if (err != 0)
		return err;
	*connected = true;
	buffer_init(&answer);
	err = send_request(fd, method, path, "");
	if (err == 0)
		err = read_answer(fd, &answer);
	if (err == 0)
		err = take_body(&answer, status, body);
	buffer_free(&answer);
	close(fd);
	return err;
}

/* ---- a stream ---- */

/* The next line without its end; false: the stream has ended, cleanly or (ferror) not. */
static bool next_line(FILE *stream, char *line)
{
	if (fgets(line, LINE_MAX_BYTES, stream) == NULL)
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return true;
}

static int read_stream(FILE *stream, void (*on_data)(void *arg, const char *data), void *arg)
{
	static const char field[] = "data: ";
	char line[LINE_MAX_BYTES];
	bool in_head = true;

	while (next_line(stream, line)) {
		if (!in_head && strncmp(line, field, strlen(field)) == 0)
			on_data(arg, line + strlen(field));
		in_head = in_head && line[0] != '\0';
	}
	if (ferror(stream))
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return in_head ? -EBADMSG : 0;
}

/* Not what was asked for: the rest is a short text. */
static int read_refusal(FILE *stream, char **body)
{
	char line[LINE_MAX_BYTES];
	size_t length;

	while (next_line(stream, line) && line[0] != '\0')
		;
	if (!next_line(stream, line))
		return -EBADMSG;
	length = strlen(line);
	*body = memory_alloc(length + 2);
	if (*body == NULL)
		return -ENOMEM;
	memcpy(*body, line, length);
	memcpy(*body + length, "\n", 2);
	return 0;
}

int bonoctl_stream(const char *socket_path, const char *path, bool *connected, int *status,
                   char **body, void (*on_data)(void *arg, const char *data), void *arg)
{
	char line[LINE_MAX_BYTES];
	FILE *stream;
	int fd = -1, err;

	*connected = false;
	err = connect_to(socket_path, STREAM_TIMEOUT_SECONDS, &fd);
	if (err != 0)
		return err;
	*connected = true;
	err = send_request(fd, "GET", path, "Accept: text/event-stream\r\n");
	stream = err == 0 ? fdopen(fd, "r") : NULL;
	if (stream == NULL) {
		close(fd);
		return err != 0 ? err : -errno;
	}
	if (!next_line(stream, line) || sscanf(line, "HTTP/1.1 %3d", status) != 1)
		err = -EBADMSG;
	else if (*status != 200)
		err = read_refusal(stream, body);
	else
		err = read_stream(stream, on_data, arg);
	fclose(stream);
	return err;
}
