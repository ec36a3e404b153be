/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which PostgreSQL is asked: in turn from two lines, each in its own order. */
#include "tests/unit/test.h"

#include "services/ledger/questions.h"

static void put(struct questions *questions, enum question_kind kind, uint8_t number)
{
    struct question question = {.kind = kind};
    if (kind == QUESTION_LEASE)
        question.lease.org = number;
    else
        question.stored.bytes[0] = number;
    questions_put(questions, &question);
}

static void expect(struct questions *questions, enum question_kind kind, uint8_t number)
{
    struct question question;
    assert_true(questions_take(questions, &question));
    assert_int_equal(question.kind, kind);
    int64_t of = kind == QUESTION_LEASE ? question.lease.org : question.stored.bytes[0];
    assert_int_equal(of, number);
}

TEST(a_lease_waits_for_one_stranger_and_not_for_all_that_came_before_it)
{
    struct questions *questions = questions_new(8);
    for (uint8_t i = 1; i <= 5; i++)
        put(questions, QUESTION_STRANGER, i);
    expect(questions, QUESTION_STRANGER, 1);
    put(questions, QUESTION_LEASE, 1);
    put(questions, QUESTION_CALLER, 2);
    expect(questions, QUESTION_LEASE, 1);
    expect(questions, QUESTION_STRANGER, 2);
    expect(questions, QUESTION_CALLER, 2);
    expect(questions, QUESTION_STRANGER, 3);
    expect(questions, QUESTION_STRANGER, 4);
    expect(questions, QUESTION_STRANGER, 5);
    assert_int_equal(questions_count(questions), 0);
    questions_free(&questions);
}

TEST(strangers_are_read_however_many_leases_there_are)
{
    struct questions *questions = questions_new(8);
    for (uint8_t i = 1; i <= 8; i++)
        put(questions, QUESTION_LEASE, i);
    put(questions, QUESTION_STRANGER, 1);
    expect(questions, QUESTION_LEASE, 1);
    expect(questions, QUESTION_STRANGER, 1);
    expect(questions, QUESTION_LEASE, 2);
    questions_free(&questions);
}

TEST(each_line_keeps_its_order_round_its_ring)
{
    struct questions *questions = questions_new(3);
    put(questions, QUESTION_LEASE, 1);
    for (uint8_t i = 1; i <= 7; i++) { /* never empty, so the ring goes on */
        put(questions, QUESTION_LEASE, (uint8_t)(i + 1));
        expect(questions, QUESTION_LEASE, i);
    }
    assert_int_equal(questions_count(questions), 1);
    questions_free(&questions);
}

TEST(prices_are_asked_for_once_until_the_question_is_taken)
{
    struct questions *questions = questions_new(4);
    put(questions, QUESTION_PRICES, 0);
    put(questions, QUESTION_PRICES, 0);
    assert_int_equal(questions_count(questions), 1);
    expect(questions, QUESTION_PRICES, 0);
    put(questions, QUESTION_PRICES, 0);
    assert_int_equal(questions_count(questions), 1);
    questions_free(&questions);
}

TEST(nothing_is_taken_where_nobody_asked)
{
    struct questions *questions = questions_new(1);
    struct question question;
    assert_false(questions_take(questions, &question));
    put(questions, QUESTION_STRANGER, 1);
    expect(questions, QUESTION_STRANGER, 1);
    assert_false(questions_take(questions, &question));
    questions_free(&questions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_waits_for_one_stranger_and_not_for_all_that_came_before_it),
        cmocka_unit_test(strangers_are_read_however_many_leases_there_are),
        cmocka_unit_test(each_line_keeps_its_order_round_its_ring),
        cmocka_unit_test(prices_are_asked_for_once_until_the_question_is_taken),
        cmocka_unit_test(nothing_is_taken_where_nobody_asked),
    };
    return cmocka_run_group_tests_name("ledger questions", tests, NULL, NULL);
}
