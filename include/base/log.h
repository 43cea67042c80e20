/*
 * Log lines for the operator at 3 a.m.: subject, event, reason. Any thread, never blocks:
 * lines go to a bounded ring and a writer thread puts them on stderr; when the ring is full
 * they are dropped and counted. Before log_start and after log_stop lines are written at once.
 * Format: "2026-11-22T19:30:52.123Z INFO  subject: event, reason\n".
 */
#ifndef BONO_BASE_LOG_H
#define BONO_BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

int log_start(enum log_level level); /* starts the writer thread */
void log_stop(void);                 /* drains the ring, joins the writer */
void log_set_level(enum log_level level);
int log_enabled(enum log_level level);
uint64_t log_dropped(void); /* lines lost to a full ring since start */

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_DEBUG))                                                        \
			log_write(LOG_DEBUG, __VA_ARGS__);                                         \
	} while (0)

#endif
