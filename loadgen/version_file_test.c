#include "loadgen/version_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define FILE_BYTES 700

static const struct version_label label = {
    .seed = 42,
    .path_id = 7,
    .number = 3,
    .total_bytes = FILE_BYTES,
};

/* Room for a header where the file is shorter than one. */
static void make_version(uint64_t number, uint64_t total_bytes, uint8_t *out)
{
    struct version_label version = label;
    version.number = number;
    version.total_bytes = total_bytes;
    version_header_encode(&version, out);
    version_stream_fill(version_stream_key(version.seed, version.path_id, number),
                        VERSION_HEADER_BYTES, out + VERSION_HEADER_BYTES,
                        (size_t)total_bytes - VERSION_HEADER_BYTES);
}

/* The check of a body fed as two pieces; `place` 0: as one. */
static struct version_check check_body(const uint8_t *body, size_t bytes, size_t place)
{
    struct version_check check;
    version_check_init(&check);
    version_check_feed(&check, span_of(body, place));
    version_check_feed(&check, span_of(body + place, bytes - place));
    return check;
}

static enum version_finding find(const uint8_t *body, size_t bytes)
{
    struct version_check check = check_body(body, bytes, 0);
    return version_check_finish(&check);
}

static void header_survives_encoding(void **state)
{
    (void)state;
    uint8_t header[VERSION_HEADER_BYTES];
    version_header_encode(&label, header);
    struct version_label got;
    assert_true(version_header_decode(header, &got));
    assert_int_equal(got.seed, label.seed);
    assert_int_equal(got.path_id, label.path_id);
    assert_int_equal(got.number, label.number);
    assert_int_equal(got.total_bytes, label.total_bytes);
}

