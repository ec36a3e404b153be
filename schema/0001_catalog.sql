-- SPDX-License-Identifier: Apache-2.0
-- The market: providers, models, endpoints, versioned prices, sealed provider keys. Platform data, no tenant rows,
-- but for customers' own provider keys, whose table begins with org.
-- A price is a count of nano-dollars per 1,000,000 units. Price rows are never changed or deleted: a new price is a new
-- row, so that every charge can be recomputed for ever.

create table provider (
    id              integer primary key generated always as identity,
    slug            text not null unique check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name            text not null,
    dialect         text not null check (dialect in ('openai', 'anthropic', 'gemini', 'bedrock', 'cohere')),
    base_url        text not null check (base_url ~ '^https?://'),
    live            boolean not null default false, -- false: the simulated provider answers, where the instance has one
    headquarters    text,
    privacy_policy_url   text,
    terms_of_service_url text,
    status_page_url      text,
    updated_at      timestamptz not null default now()
);

create table model (
    id              integer primary key generated always as identity,
    slug            text not null unique check (slug ~ '^[a-z0-9._-]+/[a-z0-9._:-]+$' and length(slug) <= 160),
    name            text not null check (length(name) <= 160),
    description     text not null default '',
    created         bigint not null,                -- Unix seconds
    context_length  integer not null check (context_length > 0),
    output_max      integer check (output_max > 0),
    input_modalities  text[] not null,
    output_modalities text[] not null,
    tokenizer       text not null default 'Other',
    supported_parameters text[] not null default '{}',
    knowledge_cutoff text,
    deprecation_date date,
    source_date     date not null,                  -- the day the facts are of
    updated_at      timestamptz not null default now()
);

create table price (
    id              integer primary key generated always as identity,
    model           integer not null references model,
    provider        integer not null references provider,
    source          text not null,                  -- 'catalog', 'price-map', 'operator'
    source_date     date not null,
    created_at      timestamptz not null default now()
);

-- A complete row per tier: what a provider does not name was filled in when the row was made (cache and audio in: prompt;
-- reasoning and audio out: completion; the rest 0). The first tier has above_prompt_tokens = 0; another applies when the input tokens
-- exceed its bound.
create table price_tier (
    price           integer not null references price,
    above_prompt_tokens integer not null check (above_prompt_tokens >= 0),
    prompt          bigint not null check (prompt >= 0),
    cache_read      bigint not null check (cache_read >= 0),
    cache_write     bigint not null check (cache_write >= 0),
    cache_write_1h  bigint not null check (cache_write_1h >= 0),
    audio_in        bigint not null check (audio_in >= 0),
    image_in        bigint not null check (image_in >= 0),
    completion      bigint not null check (completion >= 0),
    reasoning       bigint not null check (reasoning >= 0),
    audio_out       bigint not null check (audio_out >= 0),
    image_out       bigint not null check (image_out >= 0),
    request         bigint not null check (request >= 0),
    web_search      bigint not null check (web_search >= 0),
    primary key (price, above_prompt_tokens)
);

create table endpoint (
    id              integer primary key generated always as identity,
    model           integer not null references model,
    provider        integer not null references provider,
    tag             text not null,                  -- provider slug, or provider/variant
    upstream_model  text not null check (length(upstream_model) <= 192),
    context_length  integer not null check (context_length > 0),
    output_max      integer check (output_max > 0),
    quantization    text not null default 'unknown',
    price           integer references price,       -- null: no price, never served
    disabled        boolean not null default false,
    updated_at      timestamptz not null default now(),
    unique (model, tag)
);

-- Sealed by the catalog's master key with (org, provider, version) as associated data; org 0 is the operator's own key.
create table provider_key (
    org             bigint not null default 0,
    provider        integer not null references provider,
    version         integer not null check (version > 0),
    sealed          bytea not null,                 -- nonce and ciphertext
    label           text not null,                  -- first and last characters, for people
    created_at      timestamptz not null default now(),
    primary key (org, provider)
);

-- One row; raised by every change that the edge must see, in the same transaction.
create table market (
    id              boolean primary key default true check (id),
    revision        bigint not null default 0
);
insert into market default values;

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never changed or deleted', tg_table_name;
end $$;
create trigger price_is_final before update or delete on price
    for each row execute function refuse_change();
create trigger price_tier_is_final before update or delete on price_tier
    for each row execute function refuse_change();
