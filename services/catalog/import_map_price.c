/* SPDX-License-Identifier: Apache-2.0 */
/* The prices of one entry of a price map: the base, then tiers, which are written either into the
 * names of fields (…_above_200k_tokens) or as an array with ranges. Prices of service tiers
 * (_batches, _priority, _flex) and of units we do not count (seconds, characters, pixels) are not
 * read. */
#include "services/catalog/import_map.h"
#include "services/catalog/price_text.h"

#define ABOVE         SLICE("_above_")
#define K_TOKENS      SLICE("k_tokens")
#define THOUSANDS_MAX 100000

static const struct {
    slice name;
    enum billing_class class;
} price_fields[] = {
    {{"input_cost_per_token", 20}, BILLING_prompt},
    {{"output_cost_per_token", 21}, BILLING_completion},
    {{"output_cost_per_reasoning_token", 31}, BILLING_reasoning},
    {{"input_cost_per_token_cache_hit", 30}, BILLING_cache_read}, /* an older name of the next */
    {{"cache_read_input_token_cost", 27}, BILLING_cache_read},
    {{"cache_creation_input_token_cost", 31}, BILLING_cache_write},
    {{"cache_creation_input_token_cost_above_1hr", 41}, BILLING_cache_write_1h},
    {{"input_cost_per_audio_token", 26}, BILLING_audio_in},
    {{"output_cost_per_audio_token", 27}, BILLING_audio_out},
    {{"input_cost_per_image", 20}, BILLING_image_in},
    {{"input_cost_per_request", 22}, BILLING_request},
};
#define FIELD_COUNT (sizeof(price_fields) / sizeof(price_fields[0]))

struct tier_list {
    struct named_prices tiers[BILLING_TIERS_MAX + 1]; /* one more, to see that there are too many */
    size_t count;
};

static void read_price(const struct import_map_entry *entry, struct facts *facts,
                       struct json_value value, enum billing_class class,
                       struct named_prices *tier);
static void read_base(const struct import_map_entry *entry, struct facts *facts,
                      struct json_value object, struct named_prices *tier);
static void read_named_tiers(const struct import_map_entry *entry, struct arena *arena,
                             struct facts *facts, struct tier_list *list);
static bool read_ranges(const struct import_map_entry *entry, struct facts *facts,
                        struct tier_list *list);
static void read_search(const struct import_map_entry *entry, struct facts *facts,
                        struct named_prices *tier);
static struct named_prices *tier_above(struct tier_list *list, uint32_t tokens);

status import_map_prices(const struct import_map_entry *entry, struct arena *arena,
                         struct facts *facts, struct price_row *row, slice *reason)
{
    struct tier_list list = {.count = 1};
    read_base(entry, facts, entry->object, &list.tiers[0]);
    if (!read_ranges(entry, facts, &list)) {
        *reason = SLICE("its tiered_pricing is not a list of ascending ranges");
        return FAIL(MISSING_FIELD);
    }
    read_named_tiers(entry, arena, facts, &list);
    read_search(entry, facts, &list.tiers[0]);
    status filled = facts_fill_prices(list.tiers, list.count, row);
    if (filled.code == ERROR_MISSING_FIELD) {
        *reason = SLICE("no usable price for prompt or completion");
    } else if (!status_ok(filled)) {
        *reason = SLICE("more tiers than can be kept");
    } else if (facts_no_charge(row)) {
        *reason = SLICE("the price is zero, which is unknown rather than free");
    } else if (facts_wrong_unit(row)) {
        *reason = SLICE("above $500 in or $1,000 out per million tokens: a wrong unit");
    } else {
        return OK;
    }
    return FAIL(MISSING_FIELD);
}

/* ---- single prices --------------------------------------------------------------------------- */

