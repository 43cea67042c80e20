/* One probe, from OPTIONS to verdict, over real client transactions and a sender that only keeps. */
#include "stage.h"

#include "base/hash.h"
#include "sip/message.h"
#include "support/fake_loop.h"
#include "upstream/probe.h"

struct scene {
	struct loop *loop;
	struct txn_table *table;
	struct branch_source branches;
	struct probes *probes;
	struct stage_view stage;
	int open_error, send_error;
	unsigned sends;
	char sent[2048];
	struct hop sent_hop;
	unsigned told;
	uint32_t target_id, generation;
	enum health_input result;
	uint64_t value;
};

static int on_send(void *arg, const struct hop *hop, struct bytes **bytes)
{
	struct scene *scene = arg;

	scene->sends++;
	scene->sent_hop = *hop;
	snprintf(scene->sent, sizeof(scene->sent), "%.*s", (int)(*bytes)->length, (*bytes)->data);
	bytes_release(bytes);
	return scene->send_error;
}

static int on_open(void *arg, const struct transport_peer *peer, struct hop *out)
{
	const enum sip_transport kind = peer->transport;
	struct scene *scene = arg;

	memset(out, 0, sizeof(*out));
	out->transport = (uint8_t)kind;
	out->side = SIDE_CORE;
	out->remote = *peer->address;
	out->connection = transport_is_stream(kind) ? 7 : 0;
	return scene->open_error;
}

static const char *on_sent_by(void *arg, const struct hop *hop)
{
	return "bono.example.net:5058";
}

static void on_done(void *arg, uint32_t target_id, uint32_t generation, enum health_input result,
                    uint64_t value)
{
	struct scene *scene = arg;

	scene->told++;
	scene->target_id = target_id;
	scene->generation = generation;
	scene->result = result;
	scene->value = value;
}

static int scene_make(struct scene *scene)
{
	const struct txn_sender sender = {on_send, scene};
	const struct probe_ways ways = {on_open, on_sent_by, scene};
	int err;

	err = txn_table_create(scene->loop, &sender, 1000, NULL, &scene->table);
	if (err != 0)
		return err;
	err = probes_create(scene->loop, scene->table, &ways, &scene->branches, "bono.example.net",
	                    on_done, scene, &scene->probes);
	if (err != 0)
		txn_table_destroy(&scene->table);
	return err;
}

static void scene_begin(struct scene *scene)
{
	memset(scene, 0, sizeof(*scene));
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(loop_create("worker-0", &scene->loop), 0);
	loop_advance_to(scene->loop, FAKE_CLOCK_START_MS);
	branch_source_init(&scene->branches, 0);
	stage_view_init(&scene->stage);
	assert_int_equal(scene_make(scene), 0);
}

static void scene_end(struct scene *scene)
{
	probes_destroy(&scene->probes);
	txn_table_destroy(&scene->table);
	loop_destroy(&scene->loop);
	fake_clock_off();
}

static void probe(struct scene *scene, unsigned target, uint32_t generation)
{
	assert_int_equal(probe_send(scene->probes, &scene->stage.targets[target], generation, 800),
	                 0);
}

/* The value of a header of what was sent last. */
static const char *sent_header(const struct scene *scene, const char *name)
{
	static char value[512];
	const char *line = strstr(scene->sent, name);

	value[0] = '\0';
	if (line != NULL)
		sscanf(line + strlen(name), ": %511[^\r]", value);
	return value;
}

/* The target answers what was sent last. */
static bool answer_saying(struct scene *scene, int status, const char *extra)
{
	struct message *response = NULL;
	enum guard_verdict verdict;
	char text[4096];
	bool taken;
	size_t length;

	length = (size_t)snprintf(text, sizeof(text), "SIP/2.0 %d Whatever\r\nVia: %s\r\n", status,
	                          sent_header(scene, "\r\nVia"));
	length += (size_t)snprintf(text + length, sizeof(text) - length, "From: %s\r\n",
	                           sent_header(scene, "\r\nFrom"));
	length += (size_t)snprintf(text + length, sizeof(text) - length, "To: %s;tag=t\r\n",
	                           sent_header(scene, "\r\nTo"));
	length += (size_t)snprintf(text + length, sizeof(text) - length, "Call-ID: %s\r\n",
	                           sent_header(scene, "\r\nCall-ID"));
	length += (size_t)snprintf(text + length, sizeof(text) - length,
	                           "CSeq: %s\r\n%sContent-Length: 0\r\n\r\n",
	                           sent_header(scene, "\r\nCSeq"), extra);
	assert_true(length < sizeof(text));
	assert_int_equal(message_parse(slice_of(text, length), 65535, &response, &verdict),
	                 MESSAGE_SOUND);
	taken = txn_table_match_response(scene->table, &response, &scene->sent_hop);
	message_destroy(&response);
	return taken;
}

