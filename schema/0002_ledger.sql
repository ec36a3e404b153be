-- SPDX-License-Identifier: Apache-2.0
-- Money. Amounts are nano-dollars. Accounts carry two counters that only rise; a balance is their difference. A transfer moves
-- an amount > 0 from one account to another and is never changed or deleted. Every primary key of a tenant's table begins with
-- org, so that the same schema shards by organization; cell, epoch and stream are there from the start.

create table cell (
    id              smallint primary key check (id between 1 and 4095),
    epoch           bigint not null default 0,      -- raised by every start of the cell's ledger
    seen_at         timestamptz
);

-- Everything an operator may want to change. Amounts in nano-dollars unless named otherwise.
create table plan (
    id              smallint primary key,
    name            text not null unique,
    purchase_fee_permille   integer not null check (purchase_fee_permille between 0 and 1000),
    purchase_fee_min_cents  integer not null check (purchase_fee_min_cents >= 0),
    purchase_min_cents      bigint not null check (purchase_min_cents > 0),
    purchase_max_cents      bigint not null,
    refund_window           interval not null,
    output_default          integer not null check (output_default > 0), -- output_want without max_tokens
    output_min              integer not null check (output_min > 0),     -- a shrunk hold below this is refused
    byok_unit               text not null check (byok_unit in ('requests', 'list_price')),
    byok_allowance          bigint not null check (byok_allowance >= 0),
    byok_fee_basis_points   integer not null check (byok_fee_basis_points between 0 and 10000),
    check (purchase_max_cents >= purchase_min_cents)
);
insert into plan values
    (1, 'pay-as-you-go', 55, 80, 500, 2500000, interval '24 hours', 16384, 256, 'requests', 1000000, 500),
    (2, 'enterprise',    55, 80, 500, 2500000, interval '24 hours', 16384, 256, 'requests', 5000000, 500);

create sequence caller_version_seq; -- raised by any change of what a caller is

create table org (
    org             bigint primary key check (org > 0), -- random, so that ids do not tell how many there are
    name            text not null check (length(name) between 1 and 200),
    plan            smallint not null default 1 references plan,
    frozen          boolean not null default false,     -- a debt or a dispute: no new holds
    created_at      timestamptz not null default now()
);

create table workspace (
    org             bigint not null references org,
    id              bigint not null,                -- 1 is the default workspace
    name            text not null,
    slug            text not null,
    created_at      timestamptz not null default now(),
    primary key (org, id),
    unique (org, slug)
);

create table api_key (
    org             bigint not null references org,
    id              bigint not null,                -- random
    workspace       bigint not null default 1,
    member          bigint,
    hash            bytea not null check (length(hash) = 32), -- BLAKE2b(pepper, BLAKE2b(key)); its hex is the public `hash`
    label           text not null,
    name            text not null check (length(name) between 1 and 200),
    kind            smallint not null check (kind in (1, 2)), -- 1 inference, 2 management
    disabled        boolean not null default false,
    deleted_at      timestamptz,
    expires_at      timestamptz,
    limit_nano      bigint check (limit_nano >= 0),
    limit_cadence   smallint not null default 0 check (limit_cadence between 0 and 3), -- of limit_nano: life, day, week, month
    include_byok_in_limit boolean not null default false,
    version         bigint not null default nextval('caller_version_seq'),
    created_at      timestamptz not null default now(),
    updated_at      timestamptz,
    primary key (org, id)
);
-- Where to find a key by its hash; not a tenant's table but the way to one.
create table key_place (
    hash            bytea primary key,
    org             bigint not null,
    key             bigint not null
);

-- kind < 100: the customer's (org > 0); kind >= 100: the platform's, under org 0, once per cell so that batches of different
-- cells never meet on one row. detail: the provider for 121 and 122, else 0.
--   1 credit_paid  2 credit_promo  3 escrow (per cell)  4 receivable  5 refund_pending
--   101 payment_clearing  102 payment_disputed  111 purchase_fee_income  112 usage_income  113 byok_fee_income  114 breakage_income
--   121 provider_expense  122 provider_payable  131 promo_expense  132 dispute_expense  133 absorbed_expense
create table account (
    org             bigint not null,
    kind            smallint not null,
    cell            smallint not null default 0,
    detail          integer not null default 0,
    debits          bigint not null default 0 check (debits >= 0),
    credits         bigint not null default 0 check (credits >= 0),
    primary key (org, kind, cell, detail),
    check ((org = 0) = (kind >= 100)),
    check (kind not in (1, 2, 3, 5) or credits >= debits),          -- customers' money never goes below zero
    check (kind <> 4 or debits >= credits)
) with (fillfactor = 60);