static slice unusable_reason(enum billing_class class)
{
    static const slice reasons[BILLING_CLASS_COUNT] = {
#define X(name)                                                  \
    [BILLING_##name] = {"the price of " #name " cannot be used", \
                        sizeof("the price of " #name " cannot be used") - 1},
        BILLING_CLASSES(X)
#undef X
    };
    return reasons[class];
}

static void read_price(const struct import_map_entry *entry, struct facts *facts,
                       struct json_value value, enum billing_class class, struct named_prices *tier)
{
    if (json_kind_of(value) == JSON_NULL) return; /* null or absent: not named */
    slice digits;
    price read;
    bool rounded;
    if (!status_ok(json_read_number_text(value, &digits)) ||
        !status_ok(price_text_read(digits, &read, &rounded))) {
        facts_drop(facts, entry->model, unusable_reason(class));
        return;
    }
    if (rounded) facts_drop(facts, entry->model, SLICE("a price was rounded to 15 decimals"));
    /* Zero stands for "unknown" in these maps, but for writing to a cache, which some providers do
     * not charge. */
    bool may_be_zero = class == BILLING_prompt || class == BILLING_completion ||
                       class == BILLING_cache_write || class == BILLING_cache_write_1h;
    if (read.nano_per_million == 0 && !may_be_zero) return;
    tier->prices[class] = read;
    tier->named[class] = true;
}

static void read_base(const struct import_map_entry *entry, struct facts *facts,
                      struct json_value object, struct named_prices *tier)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        read_price(entry, facts, json_get(object, price_fields[i].name), price_fields[i].class,
                   tier);
}

/* A fee per search, by depth. A model that searches in every request pays it for every request. */
static void read_search(const struct import_map_entry *entry, struct facts *facts,
                        struct named_prices *tier)
{
    struct json_value by_size = json_get(entry->object, SLICE("search_context_cost_per_query"));
    if (json_kind_of(by_size) != JSON_OBJECT) return;
    enum billing_class class = entry->always_searches ? BILLING_request : BILLING_web_search;
    if (tier->named[class]) return;
    read_price(entry, facts, json_get(by_size, entry->search_size), class, tier);
}

/* ---- tiers ----------------------------------------------------------------------------------- */

/* The tier that begins there, made in its place if there is none. NULL when the list is full. */
static struct named_prices *tier_above(struct tier_list *list, uint32_t tokens)
{
    size_t place = 0;
    while (place < list->count && list->tiers[place].above_prompt_tokens < tokens)
        place++;
    if (place < list->count && list->tiers[place].above_prompt_tokens == tokens)
        return &list->tiers[place];
    if (list->count == sizeof(list->tiers) / sizeof(list->tiers[0])) return NULL;
    memmove(&list->tiers[place + 1], &list->tiers[place],
            (list->count - place) * sizeof(list->tiers[0]));
    list->tiers[place] = (struct named_prices){.above_prompt_tokens = tokens};
    list->count++;
    return &list->tiers[place];
}

/* "input_cost_per_token_above_200k_tokens" → the price field and 200,000. */
static bool split_tier_name(slice name, size_t *field, uint32_t *tokens)
{
    if (!slice_ends_with(name, K_TOKENS)) return false;
    slice text = slice_first(name, name.len - K_TOKENS.len);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        slice prefix = price_fields[i].name;
        if (!slice_starts_with(text, prefix)) continue;
        slice rest = slice_from(text, prefix.len);
        int64_t thousands;
        if (!slice_starts_with(rest, ABOVE) ||
            !status_ok(slice_to_i64(slice_from(rest, ABOVE.len), &thousands)) || thousands < 1 ||
            thousands > THOUSANDS_MAX) {
            continue;
        }
        *field = i;
        *tokens = (uint32_t)thousands * 1000;
        return true;
    }
    return false;
}

static void read_named_tiers(const struct import_map_entry *entry, struct arena *arena,
                             struct facts *facts, struct tier_list *list)
{
    for (struct json_iterator i = json_iterate(entry->object); json_next(&i);) {
        slice name;
        size_t field;
        uint32_t tokens;
        if (!status_ok(json_read_string(i.key, arena, &name)) ||
            !split_tier_name(name, &field, &tokens) || json_kind_of(i.value) == JSON_NULL) {
            continue;
        }
        struct named_prices *tier = tier_above(list, tokens);
        if (tier != NULL) read_price(entry, facts, i.value, price_fields[field].class, tier);
    }
}

/* [{range: [0, 32000], input_cost_per_token: …}, …]: the first range is the base. false: not
 * usable. */
static bool read_ranges(const struct import_map_entry *entry, struct facts *facts,
                        struct tier_list *list)
{
    struct json_value ranges = json_get(entry->object, SLICE("tiered_pricing"));
    if (json_kind_of(ranges) == JSON_NULL) return true;
    if (json_kind_of(ranges) != JSON_ARRAY) return false;
    uint32_t previous = 0;
    bool first = true;
    for (struct json_iterator i = json_iterate(ranges); json_next(&i); first = false) {
        uint32_t from;
        struct json_iterator bounds = json_iterate(json_get(i.value, SLICE("range")));
        if (!json_next(&bounds) || !status_ok(json_read_u32(bounds.value, &from)) ||
            from > INT32_MAX || (first ? from != 0 : from <= previous)) {
            return false;
        }
        previous = from;
        struct named_prices *tier = tier_above(list, from);
        if (tier == NULL) return true; /* the row is refused for its number of tiers */
        read_base(entry, facts, i.value, tier);
    }
    return true;
}
