/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test needs: cmocka with its includes, and assertions for a status and a slice. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/slice.h"

/* TEST(a_sentence_that_says_what_is_true) { … } and cmocka_unit_test(a_sentence_…) in main's
 * table. */
#define TEST(name)            static void name(void **state __attribute__((unused)))

#define assert_ok(expression) assert_string_equal(error_row_of((expression).code)->name, "NONE")
#define assert_fails(expression, error) \
    assert_string_equal(error_row_of((expression).code)->name, #error)

#define assert_slice(value, c_string)                                 \
    do {                                                              \
        slice asserted_ = (value);                                    \
        assert_int_equal(asserted_.len, strlen(c_string));            \
        assert_memory_equal(asserted_.data, c_string, asserted_.len); \
    } while (0)