static void header_refuses_any_changed_bit(void **state)
{
    (void)state;
    uint8_t header[VERSION_HEADER_BYTES];
    version_header_encode(&label, header);
    for (size_t bit = 0; bit < sizeof(header) * 8; bit++) {
        header[bit / 8] ^= (uint8_t)(1U << bit % 8);
        struct version_label got;
        assert_false(version_header_decode(header, &got));
        header[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

static void stream_is_the_same_from_any_offset(void **state)
{
    (void)state;
    uint8_t whole[512];
    uint8_t part[512];
    version_stream_fill(99, 0, whole, sizeof(whole));
    for (size_t offset = 0; offset < 100; offset++) {
        for (size_t bytes = 0; bytes < 200; bytes++) {
            version_stream_fill(99, offset, part, bytes);
            assert_memory_equal(part, whole + offset, bytes);
            assert_int_equal(version_stream_match(99, offset, span_of(part, bytes)), bytes);
        }
    }
}

static void stream_match_stops_at_the_first_odd_byte(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t offset = 0; offset < 9; offset++) {
        version_stream_fill(99, offset, bytes, sizeof(bytes));
        for (size_t odd = 0; odd < sizeof(bytes); odd++) {
            bytes[odd] ^= 0x10;
            assert_int_equal(version_stream_match(99, offset, span_of(bytes, sizeof(bytes))), odd);
            bytes[odd] ^= 0x10;
        }
    }
}

static void streams_of_other_versions_share_nothing(void **state)
{
    (void)state;
    uint8_t bytes[64];
    version_stream_fill(version_stream_key(1, 1, 1), 64, bytes, sizeof(bytes));
    const uint64_t others[][3] = {{1, 1, 2}, {1, 2, 1}, {2, 1, 1}, {1, 1, 0}, {0, 1, 1}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        uint64_t key = version_stream_key(others[i][0], others[i][1], others[i][2]);
        assert_true(version_stream_match(key, 64, span_of(bytes, sizeof(bytes))) < 4);
    }
}

static void check_finds_intact_however_split(void **state)
{
    (void)state;
    uint8_t body[FILE_BYTES];
    make_version(3, FILE_BYTES, body);
    for (size_t place = 0; place <= FILE_BYTES; place++) {
        struct version_check check = check_body(body, FILE_BYTES, place);
        assert_int_equal(version_check_finish(&check), VERSION_INTACT);
        assert_true(check.has_label);
        assert_int_equal(check.label.number, 3);
        assert_int_equal(check.bytes, FILE_BYTES);
    }
    make_version(3, VERSION_HEADER_BYTES, body);
    assert_int_equal(find(body, VERSION_HEADER_BYTES), VERSION_INTACT);
}

static void check_finds_intact_byte_by_byte(void **state)
{
    (void)state;
    uint8_t body[FILE_BYTES];
    make_version(3, FILE_BYTES, body);
    struct version_check check;
    version_check_init(&check);
    for (size_t i = 0; i < FILE_BYTES; i++) {
        assert_int_equal(version_check_finish(&check), i == 0 ? VERSION_FOREIGN : VERSION_SHORT);
        version_check_feed(&check, span_of(body + i, 1));
    }
    assert_int_equal(version_check_finish(&check), VERSION_INTACT);
}

static void check_finds_short_at_any_length(void **state)
{
    (void)state;
    uint8_t body[FILE_BYTES];
    make_version(3, FILE_BYTES, body);
    assert_int_equal(find(body, 0), VERSION_FOREIGN);
    for (size_t bytes = 1; bytes < FILE_BYTES; bytes++) {
        assert_int_equal(find(body, bytes), VERSION_SHORT);
    }
}

static void check_finds_long(void **state)
{
    (void)state;
    uint8_t body[FILE_BYTES + 20] = {0};
    make_version(3, FILE_BYTES, body);
    for (size_t more = 1; more <= 20; more++) {
        struct version_check check = check_body(body, FILE_BYTES + more, FILE_BYTES - 10);
        assert_int_equal(version_check_finish(&check), VERSION_LONG);
        assert_int_equal(check.odd_offset, FILE_BYTES);
        assert_false(version_check_is_torn(&check, 1, 10));
    }
}

static void check_finds_any_damaged_byte(void **state)
{
    (void)state;
    uint8_t body[FILE_BYTES];
    make_version(3, FILE_BYTES, body);
    for (size_t odd = 0; odd < FILE_BYTES; odd++) {
        body[odd] ^= 0x01;
        struct version_check check = check_body(body, FILE_BYTES, odd / 2);
        enum version_finding want = odd < 8 ? VERSION_FOREIGN : VERSION_DAMAGED;
        assert_int_equal(version_check_finish(&check), want);
        assert_false(version_check_is_torn(&check, 1, 1000));
        body[odd] ^= 0x01;
    }
}

static void check_finds_torn_at_any_place(void **state)
{
    (void)state;
    uint8_t body[FILE_BYTES];
    uint8_t other[FILE_BYTES];
    make_version(5, FILE_BYTES, other);
    for (size_t tear = VERSION_HEADER_BYTES; tear + 16 <= FILE_BYTES; tear++) {
        make_version(3, FILE_BYTES, body);
        memcpy(body + tear, other + tear, FILE_BYTES - tear);
        struct version_check check = check_body(body, FILE_BYTES, tear + tear % 11);
        assert_int_equal(version_check_finish(&check), VERSION_DAMAGED);
        assert_true(check.odd_offset >= tear);
        assert_true(version_check_is_torn(&check, 1, 1000));
        assert_false(version_check_is_torn(&check, 6, 1000));
    }
}

static void check_finds_torn_where_a_longer_version_goes_on(void **state)
{
    (void)state;
    uint8_t body[FILE_BYTES];
    make_version(4, FILE_BYTES, body);
    make_version(3, 300, body);
    struct version_check check = check_body(body, FILE_BYTES, 100);
    assert_int_equal(version_check_finish(&check), VERSION_LONG);
    assert_true(version_check_is_torn(&check, 1, 10));
}

static void check_finds_torn_where_another_version_begins(void **state)
{
    (void)state;
    uint8_t body[FILE_BYTES];
    make_version(3, FILE_BYTES, body);
    make_version(900, 300, body + 333);
    struct version_check check = check_body(body, FILE_BYTES, 340);
    assert_int_equal(version_check_finish(&check), VERSION_DAMAGED);
    assert_true(version_check_is_torn(&check, 1, 10));
}

static void check_finds_foreign(void **state)
{
    (void)state;
    const char text[] =
        "<!doctype html><title>Not a version at all, and longer than a header</title>";
    assert_true(sizeof(text) > VERSION_HEADER_BYTES);
    assert_int_equal(find((const uint8_t *)text, sizeof(text)), VERSION_FOREIGN);
    assert_int_equal(find((const uint8_t *)text, 20), VERSION_FOREIGN);
    assert_int_equal(find((const uint8_t *)"TTVERS99", 8), VERSION_FOREIGN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_survives_encoding),
        cmocka_unit_test(header_refuses_any_changed_bit),
        cmocka_unit_test(stream_is_the_same_from_any_offset),
        cmocka_unit_test(stream_match_stops_at_the_first_odd_byte),
        cmocka_unit_test(streams_of_other_versions_share_nothing),
        cmocka_unit_test(check_finds_intact_however_split),
        cmocka_unit_test(check_finds_intact_byte_by_byte),
        cmocka_unit_test(check_finds_short_at_any_length),
        cmocka_unit_test(check_finds_long),
        cmocka_unit_test(check_finds_any_damaged_byte),
        cmocka_unit_test(check_finds_torn_at_any_place),
        cmocka_unit_test(check_finds_torn_where_a_longer_version_goes_on),
        cmocka_unit_test(check_finds_torn_where_another_version_begins),
        cmocka_unit_test(check_finds_foreign),
    };
    return cmocka_run_group_tests_name("load_version_file", tests, NULL, NULL);
}
