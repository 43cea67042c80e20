/*
 * Doubly linked list with the link inside the member. No allocation, no thread safety.
 *
 *	struct list flows;            list_init(&flows);
 *	struct flow { struct list_link in_table; ... };
 *	list_append(&flows, &flow->in_table);
 *	LIST_FOR_EACH(link, &flows) { struct flow *f = CONTAINER_OF(link, struct flow, in_table); }
 */
#ifndef BONO_BASE_LIST_H
#define BONO_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_link {
	struct list_link *next, *previous; /* both NULL when in no list */
};

struct list {
	struct list_link head;
	size_t length;
};

static inline void list_init(struct list *list)
{
	list->head.next = list->head.previous = &list->head;
	list->length = 0;
}

static inline bool list_is_empty(const struct list *list)
{
	return list->length == 0;
}

static inline bool list_link_in_list(const struct list_link *link)
{
	return link->next != NULL;
}

static inline void list_insert_before(struct list *list, struct list_link *place,
                                      struct list_link *link)
{
	link->next = place;
	link->previous = place->previous;
	place->previous->next = link;
	place->previous = link;
	list->length++;
}

static inline void list_append(struct list *list, struct list_link *link)
{
	list_insert_before(list, &list->head, link);
}

static inline void list_prepend(struct list *list, struct list_link *link)
{
	list_insert_before(list, list->head.next, link);
}

/* Does nothing if the link is in no list. */
static inline void list_remove(struct list *list, struct list_link *link)
{
	if (link->next == NULL)
		return;
	link->previous->next = link->next;
	link->next->previous = link->previous;
	link->next = link->previous = NULL;
	list->length--;
}

static inline struct list_link *list_first(const struct list *list)
{
	return list->length > 0 ? list->head.next : NULL;
}

static inline struct list_link *list_pop(struct list *list)
{
	struct list_link *link = list_first(list);

	if (link != NULL)
		list_remove(list, link);
	return link;
}

#define LIST_FOR_EACH(link, list)                                                                  \
	for (struct list_link *link = (list)->head.next; link != &(list)->head; link = link->next)

/* The current link may be removed in the body, no other. */
#define LIST_FOR_EACH_SAFE(link, list)                                                             \
	for (struct list_link *link = (list)->head.next, *link##_next = link->next;                \
	     link != &(list)->head; link = link##_next, link##_next = link->next)

#endif
