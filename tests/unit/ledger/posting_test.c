/* SPDX-License-Identifier: Apache-2.0 */
/* From records to sums, by hand, and the hashes against the published test vectors of RFC 6962. */
#include "tests/unit/test.h"

#include "services/ledger/core/core.h"
#include "shared/merkle.h"
#include "services/ledger/posting.h"
#include "services/ledger/text.h"

#define CREATED_NS \
    ((int64_t)1795219199000000000) /* 2026-11-20T23:59:59Z: day 20777, week 2968, month 24322 */

struct batch {
    struct arena arena;
    struct posting posting;
};

static void begin(struct batch *batch)
{
    *batch = (struct batch){.posting = {.cell = 1, .incarnation = 1}};
    arena_init(&batch->arena, (size_t)16 << 20);
    posting_begin(&batch->posting, &batch->arena, 16);
}

static void add(struct batch *batch, const struct record_ending *ending)
{
    struct buffer bytes;
    struct record record;
    size_t taken;
    buffer_init(&bytes, 4096);
    record_append_ending(&bytes, (struct record_place){.seq = batch->posting.hi + 1}, ending);
    assert_ok(record_next(buffer_slice(&bytes), &record, &taken));
    assert_ok(posting_add(&batch->posting, &record));
    buffer_free(&bytes);
}

static void finish_with(struct batch *batch, const struct record_ending *endings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(batch, &endings[i]);
    assert_ok(posting_finish(&batch->posting));
}

static struct record_ending settled(int64_t org, int64_t key, int64_t charge)
{
    return (struct record_ending){.hold = 1,
                                  .state = ENDING_SETTLED,
                                  .created_ns = CREATED_NS,
                                  .org = org,
                                  .key = key,
                                  .held = {charge},
                                  .charge = {charge},
                                  .charge_told = {charge},
                                  .provider_cost = {charge},
                                  .epoch = 3,
                                  .leased = {charge},
                                  .facts = {.provider = 5}};
}

static const struct account_move *account(const struct batch *batch, int64_t org, int64_t kind,
                                          int64_t detail)
{
    for (size_t i = 0; i < batch->posting.account_count; i++) {
        const struct account_move *move = &batch->posting.accounts[i];
        if (move->org == org && move->kind == kind && move->detail == detail) return move;
    }
    fail_msg("no move of account %ld/%ld", (long)org, (long)kind);
    return NULL;
}

static int64_t transferred(const struct batch *batch, int64_t org, const char *code)
{
    int64_t sum = 0;
    for (size_t i = 0; i < batch->posting.transfer_count; i++) {
        const struct transfer_row *row = &batch->posting.transfers[i];
        if (row->org == org && slice_equal(row->code, slice_of(code))) sum += row->amount.nano;
    }
    return sum;
}

TEST(a_batch_moves_one_sum_per_account_and_one_transfer_per_organization)
{
    struct batch batch;
    begin(&batch);
    const struct record_ending endings[] = {settled(7, 70, 100), settled(8, 80, 30),
                                            settled(7, 71, 5)};
    finish_with(&batch, endings, 3);
    assert_int_equal(batch.posting.charge.nano, 135);
    assert_int_equal(account(&batch, 7, ACCOUNT_ESCROW, 0)->debits.nano, 105);
    assert_int_equal(account(&batch, 8, ACCOUNT_ESCROW, 0)->debits.nano, 30);
    assert_int_equal(account(&batch, 0, ACCOUNT_USAGE_INCOME, 0)->credits.nano, 135);
    assert_int_equal(account(&batch, 0, ACCOUNT_PROVIDER_EXPENSE, 5)->debits.nano, 135);
    assert_int_equal(account(&batch, 0, ACCOUNT_PROVIDER_PAYABLE, 5)->credits.nano, 135);
    assert_int_equal(batch.posting.account_count, 5);
    assert_int_equal(transferred(&batch, 7, "settle"), 105);
    assert_int_equal(transferred(&batch, 8, "settle"), 30);
    assert_int_equal(transferred(&batch, 0, "provider_cost"), 135);
    assert_int_equal(batch.posting.transfer_count, 3);
    assert_int_equal(batch.posting.lease_count, 2);
    assert_int_equal(batch.posting.leases[0].settled.nano, 105);
    arena_free(&batch.arena);
}

