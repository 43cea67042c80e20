/*
 * The resolver against sockets of this process: one that answers, one that does not, and none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "support/alloc_fail.h"
#include "support/dns_packet.h"
#include "upstream/resolver.h"

#define NAME "sprout.example.net"
#define PATIENCE_US 10000000

struct scene {
	struct loop *loop;
	struct resolver *resolver;
	int server; /* a UDP socket; its port is ours even if nobody reads */
	struct address address;
	unsigned done;
	enum dns_verdict verdict;
	unsigned count;
	char reason[64];
	bool asking; /* inside resolver_ask */
};

static struct dns_packet packet;

static void on_done(void *arg, struct dns_answer *answer)
{
	struct scene *scene = arg;

	assert_false(scene->asking);
	scene->done++;
	scene->verdict = answer->verdict;
	scene->count = answer->count;
	strncpy(scene->reason, answer->reason, sizeof(scene->reason) - 1);
}

static void scene_begin(struct scene *scene, uint64_t timeout_ms)
{
	struct resolver_settings settings = {&scene->address, 1, timeout_ms};
	socklen_t length = sizeof(scene->address);

	memset(scene, 0, sizeof(*scene));
	assert_true(address_parse(SLICE_LITERAL("127.0.0.1:0"), &scene->address));
	scene->server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(scene->server, &scene->address.any, address_length(&scene->address)),
	                 0);
	assert_int_equal(getsockname(scene->server, &scene->address.any, &length), 0);
	assert_int_equal(loop_create("control", &scene->loop), 0);
	assert_int_equal(resolver_create(scene->loop, &settings, &scene->resolver), 0);
}

static void scene_end(struct scene *scene)
{
	resolver_destroy(&scene->resolver);
	loop_destroy(&scene->loop);
	if (scene->server >= 0)
		close(scene->server);
}

static void ask(struct scene *scene)
{
	scene->asking = true;
	assert_int_equal(resolver_ask(scene->resolver, NAME, DNS_A, on_done, scene), 0);
	scene->asking = false;
}

/* Answer what has come, with this many addresses, as the question's number wants it. */
static bool serve(struct scene *scene, unsigned addresses)
{
	uint8_t question[2048];
	struct address client;
	socklen_t length = sizeof(client);
	char text[32];

	if (recvfrom(scene->server, question, sizeof(question), 0, &client.any, &length) < 2)
		return false;
	packet_begin(&packet, NAME, ns_t_a, 0);
	for (unsigned i = 0; i < addresses; i++) {
		snprintf(text, sizeof(text), "10.0.0.%u", i + 1);
		packet_address(&packet, NAME, 60, text);
	}
	memcpy(packet.bytes, question, 2);
	return sendto(scene->server, packet.bytes, packet.length, 0, &client.any, length) > 0;
}

static void wait_for(struct scene *scene, unsigned done)
{
	uint64_t end_us = clock_now_us() + PATIENCE_US;

	while (scene->done < done) {
		assert_true(clock_now_us() < end_us);
		if (scene->server >= 0)
			serve(scene, 2);
		loop_turn(scene->loop);
		usleep(500); /* not for a condition: only to leave the processor to others */
	}
}

static void an_answer_comes_later_and_once(void **state)
{
	struct scene scene;

	scene_begin(&scene, 2000);
	ask(&scene);
	ask(&scene);
	assert_int_equal(scene.done, 0);
	wait_for(&scene, 2);
	assert_int_equal(scene.verdict, DNS_FOUND);
	assert_int_equal(scene.count, 2);
	loop_turn(scene.loop);
	assert_int_equal(scene.done, 2);
	scene_end(&scene);
}

static void a_closed_port_is_told_without_waiting(void **state)
{
	uint64_t began_us = clock_now_us();
	struct scene scene;

	scene_begin(&scene, 5000);
	close(scene.server);
	scene.server = -1;
	ask(&scene);
	wait_for(&scene, 1);
	assert_int_equal(scene.verdict, DNS_FAILED);
	assert_string_equal(scene.reason, "no server reached");
	assert_true(clock_now_us() - began_us < 4000000);
	scene_end(&scene);
}

static void who_is_destroyed_calls_nobody(void **state)
{
	struct scene scene;

	scene_begin(&scene, 2000);
	ask(&scene);
	loop_turn(scene.loop);
	resolver_destroy(&scene.resolver);
	loop_turn(scene.loop);
	assert_int_equal(scene.done, 0);
	scene_end(&scene);
}

static void a_name_that_cannot_be_is_refused(void **state)
{
	char name[DNS_NAME_MAX + 1];
	struct scene scene;

	memset(name, 'a', DNS_NAME_MAX);
	name[DNS_NAME_MAX] = '\0';
	scene_begin(&scene, 2000);
	assert_int_equal(resolver_ask(scene.resolver, name, DNS_A, on_done, &scene), -EINVAL);
	/* Short enough, but a label of 100: c-ares knows. */
	name[100] = '\0';
	assert_int_equal(resolver_ask(scene.resolver, name, DNS_A, on_done, &scene), 0);
	wait_for(&scene, 1);
	assert_int_equal(scene.verdict, DNS_FAILED);
	scene_end(&scene);
}

static void life_scene(void *arg)
{
	struct scene *outer = arg;
	struct resolver_settings settings = {&outer->address, 1, 50};
	struct resolver *resolver;
	int err;

	err = resolver_create(outer->loop, &settings, &resolver);
	if (err != 0) {
		assert_int_equal(err, -ENOMEM);
		return;
	}
	outer->done = 0;
	err = resolver_ask(resolver, NAME, DNS_A, on_done, outer);
	assert_true(err == 0 || err == -ENOMEM);
	if (err == 0)
		wait_for(outer, 1); /* with its answer, or without it in the end */
	resolver_destroy(&resolver);
}

static void every_allocation_may_fail(void **state)
{
	struct scene scene;

	scene_begin(&scene, 2000);
	assert_true(alloc_fail_each(life_scene, &scene) >= 4);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_comes_later_and_once),
		cmocka_unit_test(a_closed_port_is_told_without_waiting),
		cmocka_unit_test(who_is_destroyed_calls_nobody),
		cmocka_unit_test(a_name_that_cannot_be_is_refused),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