static bool answer(struct scene *scene, int status)
{
	return answer_saying(scene, status, "");
}

static void expect_told(const struct scene *scene, unsigned times, enum health_input result)
{
	assert_int_equal(scene->told, times);
	assert_int_equal(scene->result, result);
}

/* ---- what is sent ---- */

static void a_probe_is_an_options_to_the_target_over_its_own_transport(void **state)
{
	struct message *request = NULL;
	enum guard_verdict verdict;
	struct scene scene;
	struct via via;
	struct uri uri;

	scene_begin(&scene);
	probe(&scene, 1, 5);
	assert_int_equal(scene.sends, 1);
	assert_int_equal(scene.sent_hop.transport, TRANSPORT_TCP);
	assert_true(address_equal(&scene.sent_hop.remote, &scene.stage.targets[1].address));
	assert_int_equal(message_parse(slice_from_string(scene.sent), 65535, &request, &verdict),
	                 MESSAGE_SOUND);
	assert_int_equal(message_method(request), METHOD_OPTIONS);
	assert_true(slice_equal(message_request_uri(request, &uri)->text,
	                        SLICE_LITERAL("sip:10.0.0.2:5054;transport=tcp")));
	assert_true(message_via(request, 0, &via));
	assert_true(slice_equal(via.transport, SLICE_LITERAL("TCP")));
	assert_true(slice_equal(via.host, SLICE_LITERAL("bono.example.net")));
	assert_int_equal(via.port, 5058);
	assert_true(branch_read(via.branch, NULL, NULL, NULL));
	assert_false(slice_is_empty(message_from_tag(request)));
	message_destroy(&request);
	assert_int_equal(scene.told, 0);
	scene_end(&scene);
}

/* ---- what is told ---- */

static void any_final_answer_but_503_is_a_sign_of_life(void **state)
{
	static const struct {
		int status;
		enum health_input result;
	} cases[] = {
		{200, HEALTH_PROBE_OK},         {404, HEALTH_PROBE_OK}, {405, HEALTH_PROBE_OK},
		{483, HEALTH_PROBE_OK},         {500, HEALTH_PROBE_OK}, {603, HEALTH_PROBE_OK},
		{503, HEALTH_PROBE_OVERLOADED},
	};
	struct scene scene;
	unsigned i;

	scene_begin(&scene);
	for (i = 0; i < ARRAY_LENGTH(cases); i++) {
		probe(&scene, i % 4, 100 + i);
		fake_loop_walk(scene.loop, 30);
		assert_true(answer(&scene, cases[i].status));
		expect_told(&scene, i + 1, cases[i].result);
		assert_int_equal(scene.target_id, i % 4);
		assert_int_equal(scene.generation, 100 + i);
		assert_int_equal(scene.value, cases[i].status == 503 ? 0 : 30000);
	}
	fake_loop_walk(scene.loop, 60000); /* nothing comes after */
	assert_int_equal(scene.told, ARRAY_LENGTH(cases));
	assert_int_equal(txn_table_count(scene.table), 0);
	scene_end(&scene);
}

static void a_503_tells_its_retry_after_and_not_its_round_trip(void **state)
{
	static const struct {
		const char *header;
		uint64_t value;
	} cases[] = {
		{"", 0},
		{"Retry-After: 6\r\n", 6000},
		{"Retry-After: 120 (maintenance);duration=60\r\n", 120000},
		{"Retry-After: soon\r\n", 0},
		{"Retry-After: 99999999999999999999\r\n", 0},
	};
	struct scene scene;
	unsigned i;

	scene_begin(&scene);
	for (i = 0; i < ARRAY_LENGTH(cases); i++) {
		probe(&scene, 0, 100 + i);
		fake_loop_walk(scene.loop, 30);
		assert_true(answer_saying(&scene, 503, cases[i].header));
		expect_told(&scene, i + 1, HEALTH_PROBE_OVERLOADED);
		assert_int_equal(scene.value, cases[i].value);
	}
	scene_end(&scene);
}

static void a_provisional_is_no_answer(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	probe(&scene, 0, 1);
	assert_true(answer(&scene, 100));
	assert_int_equal(scene.told, 0);
	fake_loop_walk(scene.loop, 801);
	expect_told(&scene, 1, HEALTH_PROBE_TIMED_OUT);
	scene_end(&scene);
}

static void silence_is_told_when_the_time_is_over_and_once(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	probe(&scene, 2, 9);
	fake_loop_walk(scene.loop, 799);
	assert_int_equal(scene.told, 0);
	fake_loop_walk(scene.loop, 2);
	expect_told(&scene, 1, HEALTH_PROBE_TIMED_OUT);
	assert_true(scene.sends >= 2); /* UDP: retransmitted by its transaction meanwhile */
	(void)answer(&scene, 200);     /* too late */
	fake_loop_walk(scene.loop, 60000);
	expect_told(&scene, 1, HEALTH_PROBE_TIMED_OUT);
	assert_int_equal(txn_table_count(scene.table), 0);
	scene_end(&scene);
}