/* PostgreSQL refuses for minutes: the same batch in the same 16 MiB, each time with 64 KiB for what
 * the statements need. Without giving them back they would last for 256 attempts. */
TEST(a_batch_that_is_tried_again_and_again_needs_no_more_memory)
{
    struct batch batch;
    begin(&batch);
    const struct record_ending ending = settled(7, 70, 100);
    add(&batch, &ending);
    assert_ok(posting_finish(&batch.posting));
    size_t used = batch.arena.used;
    for (int i = 0; i < 1000; i++) {
        assert_non_null(arena_alloc(&batch.arena, (size_t)64 << 10));
        assert_ok(posting_finish(&batch.posting));
    }
    assert_int_equal(batch.arena.used, used);
    assert_int_equal(transferred(&batch, 7, "settle"), 100);
    arena_free(&batch.arena);
}

/* Far more keys than there are places for sums under way, each three times, a whole round of the
 * others in between: those that share a place take turns. */
#define MANY_ORGS   10000
#define MANY_ROUNDS 3

TEST(sums_of_very_many_keys_are_complete_and_in_order)
{
    struct batch batch = {.posting = {.cell = 1, .incarnation = 1}};
    arena_init(&batch.arena, (size_t)256 << 20);
    posting_begin(&batch.posting, &batch.arena, (size_t)MANY_ORGS * MANY_ROUNDS);
    for (int round = 0; round < MANY_ROUNDS; round++) {
        for (int64_t org = 1; org <= MANY_ORGS; org++) {
            const struct record_ending ending = settled(org, org + 7, org);
            add(&batch, &ending);
        }
    }
    assert_ok(posting_finish(&batch.posting));
    /* An escrow and a lease of each, four periods of each key; income, expense and payable. */
    assert_int_equal(batch.posting.account_count, MANY_ORGS + 3);
    assert_int_equal(batch.posting.lease_count, MANY_ORGS);
    assert_int_equal(batch.posting.period_count, 4 * MANY_ORGS);
    assert_int_equal(batch.posting.transfer_count, MANY_ORGS + 1);
    for (size_t i = 0; i < MANY_ORGS; i++) {
        int64_t org = (int64_t)i + 1;
        assert_int_equal(batch.posting.leases[i].org, org);
        assert_int_equal(batch.posting.leases[i].settled.nano, MANY_ROUNDS * org);
        assert_int_equal(batch.posting.accounts[3 + i].org, org);
        assert_int_equal(batch.posting.accounts[3 + i].debits.nano, MANY_ROUNDS * org);
        assert_int_equal(batch.posting.periods[4 * i].requests, MANY_ROUNDS);
        assert_int_equal(batch.posting.periods[4 * i + 3].spent.nano, MANY_ROUNDS * org);
    }
    /* 3 × (1 + 2 + … + 10,000) */
    assert_int_equal(account(&batch, 0, ACCOUNT_USAGE_INCOME, 0)->credits.nano, 150015000);
    arena_free(&batch.arena);
}

TEST(accounts_come_in_the_order_in_which_they_are_locked)
{
    struct batch batch;
    begin(&batch);
    const struct record_ending endings[] = {settled(9, 90, 1), settled(3, 30, 1),
                                            settled(5, 50, 1)};
    finish_with(&batch, endings, 3);
    for (size_t i = 1; i < batch.posting.account_count; i++) {
        const struct account_move *before = &batch.posting.accounts[i - 1];
        const struct account_move *after = &batch.posting.accounts[i];
        assert_true(before->org < after->org ||
                    (before->org == after->org && before->kind < after->kind));
    }
    arena_free(&batch.arena);
}

TEST(a_key_spends_in_four_periods_of_the_time_of_its_hold)
{
    struct batch batch;
    begin(&batch);
    struct record_ending ending = settled(7, 70, 40);
    ending.meter = meter_of_key(70, CADENCE_DAY);
    ending.meter_period = 20777;
    ending.meter_leased = (money){40};
    add(&batch, &ending);
    assert_ok(posting_finish(&batch.posting));
    static const int64_t periods[CADENCE_COUNT] = {0, 20777, 2968, 24322};
    assert_int_equal(batch.posting.period_count, CADENCE_COUNT);
    for (size_t i = 0; i < CADENCE_COUNT; i++) {
        const struct period_move *move = &batch.posting.periods[i];
        assert_int_equal(move->meter, 280 + i);
        assert_int_equal(move->period, periods[i]);
        assert_int_equal(move->spent.nano, 40);
        assert_int_equal(move->leased.nano, i == CADENCE_DAY ? 40 : 0);
        assert_int_equal(move->requests, 1);
    }
    arena_free(&batch.arena);
}

