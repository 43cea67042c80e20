#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/list.h"

struct member {
	char name;
	struct list_link link;
};

static void assert_order(const struct list *list, const char *names)
{
	size_t i = 0;

	LIST_FOR_EACH(link, list)
		assert_int_equal(CONTAINER_OF(link, struct member, link)->name, names[i++]);
	assert_int_equal(names[i], '\0');
	assert_int_equal(list->length, i);
	assert_int_equal(list_is_empty(list), i == 0);
}

static void members_stand_where_they_were_put(void **state)
{
	struct member a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'}, d = {.name = 'd'};
	struct list list;

	list_init(&list);
	assert_order(&list, "");
	assert_null(list_first(&list));
	assert_null(list_pop(&list));
	list_append(&list, &b.link);
	list_append(&list, &d.link);
	list_prepend(&list, &a.link);
	list_insert_before(&list, &d.link, &c.link);
	assert_order(&list, "abcd");
	assert_ptr_equal(list_pop(&list), &a.link);
	assert_false(list_link_in_list(&a.link));
	list_remove(&list, &a.link); /* does nothing */
	list_remove(&list, &c.link);
	assert_order(&list, "bd");
}

static void a_walk_may_remove_the_member_it_stands_on(void **state)
{
	struct member members[6] = {{.name = '0'}, {.name = '1'}, {.name = '2'},
	                            {.name = '3'}, {.name = '4'}, {.name = '5'}};
	struct list list;

	list_init(&list);
	for (size_t i = 0; i < ARRAY_LENGTH(members); i++)
		list_append(&list, &members[i].link);
	LIST_FOR_EACH_SAFE(link, &list)
		if (CONTAINER_OF(link, struct member, link)->name % 2 == 0)
			list_remove(&list, link);
	assert_order(&list, "135");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_stand_where_they_were_put),
		cmocka_unit_test(a_walk_may_remove_the_member_it_stands_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