static void a_second_answer_is_not_told(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	probe(&scene, 2, 9);
	assert_true(answer(&scene, 200));
	(void)answer(&scene, 503);
	fake_loop_walk(scene.loop, 60000);
	expect_told(&scene, 1, HEALTH_PROBE_OK);
	scene_end(&scene);
}

static void a_lost_connection_is_told_as_refused(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	probe(&scene, 0, 9);
	txn_table_hop_lost(scene.table, &scene.sent_hop, ECONNREFUSED);
	assert_int_equal(scene.told, 0);
	fake_loop_walk(scene.loop, 1);
	expect_told(&scene, 1, HEALTH_PROBE_REFUSED);
	fake_loop_walk(scene.loop, 60000);
	assert_int_equal(scene.told, 1);
	scene_end(&scene);
}

static void a_handshake_that_failed_is_told_as_such(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	probe(&scene, 0, 9);
	txn_table_hop_lost(scene.table, &scene.sent_hop, EPROTO);
	fake_loop_walk(scene.loop, 1);
	expect_told(&scene, 1, HEALTH_PROBE_TLS);
	scene_end(&scene);
}

static void failures_at_once_are_told_by_the_loop_and_never_from_inside(void **state)
{
	static const struct {
		int open_error, send_error;
		enum health_input result;
	} cases[] = {
		{-ENETUNREACH, 0, HEALTH_PROBE_REFUSED},
		{-ECONNREFUSED, 0, HEALTH_PROBE_REFUSED},
		{-EMFILE, 0, HEALTH_PROBE_TIMED_OUT}, /* our own lack */
		{0, -ENOTCONN, HEALTH_PROBE_REFUSED},
	};
	struct scene scene;
	unsigned i;

	scene_begin(&scene);
	for (i = 0; i < ARRAY_LENGTH(cases); i++) {
		scene.open_error = cases[i].open_error;
		scene.send_error = cases[i].send_error;
		probe(&scene, 0, i);
		assert_int_equal(scene.told, i);
		fake_loop_walk(scene.loop, 1);
		expect_told(&scene, i + 1, cases[i].result);
	}
	scene_end(&scene);
}

static void many_probes_are_under_way_at_once(void **state)
{
	struct scene scene;
	unsigned i;

	scene_begin(&scene);
	for (i = 0; i < 200; i++)
		probe(&scene, i % 4, i);
	fake_loop_walk(scene.loop, 900);
	assert_int_equal(scene.told, 200);
	scene_end(&scene);
}

static void destroying_tells_nobody_and_leaves_nothing(void **state)
{
	int64_t before = memory_live_blocks();
	struct scene scene;

	scene_begin(&scene);
	probe(&scene, 0, 1);
	probe(&scene, 2, 1);
	scene_end(&scene);
	assert_int_equal(scene.told, 0);
	assert_int_equal(memory_live_blocks(), before);
}

/* ---- without memory ---- */

static void probe_scene(void *arg)
{
	struct scene *scene = arg;
	unsigned told = scene->told;
	int err;

	if (scene_make(scene) != 0) {
		assert_true(alloc_fail_happened());
		return;
	}
	err = probe_send(scene->probes, &scene->stage.targets[0], 1, 800);
	fake_loop_walk(scene->loop, 801);
	assert_int_equal(scene->told - told, err == 0); /* exactly once, or never begun */
	probes_destroy(&scene->probes);
	txn_table_destroy(&scene->table);
	loop_advance_to(scene->loop, loop_now_ms(scene->loop)); /* the graves */
}

static void every_allocation_may_fail(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	probes_destroy(&scene.probes);
	txn_table_destroy(&scene.table);
	assert_true(alloc_fail_each(probe_scene, &scene) > 4);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_probe_is_an_options_to_the_target_over_its_own_transport),
		cmocka_unit_test(any_final_answer_but_503_is_a_sign_of_life),
		cmocka_unit_test(a_503_tells_its_retry_after_and_not_its_round_trip),
		cmocka_unit_test(a_provisional_is_no_answer),
		cmocka_unit_test(silence_is_told_when_the_time_is_over_and_once),
		cmocka_unit_test(a_second_answer_is_not_told),
		cmocka_unit_test(a_lost_connection_is_told_as_refused),
		cmocka_unit_test(a_handshake_that_failed_is_told_as_such),
		cmocka_unit_test(failures_at_once_are_told_by_the_loop_and_never_from_inside),
		cmocka_unit_test(many_probes_are_under_way_at_once),
		cmocka_unit_test(destroying_tells_nobody_and_leaves_nothing),
		cmocka_unit_test(every_allocation_may_fail),
	};

	hash_key_init();
	assert_int_equal(message_system_init(), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