TEST(what_nobody_pays_for_is_an_expense_of_ours)
{
    struct batch batch;
    begin(&batch);
    struct record_ending absorbed = settled(7, 70, 0);
    absorbed.state = ENDING_ABSORBED;
    absorbed.provider_cost = (money){25};
    add(&batch, &absorbed);
    assert_ok(posting_finish(&batch.posting));
    assert_int_equal(account(&batch, 0, ACCOUNT_ABSORBED_EXPENSE, 0)->debits.nano, 25);
    assert_int_equal(account(&batch, 0, ACCOUNT_PROVIDER_PAYABLE, 5)->credits.nano, 25);
    assert_int_equal(batch.posting.account_count, 2);
    assert_int_equal(transferred(&batch, 0, "absorbed"), 25);
    assert_int_equal(batch.posting.period_count, 0);
    arena_free(&batch.arena);
}

TEST(what_no_lease_covered_is_paid_from_promotion_then_credit_then_owed)
{
    struct batch batch;
    begin(&batch);
    struct record_ending ending = settled(7, 70, 100);
    ending.leased = (money){40};
    add(&batch, &ending);
    assert_ok(posting_finish(&batch.posting));
    assert_int_equal(batch.posting.late_count, 1);
    assert_int_equal(batch.posting.late[0].amount.nano, 60);
    struct late_balance balance = {.org = 7, .promo = {10}, .paid = {20}};
    assert_ok(posting_pay_late(&batch.posting, &balance, 1));
    assert_int_equal(account(&batch, 7, ACCOUNT_CREDIT_PROMO, 0)->debits.nano, 10);
    assert_int_equal(account(&batch, 7, ACCOUNT_CREDIT_PAID, 0)->debits.nano, 20);
    assert_int_equal(account(&batch, 7, ACCOUNT_RECEIVABLE, 0)->debits.nano, 30);
    assert_int_equal(account(&batch, 0, ACCOUNT_USAGE_INCOME, 0)->credits.nano, 100);
    assert_int_equal(transferred(&batch, 7, "settle_late"), 60);
    arena_free(&batch.arena);
}

/* Of `list` nano-dollars, `units` requests of which were free. */
static struct record_ending with_own_key(int64_t org, int64_t list, int64_t units, int64_t fee)
{
    struct record_ending ending = settled(org, 70, fee);
    ending.provider_cost = MONEY_ZERO;
    ending.byok_unit = BYOK_REQUESTS;
    ending.byok_fee_basis_points = 500;
    ending.byok_list = (money){list};
    ending.byok_units = (money){units};
    return ending;
}

static const struct period_move *period(const struct batch *batch, int64_t meter, int64_t number)
{
    for (size_t i = 0; i < batch->posting.period_count; i++) {
        const struct period_move *move = &batch->posting.periods[i];
        if (move->meter == meter && move->period == number) return move;
    }
    fail_msg("no move of meter %ld", (long)meter);
    return NULL;
}

TEST(with_an_own_key_the_fee_is_income_of_its_own_and_no_provider_is_owed)
{
    struct batch batch;
    begin(&batch);
    const struct record_ending endings[] = {with_own_key(7, 1000, 1, 0),
                                            with_own_key(7, 1000, 0, 50), settled(7, 70, 100)};
    finish_with(&batch, endings, 3);
    assert_int_equal(batch.posting.charge.nano, 150);
    assert_int_equal(account(&batch, 7, ACCOUNT_ESCROW, 0)->debits.nano, 150);
    assert_int_equal(account(&batch, 0, ACCOUNT_BYOK_FEE_INCOME, 0)->credits.nano, 50);
    assert_int_equal(account(&batch, 0, ACCOUNT_USAGE_INCOME, 0)->credits.nano, 100);
    assert_int_equal(account(&batch, 0, ACCOUNT_PROVIDER_PAYABLE, 5)->credits.nano, 100);
    assert_int_equal(transferred(&batch, 7, "byok_fee"), 50);
    assert_int_equal(transferred(&batch, 7, "settle"), 100);
    /* Month 24322: two requests with own keys, one of which was free. */
    const struct period_move *allowance =
        period(&batch, meter_of_allowance(7, BYOK_REQUESTS), 24322);
    assert_int_equal(allowance->requests, 2);
    assert_int_equal(allowance->spent.nano, 1);
    assert_int_equal(allowance->leased.nano, 1);
    const struct period_move *key = period(&batch, meter_of_key(70, CADENCE_MONTH), 24322);
    assert_int_equal(key->spent.nano, 150);
    assert_int_equal(key->byok_spent.nano, 2000);
    assert_int_equal(key->requests, 3);
    assert_int_equal(batch.posting.numbers[GENERATION_flags][0], FACT_BYOK);
    assert_int_equal(batch.posting.numbers[GENERATION_flags][2], 0);
    arena_free(&batch.arena);
}