-- The customer side of a transfer is (org, kind < 100), the platform side (0, kind >= 100); cell applies to both sides where the
-- account is per cell (customer kinds 1, 2, 4, 5 are always cell 0).
create table transfer (
    org             bigint not null,                -- 0 for a transfer between platform accounts
    id              bigint not null generated always as identity,
    debit_kind      smallint not null,
    debit_detail    integer not null default 0,
    credit_kind     smallint not null,
    credit_detail   integer not null default 0,
    cell            smallint not null,
    amount          bigint not null check (amount > 0),
    code            text not null check (code in ('purchase', 'purchase_fee', 'promo', 'lease', 'lease_return', 'settle',
                        'settle_late', 'provider_cost', 'absorbed', 'byok_fee', 'refund_hold', 'refund', 'refund_void',
                        'dispute', 'reinstatement', 'expiry')),
    reference       text not null,                  -- purchase id, 'batch <cell>/<incarnation>/<lo>', 'lease <cell>/<epoch>', …
    at              timestamptz not null default clock_timestamp(),
    primary key (org, id),
    check (debit_kind <> credit_kind or debit_detail <> credit_detail)
);

-- What may be spent and what was: one row per meter and period; nothing is ever reset, the period is part of the key
-- (see clock_period: life 0, day, week, month). Every key has one meter per cadence, so that usage_daily and its like are rows, too.
create table meter (
    org             bigint not null,
    id              bigint not null,                -- 4·owner + cadence for keys
    owner_kind      smallint not null check (owner_kind in (1, 2, 3, 4)), -- 1 key, 2 member, 3 workspace, 4 org
    owner           bigint not null,
    cadence         smallint not null check (cadence between 0 and 3),
    limit_nano      bigint check (limit_nano >= 0),
    include_byok    boolean not null default false,
    primary key (org, id),
    unique (org, owner_kind, owner, cadence)
);
create table meter_period (
    org             bigint not null,
    meter           bigint not null,
    period          integer not null,
    limit_nano      bigint,                         -- copy of the meter's, so that the check below is one row's
    spent           bigint not null default 0 check (spent >= 0),
    leased          bigint not null default 0 check (leased >= 0),
    over            bigint not null default 0 check (over >= 0), -- what a lowered limit or a late settle had exceeded
    byok_spent      bigint not null default 0 check (byok_spent >= 0),
    requests        bigint not null default 0 check (requests >= 0),
    primary key (org, meter, period),
    check (limit_nano is null or spent + leased <= limit_nano + over)
) with (fillfactor = 60);

-- Authority to spend, moved to a cell ahead of need. meter 0 is the account's credit (its money is in the escrow account of the
-- cell); other meters lease room under their limit. Promotional money is spent first and returned last.
create table lease (
    org             bigint not null,
    meter           bigint not null,
    period          integer not null,
    cell            smallint not null,
    epoch           bigint not null,
    granted         bigint not null check (granted >= 0),
    granted_promo   bigint not null default 0 check (granted_promo >= 0), -- part of granted, meter 0 only
    settled         bigint not null default 0 check (settled >= 0),
    returned        bigint not null default 0 check (returned >= 0),
    recall          boolean not null default false, -- another cell is short: give back what is not held
    primary key (org, meter, period, cell, epoch),
    check (settled + returned <= granted)
) with (fillfactor = 60);

-- How far a ledger's journal is posted. One row per (cell, incarnation); dedupe, order and fence in one.
create table stream (
    cell            smallint not null,
    incarnation     integer not null,
    last_seq        bigint not null default 0,
    link            bytea not null check (length(link) = 32), -- of the last batch
    created_at      timestamptz not null default now(),
    primary key (cell, incarnation)
) with (fillfactor = 10);

create table batch (
    cell            smallint not null,
    incarnation     integer not null,
    lo              bigint not null,                -- records (lo, hi] of the journal
    hi              bigint not null,
    rows            integer not null,               -- generation rows among them
    charge          bigint not null,
    hold_first      bigint not null,                -- no terminal record is missing below hold_floor
    hold_floor      bigint not null,
    root            bytea not null,                 -- Merkle root of the rows' canonical encodings (RFC 6962 hashing)
    link            bytea not null,                 -- SHA-256(previous link ‖ lo ‖ hi ‖ root)
    posted_at       timestamptz not null default clock_timestamp(),
    primary key (cell, incarnation, lo),
    check (hi > lo)
);

