/*
 * The operator's words, kept in a file over a restart. Failover obeys them; this remembers them. Control loop only.
 */
#ifndef BONO_CONTROL_OPERATOR_H
#define BONO_CONTROL_OPERATOR_H

#include "control/events.h"
#include "loop/loop.h"
#include "upstream/failover.h"

struct operator_book;

/* Reads PATH (of another life; none: nothing was said) and gives its words to failover, which is lent, as is events. A
 * file that cannot be understood is put aside as PATH.broken, with a line in the log: a node that does not start helps
 * nobody. on_changed: events were added by time alone. -ENOMEM; -errno when the file can neither be read nor put aside. */
int operator_book_open(struct loop *loop, const char *path, struct failover *failover,
                       struct events *events, void (*on_changed)(void *arg), void *arg,
                       struct operator_book **out);
void operator_book_close(struct operator_book **book);

/* As admin_source.say: failover is told, then the file is written anew. */
int operator_book_say(struct operator_book *book, const struct operator_word *word);

#endif