/* 40 of usage and 30 of fees, with 10 of promotion and 35 of credit left: whoever is paid first
 * leaves less to the other, and nothing is paid twice. */
TEST(late_usage_and_late_fees_are_paid_from_the_same_balance)
{
    struct batch batch;
    begin(&batch);
    struct record_ending usage = settled(7, 70, 40), fee = with_own_key(7, 600, 0, 30);
    usage.leased = fee.leased = MONEY_ZERO;
    add(&batch, &usage);
    add(&batch, &fee);
    assert_ok(posting_finish(&batch.posting));
    assert_int_equal(batch.posting.late_count, 2);
    struct late_balance balances[2] = {{.org = 7, .promo = {10}, .paid = {35}},
                                       {.org = 7, .promo = {10}, .paid = {35}}};
    assert_ok(posting_pay_late(&batch.posting, balances, 2));
    assert_int_equal(account(&batch, 7, ACCOUNT_CREDIT_PROMO, 0)->debits.nano, 10);
    assert_int_equal(account(&batch, 7, ACCOUNT_CREDIT_PAID, 0)->debits.nano, 35);
    assert_int_equal(account(&batch, 7, ACCOUNT_RECEIVABLE, 0)->debits.nano, 25);
    assert_int_equal(account(&batch, 0, ACCOUNT_USAGE_INCOME, 0)->credits.nano, 40);
    assert_int_equal(account(&batch, 0, ACCOUNT_BYOK_FEE_INCOME, 0)->credits.nano, 30);
    assert_int_equal(transferred(&batch, 7, "settle_late"), 40);
    assert_int_equal(transferred(&batch, 7, "byok_fee"), 30);
    arena_free(&batch.arena);
}

static size_t encode(struct generation_row *row, char *bytes, size_t size)
{
    struct buffer out;
    buffer_init_fixed(&out, bytes, size);
    row->texts[GENERATION_title] = SLICE("t");
    row->attempts = SLICE("a");
    generation_row_encode(row, &out);
    assert_ok(buffer_finish(&out));
    return out.len;
}

/* Cell and incarnation, 35 numbers (23 and 12 classes of units), six texts and the attempts with a
 * length each, two of them of a byte. */
TEST(a_row_without_own_key_is_encoded_as_it_always_was)
{
    static char before[1024], after[1024];
    struct generation_row row = {.cell = 1, .incarnation = 2, .numbers = {[GENERATION_org] = 7}};
    size_t len = encode(&row, before, sizeof(before));
    assert_int_equal(len, 2 + 4 + 35 * 8 + 7 * 2 + 2);
    for (size_t column = GENERATION_BYOK_FIRST; column < GENERATION_NUMBER_COUNT; column++) {
        struct generation_row changed = row;
        changed.numbers[column] = 1;
        assert_int_equal(encode(&changed, after, sizeof(after)), len + 4 * 8);
        assert_memory_equal(after, before, len);
        assert_int_equal(after[len + 8 * (column - GENERATION_BYOK_FIRST)], 1);
    }
}

TEST(sums_beyond_int64_are_refused_not_wrapped)
{
    struct batch batch;
    begin(&batch);
    struct record_ending huge = settled(7, 70, INT64_MAX);
    add(&batch, &huge);
    add(&batch, &huge);
    assert_fails(posting_finish(&batch.posting), OVERFLOW);
    arena_free(&batch.arena);
}