-- One row per hold: SETTLE (charge may be 0) or RELEASE (charge 0), and correction rows (part > 0) for what came after.
create table generation (
    org             bigint not null,
    day             integer not null,               -- days since 1970-01-01 of the hold
    cell            smallint not null,
    incarnation     integer not null,
    hold            bigint not null,
    part            smallint not null default 0,
    seq             bigint not null,                -- of the journal record
    batch_lo        bigint not null,
    workspace       bigint not null,
    member          bigint,
    key             bigint not null,
    created_ns      bigint not null,                -- of the hold, wall time
    state           smallint not null check (state in (1, 2, 3)), -- 1 settled, 2 released, 3 absorbed
    reason          smallint not null,              -- error code that ended a release; 0
    price           integer not null,               -- 0: none
    prompt          integer not null, cache_read integer not null, cache_write integer not null, cache_write_1h integer not null,
    audio_in        integer not null, image_in integer not null, completion integer not null, reasoning integer not null,
    audio_out       integer not null, image_out integer not null, request integer not null, web_search integer not null,
    held            bigint not null check (held >= 0),
    charge          bigint not null check (charge >= 0),
    charge_told     bigint not null,                -- what the client was shown (usage.cost)
    provider_cost   bigint not null check (provider_cost >= 0),
    flags           integer not null,               -- enum fact_flag
    finish          smallint not null,              -- enum finish_reason
    model           integer not null,
    endpoint        integer not null,
    provider        integer not null,
    first_byte_ms   integer not null,
    total_ms        integer not null,
    native_finish   text not null, upstream_id text not null, referer text not null,
    title           text not null, user_agent text not null, session text not null,
    attempts        bytea not null,                 -- attempt_fact rows, see docs/API.md
    primary key (org, day, cell, incarnation, hold, part)
) partition by range (day);
create table generation_rest partition of generation default;
create index generation_by_seq on generation (cell, incarnation, seq);
create index generation_by_org_time on generation (org, created_ns);

-- Partitions exist seven days ahead; the ledger calls this at start and daily. The default partition takes what no other does.
create function generation_partitions_ensure() returns void language plpgsql security definer set search_path = public as $$
declare
    today integer := extract(epoch from now())::bigint / 86400;
    d integer;
begin
    for d in today - 1 .. today + 7 loop
        if to_regclass('generation_' || d) is null then
            execute format('create table generation_%s partition of generation for values from (%s) to (%s)', d, d, d + 1);
        end if;
    end loop;
end $$;
revoke all on function generation_partitions_ensure() from public;

-- A record that no path could post: nothing is lost, and the audit reports it.
create table suspense (
    cell            smallint not null,
    incarnation     integer not null,
    seq             bigint not null,
    sqlstate        text not null,
    record          bytea not null,
    at              timestamptz not null default now(),
    resolved_at     timestamptz,
    primary key (cell, incarnation, seq)
);

create table purchase (
    org             bigint not null references org,
    id              text not null,
    method          text not null check (method in ('manual')),
    amount_cents    bigint not null check (amount_cents > 0),
    fee_cents       bigint not null check (fee_cents >= 0),
    charged_cents   bigint not null,
    credited_cents  bigint not null default 0 check (credited_cents in (0, amount_cents)),
    state           text not null check (state in ('pending', 'paid', 'cancelled')),
    reference       text not null default '',       -- the operator's, e.g. a bank statement line
    created_at      timestamptz not null default now(),
    paid_at         timestamptz,
    primary key (org, id),
    check (charged_cents = amount_cents + fee_cents),
    check ((state = 'paid') = (credited_cents > 0))
);

-- Money-moving POSTs: key, request hash, effect and response are committed together. Kept for ever.
create table idempotency (
    org             bigint not null,
    scope           text not null,
    key             text not null check (length(key) between 1 and 255),
    request_hash    bytea not null,
    http_status     integer not null,
    response        bytea not null,
    created_at      timestamptz not null default now(),
    primary key (org, scope, key)
);

create trigger transfer_is_final before update or delete on transfer
    for each row execute function refuse_change();
create trigger generation_is_final before update or delete on generation
    for each row execute function refuse_change();
create trigger batch_is_final before update or delete on batch
    for each row execute function refuse_change();

-- The control-plane workers see one organization at a time: SET LOCAL bourse.org. The services' own roles see all.
create function current_org() returns bigint language sql stable as
    $$ select coalesce(nullif(current_setting('bourse.org', true), ''), '-1')::bigint $$;
do $$
declare
    t text;
begin
    foreach t in array array['org', 'workspace', 'api_key', 'account', 'transfer', 'meter', 'meter_period', 'lease', 'generation',
                             'purchase', 'idempotency'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy own_rows on %I using (org in (0, current_org()))', t);
    end loop;
end $$;
