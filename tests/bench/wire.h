/*
 * SIP as text for the tools of the bench: enough to find a header line and to take a URI apart.
 * They talk to well-behaved edges only, so headers are looked for in the spelling that all of these print.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WIRE_MAX 4096 /* an INVITE that passed two edges and a Sprout is about 2.5 KiB */

struct text {
	const char *at;
	size_t length;
};

static inline uint64_t wire_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static inline void wire_die(const char *what)
{
	perror(what);
	exit(1);
}

static inline const char *wire_find(struct text in, const char *what)
{
	return memmem(in.at, in.length, what, strlen(what));
}

/* The head of a message without its body; the empty line's first CRLF is part of it. */
static inline struct text wire_head(struct text message)
{
	const char *end = wire_find(message, "\r\n\r\n");

	return (struct text){message.at,
	                     end == NULL ? message.length : (size_t)(end + 2 - message.at)};
}

/*
 * The next whole line "Name: value\r\n" of this name after *from (start with the head's beginning).
 * name is written "\r\nVia: ". Moves *from behind it.
 */
static inline bool wire_next_line(struct text head, const char *name, const char **from,
                                  struct text *line)
{
	struct text rest = {*from, (size_t)(head.at + head.length - *from)};
	const char *found = wire_find(rest, name), *end;

	if (found == NULL)
		return false;
	found += 2;
	end = memchr(found, '\n', (size_t)(head.at + head.length - found));
	if (end == NULL)
		return false;
	line->at = found;
	line->length = (size_t)(end + 1 - found);
	*from = end - 1; /* the CRLF before the next name */
	return true;
}

/* The value of the first header of this name, without CRLF; empty if there is none. */
static inline struct text wire_value(struct text head, const char *name)
{
	const char *from = head.at;
	struct text line = {"", 0};

	if (!wire_next_line(head, name, &from, &line))
		return (struct text){"", 0};
	line.at += strlen(name) - 2;
	line.length -= strlen(name);
	return line;
}

/* "sip:user@1.2.3.4:5060;..." or "SIP/2.0/UDP 1.2.3.4:5060;...": the address. Port 5060 if none is said. */
static inline bool wire_address(struct text uri, struct sockaddr_in *out)
{
	const char *end = uri.at + uri.length, *at = memchr(uri.at, '@', uri.length), *host;
	char name[INET_ADDRSTRLEN];
	size_t length = 0;
	unsigned port = 5060;

	host = at != NULL ? at + 1 : uri.at + strcspn(uri.at, ": ") + 1;
	while (host + length < end && length < sizeof(name) - 1 &&
	       (host[length] == '.' || (host[length] >= '0' && host[length] <= '9')))
		length++;
	memcpy(name, host, length);
	name[length] = '\0';
	if (host + length < end && host[length] == ':')
		port = (unsigned)strtoul(host + length + 1, NULL, 10);
	memset(out, 0, sizeof(*out));
	out->sin_family = AF_INET;
	out->sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, name, &out->sin_addr) == 1;
}

/* "IP:PORT" of a command line. */
static inline struct sockaddr_in wire_argument(const char *words)
{
	struct sockaddr_in address;
	char uri[64];

	snprintf(uri, sizeof(uri), "sip:x@%s", words);
	if (!wire_address((struct text){uri, strlen(uri)}, &address)) {
		fprintf(stderr, "not an address: %s\n", words);
		exit(2);
	}
	return address;
}

/* A growing message in a fixed place; too much is cut, which no edge would take for a message. */
struct draft {
	char *at;
	size_t length;
};

static inline void draft_add(struct draft *draft, const char *at, size_t length)
{
	if (draft->length + length > WIRE_MAX)
		return;
	memcpy(draft->at + draft->length, at, length);
	draft->length += length;
}

static inline void draft_text(struct draft *draft, struct text text)
{
	draft_add(draft, text.at, text.length);
}

static inline void draft_words(struct draft *draft, const char *words)
{
	draft_add(draft, words, strlen(words));
}

/* All lines of this name, as they are. */
static inline void draft_copy(struct draft *draft, struct text head, const char *name)
{
	const char *from = head.at;
	struct text line;

	while (wire_next_line(head, name, &from, &line))
		draft_text(draft, line);
}

#endif