TEST(a_record_out_of_order_is_refused)
{
    struct batch batch;
    begin(&batch);
    struct record record = {.seq = 2, .type = RECORD_hold};
    assert_fails(posting_add(&batch.posting, &record), MALFORMED);
    arena_free(&batch.arena);
}

/* ---- hashes ---------------------------------------------------------------------------------- */

static const char *const inputs[] = {"",
                                     "00",
                                     "10",
                                     "2021",
                                     "3031",
                                     "40414243",
                                     "5051525354555657",
                                     "606162636465666768696a6b6c6d6e6f"};
static const char *const roots[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

TEST(merkle_roots_are_those_of_the_published_vectors)
{
    for (size_t count = 0; count <= 8; count++) {
        uint8_t leaves[9 * MERKLE_HASH_SIZE];
        for (size_t i = 0; i < count; i++) {
            uint8_t bytes[16];
            size_t len = strlen(inputs[i]) / 2;
            assert_ok(slice_from_hex(slice_of(inputs[i]), bytes, len));
            merkle_leaf((slice){(const char *)bytes, len}, leaves + i * MERKLE_HASH_SIZE);
        }
        uint8_t root[MERKLE_HASH_SIZE], expected[MERKLE_HASH_SIZE];
        merkle_root(leaves, count, root);
        assert_ok(slice_from_hex(slice_of(roots[count]), expected, sizeof(expected)));
        assert_memory_equal(root, expected, sizeof(root));
    }
}

TEST(a_changed_row_changes_the_link)
{
    struct batch one, other;
    begin(&one);
    begin(&other);
    struct record_ending ending = settled(7, 70, 100);
    add(&one, &ending);
    ending.facts.title = SLICE("another title");
    add(&other, &ending);
    assert_ok(posting_finish(&one.posting));
    assert_ok(posting_finish(&other.posting));
    assert_memory_not_equal(one.posting.link, other.posting.link, HASH_SIZE);
    arena_free(&one.arena);
    arena_free(&other.arena);
}

TEST(texts_are_made_fit_for_the_database)
{
    struct arena arena;
    arena_init(&arena, 4096);
    assert_slice(text_clean(&arena, SLICE("plain, é, €, 𝄞")), "plain, é, €, 𝄞");
    assert_slice(text_clean(&arena, SLICE("a\0b")), "a?b");
    assert_slice(text_clean(&arena, SLICE("\xff\xfe")), "??");
    assert_slice(text_clean(&arena, SLICE("\xc0\xaf")), "??");           /* an overlong slash */
    assert_slice(text_clean(&arena, SLICE("\xed\xa0\x80")), "???");      /* a surrogate */
    assert_slice(text_clean(&arena, SLICE("\xf4\x90\x80\x80")), "????"); /* beyond U+10FFFF */
    assert_slice(text_clean(&arena, SLICE("cut \xe2\x82")), "cut ??");
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_moves_one_sum_per_account_and_one_transfer_per_organization),
        cmocka_unit_test(a_batch_that_is_tried_again_and_again_needs_no_more_memory),
        cmocka_unit_test(sums_of_very_many_keys_are_complete_and_in_order),
        cmocka_unit_test(accounts_come_in_the_order_in_which_they_are_locked),
        cmocka_unit_test(a_key_spends_in_four_periods_of_the_time_of_its_hold),
        cmocka_unit_test(what_nobody_pays_for_is_an_expense_of_ours),
        cmocka_unit_test(what_no_lease_covered_is_paid_from_promotion_then_credit_then_owed),
        cmocka_unit_test(with_an_own_key_the_fee_is_income_of_its_own_and_no_provider_is_owed),
        cmocka_unit_test(late_usage_and_late_fees_are_paid_from_the_same_balance),
        cmocka_unit_test(a_row_without_own_key_is_encoded_as_it_always_was),
        cmocka_unit_test(sums_beyond_int64_are_refused_not_wrapped),
        cmocka_unit_test(a_record_out_of_order_is_refused),
        cmocka_unit_test(merkle_roots_are_those_of_the_published_vectors),
        cmocka_unit_test(a_changed_row_changes_the_link),
        cmocka_unit_test(texts_are_made_fit_for_the_database),
    };
    return cmocka_run_group_tests_name("ledger posting", tests, NULL, NULL);
}
